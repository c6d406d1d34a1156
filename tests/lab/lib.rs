//! The lab: the deployment that everything is judged by, on one machine, on real parts.
//!
//! A client, a router that runs BIRD, three gateway nodes and three API hosts, each in a network
//! namespace of its own, joined by veth links. The router knows the VIPs by BGP and by nothing else.
//! A [`Lab`] takes all of it away again when it is dropped, when the program fails or is interrupted;
//! what a killed program left is taken away by the next one. Several labs run side by side. Nothing
//! touches the machine's own network.
//!
//! It promises measurements, not impressions: [`routes`] sees each change of the router's kernel
//! routes as it happens, [`load`] keeps every request it made, and both use one clock.

pub mod api;
pub mod bird;
pub mod daemon;
pub mod freeze;
pub mod home;
pub mod http;
pub mod inside;
pub mod interop;
pub mod load;
pub mod netns;
pub mod node;
pub mod options;
pub mod report;
pub mod routes;
mod signals;
pub mod single;
mod sys;
mod templates;
pub mod topology;

mod lab;
pub use lab::{Lab, unavailable};
pub use options::LabOptions;

use anyhow::{Context, Result, bail};
use base::Clock;
use std::path::PathBuf;
use std::time::Duration;

/// Polls `look` until it finds something, at most for `within`; then an error that says what was
/// waited for.
pub fn wait_until<T>(what: &str, within: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let clock = Clock::start();
    let mut last = None;
    while (clock.now() - base_core::Time::ZERO) < within {
        match look() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        pause(POLL);
    }
    let message = format!("after {} ms still waiting: {what}", within.as_millis());
    last.map_or_else(|| bail!("{message}"), |error| Err(error).context(message.clone()))
}

/// Lets `time` pass, because what is wanted is that time passes: between two polls, or while load runs.
#[expect(clippy::disallowed_methods, reason = "callers hold a deadline, or want the time to pass")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// The program `name`, built by the same cargo into the same target folder.
pub fn program(name: &str) -> Result<PathBuf> {
    let mut folder = std::env::current_exe()?.parent().context("this program has no folder")?.to_owned();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let file = folder.join(name);
    if !file.is_file() {
        bail!("{} is not built; `cargo xtask test` and `cargo xtask demo` build it", file.display());
    }
    Ok(file)
}

/// Finds a system program on `PATH`, or where Debian keeps what only root has on its `PATH`.
pub fn system_program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .with_context(|| format!("{name} is not installed; `cargo xtask test` installs what the lab needs"))
}

/// Between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(10);
