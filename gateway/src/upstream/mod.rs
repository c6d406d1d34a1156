//! The servers: who may get work, who gets the next request, and what runs where.

mod checks;
mod lease;

pub(crate) use checks::start as start_checks;
pub(crate) use lease::{Lease, Place, Waiter};

use base::Clock;
use base_core::Time;
use gateway_core::balance::{self, Balancer, Candidate, Member};
use gateway_core::config;
use gateway_core::dispatch::Dispatcher;
use gateway_core::eject::{Answers, Ejector};
use gateway_core::queue::Limits;
use gateway_core::retry::Budget;
use healthcheck::Checker;
use healthcheck_core::State;
use pingora::upstreams::peer::HttpPeer;
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// A backend at work.
pub(crate) struct Backend {
    choice: Mutex<Choice>,
    /// Whether places on servers are limited: then ends are told to the dispatcher.
    is_limited: bool,
    /// Whether servers that do not answer are left alone.
    ejects: bool,
    /// Answers of all its servers.
    answers: AtomicU64,
    pub(crate) retry_budget: Budget,
    pub(crate) servers: Vec<Server>,
    /// Requests that run on it.
    pub(crate) active: AtomicU64,
}

/// What decides where a request goes, and when.
struct Choice {
    dispatcher: Dispatcher<oneshot::Sender<usize>>,
    /// Asked and told while the dispatcher decides.
    ejector: RefCell<Option<Ejector>>,
}

/// A server at work.
pub(crate) struct Server {
    weight: u32,
    backup: bool,
    slowstart: Duration,
    up: AtomicBool,
    /// When it last came up; 0: it was never down.
    up_since: AtomicU64,
    pub(crate) active: AtomicU32,
    pub(crate) requests: AtomicU64,
    pub(crate) errors: AtomicU64,
    /// Beginnings of answers.
    answers: AtomicU64,
    peer: HttpPeer,
    /// `None` without a check; set once, when checks start.
    checker: OnceLock<Checker>,
}

/// How many wait in a backend's lines.
pub(crate) struct Line {
    pub(crate) all: usize,
    pub(crate) servers: Vec<usize>,
}

impl Backend {
    pub(crate) fn new(backend: &config::Backend) -> Self {
        let limits = Limits {
            servers: backend.servers.iter().map(|server| server.maxconn).collect(),
            backend: backend.maxconn,
            waiting: backend.max_queue as usize,
        };
        let members: Vec<Member<'_>> = backend
            .servers
            .iter()
            .map(|server| Member { name: &server.name, weight: server.weight * balance::STEPS })
            .collect();
        let seed = RandomState::new().hash_one(&backend.name);
        let balancer = Balancer::new(&backend.balance, backend.hash_type, &members, seed);
        let dispatcher = Dispatcher::new(balancer, limits, backend.backups);
        let ejector = backend.eject.map(|silence| Ejector::new(silence, backend.servers.len()));
        Self {
            is_limited: dispatcher.is_limited(),
            ejects: ejector.is_some(),
            choice: Mutex::new(Choice { dispatcher, ejector: RefCell::new(ejector) }),
            answers: AtomicU64::new(0),
            retry_budget: Budget::new(backend.retry_budget),
            servers: backend.servers.iter().map(|server| Server::new(backend, server)).collect(),
            active: AtomicU64::new(0),
        }
    }

    /// How many wait.
    pub(crate) fn line(&self) -> Line {
        let choice = self.lock();
        let servers = (0..self.servers.len()).map(|place| choice.dispatcher.waiting_for(place)).collect();
        Line { all: choice.dispatcher.waiting(), servers }
    }

    /// Whether the server at `place` is left alone, since it answers nothing while others do.
    pub(crate) fn is_silent(&self, place: usize, now: Time) -> bool {
        let choice = self.lock();
        let ejector = choice.ejector.borrow();
        ejector.as_ref().is_some_and(|ejector| ejector.is_silent(place, self.answers(place), now))
    }

