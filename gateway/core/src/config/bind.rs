//! Where is listened.

use base_core::diagnose::Diagnostic;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// An address to listen on, with its place in the file for errors that come up later.
#[derive(Clone, Debug)]
pub struct Bind {
    /// The address.
    pub address: SocketAddr,
    /// What to tell when it can't be had.
    pub origin: Diagnostic,
}

/// Where a frontend listens, likewise (HAProxy manual, "bind").
#[derive(Clone, Debug)]
pub struct Listen {
    /// Where.
    pub on: Place,
    /// What to tell when it can't be had.
    pub origin: Diagnostic,
}

/// Where there can be listened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At an address and a port, also one that this node does not have yet.
    Address(SocketAddr),
    /// On a UNIX socket that is made there.
    Unix(PathBuf),
    /// On a socket that the process was started with.
    Descriptor(i32),
}

/// Who may connect to UNIX sockets that are made (HAProxy manual, "unix-bind").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixBind {
    /// Permissions.
    pub mode: u32,
    /// Whose they are; `None`: whose process it is.
    pub user: Option<String>,
    /// Whose group they have, likewise.
    pub group: Option<String>,
}

/// How listening sockets, and the connections that come through them, are made (HAProxy manual, "bind").
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// Largest segment that is asked for, in bytes; `None`: what the way allows.
    pub mss: Option<u32>,
    /// How long what was sent may be unacknowledged; `None`: as the system says.
    pub tcp_ut: Option<Duration>,
    /// Silence after which the kernel asks whether a client is still there; `None`: it never does.
    pub keepalive: Option<Duration>,
    /// Whether an IPv6 address that is any takes IPv4, too.
    pub v4v6: bool,
}

impl Place {
    /// Whether both can't be had at once.
    pub(super) fn clashes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Address(one), Self::Address(other)) => clash(*one, *other),
            (one, other) => one == other,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix@{}", path.display()),
            Self::Descriptor(number) => write!(f, "fd@{number}"),
        }
    }
}

fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let any = |ip: IpAddr| ip.is_unspecified();
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip()
            || (one.is_ipv4() == other.is_ipv4() && (any(one.ip()) || any(other.ip()))))
}
