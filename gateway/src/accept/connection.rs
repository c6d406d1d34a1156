//! One connection of a client, from its socket to its last request.

use super::chunked::Chunked;
use super::head::{self, Arrival, Body, Patience};
use super::stream::Buffered;
use super::{Accepted, Shared, h2, proxy_header};
use crate::account;
use crate::early;
use crate::guard::{Asking, Stopped, Tracked};
use crate::request::{Connection, Link};
use crate::state::Gateway;
use crate::sys;
use crate::tcp::{self, Session};
use crate::tls::identity::Handshake;
use crate::tracks::Tracks;
use bytes::BytesMut;
use gateway_core::config::{Frontend, Mode};
use gateway_core::failure::NoRequest;
use gateway_core::rules::{Moment, Rules};
use gateway_core::track;
use pingora::apps::HttpServerApp;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{ALPN, GetProxyDigest, GetSocketDigest, SocketDigest, Stream};
use socket2::SockRef;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::timeout;

/// Serves it until one side ends it.
pub(super) async fn serve(shared: Shared, socket: Accepted, peer: SocketAddr) {
    let mut open = Open::new(&shared.gateway, shared.frontend);
    let frontend = &shared.gateway.config.frontends[shared.frontend];
    // In boxes, for what is done should not weigh on what waits for its next request.
    let Some((stream, link)) = Box::pin(begin(&shared, socket, peer, frontend, &mut open)).await else {
        return;
    };
    if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
        return Box::pin(h2::serve(&shared, stream, &link, frontend)).await;
    }
    requests(&shared, stream, &link, frontend).await;
}

/// All that comes before the first request. In mode tcp, where none comes, all that there is.
async fn begin(
    shared: &Shared,
    socket: Accepted,
    peer: SocketAddr,
    frontend: &Frontend,
    open: &mut Open<'_>,
) -> Option<(Stream, Arc<Link>)> {
    // Answers go out as they are written.
    socket.set_nodelay();
    let descriptor = socket.as_raw_fd();
    let socket_digest = SocketDigest::from_raw_fd(descriptor);
    let mut io = Buffered::new(socket, frontend.client_timeout);
    let peer = match client(&mut io, peer, frontend).await {
        Ok(peer) => peer,
        Err(reason) => {
            shared.gateway.metrics.refused(shared.frontend, reason);
            return None;
        }
    };
    // One that a proxy speaks for is no better than one that comes itself.
    if early::rejects(&shared.gateway, shared.frontend, peer) {
        early::rejected(&shared.gateway, shared.frontend, peer, "rejected");
        reset(descriptor);
        return None;
    }
    if let Err(reason) = open.admit(frontend, peer) {
        shared.gateway.metrics.refused(shared.frontend, reason);
        reset(descriptor);
        return None;
    }
    let _ = socket_digest.peer_addr.set(Some(peer.into()));
    io.set_socket_digest(socket_digest);
    let connection = Connection { frontend: shared.frontend, peer, socket: descriptor };
    let mut tracks = None;
    judge(shared, &frontend.connection_rules, Moment::Connection, connection, None, &mut tracks)?;
    if frontend.mode == Mode::Tcp {
        Box::pin(tunnel(shared, io, connection, frontend, tracks)).await;
        return None;
    }
    let no_head = ResponseHeader::build(200, None).ok()?;
    let link = Arc::new(Link::new(connection, io.vanished()));
    io.set_proxy_digest(ProxyDigest::new(Box::new(no_head), Some(Box::new(Arc::clone(&link)))));
    let Some(acceptor) = &shared.tls else {
        begins(shared, frontend, &link, tracks)?;
        return Some((Box::new(io), link));
    };
    let Some((stream, handshake)) = Box::pin(acceptor.handshake(io, frontend.handshake_timeout)).await else {
        shared.gateway.metrics.frontends[shared.frontend].tls_failures.inc();
        return None;
    };
    shared.gateway.metrics.frontends[shared.frontend].shook_hands(handshake.resumed);
    link.shook_hands(handshake);
    begins(shared, frontend, &link, tracks)?;
    Some((Box::new(stream), link))
}

