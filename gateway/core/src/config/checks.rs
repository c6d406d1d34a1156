//! How servers are watched: by a check of their own, by another server's, by what their agent says.

use super::BackendId;
use base_core::diagnose::Diagnostic;
use healthcheck_core::CheckSpec;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The check of a backend.
#[derive(Clone, Debug)]
pub struct Check {
    /// What is asked, and how often.
    pub spec: CheckSpec,
    /// What to tell when its files do not load.
    pub origin: Diagnostic,
}

/// Who says whether a server is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// Nobody: it counts as up.
    #[default]
    Nobody,
    /// Its backend's check, sent here instead of where that says.
    Check {
        /// The address.
        addr: Option<IpAddr>,
        /// The port.
        port: Option<u16>,
    },
    /// The check of another server, which is itself checked (HAProxy: `track`).
    Track(BackendId, usize),
}

/// The agent of a server (HAProxy: `agent-check`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Where it listens, if not at the server's address.
    pub addr: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// From one question to the next.
    pub inter: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// What it is sent.
    pub send: String,
}

impl Agent {
    /// Where to ask about a server.
    pub fn target(&self, server: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.addr.unwrap_or_else(|| server.ip()), self.port)
    }
}

impl Watch {
    /// Where a check that goes to `target` by its backend's word goes for this server.
    pub fn target(self, target: SocketAddr) -> SocketAddr {
        match self {
            Self::Check { addr, port } => {
                SocketAddr::new(addr.unwrap_or_else(|| target.ip()), port.unwrap_or_else(|| target.port()))
            }
            Self::Nobody | Self::Track(..) => target,
        }
    }
}
