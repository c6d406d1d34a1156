//! A request's place on a server, and the wait for one. Both give back what they hold when they are
//! dropped, however the request ends.

use super::{Choice, Server};
use crate::state::Gateway;
use gateway_core::config::BackendId;
use gateway_core::dispatch::{Call, Decision};
use gateway_core::proxy_protocol::Version;
use gateway_core::queue::{Ticket, Wish};
use gateway_core::sticky;
use gateway_core::table::Entry;
use pingora::upstreams::peer::HttpPeer;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// A request's place on a server, held while it runs there.
pub(crate) struct Lease {
    gateway: Arc<Gateway>,
    pub(crate) backend: BackendId,
    pub(crate) server: usize,
    /// How often the server had moved.
    moves: u32,
    /// Whether the request has said, or will say, how the server is.
    counts: AtomicBool,
}

/// What is known of a request that asks for a place.
#[derive(Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) backend: BackendId,
    pub(crate) client: IpAddr,
    /// What it is hashed by, if it is.
    pub(crate) key: Option<u64>,
    /// The server that its cookie names.
    pub(crate) wanted: Option<usize>,
}

/// What a request gets that asks for a place.
pub(crate) enum Place {
    /// One that it has now.
    Now(Lease),
    /// One that it waits for.
    Later(Waiter),
    /// None, as too many wait already.
    Full(Wish),
    /// None, as no server is up.
    Nowhere,
}

/// A request that waits for its turn.
pub(crate) struct Waiter {
    gateway: Arc<Gateway>,
    backend: BackendId,
    client: IpAddr,
    pub(crate) ticket: Ticket,
    turn: oneshot::Receiver<usize>,
}

impl Lease {
    fn new(gateway: Arc<Gateway>, backend: BackendId, server: usize) -> Self {
        let moves = gateway.backends[backend.0].servers[server].moves();
        Self { gateway, backend, server, moves, counts: AtomicBool::new(false) }
    }

    /// Chooses a server for a request: the one that its client wants or sticks to, or the one that balancing
    /// says, which it sticks to from then on. `tried` have failed this request already.
    pub(crate) fn take(gateway: &Arc<Gateway>, ask: Ask, tried: &[usize]) -> Place {
        let Ask { backend: id, client, key, wanted } = ask;
        let backend = &gateway.backends[id.0];
        let may_use =
            |place: usize| !tried.contains(&place) && backend.servers.get(place).is_some_and(Server::is_up);
        let stored = |entry: &mut Entry<'_>| sticky::stored(entry, may_use);
        let table = gateway.config.backends[id.0].stick.map(|table| &gateway.tables[table.0]);
        let now = gateway.clock.now();
        let stuck = table.and_then(|table| table.update(table.address(client)?, now, stored).flatten());
        let stuck = wanted.filter(|place| may_use(*place)).or(stuck);
        let lease = |server| Self::new(Arc::clone(gateway), id, server);
        if let Some(server) = stuck
            && !backend.is_limited
            && !backend.ejects
            && backend.breaker.is_none()
        {
            backend.count(server);
            return Place::Now(lease(server));
        }
        let mut turn = None;
        let mut guard = backend.lock();
        let Choice { dispatcher, watch } = &mut *guard;
        let stuck = stuck.filter(|place| backend.lets(watch, *place, now));
        let avoid = |place| backend.avoids(watch, place, now);
        let call = Call { key, stuck, tried, avoid: &avoid };
        let decision = dispatcher.ask(
            call,
            |place| backend.candidate(watch, place, now),
            || {
                let (sender, receiver) = oneshot::channel();
                turn = Some(receiver);
                sender
            },
        );
        if let Decision::Go(server) = decision {
            backend.enter(watch, server, now);
        }
        dispatcher.has_come(
            |place| backend.candidate(watch, place, now),
            avoid,
            |turn, place| backend.call(watch, turn, place, now),
        );
        drop(guard);
        match (decision, turn) {
            (Decision::Go(server), _) => {
                if stuck != Some(server) {
                    stick(gateway, id, client, server);
                }
                Place::Now(lease(server))
            }
            (Decision::Wait(ticket), Some(turn)) => {
                let gateway = Arc::clone(gateway);
                Place::Later(Waiter { gateway, backend: id, client, ticket, turn })
            }
            (Decision::Full(wish), _) => Place::Full(wish),
            (Decision::Nobody | Decision::Wait(_), _) => Place::Nowhere,
        }
    }

