//! One server: what it does now, and how it is reached.

use super::address::{self, Reach};
use super::connect::{Announced, Source};
use super::secure::Tls;
use super::sessions::{Session, Sessions};
use super::tls::Identity;
use base_core::Time;
use gateway_core::balance::{self, Candidate};
use gateway_core::config::{self, Address, Sni};
use gateway_core::on_error;
use gateway_core::pool::Bounds;
use gateway_core::proxy_protocol::Version;
use gateway_core::resolve::Endpoint;
use healthcheck::Checker;
use healthcheck::checker::Snapshot;
use healthcheck_core::State;
use healthcheck_core::agent::{Admin, Standing};
use pingora::protocols::ALPN;
use pingora::protocols::l4::socket::SocketAddr as AnyAddress;
use pingora::upstreams::peer::HttpPeer;
use rustls_pki_types::ServerName;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// A server at work.
pub(crate) struct Server {
    weight: AtomicU32,
    /// Its weight before its agent says what part of it.
    whole_weight: AtomicU32,
    /// Whether its check has nothing against it.
    checked: AtomicBool,
    /// What it wants to get by its agent's word; changed under the lock of its backend.
    standing: Mutex<Standing>,
    agent_errors: AtomicU64,
    backup: bool,
    slowstart: Duration,
    /// Whether it may get work.
    up: AtomicBool,
    /// Whether the gateway's start is over: what comes up from then on comes back.
    started: AtomicBool,
    /// When it last came up again; 0: it was never down.
    up_since: AtomicU64,
    /// How often it has moved.
    moves: AtomicU32,
    pub(crate) active: AtomicU32,
    pub(crate) requests: AtomicU64,
    pub(crate) errors: AtomicU64,
    /// Beginnings of answers.
    pub(super) answers: AtomicU64,
    /// Whether its last request failed, where that is watched.
    pub(super) failing: AtomicBool,
    /// What its check learns from requests, and those that failed in a row.
    on_error: Option<(on_error::Policy, on_error::Row)>,
    reach: Reach,
    /// Which connections to it are kept, where that is bounded.
    pub(crate) pool: Option<Arc<Bounds>>,
    /// The name that it is asked for, if it speaks TLS.
    sni: Option<Sni>,
    pub(crate) source: Option<IpAddr>,
    /// TLS as this gateway does it itself, where it speaks it.
    pub(crate) tls: Tls,
    /// The form of the PROXY header that it gets.
    pub(crate) send_proxy: Option<Version>,
    /// What runs on it, if that ends when it is marked down.
    sessions: Option<Arc<Sessions>>,
    /// `None` without a check; set once, when checks start.
    pub(super) checker: OnceLock<Checker>,
}

impl Server {
    pub(super) fn new(
        backend: &config::Backend,
        server: &config::Server,
        identity: Option<Identity>,
    ) -> Self {
        let tls = identity.as_ref().map(|identity| identity.tls.clone()).unwrap_or_default();
        Self {
            reach: Reach::new(server, peer(backend, server, identity)),
            pool: server.pool.any().then(|| Bounds::new(server.pool)),
            weight: AtomicU32::new(server.weight),
            whole_weight: AtomicU32::new(server.weight),
            checked: AtomicBool::new(true),
            standing: Mutex::new(Standing::INITIAL),
            agent_errors: AtomicU64::new(0),
            backup: server.backup,
            slowstart: server.slowstart,
            up: AtomicBool::new(server.address != Address::Named),
            started: AtomicBool::new(false),
            up_since: AtomicU64::new(0),
            moves: AtomicU32::new(0),
            active: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            sni: server.tls.as_ref().map(|tls| tls.sni.clone()),
            source: server.source,
            tls,
            send_proxy: server.send_proxy,
            sessions: server.shutdown_sessions.then(Arc::default),
            failing: AtomicBool::new(false),
            on_error: server.on_error.map(|policy| (policy, on_error::Row::default())),
            checker: OnceLock::new(),
        }
    }

    /// What pingora needs in order to connect, for a request to `host` whose client has asked for `asked`.
    pub(super) fn peer(&self, host: &str, asked: Option<&str>) -> HttpPeer {
        let mut peer = self.reach.peer();
        match self.sni {
            Some(Sni::Host) => host_name(host).clone_into(&mut peer.sni),
            Some(Sni::Client) => match asked {
                Some(name) => name.clone_into(&mut peer.sni),
                None => peer.options.verify_hostname = false,
            },
            Some(Sni::None | Sni::Name(_)) | None => {}
        }
        peer
    }

