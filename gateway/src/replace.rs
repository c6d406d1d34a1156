//! Files that are replaced at once: written beside themselves, synced, renamed, so that there is always a whole
//! one, whatever becomes of the process, and however many processes of a node write.

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Puts what `write` writes in the place of `path`, for those whom `mode` lets. One writer in a process at a time.
pub(crate) fn replace(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let new = beside(path, &format!("{}{NEW}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| {
            // Whatever the process's own mask takes away.
            file.set_permissions(Permissions::from_mode(mode))?;
            write(&mut file)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written?;
    File::open(folder(path))?.sync_all()
}

/// Removes what processes that live no more were writing when they died.
pub(crate) fn sweep(path: &Path) {
    let Some(name) = path.file_name() else { return };
    let Ok(files) = std::fs::read_dir(folder(path)) else { return };
    for file in files.flatten() {
        let pid = file.file_name().as_bytes().strip_prefix(name.as_bytes()).and_then(pid);
        if pid.is_some_and(|pid| kill(pid, None) == Err(Errno::ESRCH)) {
            let _ = std::fs::remove_file(file.path());
        }
    }
}

/// The path with `.end` behind it.
pub(crate) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(end);
    name.into()
}

/// Of which process a file is, by what stands behind the name.
fn pid(end: &[u8]) -> Option<Pid> {
    let digits = end.strip_prefix(b".")?.strip_suffix(NEW.as_bytes())?;
    let digits = Some(digits).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let number: i32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (number > 0).then(|| Pid::from_raw(number))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Behind the number of the process that writes a file: nobody's copies of it have such a name.
const NEW: &str = ".new";

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(folder: &Path) -> Vec<String> {
        let files = std::fs::read_dir(folder).expect("it is there").flatten();
        let mut names: Vec<_> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_or_stays_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        replace(&path, 0o600, |file| file.write_all(b"one")).expect("it is written");
        let failed = replace(&path, 0o600, |file| {
            file.write_all(b"tw")?;
            Err(io::Error::other("no room"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).expect("it is there"), b"one");
        assert_eq!(names(folder.path()), ["file"]);
        let mode = || std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        replace(&path, 0o640, |_| Ok(())).expect("it is written");
        assert_eq!(mode(), 0o640);
    }

    #[test]
    fn what_the_dead_have_left_goes_and_what_the_living_write_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut dead = std::process::Command::new("true").spawn().expect("a process");
        dead.wait().expect("it ends");
        let own = format!("file.{}.new", std::process::id());
        let gone = format!("file.{}.new", dead.id());
        let others = [
            "file",
            "file.0.new",
            "file.1x.new",
            "file.20260715",
            "file.20260715.new.gz",
            "file.99999999.2.new",
            "file.broken",
            "file.new",
            "files.99999999.new",
        ];
        for name in others.into_iter().chain([own.as_str(), gone.as_str()]) {
            std::fs::write(folder.path().join(name), name).expect("a file");
        }
        sweep(&folder.path().join("file"));
        let mut stay = others.map(str::to_owned).to_vec();
        stay.push(own);
        stay.sort();
        assert_eq!(names(folder.path()), stay);
    }
}
