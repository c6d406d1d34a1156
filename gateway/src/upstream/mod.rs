//! The servers: who may get work, who gets the next request, and what runs where.

mod address;
mod agents;
mod asking;
mod checks;
mod connect;
mod connection;
mod lease;
mod names;
mod secure;
mod server;
mod sessions;
mod tls;

pub(crate) use checks::{probers, start as start_checks};
pub(crate) use connect::unreached;
pub(crate) use connection::Connection;
pub(crate) use lease::{Ask, Lease, Place, Waiter};
pub(crate) use names::{Known, Names, load as load_names, start as resolve};
pub(crate) use server::Server;
pub(crate) use sessions::Session;
pub(crate) use tls::{Identities, Identity, load as load_tls};

use base::Clock;
use base_core::Time;
use gateway_core::balance::{self, Balancer, Candidate, Member};
use gateway_core::breaker::{self, Breaker};
use gateway_core::config::{self, Named, Question};
use gateway_core::dispatch::Dispatcher;
use gateway_core::eject::{Answers, Ejector};
use gateway_core::queue::{Dynamic, Limits};
use gateway_core::resolve::Endpoint;
use gateway_core::retry::Budget;
use healthcheck_core::agent::Standing;
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// A backend at work.
pub(crate) struct Backend {
    choice: Mutex<Choice>,
    /// Whether places on servers are limited: then ends are told to the dispatcher.
    is_limited: bool,
    /// Whether servers that do not answer are left alone.
    ejects: bool,
    /// When servers that fail are.
    breaker: Option<breaker::Policy>,
    /// Answers of all its servers.
    answers: AtomicU64,
    pub(crate) retry_budget: Budget,
    pub(crate) servers: Vec<Server>,
    /// What is known of its names, in their order.
    pub(crate) names: Vec<Known>,
    /// Requests that run on it.
    pub(crate) active: AtomicU64,
}

/// What decides where a request goes, and when.
struct Choice {
    dispatcher: Dispatcher<oneshot::Sender<usize>>,
    /// Asked and told while the dispatcher decides.
    watch: RefCell<Watch>,
}

/// What is known of servers from the requests that they get.
struct Watch {
    ejector: Option<Ejector>,
    breaker: Option<Breaker>,
}

/// How many wait in a backend's lines.
pub(crate) struct Line {
    pub(crate) all: usize,
    pub(crate) servers: Vec<usize>,
}

