//! Running other programs, and saying so.

use anyhow::{Context, Result, bail};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Writes a line to stderr. A reader that has gone away is no reason to stop.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// The workspace's folder: asked of the cargo that runs this program, since a target folder that outlives its
/// checkout may hold an xtask that was built from another one.
pub(crate) fn root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    xtask.parent().unwrap_or(&xtask).to_owned()
}

/// Cargo's target folder: the one that this program was built into.
pub(crate) fn target_dir() -> PathBuf {
    let built = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.to_owned()));
    built.unwrap_or_else(|| root().join("target"))
}

/// The cargo that runs this program, with the tools of the set-up on its `PATH`.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let tools = crate::setup::python_tools().join("bin");
    if tools.is_dir() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([tools.clone()]);
        if let Ok(path) = std::env::join_paths(folders) {
            cargo.env("PATH", path);
        }
        if find("make").is_none() && tools.join("ninja").is_file() {
            cargo.env("CMAKE_GENERATOR", "Ninja");
        }
    }
    cargo
}

/// Finds a program on `PATH`, or where Debian keeps what only root has on its `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(program))
        .find(|file| if program.starts_with('/') { file.is_file() } else { is_executable(file) })
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Runs a command with our own input and output; anything but success is an error that names it.
pub(crate) fn checked(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs a command as the last thing, and ends as it ended. An interrupt reaches both: the other
/// program cleans up, and this one waits for it.
pub(crate) fn pass_on(mut command: Command) -> Result<ExitCode> {
    let mut child = command.spawn().with_context(|| format!("cannot run {}", shown(&command)))?;
    ignore_interrupts();
    let status = child.wait()?;
    Ok(u8::try_from(status.code().unwrap_or(1)).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Called once the child runs, so that the child does not inherit it.
fn ignore_interrupts() {
    let mut mask = nix::sys::signal::SigSet::empty();
    mask.add(nix::sys::signal::Signal::SIGINT);
    // If it fails, an interrupt ends this program before the other one: nothing worse.
    let _ = mask.thread_block();
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_else(|| command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
