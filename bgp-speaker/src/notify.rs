//! Tells systemd how this process is (sd_notify(3)), if it was started by it with `Type=notify`.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The speaker runs.
pub(crate) fn ready() {
    tell("READY=1");
}

/// The speaker ends, which takes a while.
pub(crate) fn stopping() {
    tell("STOPPING=1");
}

/// Another process is the speaker from now on.
pub(crate) fn successor(id: u32) {
    tell(&format!("MAINPID={id}"));
}

fn tell(what: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&path, what) {
        tracing::warn!(%error, what, "systemd was not told");
    }
}

fn send(path: &OsStr, what: &str) -> std::io::Result<()> {
    // A leading @ stands for the zero byte of an abstract name.
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(what.as_bytes(), &address).map(drop)
}
