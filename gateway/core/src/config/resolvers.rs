//! Who is asked for the addresses of servers, and for which.

use crate::resolve::{Policy, Preference};
use base_core::diagnose::Diagnostic;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Which resolvers: their place in [`Config::resolvers`](super::Config::resolvers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolversId(pub usize);

/// Name servers, all of which are asked (HAProxy manual, "resolvers").
#[derive(Clone, Debug)]
pub struct Resolvers {
    /// Their name.
    pub name: String,
    /// Where they listen.
    pub nameservers: Vec<SocketAddr>,
    /// Whether those of the system are asked, too.
    pub parse_resolv_conf: bool,
    /// Largest answer over UDP, in bytes.
    pub payload: u16,
    /// Tries after the first.
    pub retries: u32,
    /// How long each try may take.
    pub retry: std::time::Duration,
    /// When to ask, and how long what was found holds.
    pub policy: Policy,
    /// What to tell when there are none.
    pub origin: Diagnostic,
}

/// A name, and the servers of a backend that are where it says.
#[derive(Clone, Debug)]
pub struct Named {
    /// Who is asked.
    pub resolvers: ResolversId,
    /// For what.
    pub question: Question,
    /// Which addresses are used.
    pub preference: Preference,
    /// Where they are until there is an answer: the first of these that is known.
    pub initial: Vec<Initial>,
    /// What to tell when none of them is.
    pub origin: Diagnostic,
    /// The places of its servers.
    pub servers: Vec<usize>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The addresses of a name; the port is ours.
    Address {
        /// The name.
        name: String,
        /// The port of its servers.
        port: u16,
    },
    /// A service: names, ports and weights (RFC 2782).
    Service(String),
}

/// Where a server is until there is an answer (HAProxy manual, `init-addr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    /// Nowhere.
    None,
    /// Where the system's own resolver says.
    Libc,
    /// Here.
    At(IpAddr),
}

impl Question {
    /// The name that is asked for.
    pub fn name(&self) -> &str {
        match self {
            Self::Address { name, .. } | Self::Service(name) => name,
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { name, port } => write!(f, "{name}:{port}"),
            Self::Service(name) => f.write_str(name),
        }
    }
}