    /// What pingora needs in order to connect, for a request to `host` whose client has asked for `asked`.
    pub(crate) fn peer(&self, host: &str, asked: Option<&str>) -> Box<HttpPeer> {
        Box::new(self.server().peer(host, asked))
    }

    /// Has the connection begin with the PROXY header that the server wants.
    pub(crate) fn announce(&self, peer: &mut HttpPeer, header: impl FnOnce(Version) -> Vec<u8>) {
        if let Some(version) = self.server().send_proxy {
            self.server().announce(peer, header(version));
        }
    }

    /// Has the connection serve one request, where those that are kept are bounded: who asks for an upgrade can't be told
    /// to close, and pingora would keep it if the server refuses.
    pub(crate) fn bound(&self, peer: &mut HttpPeer) {
        let reuses = self.gateway.config.backends[self.backend.0].reuses;
        if !reuses || self.server().pool.is_some() {
            // A key that nobody asks for, and as little time to rest as pingora's timers can measure.
            peer.group_key = RandomState::new().hash_one(peer.group_key);
            peer.options.idle_timeout = Some(Duration::from_millis(1));
        }
    }

    /// The request is sent: what becomes of it says how the server is.
    pub(crate) fn sent(&self) {
        self.counts.store(true, Ordering::Relaxed);
    }

    /// The server has begun to answer.
    pub(crate) fn answered(&self) {
        if self.is_elsewhere() {
            return;
        }
        self.gateway.backends[self.backend.0].answered(self.server);
    }

    /// Its check and its breaker hear what became of a request: the status of its answer, or `None` if there was none. `connected`:
    /// it was sent.
    pub(crate) fn observed(&self, status: Option<u16>, connected: bool) {
        self.sent();
        if self.is_elsewhere() {
            return;
        }
        let backend = &self.gateway.backends[self.backend.0];
        self.server().observed(status, connected);
        let Some(policy) = backend.breaker else { return };
        if let Some(succeeded) = policy.layer.succeeded(status, connected) {
            backend.observed(self.server, succeeded, self.gateway.clock.now());
        }
    }

    /// The server has failed this request.
    pub(crate) fn failed(&self) {
        if !self.is_elsewhere() {
            self.server().failed();
        }
    }

    /// Whether the server has moved meanwhile, so that nothing of this request says how it is.
    fn is_elsewhere(&self) -> bool {
        self.moves != self.server().moves()
    }

    pub(crate) fn server(&self) -> &Server {
        &self.gateway.backends[self.backend.0].servers[self.server]
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let backend = &self.gateway.backends[self.backend.0];
        if !self.counts.load(Ordering::Relaxed) && !self.is_elsewhere() {
            backend.unsent(self.server, self.gateway.clock.now());
        }
        backend.release(self.server, self.gateway.clock);
    }
}

impl Waiter {
    /// Waits for its turn, which comes once. May be dropped and called again before that.
    pub(crate) async fn turn(&mut self) -> Option<Lease> {
        // Whoever calls it holds the gateway, so it is called or waits for ever.
        let server = (&mut self.turn).await.ok()?;
        stick(&self.gateway, self.backend, self.client, server);
        Some(Lease::new(Arc::clone(&self.gateway), self.backend, server))
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let backend = &self.gateway.backends[self.backend.0];
        // Bound to a name, or the lock would be held in the body, which takes it again.
        let left = backend.lock().dispatcher.leave(self.ticket);
        if !left && let Ok(server) = self.turn.try_recv() {
            backend.release(server, self.gateway.clock);
        }
    }
}

/// The client sticks to this server from now on, where the backend wants that.
fn stick(gateway: &Gateway, backend: BackendId, client: IpAddr, server: usize) {
    if let Some(table) = gateway.config.backends[backend.0].stick {
        let (table, now) = (&gateway.tables[table.0], gateway.clock.now());
        if let Some(client) = table.address(client) {
            table.update(client, now, |entry| sticky::store(entry, server));
        }
    }
}