/// Asks the rules of one moment; none if one of them has ended the connection.
fn judge(
    shared: &Shared,
    rules: &Rules,
    moment: Moment,
    connection: Connection,
    handshake: Option<&Handshake>,
    tracks: &mut Option<Box<Tracks>>,
) -> Option<()> {
    let judged = early::apply(rules, moment, &shared.gateway, connection, handshake, tracks);
    let Err(reason) = judged else { return Some(()) };
    early::rejected(&shared.gateway, shared.frontend, connection.peer, reason);
    reset(connection.socket);
    None
}

/// When it closes its client is told at once, and nothing of it stays.
fn reset(socket: RawFd) {
    if let Ok(socket) = sys::duplicate(socket) {
        let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
    }
}

/// From now on requests come on it, unless a rule says otherwise.
fn begins(shared: &Shared, frontend: &Frontend, link: &Link, mut tracks: Option<Box<Tracks>>) -> Option<()> {
    let handshake = link.handshake().map(Arc::as_ref);
    judge(shared, &frontend.session_rules, Moment::Session, link.connection(), handshake, &mut tracks)?;
    if let Some(tracks) = tracks {
        tracks.each(track::session);
        link.tracks_from_now_on(tracks);
    }
    Some(())
}

/// Mode tcp: bytes both ways, with TLS towards the client where the frontend has it.
async fn tunnel(
    shared: &Shared,
    mut io: Buffered,
    connection: Connection,
    frontend: &Frontend,
    tracks: Option<Box<Tracks>>,
) {
    let mut session = Session::new(&shared.gateway, shared.worker, connection, tracks);
    if !session.admit() {
        return;
    }
    let (stream, name): (Stream, _) = match &shared.tls {
        None => {
            let name = match frontend.inspect_delay {
                Some(within) => tcp::server_name(&mut io, within).await,
                None => None,
            };
            if io.holds_unread() {
                session.is_heard();
            }
            (Box::new(io), name)
        }
        Some(acceptor) => match acceptor.handshake(io, frontend.handshake_timeout).await {
            Some((stream, handshake)) => {
                shared.gateway.metrics.frontends[shared.frontend].shook_hands(handshake.resumed);
                let name = handshake.name.clone();
                session.shook_hands(handshake);
                (Box::new(stream), name)
            }
            None => {
                session.fails();
                return shared.gateway.metrics.frontends[shared.frontend].tls_failures.inc();
            }
        },
    };
    if session.begins(frontend) {
        session.serve(stream, name.as_deref()).await;
    }
}

/// Whose connection it is: that of `peer`, unless that is a proxy which must say for whom it is.
async fn client(
    io: &mut Buffered,
    peer: SocketAddr,
    frontend: &Frontend,
) -> Result<SocketAddr, &'static str> {
    let address = peer.ip().to_canonical();
    if !frontend.accept_proxy.iter().any(|network| network.contains(&address)) {
        return Ok(peer);
    }
    let header = timeout(frontend.handshake_timeout, proxy_header::read(io)).await;
    header.map_err(|_| "proxy_header_timeout")?.map(|named| named.unwrap_or(peer))
}

