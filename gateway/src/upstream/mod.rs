//! The servers: who may get work, who gets the next request, and what runs where.

mod checks;

pub(crate) use checks::start as start_checks;

use crate::state::Gateway;
use gateway_core::balance::{Balancer, Candidate};
use gateway_core::config::{self, BackendId};
use gateway_core::sticky;
use gateway_core::table::{Entry, Key};
use healthcheck::Checker;
use healthcheck_core::State;
use pingora::upstreams::peer::HttpPeer;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A backend at work.
pub(crate) struct Backend {
    balancer: Mutex<Balancer>,
    pub(crate) servers: Vec<Server>,
    /// Requests that run on it.
    pub(crate) active: AtomicU64,
}

/// A server at work.
pub(crate) struct Server {
    weight: u32,
    up: AtomicBool,
    pub(crate) active: AtomicU32,
    pub(crate) requests: AtomicU64,
    pub(crate) errors: AtomicU64,
    peer: HttpPeer,
    /// `None` without a check; set once, when checks start.
    checker: OnceLock<Checker>,
}

/// A request's place on a server, held while it runs there.
pub(crate) struct Lease {
    gateway: Arc<Gateway>,
    pub(crate) backend: BackendId,
    pub(crate) server: usize,
}

impl Backend {
    pub(crate) fn new(backend: &config::Backend) -> Self {
        Self {
            balancer: Mutex::new(Balancer::new(backend.balance, backend.servers.len())),
            servers: backend.servers.iter().map(|server| Server::new(backend, server)).collect(),
            active: AtomicU64::new(0),
        }
    }

    fn candidate(&self, place: usize, tried: &[usize]) -> Candidate {
        let server = &self.servers[place];
        Candidate {
            weight: server.weight,
            usable: server.is_up() && !tried.contains(&place),
            active: server.active.load(Ordering::Relaxed),
        }
    }

    fn balance(&self, client: IpAddr, tried: &[usize]) -> Option<usize> {
        let mut balancer = self.balancer.lock().unwrap_or_else(PoisonError::into_inner);
        // With every server tried, any is better than none.
        let pick = balancer.pick(client, |place| self.candidate(place, tried));
        pick.or_else(|| balancer.pick(client, |place| self.candidate(place, &[])))
    }
}

impl Server {
    fn new(backend: &config::Backend, server: &config::Server) -> Self {
        let mut peer = HttpPeer::new(server.address, false, String::new());
        peer.options.connection_timeout = Some(backend.connect_timeout);
        peer.options.total_connection_timeout = Some(backend.connect_timeout);
        peer.options.read_timeout = Some(backend.server_timeout);
        peer.options.write_timeout = Some(backend.server_timeout);
        peer.options.idle_timeout = Some(SERVER_IDLE_TIMEOUT);
        Self {
            weight: server.weight,
            up: AtomicBool::new(true),
            active: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            peer,
            checker: OnceLock::new(),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Its state and how far that is from changing, as HAProxy's `status` column says it.
    pub(crate) fn status(&self) -> String {
        self.checker
            .get()
            .map_or_else(|| "no check".to_owned(), |checker| checker.snapshot().status.to_string())
    }

    /// Where it stands, for the verdict on its backend.
    pub(crate) fn state(&self) -> State {
        if self.is_up() { State::Up } else { State::Down }
    }

    /// Real traffic failed on it.
    pub(crate) fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        if let Some(checker) = self.checker.get() {
            checker.observe_failure();
        }
    }
}

impl Lease {
    /// Chooses a server for a request of `client`: the one it sticks to, or the one that balancing
    /// says, which it sticks to from then on. `tried` have failed this request already.
    pub(crate) fn take(
        gateway: &Arc<Gateway>,
        id: BackendId,
        client: IpAddr,
        tried: &[usize],
    ) -> Option<Self> {
        let backend = &gateway.backends[id.0];
        let key = Key::from(client);
        let stick = gateway.config.backends[id.0].stick.map(|table| &gateway.tables[table.0]);
        let now = gateway.clock.now();
        let may_use =
            |place: usize| !tried.contains(&place) && backend.servers.get(place).is_some_and(Server::is_up);
        let stored = |entry: &mut Entry| sticky::stored(entry, may_use);
        let known = stick.and_then(|table| table.update(key, now, stored).flatten());
        let server = match known {
            Some(server) => server,
            None => {
                let server = backend.balance(client, tried)?;
                stick.and_then(|table| table.update(key, now, |entry| sticky::store(entry, server)));
                server
            }
        };
        backend.active.fetch_add(1, Ordering::Relaxed);
        backend.servers[server].active.fetch_add(1, Ordering::Relaxed);
        backend.servers[server].requests.fetch_add(1, Ordering::Relaxed);
        Some(Self { gateway: Arc::clone(gateway), backend: id, server })
    }

    /// What pingora needs in order to connect.
    pub(crate) fn peer(&self) -> Box<HttpPeer> {
        Box::new(self.server().peer.clone())
    }

    pub(crate) fn server(&self) -> &Server {
        &self.gateway.backends[self.backend.0].servers[self.server]
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.gateway.backends[self.backend.0].active.fetch_sub(1, Ordering::Relaxed);
        self.server().active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Shorter than what servers usually allow, so that it is the gateway that closes.
const SERVER_IDLE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
