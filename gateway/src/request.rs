//! One request on its way: what each stage leaves for the next, and what must be given back when it
//! ends, however it ends.

use crate::guard::Tracked;
use crate::state::Gateway;
use crate::sys;
use crate::tls::identity::Handshake;
use crate::tracks::Tracks;
use crate::tunnel::Switch;
use crate::upstream::{Lease, Session};
use base_core::Time;
use gateway_core::capture::Taken;
use gateway_core::client::Client;
use gateway_core::config::BackendId;
use gateway_core::cookie::{Gave, Visit};
use gateway_core::limits::Outcome;
use gateway_core::queue::Wish;
use gateway_core::record::Termination;
use gateway_core::rules::{Effects, Pace};
use gateway_core::trace::Context;
use http::HeaderValue;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

/// A client connection, as the accept loop knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    /// Its frontend's place in the configuration.
    pub(crate) frontend: usize,
    /// Who is on the other side of it.
    pub(crate) peer: std::net::SocketAddr,
    /// Its descriptor, for as long as it is open.
    pub(crate) socket: std::os::fd::RawFd,
}

/// What a client connection and the requests on it share.
#[derive(Debug)]
pub(crate) struct Link {
    connection: Connection,
    /// Who is on the other side of it, as servers are told.
    forwarded_for: HeaderValue,
    /// Whether it ends with its next answer.
    spent: AtomicBool,
    /// Requests of HTTP/2 that were none.
    malformed: AtomicU32,
    /// What its TLS handshake has shown.
    tls: OnceLock<Arc<Handshake>>,
    /// When the head that is read, or was read last, began; 0: not known.
    head_began: AtomicU64,
    /// Whether nothing goes out on it any more, not even its end.
    vanished: Arc<AtomicBool>,
    /// What rules track for as long as it is open.
    tracks: OnceLock<Box<Tracks>>,
}

impl Link {
    pub(crate) fn new(connection: Connection, vanished: Arc<AtomicBool>) -> Self {
        let peer = connection.peer.ip().to_canonical().to_string();
        // An address has nothing in it that a field's value can't have.
        let forwarded_for =
            HeaderValue::try_from(peer).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self {
            connection,
            forwarded_for,
            spent: AtomicBool::new(false),
            malformed: AtomicU32::new(0),
            tls: OnceLock::new(),
            head_began: AtomicU64::new(0),
            vanished,
            tracks: OnceLock::new(),
        }
    }

    /// Counts a request that was none.
    pub(crate) fn was_malformed(&self) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn malformed(&self) -> u32 {
        self.malformed.load(Ordering::Relaxed)
    }

    /// Says what rules track for it, once.
    pub(crate) fn tracks_from_now_on(&self, tracks: Box<Tracks>) {
        let _ = self.tracks.set(tracks);
    }

    pub(crate) fn tracks(&self) -> Option<&Tracks> {
        self.tracks.get().map(Box::as_ref)
    }

    /// It ends with its next answer.
    pub(crate) fn spend(&self) {
        self.spent.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }

    /// Says what the TLS handshake has shown, of which there is one.
    pub(crate) fn shook_hands(&self, handshake: Handshake) {
        let _ = self.tls.set(Arc::new(handshake));
    }

    pub(crate) fn handshake(&self) -> Option<&Arc<Handshake>> {
        self.tls.get()
    }

    /// From now on nothing goes out on it, not even its end.
    pub(crate) fn vanish(&self) {
        self.vanished.store(true, Ordering::Relaxed);
        sys::forget(self.connection.socket);
    }

    pub(crate) fn connection(&self) -> Connection {
        self.connection
    }

    /// The address of its peer, made once for all requests on it.
    pub(crate) fn forwarded_for(&self) -> &HeaderValue {
        &self.forwarded_for
    }

    pub(crate) fn head_begins(&self, now: Time) {
        self.head_began.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// From now on heads come in ways that do not show when they began.
    pub(crate) fn head_is_not_seen(&self) {
        self.head_began.store(0, Ordering::Relaxed);
    }

    pub(crate) fn head_began(&self) -> Option<Time> {
        match self.head_began.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Time::from_nanos(nanos)),
        }
    }
}