/// One request after another, as long as both sides keep the connection.
async fn requests(shared: &Shared, mut stream: Stream, link: &Link, frontend: &Frontend) {
    let whole = frontend.http_request_timeout;
    let mut patience =
        Patience { first: whole, whole, due: true, h2c: frontend.h2c, bounds: frontend.bounds };
    let (opened, mut served) = (shared.gateway.clock.now(), 0);
    let mut ahead = BytesMut::new();
    loop {
        let clock = &shared.gateway.clock;
        let began = |began| link.head_begins(began);
        let (head, body) =
            match head::read(&mut stream, std::mem::take(&mut ahead), patience, clock, began).await {
                Arrival::Head(head, body) => (head, body),
                Arrival::Preface(preface) => {
                    let Ok(mut io) = stream.into_any().downcast::<Buffered>() else { return };
                    io.unread(preface);
                    return Box::pin(h2::serve(shared, io, link, frontend)).await;
                }
                Arrival::Nothing => return,
                Arrival::NoRequest(why) => return Box::pin(no_request(shared, stream, link, why)).await,
            };
        served += 1;
        let age = link.head_began().map_or(Duration::ZERO, |began| began - opened);
        let is_spent = served >= frontend.max_keepalive_requests || age >= frontend.max_connection_age;
        if is_spent {
            link.spend();
        }
        let keeps = !is_spent && !*shared.shutdown.borrow();
        let prepare = |session: &mut ServerSession| {
            session.set_pipelined_prefix(head);
            session.set_keepalive(keeps.then_some(frontend.keep_alive_timeout.as_secs().max(1)));
            session.set_read_timeout(Some(frontend.client_timeout));
            session.set_total_drain_timeout(Some(frontend.client_timeout));
        };
        let kept = match body {
            Body::Nothing { ahead: behind } if shared.exchange.takes(shared.frontend) => {
                let kept = Box::pin(shared.exchange.serve(stream, prepare)).await;
                kept.map(|(stream, more)| {
                    ahead = behind;
                    ahead.extend_from_slice(&more);
                    stream
                })
            }
            body => {
                let stream = match body {
                    Body::Chunked(chunks) => Chunked::watch(stream, chunks),
                    Body::Nothing { ahead: behind } => {
                        ahead = behind;
                        stream
                    }
                    Body::Other => stream,
                };
                let mut session = ServerSession::new_http1(stream);
                prepare(&mut session);
                let kept = shared.proxy.process_new_http(session, &shared.shutdown).await;
                kept.map(|reused| Chunked::unwrap(reused.consume().0))
            }
        };
        let Some(kept) = kept else { return };
        stream = kept;
        patience = Patience { first: frontend.keep_alive_timeout, whole, due: false, h2c: false, ..patience };
    }
}

/// Tells the client, where there is one left, and the log.
async fn no_request(shared: &Shared, mut stream: Stream, link: &Link, why: NoRequest) {
    let told = http::StatusCode::from_u16(why.status()).ok().filter(|_| why != NoRequest::Gone);
    let sent = match told {
        Some(status) => {
            let page = shared.gateway.error_pages[shared.frontend].page(status.as_u16());
            head::refuse(&mut stream, status, page).await
        }
        None => 0,
    };
    account::no_request(&shared.gateway, shared.worker, link, why, sent);
    head::close(stream).await;
}

/// Counts a connection for as long as it is open.
struct Open<'a> {
    gateway: &'a Gateway,
    frontend: usize,
    /// What it holds of stick tables.
    tracked: Option<Box<Tracked>>,
}

impl<'a> Open<'a> {
    fn new(gateway: &'a Gateway, frontend: usize) -> Self {
        gateway.load.connections.fetch_add(1, Ordering::Relaxed);
        gateway.metrics.frontends[frontend].open.fetch_add(1, Ordering::Relaxed);
        Self { gateway, frontend, tracked: None }
    }

    /// Asks the limits on connections; the reason word, if they refuse it.
    fn admit(&mut self, frontend: &Frontend, peer: SocketAddr) -> Result<(), &'static str> {
        if frontend.connection_limits.is_empty() {
            return Ok(());
        }
        let tracked = self.tracked.insert(Box::default());
        let client = peer.ip().to_canonical();
        let mut asking = Asking::new(&frontend.connection_limits, self.frontend, client);
        match asking.ask(self.gateway, tracked, true) {
            Err(Stopped::Denied(denial)) => Err(denial.reason),
            Ok(()) | Err(Stopped::Behind(_)) => Ok(()),
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(tracked) = &mut self.tracked {
            tracked.release(self.gateway);
        }
        self.gateway.load.connections.fetch_sub(1, Ordering::Relaxed);
        self.gateway.metrics.frontends[self.frontend].open.fetch_sub(1, Ordering::Relaxed);
    }
}
