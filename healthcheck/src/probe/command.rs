//! A command as a probe: its exit status says how the server is. HAProxy's `external-check`, with the same words in
//! its environment and the same arguments.
//!
//! Promises: the command has its own process group, which is killed as a whole when its time is over or nobody waits
//! for it any more; it gets none of this process's environment, files or input, and what it writes is thrown away.

use super::group::Group;
use super::{by, finding};
use base::Clock;
use base_core::Time;
use healthcheck_core::spec::CommandCheck;
use healthcheck_core::{CheckStatus, Finding};
use std::net::SocketAddr;
use std::process::Stdio;
use tokio::process::Command;

/// Whom a command checks, as its environment tells it.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// `HAPROXY_PROXY_NAME`.
    pub backend: String,
    /// `HAPROXY_SERVER_NAME`.
    pub server: String,
    /// `HAPROXY_SERVER_ID`: its place among the backend's servers, from 1.
    pub id: usize,
}

pub(super) async fn run(
    check: &CommandCheck,
    names: &Names,
    target: SocketAddr,
    clock: Clock,
    deadline: Time,
) -> Finding {
    let (address, port) = (target.ip().to_string(), target.port().to_string());
    let mut command = Command::new(&check.program);
    match &check.arguments {
        Some(arguments) => command.args(arguments),
        // No listener is tied to a backend: that is what HAProxy says then, too.
        None => command.args(["NOT_USED", "NOT_USED", &address, &port]),
    };
    command
        .env_clear()
        .env("PATH", PATH)
        .env("HAPROXY_PROXY_NAME", &names.backend)
        .env("HAPROXY_SERVER_NAME", &names.server)
        .env("HAPROXY_SERVER_ID", names.id.to_string())
        .env("HAPROXY_SERVER_ADDR", address)
        .env("HAPROXY_SERVER_PORT", port)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return not_started(&error),
    };
    let group = Group::of(&child);
    match by(clock, deadline, child.wait()).await {
        None => finding(CheckStatus::ProcTimeout),
        Some(Err(_)) => finding(CheckStatus::SocketError),
        Some(Ok(status)) => {
            group.ended();
            let code = status.code().and_then(|code| u16::try_from(code).ok());
            let status = if status.success() { CheckStatus::ProcOk } else { CheckStatus::ProcError };
            let note = if code.is_none() { "killed" } else { "" };
            Finding { status, code, note }
        }
    }
}

/// A program that is not there says as little about the server as a process that can't be made, but an operator must
/// see it: it fails.
fn not_started(error: &std::io::Error) -> Finding {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    match error.kind() {
        NotFound => Finding { note: "no_program", ..finding(CheckStatus::ProcError) },
        PermissionDenied => Finding { note: "not_executable", ..finding(CheckStatus::ProcError) },
        _ => finding(CheckStatus::SocketError),
    }
}

/// Where a command finds programs: HAProxy's default of `external-check path` is empty, and everyone sets this.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
