//! What is measured, and what is aimed at.

use crate::load::{self, Target};
use crate::proxies::{Proxy, Setup};
use anyhow::Result;

/// One thing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// Requests on connections that stay open.
    KeepAlive,
    /// A connection for each request.
    NewConnection,
    /// A TLS 1.3 handshake, without resumption, for each request.
    Handshake,
    /// Answers of 1 MiB.
    Bodies,
    /// Requests on connections that the proxy only passes on.
    Tcp,
    /// Connections on which nothing happens.
    Idle,
}

impl Case {
    pub(crate) const ALL: [Self; 6] =
        [Self::KeepAlive, Self::NewConnection, Self::Handshake, Self::Bodies, Self::Tcp, Self::Idle];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "HTTP/1.1 keep-alive, µs a request",
            Self::NewConnection => "new connection, µs a request",
            Self::Handshake => "TLS 1.3 handshake, µs a request",
            Self::Bodies => "1 MiB answers, µs an answer",
            Self::Tcp => "TCP mode keep-alive, µs a request",
            Self::Idle => "idle connection, KiB resident",
        }
    }

    /// What is aimed at, in figures of HAProxy's; for memory in KiB.
    pub(crate) fn goal(self) -> Goal {
        match self {
            Self::KeepAlive => Goal::OfHaproxy(1.1),
            Self::Idle => Goal::AtMost(12.0),
            _ => Goal::OfHaproxy(1.0),
        }
    }

    /// Measures it once; `None` where the proxy has no such thing.
    pub(crate) async fn measure(self, setup: &Setup, proxy: &Proxy, hasty: u32) -> Result<Option<f64>> {
        let Some(target) = self.target(proxy) else { return Ok(None) };
        if self == Self::Idle {
            return idle(proxy, target).await.map(Some);
        }
        let (connections, requests) = self.amount();
        let requests = (requests / hasty).max(connections);
        // Pools fill, caches warm.
        self.run(setup, target, connections, requests / 10 + connections).await?;
        let before = proxy.cpu();
        self.run(setup, target, connections, requests).await?;
        let took = proxy.cpu() - before;
        Ok(Some(took.as_secs_f64() * 1e6 / f64::from(requests / connections * connections)))
    }

    fn target(self, proxy: &Proxy) -> Option<Target> {
        let port = match self {
            Self::Handshake => proxy.ports.https,
            Self::Tcp => proxy.ports.tcp?,
            _ => proxy.ports.http,
        };
        Some(Target { port, path: if self == Self::Bodies { "/large" } else { "/small" } })
    }

    /// Connections at once, and requests in a round.
    fn amount(self) -> (u32, u32) {
        match self {
            Self::KeepAlive | Self::Tcp => (16, 40_000),
            Self::NewConnection => (8, 8_000),
            Self::Handshake => (4, 2_000),
            Self::Bodies => (4, 1_000),
            Self::Idle => (IDLE, IDLE),
        }
    }

    async fn run(self, setup: &Setup, target: Target, connections: u32, requests: u32) -> Result<()> {
        match self {
            Self::NewConnection => load::new_connections(target, connections, requests).await,
            Self::Handshake => load::handshakes(target, &setup.tls, connections, requests).await,
            _ => load::keep_alive(target, connections, requests).await,
        }
    }
}

/// What is aimed at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// At most so many times HAProxy's figure.
    OfHaproxy(f64),
    /// At most this.
    AtMost(f64),
}

/// Resident memory of each of many connections that have made one request.
async fn idle(proxy: &Proxy, target: Target) -> Result<f64> {
    load::keep_alive(target, 16, 160).await?;
    let before = proxy.resident();
    let connections = load::idle(target, IDLE).await?;
    let grown = proxy.resident().saturating_sub(before);
    drop(connections);
    Ok(grown as f64 / 1024.0 / f64::from(IDLE))
}

/// Enough that what is allocated in steps evens out.
const IDLE: u32 = 5000;