/// One request.
pub(crate) struct Request {
    pub(crate) gateway: Arc<Gateway>,
    /// When its head began to come.
    pub(crate) began: Time,
    /// How long its head took.
    pub(crate) head: Duration,
    pub(crate) date: SystemTime,
    pub(crate) connection: Option<Connection>,
    pub(crate) client: Option<Client>,
    /// A probe through the listener: answered, not counted, not logged.
    pub(crate) is_probe: bool,
    counted: bool,
    /// What it holds of stick tables.
    pub(crate) tracked: Tracked,
    /// What rules track for it.
    pub(crate) tracks: Option<Box<Tracks>>,
    pub(crate) backend: Option<BackendId>,
    pub(crate) lease: Option<Lease>,
    /// What its cookie says of the server that it wants.
    pub(crate) visit: Visit,
    /// What became of that cookie in the answer.
    pub(crate) gave: Gave,
    /// What ends it if its server is marked down, where that is asked for.
    pub(crate) session: Option<Session>,
    /// Ends it if its server does not say in time that it becomes a tunnel, where that can be.
    pub(crate) switch: Option<Switch>,
    /// Servers that have failed it.
    pub(crate) tried: Vec<usize>,
    pub(crate) tries: u32,
    /// The answer of the last try is not wanted.
    pub(crate) sent_again: bool,
    /// What it waited for a place on a server.
    pub(crate) queued: Queued,
    /// What it waited for its turn under a limit.
    pub(crate) limit_wait: Duration,
    /// When the last choice of a server was made.
    pub(crate) picked: Option<Time>,
    pub(crate) connect: Option<Duration>,
    pub(crate) response: Option<Duration>,
    /// How it ended, if not as it should.
    pub(crate) termination: Termination,
    /// Why it was refused, if it was.
    pub(crate) refused: Option<Refusal>,
    /// The target as it came, if rules have changed it.
    pub(crate) target: Option<Box<[u8]>>,
    /// Rules that have matched and change the answer.
    pub(crate) response_rules: Vec<usize>,
    /// Whether a rule has said what `X-Forwarded-Proto` is.
    pub(crate) proto_is_set: bool,
    /// How long it was in a tarpit.
    pub(crate) tarpit: Option<Duration>,
    /// What rules have changed about how it is served.
    pub(crate) effects: Effects,
    /// What was captured of it for the log.
    pub(crate) captured: Option<Box<Taken>>,
    /// Its id, if it shall have one.
    pub(crate) id: Option<HeaderValue>,
    /// Where it stands in its trace, if the gateway has a say in that.
    pub(crate) trace: Option<Context>,
    /// How fast its answer may go, if that is limited.
    pub(crate) pace: Option<Pace>,
    /// Answers before the answer, of this try.
    pub(crate) interim: u32,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// For this reason.
    Word(&'static str),
    /// By the rule at this place of its frontend.
    Rule(usize),
}

/// A stay in the lines of a backend.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Queued {
    /// While it waits, and when it has waited in vain: for what.
    pub(crate) wish: Option<Wish>,
    pub(crate) waited: Duration,
    /// Where it stood when it joined a server's line, from 1.
    pub(crate) server_position: usize,
    /// Where it stood when it joined the line for any server, from 1.
    pub(crate) backend_position: usize,
}

impl Request {
    pub(crate) fn new(gateway: Arc<Gateway>) -> Self {
        Self {
            began: gateway.clock.now(),
            head: Duration::ZERO,
            date: SystemTime::now(),
            gateway,
            connection: None,
            client: None,
            is_probe: false,
            counted: false,
            tracked: Tracked::default(),
            tracks: None,
            backend: None,
            lease: None,
            visit: Visit::default(),
            gave: Gave::None,
            session: None,
            switch: None,
            tried: Vec::new(),
            tries: 0,
            sent_again: false,
            queued: Queued::default(),
            limit_wait: Duration::ZERO,
            picked: None,
            connect: None,
            response: None,
            termination: Termination::Normal,
            refused: None,
            target: None,
            response_rules: Vec::new(),
            proto_is_set: false,
            tarpit: None,
            effects: Effects::default(),
            captured: None,
            id: None,
            trace: None,
            pace: None,
            interim: 0,
        }
    }

    /// Longest silence of both sides once it is a tunnel, if that is said anywhere.
    pub(crate) fn tunnel_timeout(&self) -> Option<Duration> {
        let backend = self.backend.map(|backend| &self.gateway.config.backends[backend.0]);
        self.effects.tunnel_timeout.or_else(|| backend?.tunnel_timeout)
    }

    /// Says on which connection it came.
    pub(crate) fn came_on(&mut self, link: &Link) {
        self.connection = Some(link.connection());
        if let Some(began) = link.head_began() {
            self.head = self.began - began;
            self.began = began;
            self.date = self.date.checked_sub(self.head).unwrap_or(self.date);
        }
    }

    /// Counts it among the requests that run.
    pub(crate) fn count(&mut self) {
        self.counted = true;
        self.gateway.load.started.fetch_add(1, Ordering::Relaxed);
        self.gateway.load.in_flight.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.counted {
            self.gateway.load.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(tracks) = &mut self.tracks {
            tracks.outcome = Outcome { status: 0, ..self.tracked.outcome };
        }
        self.tracked.release(&self.gateway);
    }
}
