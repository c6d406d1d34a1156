//! `POST /vips`: this node's speaker says what it announces and claims, and hears what the other nodes do.
//!
//! Taken from this host only. A connection that ends takes what it announced along; the speaker keeps one open.

use crate::peers::Peers;
use crate::state::Gateway;
use gateway_core::peers::vips;
use healthcheck_core::fleet::{Fleet, Own};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One connection of the admin listener, as far as speakers use it.
pub(super) struct Speaker {
    gateway: Arc<Gateway>,
    is_local: bool,
    /// Its number among all connections that have said something.
    turn: AtomicU64,
}

impl Speaker {
    /// `ends` are both ends of the connection.
    pub(super) fn new(gateway: Arc<Gateway>, ends: Option<(SocketAddr, SocketAddr)>) -> Self {
        let here = |(there, here): (SocketAddr, SocketAddr)| {
            let (there, here) = (there.ip().to_canonical(), here.ip().to_canonical());
            there.is_loopback() || there == here
        };
        Self { gateway, is_local: ends.is_some_and(here), turn: AtomicU64::new(0) }
    }

    /// Publishes what is said, and answers with what the others say.
    pub(super) async fn exchange(
        &self,
        request: Request<Incoming>,
    ) -> Result<Fleet, (StatusCode, &'static str)> {
        let Some(peers) = self.gateway.peers.as_ref().filter(|_| self.gateway.config.peers.is_some()) else {
            return Err((StatusCode::NOT_FOUND, "this gateway has no peers\n"));
        };
        if !self.is_local {
            return Err((StatusCode::FORBIDDEN, "only for the speaker on this host\n"));
        }
        let bad = |_| (StatusCode::BAD_REQUEST, "not what a speaker says\n");
        let body = Limited::new(request.into_body(), MAX_BODY).collect().await.map_err(|_| bad(()))?;
        let own: Own = serde_json::from_slice(&body.to_bytes()).map_err(|_| bad(()))?;
        let now = self.gateway.clock.now();
        if self.turn.load(Ordering::Relaxed) == 0 {
            self.turn.store(peers.speakers.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
        vips::publish(&peers.cluster, &own.vips, now);
        Ok(self.others(peers))
    }

    fn others(&self, peers: &Peers) -> Fleet {
        let names = self.gateway.config.peers.iter().flat_map(|config| &config.peers);
        let names = names
            .zip(&peers.states)
            .map(|(peer, state)| (peer.name.as_str(), state.live.load(Ordering::Relaxed)));
        vips::others(&peers.cluster, names, self.gateway.clock.now())
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        let Some(peers) = &self.gateway.peers else { return };
        let turn = self.turn.load(Ordering::Relaxed);
        // Another connection may have followed.
        if turn != 0 && turn == peers.speakers.load(Ordering::Relaxed) {
            vips::speaker_gone(&peers.cluster, self.gateway.clock.now());
        }
    }
}

/// Bytes of what a speaker says: 4096 VIPs with the names of other nodes.
const MAX_BODY: usize = 2 * 1024 * 1024;
