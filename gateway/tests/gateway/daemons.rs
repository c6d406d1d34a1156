//! Real programs beside the gateway, each in a folder of its own.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where programs are that no path names, such as those of PostgreSQL.
const FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/lib/postgresql"];

/// A program by its name; says that the test is skipped if it is not there.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.iter().map(PathBuf::from));
    let versions = std::fs::read_dir(FOLDERS[3]).into_iter().flatten().flatten();
    let folders = folders.chain(versions.map(|version| version.path().join("bin")));
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// A process that is killed when it goes out of scope.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().expect("the program runs"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that runs as `user`, where this test may choose: servers refuse to run as root. The folder
/// becomes that user's.
pub(crate) fn command_as(user: &str, folder: &Path, program: &Path) -> Command {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root {
        return Command::new(program);
    }
    let id = output(Command::new("id").args(["-u", user])).trim().to_owned();
    let id: u32 = id.parse().unwrap_or_else(|_| panic!("there is a user {user}: {id}"));
    std::os::unix::fs::chown(folder, Some(id), None).expect("the folder is ours");
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={id}")).args(["--clear-groups", "--"]).arg(program).current_dir("/");
    command
}

/// All that a command says.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the program runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// What `openssl` says, with this on its standard input.
pub(crate) fn openssl(arguments: &[impl AsRef<OsStr>], input: &[u8]) -> String {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    // It may have ended before it has taken all.
    let _ = std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), input);
    let mut said = String::new();
    let mut errors = Vec::new();
    let _ = child.stdout.take().expect("a pipe").read_to_string(&mut said);
    let _ = child.stderr.take().expect("a pipe").read_to_end(&mut errors);
    let _ = child.wait();
    said + &String::from_utf8_lossy(&errors)
}