    /// Whether it is spoken with only in TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.sni.is_some()
    }

    /// Whether it is asked for a name that its client chooses, where that has asked for `asked`.
    pub(crate) fn is_asked_for_clients_name(&self, asked: Option<&str>) -> bool {
        match self.sni {
            Some(Sni::Host) => true,
            Some(Sni::Client) => asked.is_some(),
            Some(Sni::None | Sni::Name(_)) | None => false,
        }
    }

    /// The name that it is asked for, where its client chooses it: by the host of a request, or in its own handshake.
    pub(crate) fn name_by_client<'a>(
        &self,
        host: impl FnOnce() -> &'a str,
        asked: Option<&'a str>,
    ) -> Option<&'a str> {
        match self.sni {
            Some(Sni::Host) => Some(host_name(host())),
            Some(Sni::Client) => asked,
            Some(Sni::None | Sni::Name(_)) | None => None,
        }
    }

    /// Whether it can be asked for the name that it is asked for, for a request to `host` whose client has asked for
    /// `asked`. Without a name nothing would be verified.
    pub(crate) fn can_be_asked_for<'a>(&self, host: impl FnOnce() -> &'a str, asked: Option<&str>) -> bool {
        match self.sni {
            Some(Sni::Host) => ServerName::try_from(host_name(host())).is_ok(),
            Some(Sni::Client) => asked.is_none_or(|name| ServerName::try_from(name).is_ok()),
            Some(Sni::None | Sni::Name(_)) | None => true,
        }
    }

    /// What connections to it are kept by, where one is like the other for all requests.
    pub(crate) fn key(&self) -> Option<u64> {
        let names_one = matches!(self.sni, None | Some(Sni::None | Sni::Name(_)));
        (names_one && self.send_proxy.is_none()).then(|| self.reach.key())
    }

    /// Has a connection begin with `header`. It is used again only for whoever would bring the same.
    pub(super) fn announce(&self, peer: &mut HttpPeer, header: Vec<u8>) {
        let mut hasher = DefaultHasher::new();
        (peer.group_key, &header).hash(&mut hasher);
        peer.group_key = hasher.finish();
        peer.options.custom_l4 = Some(Arc::new(Announced { source: self.source, header }));
    }

    /// Runs on it over the connection `fd` until it is dropped, or until the server is marked down if that
    /// shall end it.
    pub(crate) fn runs(&self, fd: RawFd) -> Option<Session> {
        Sessions::add(self.sessions.as_ref()?, fd)
    }

    /// What its check says.
    pub(super) fn checked(&self, is_up: bool) {
        self.checked.store(is_up, Ordering::Relaxed);
    }

    /// What its agent says.
    pub(super) fn stands(&self, standing: Standing) {
        let mut known = self.standing();
        *known = standing;
        self.weight.store(standing.weight_of(self.whole_weight.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    /// It is there from now on, or nowhere; `weight` is what it has if where it is does not say.
    pub(super) fn moved(&self, endpoint: Option<Endpoint>, weight: u32) {
        if self.reach.moved(endpoint.map(|endpoint| endpoint.address)) {
            self.moves.fetch_add(1, Ordering::Relaxed);
            if let Some((_, row)) = &self.on_error {
                row.forget();
            }
        }
        if let Some(endpoint) = endpoint {
            let standing = self.standing();
            let weight = endpoint.weight.unwrap_or(weight);
            self.whole_weight.store(weight, Ordering::Relaxed);
            self.weight.store(standing.weight_of(weight), Ordering::Relaxed);
        }
    }

    /// How often it has moved: what happened before says nothing about where it is now.
    pub(super) fn moves(&self) -> u32 {
        self.moves.load(Ordering::Relaxed)
    }

    /// Where it is, as far as that is known; of a UNIX socket what stands for it.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.reach.address()
    }

    /// Its UNIX socket, if it is there.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.reach.path()
    }

    /// Where it is, for operators.
    pub(crate) fn place(&self) -> String {
        match (self.path(), self.address()) {
            (Some(path), _) => format!("unix@{}", path.display()),
            (None, Some(address)) => address.to_string(),
            (None, None) => "-".to_owned(),
        }
    }

    /// Goes up or down as check and agent agree: which of them.
    pub(super) fn settle(&self, now: Time) -> bool {
        let is_up =
            self.checked.load(Ordering::Relaxed) && self.standing().is_usable() && self.address().is_some();
        self.set_up(is_up, now);
        is_up
    }

    /// The start is over.
    pub(super) fn has_started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    fn set_up(&self, is_up: bool, now: Time) {
        let goes_up = !self.up.swap(is_up, Ordering::Relaxed) && is_up;
        if goes_up && self.started.load(Ordering::Relaxed) {
            self.up_since.store(now.as_nanos(), Ordering::Relaxed);
        }
        if let Some(sessions) = self.sessions.as_ref().filter(|_| !is_up) {
            sessions.shut();
        }
    }

    pub(super) fn candidate(&self, now: Time) -> Candidate {
        let since = self.up_since.load(Ordering::Relaxed);
        let since = (since > 0).then(|| Time::from_nanos(since));
        Candidate {
            weight: balance::ramped(self.weight(), since, self.slowstart, now),
            usable: self.is_up(),
            active: self.active.load(Ordering::Relaxed),
            backup: self.backup,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Its state and how far that is from changing, as HAProxy's `status` column says it.
    pub(crate) fn status(&self) -> String {
        if self.address().is_none() {
            return "MAINT (resolution)".to_owned();
        }
        match *self.standing() {
            Standing { admin: Admin::Maint, .. } => return "MAINT (agent)".to_owned(),
            Standing { up: false, .. } => return "DOWN (agent)".to_owned(),
            Standing { admin: Admin::Drain, .. } if self.is_up() => return "DRAIN (agent)".to_owned(),
            _ => {}
        }
        self.checker
            .get()
            .map_or_else(|| "no check".to_owned(), |checker| checker.snapshot().status.to_string())
    }

    /// What its check has found, if it has one.
    pub(crate) fn check(&self) -> Option<Snapshot> {
        self.checker.get().map(Checker::snapshot)
    }

    /// Its weight now, without slow start.
    pub(crate) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// How often its agent could not be asked, or said nothing that can be understood.
    pub(crate) fn agent_errors(&self) -> u64 {
        self.agent_errors.load(Ordering::Relaxed)
    }

    pub(super) fn agent_failed(&self) {
        self.agent_errors.fetch_add(1, Ordering::Relaxed);
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it stands, for the verdict on its backend.
    pub(crate) fn state(&self) -> State {
        if self.is_up() { State::Up } else { State::Down }
    }

    /// A request was answered with `status`, or not at all; `connected`: it was sent.
    pub(super) fn observed(&self, status: Option<u16>, connected: bool) {
        let Some((policy, row)) = &self.on_error else { return };
        if let (Some(on_error), Some(checker)) = (row.heard(policy, status, connected), self.checker.get()) {
            checker.failing(on_error);
        }
    }

    /// Real traffic failed on it.
    pub(super) fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        if let Some(checker) = self.checker.get() {
            checker.observe_failure();
        }
    }
}

/// What connections to a server are made by.
fn peer(backend: &config::Backend, server: &config::Server, identity: Option<Identity>) -> HttpPeer {
    let address = match server.address {
        Address::At(address) => address,
        Address::Unix(_) => address::LOCAL,
        Address::Named => address::NOWHERE,
    };
    let mut peer = HttpPeer::new(address, server.tls.is_some(), String::new());
    if let Address::Unix(path) = &server.address
        && let Ok(address) = UnixAddr::from_pathname(path)
    {
        peer._address = AnyAddress::Unix(address);
    }
    // Connections are used again only for the server that they were made for.
    peer.group_key = RandomState::new().hash_one((&backend.name, &server.name));
    let options = &mut peer.options;
    options.connection_timeout = Some(backend.connect_timeout);
    options.total_connection_timeout = Some(backend.connect_timeout);
    options.read_timeout = Some(backend.server_timeout);
    options.write_timeout = Some(backend.server_timeout);
    options.idle_timeout = Some(backend.pool_purge_delay);
    options.alpn = match server.http {
        (2, _) => ALPN::H2,
        (_, 2) => ALPN::H2H1,
        _ => ALPN::H1,
    };
    options.max_h2_streams = H2_STREAMS;
    options.h2_stream_window_size = Some(H2_STREAM_WINDOW);
    options.h2_connection_window_size = Some(H2_CONNECTION_WINDOW);
    if let Some(source) = server.source {
        options.custom_l4 = Some(Arc::new(Source(source)));
    }
    if let (Some(tls), Some(identity)) = (&server.tls, identity) {
        options.verify_cert = tls.verify;
        options.verify_hostname = tls.sni != Sni::None;
        options.ca = identity.ca;
        peer.client_cert_key = identity.cert_key;
        // Without a name nothing would be verified; an address is verified, but not asked for.
        peer.sni = match &tls.sni {
            Sni::Name(name) => name.clone(),
            Sni::None | Sni::Host | Sni::Client => address.ip().to_string(),
        };
    }
    peer
}

/// A host as a certificate has it: without port, and without the brackets of an IPv6 address.
fn host_name(host: &str) -> &str {
    let name = gateway_core::route::without_port(host);
    name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name)
}

/// As many as servers usually allow on a connection.
const H2_STREAMS: usize = 100;
/// Of an answer that its client does not take, so much waits here: what 1 Gbit/s brings in 2 ms.
const H2_STREAM_WINDOW: u32 = 256 * 1024;
/// Enough for sixteen of them at full speed.
const H2_CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