    /// The check says how the server at `place` is; who waits is told.
    fn set_up(&self, place: usize, is_up: bool, now: Time) {
        let Choice { dispatcher, ejector } = &mut *self.lock();
        let server = &self.servers[place];
        if is_up && !server.up.load(Ordering::Relaxed) {
            server.up_since.store(now.as_nanos(), Ordering::Relaxed);
        }
        server.up.store(is_up, Ordering::Relaxed);
        if let Some(ejector) = &mut *ejector.borrow_mut() {
            ejector.forget(place);
        }
        let candidate = |place| self.candidate(place, now);
        let avoid = |place| self.avoids(ejector, place, now);
        dispatcher
            .changed(place, is_up, candidate, avoid, |turn, place| self.call(ejector, turn, place, now));
    }

    /// A request runs on the server at `place` from now on.
    fn enter(&self, ejector: &RefCell<Option<Ejector>>, place: usize, now: Time) {
        if let Some(ejector) = &mut *ejector.borrow_mut() {
            ejector.sent(place, self.answers(place), now);
        }
        self.count(place);
    }

    /// Counts a request that runs on the server at `place` from now on.
    fn count(&self, place: usize) {
        self.active.fetch_add(1, Ordering::Relaxed);
        self.servers[place].active.fetch_add(1, Ordering::Relaxed);
        self.servers[place].requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the server at `place` is better left alone, where there is another.
    fn avoids(&self, ejector: &RefCell<Option<Ejector>>, place: usize, now: Time) -> bool {
        let ejector = ejector.borrow();
        ejector.as_ref().is_some_and(|ejector| ejector.avoids(place, self.answers(place), now))
    }

    /// A request does not run on the server at `place` any more.
    fn exit(&self, place: usize) {
        self.active.fetch_sub(1, Ordering::Relaxed);
        self.servers[place].active.fetch_sub(1, Ordering::Relaxed);
    }

    /// Lets go of a place on a server; where places are limited, the next in line gets it.
    fn release(&self, place: usize, clock: Clock) {
        if !self.is_limited {
            return self.exit(place);
        }
        let Choice { dispatcher, ejector } = &mut *self.lock();
        self.exit(place);
        let now = clock.now();
        let candidate = |place| self.candidate(place, now);
        let avoid = |place| self.avoids(ejector, place, now);
        dispatcher.release(place, candidate, avoid, |turn, place| self.call(ejector, turn, place, now));
    }

    /// Gives a place to who waited for it. Under the same lock as giving up is: so a waiter that goes away
    /// either is not called or finds what it has to give back.
    fn call(
        &self,
        ejector: &RefCell<Option<Ejector>>,
        turn: oneshot::Sender<usize>,
        place: usize,
        now: Time,
    ) {
        self.enter(ejector, place, now);
        let _ = turn.send(place);
    }

    /// The server at `place` has begun to answer.
    fn answered(&self, place: usize) {
        if self.ejects {
            self.servers[place].answers.fetch_add(1, Ordering::Relaxed);
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn answers(&self, place: usize) -> Answers {
        Answers {
            own: self.servers[place].answers.load(Ordering::Relaxed),
            all: self.answers.load(Ordering::Relaxed),
        }
    }

    fn candidate(&self, place: usize, now: Time) -> Candidate {
        let server = &self.servers[place];
        let since = server.up_since.load(Ordering::Relaxed);
        let since = (since > 0).then(|| Time::from_nanos(since));
        Candidate {
            weight: balance::ramped(server.weight, since, server.slowstart, now),
            usable: server.is_up(),
            active: server.active.load(Ordering::Relaxed),
            backup: server.backup,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Choice> {
        self.choice.lock().unwrap_or_else(PoisonError::into_inner)
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
            backup: server.backup,
            slowstart: server.slowstart,
            up: AtomicBool::new(true),
            up_since: AtomicU64::new(0),
            active: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            answers: AtomicU64::new(0),
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

/// Shorter than what servers usually allow, so that it is the gateway that closes.
const SERVER_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