impl Backend {
    pub(crate) fn new(backend: &config::Backend, identities: Vec<Option<Identity>>) -> Self {
        let limits = Limits {
            servers: backend.servers.iter().map(|server| server.maxconn).collect(),
            backend: backend.maxconn,
            waiting: backend.max_queue as usize,
            dynamic: backend.fullconn.map(|fullconn| Dynamic {
                minconn: backend.servers.iter().map(|server| server.minconn).collect(),
                fullconn,
            }),
            may_change: backend.servers.iter().any(|server| server.agent.is_some()),
        };
        let members: Vec<Member<'_>> = backend
            .servers
            .iter()
            .enumerate()
            .map(|(place, server)| {
                // A service gives its servers weights of its own, up to the highest.
                let weight = if of_service(backend, place) { balance::HEAVIEST } else { server.weight };
                Member { name: &server.name, weight: weight * balance::STEPS }
            })
            .collect();
        let seed = RandomState::new().hash_one(&backend.name);
        let balancer = Balancer::new(&backend.balance, backend.hash_type, &members, seed);
        let dispatcher = Dispatcher::new(balancer, limits, backend.backups);
        let breaker = backend.breaker.map(|policy| Breaker::new(policy, backend.servers.len()));
        let ejector = backend.eject.map(|silence| Ejector::new(silence, backend.servers.len()));
        Self {
            is_limited: dispatcher.is_limited(),
            ejects: ejector.is_some(),
            breaker: backend.breaker,
            choice: Mutex::new(Choice { dispatcher, watch: RefCell::new(Watch { ejector, breaker }) }),
            answers: AtomicU64::new(0),
            retry_budget: Budget::new(backend.retry_budget),
            names: backend.named.iter().map(|_| Known::default()).collect(),
            servers: backend
                .servers
                .iter()
                .zip(identities)
                .map(|(server, identity)| Server::new(backend, server, identity))
                .collect(),
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
        let watch = choice.watch.borrow();
        watch.ejector.as_ref().is_some_and(|ejector| ejector.is_silent(place, self.answers(place), now))
    }

    /// The check says how the server at `place` is; who waits is told.
    fn set_checked(&self, place: usize, is_up: bool, now: Time) {
        let choice = &mut *self.lock();
        self.servers[place].checked(is_up);
        self.settle(choice, place, now);
    }

    /// The agent says what the server at `place` is to get; who waits is told.
    fn set_standing(&self, place: usize, config: &config::Server, standing: Standing, now: Time) {
        let choice = &mut *self.lock();
        self.servers[place].stands(standing);
        choice.dispatcher.limit(place, standing.maxconn.or(config.maxconn));
        self.settle(choice, place, now);
    }

    /// The server at `place` is there from now on, or nowhere; who waits is told.
    fn set_address(&self, place: usize, endpoint: Option<Endpoint>, weight: u32, now: Time) {
        let choice = &mut *self.lock();
        self.servers[place].moved(endpoint, weight);
        self.settle(choice, place, now);
    }

    /// Lets a server have what check and agent agree on.
    fn settle(&self, choice: &mut Choice, place: usize, now: Time) {
        let Choice { dispatcher, watch } = choice;
        let is_up = self.servers[place].settle(now);
        let mut known = watch.borrow_mut();
        if let Some(ejector) = &mut known.ejector {
            ejector.forget(place);
        }
        if let Some(breaker) = &mut known.breaker {
            breaker.forget(place);
        }
        drop(known);
        let candidate = |place| self.candidate(watch, place, now);
        let avoid = |place| self.avoids(watch, place, now);
        dispatcher.changed(place, is_up, candidate, avoid, |turn, place| self.call(watch, turn, place, now));
    }

    /// A request runs on the server at `place` from now on.
    fn enter(&self, watch: &RefCell<Watch>, place: usize, now: Time) {
        let mut known = watch.borrow_mut();
        if let Some(ejector) = &mut known.ejector {
            ejector.sent(place, self.answers(place), now);
        }
        if let Some(breaker) = &mut known.breaker {
            breaker.sent(place, now);
        }
        self.count(place);
    }

    /// Counts a request that runs on the server at `place` from now on.
    fn count(&self, place: usize) {
        self.active.fetch_add(1, Ordering::Relaxed);
        self.servers[place].active.fetch_add(1, Ordering::Relaxed);
        self.servers[place].requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A request that was to run on the server at `place` has not been sent: it says nothing, and another may find out what it
    /// should have.
    fn unsent(&self, place: usize, now: Time) {
        if !self.ejects && self.breaker.is_none() {
            return;
        }
        let choice = self.lock();
        let mut watch = choice.watch.borrow_mut();
        if let Some(ejector) = &mut watch.ejector {
            ejector.unsent(place);
        }
        if let Some(breaker) = &mut watch.breaker {
            breaker.unsent(place, now);
        }
    }

    /// Whether the server at `place` is better left alone, where there is another.
    fn avoids(&self, watch: &RefCell<Watch>, place: usize, now: Time) -> bool {
        let watch = watch.borrow();
        watch.ejector.as_ref().is_some_and(|ejector| ejector.avoids(place, self.answers(place), now))
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
        let Choice { dispatcher, watch } = &mut *self.lock();
        self.exit(place);
        let now = clock.now();
        let candidate = |place| self.candidate(watch, place, now);
        let avoid = |place| self.avoids(watch, place, now);
        dispatcher.release(place, candidate, avoid, |turn, place| self.call(watch, turn, place, now));
    }

    /// Gives a place to who waited for it. Under the same lock as giving up is: so a waiter that goes away
    /// either is not called or finds what it has to give back.
    fn call(&self, watch: &RefCell<Watch>, turn: oneshot::Sender<usize>, place: usize, now: Time) {
        self.enter(watch, place, now);
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

    fn candidate(&self, watch: &RefCell<Watch>, place: usize, now: Time) -> Candidate {
        let candidate = self.servers[place].candidate(now);
        Candidate { usable: candidate.usable && self.lets(watch, place, now), ..candidate }
    }

    /// Whether the breaker of the server at `place` lets a request through.
    fn lets(&self, watch: &RefCell<Watch>, place: usize, now: Time) -> bool {
        watch.borrow().breaker.as_ref().is_none_or(|breaker| breaker.lets(place, now))
    }

    /// Whether the breaker of the server at `place` is not closed.
    pub(crate) fn is_open(&self, place: usize) -> bool {
        let choice = self.lock();
        let watch = choice.watch.borrow();
        watch.breaker.as_ref().is_some_and(|breaker| breaker.is_open(place))
    }

    /// A request to the server at `place` has succeeded or failed.
    fn observed(&self, place: usize, succeeded: bool, now: Time) {
        // One that has not failed lately has nothing to close.
        let failing = &self.servers[place].failing;
        if succeeded && !failing.load(Ordering::Relaxed) {
            return;
        }
        let choice = self.lock();
        let mut watch = choice.watch.borrow_mut();
        let Some(breaker) = &mut watch.breaker else { return };
        if succeeded {
            breaker.succeeded(place);
        } else {
            breaker.failed(place, now);
        }
        failing.store(!succeeded || breaker.is_open(place), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Choice> {
        self.choice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether DNS says what the server at `place` weighs.
fn of_service(backend: &config::Backend, place: usize) -> bool {
    let is_service = |named: &&Named| matches!(named.question, Question::Service(_));
    backend.named.iter().filter(is_service).any(|named| named.servers.contains(&place))
}
