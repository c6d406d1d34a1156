//! The way of most requests: those without a body, to a server of HTTP/1.1. It takes the same stages as any
//! other request, in the same order, but not pingora's proxy between them: one task, no channel and a pool of its own, in
//! less than half the instructions; and of an answer that its client does not take it holds one read. Bodies, upgrades,
//! expectations, HTTP/2 to servers and whatever else concerns the connection are left to pingora's proxy. Which of them it
//! is says the head (`strict::Head::is_plain`) and the frontend's servers ([`Exchange::takes`]).

mod pool;
mod server;
mod wire;

use crate::proxy::Edge;
use crate::proxy::link;
use crate::request::{Link, Request};
use crate::upstream::{Connection, Lease};
use crate::{account, pick, proxy_out, rules, tries, upstream};
use bytes::{Bytes, BytesMut};
use gateway_core::config::{Config, Frontend};
use gateway_core::failure::NoConnection;
use http::Version;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::authority::validate_request_authority;
use pingora::proxy::{ProxyHttp, Session};
use pingora::upstreams::peer::Peer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use pool::{Pool, Rest};
use server::Server;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use wire::Wire;

/// What one worker carries out such requests with.
pub(crate) struct Exchange {
    edge: Edge,
    pool: Pool,
    /// Frontends all of whose servers speak HTTP/1.1.
    frontends: Vec<bool>,
}

impl Exchange {
    /// Keeps so many connections to servers.
    pub(crate) fn new(edge: Edge, most_idle: usize) -> Self {
        let config = &edge.gateway.config;
        let frontends = config.frontends.iter().map(|frontend| speaks_http1(config, frontend)).collect();
        Self { pool: Pool::new(most_idle), frontends, edge }
    }

    /// Whether plain requests of this frontend are for it.
    pub(crate) fn takes(&self, frontend: usize) -> bool {
        self.frontends.get(frontend).is_some_and(|takes| *takes)
    }

    /// Closes connections to servers that have rested for too long, or that the server has closed.
    pub(crate) fn sweep(&self) {
        self.pool.sweep(self.edge.gateway.clock.now());
    }

    /// Answers the request whose head `prepare` gives to the session; the connection, if it stays, and what has been read of the
    /// next request.
    pub(crate) async fn serve(
        &self,
        stream: Stream,
        prepare: impl FnOnce(&mut ServerSession),
    ) -> Option<(Stream, BytesMut)> {
        let mut session = Session::new_h1(stream);
        prepare(session.as_downstream_mut());
        session.as_downstream_mut().set_pipelining_enabled(true);
        open(&mut session).await?;
        // Its body, which is none, has to have begun: or what comes behind it would be forgotten with its beginning.
        session.as_downstream_mut().is_body_done();
        if !self.carry_out(&mut session).await {
            return None;
        }
        let ServerSession::H1(mut client) = *session.downstream_session else { return None };
        client.finish_body().await.ok()?;
        let (stream, ahead) = client.reuse().await.ok()??.into_parts();
        Some((stream, ahead.unwrap_or_default()))
    }

    /// Answers a request of HTTP/2, on a stream of its own.
    pub(crate) async fn serve_stream(&self, stream: ServerSession) {
        // A session begins with a connection, which here is not its own.
        let mut session = Session::new_h1(Box::new(tokio::io::duplex(1).0));
        *session.downstream_session = stream;
        if self.carry_out(&mut session).await {
            // The client may be gone by now.
            let _ = session.downstream_session.finish().await;
        } else {
            session.shutdown().await;
        }
    }

    /// All stages of a request; whether its connection can go on.
    async fn carry_out(&self, session: &mut Session) -> bool {
        let mut request = self.edge.new_ctx();
        let ended = match self.edge.arrive(session, &mut request).await {
            Ok(false) => self.forward(session, &mut request).await,
            Ok(true) => Ok(()),
            Err(error) => Err(error),
        };
        let reusable = match ended {
            Ok(()) => true,
            Err(error) => self.edge.fail_to_proxy(session, &error, &mut request).await.can_reuse_downstream,
        };
        account::request(self.edge.worker, session, &mut request);
        reusable
    }

    /// Tries servers until one has answered.
    async fn forward(&self, session: &mut Session, request: &mut Request) -> Result<()> {
        loop {
            match self.attempt(session, request).await {
                Err(error) if error.retry() => {}
                ended => return ended,
            }
        }
    }

    async fn attempt(&self, session: &mut Session, request: &mut Request) -> Result<()> {
        self.edge.choose(session, request).await?;
        let (server, key, carried) = match self.connect(session, request).await {
            Ok(connected) => connected,
            Err(error) if *error.esource() == ErrorSource::Downstream => return Err(error),
            Err(error) => return Err(tries::unconnected(session, request, error.into_up()).into_up()),
        };
        let patience = self.edge.server_timeout(request).unwrap_or(Duration::MAX);
        let mut server = Server::new(server, patience);
        let reused = carried > 0;
        match self.exchange(session, &mut server, reused, request).await {
            Ok(()) => {
                if let Some(server) = server.rest() {
                    self.keep(key, server, carried.saturating_add(1), request);
                }
                Ok(())
            }
            Err(error) => Err(tries::broken(session, request, error, reused)),
        }
    }

    /// A connection to the server that was chosen, what it is kept by, and how many requests it has carried.
    async fn connect(&self, session: &mut Session, request: &Request) -> Result<(Connection, u64, u32)> {
        let Some(lease) = &request.lease else { return Err(Error::new(ErrorType::InternalError)) };
        let Some(now) = request.picked else { return Err(Error::new(ErrorType::InternalError)) };
        let one_for_all = lease.server().key();
        let key = one_for_all.unwrap_or_else(|| Edge::peer(session, request, lease).reuse_hash());
        if let Some((server, carried)) = self.pool.take(key, now) {
            return Ok((server, key, carried));
        }
        // In a box, as all that is rare here: what waits for a server should weigh little.
        let server = Box::pin(self.reach(session, request, lease)).await?;
        Ok((server, key, 0))
    }

    /// A new connection to a server, unless the client goes away before there is one.
    async fn reach(&self, session: &mut Session, request: &Request, lease: &Lease) -> Result<Connection> {
        let (server, socket) = (lease.server(), request.connection.map(|connection| connection.socket));
        let (name, header) = introduction(session, server);
        let patience = self.edge.gateway.config.backends[lease.backend.0].connect_timeout;
        let opened = Connection::open(server, server.tls.requests.as_ref(), &header, name.as_deref());
        tokio::select! {
            biased;
            opened = timeout(patience, opened) => match opened {
                Ok(Ok(opened)) => Ok(opened),
                Ok(Err((NoConnection::Handshake { .. }, error))) => {
                    Err(Error::because(ErrorType::TLSHandshakeFailure, "with a server", error))
                }
                Ok(Err((_, error))) => Err(Error::because(ErrorType::ConnectError, "to a server", error)),
                Err(_) => Err(Error::explain(ErrorType::ConnectTimedout, "to a server")),
            },
            () = pick::gone_meanwhile(session, socket) => {
                Err(Error::explain(ErrorType::ConnectionClosed, "while a server was connected to").into_down())
            }
        }
    }

    /// Has a connection rest that has carried so many requests, unless its server's bounds have it closed.
    fn keep(&self, key: u64, stream: Connection, requests: u32, request: &Request) {
        let Some(lease) = &request.lease else { return };
        let gateway = &self.edge.gateway;
        let backend = &gateway.config.backends[lease.backend.0];
        if !backend.reuses {
            return;
        }
        let place = lease.server().pool.as_ref().map(|bounds| bounds.keep(requests));
        if matches!(place, Some(None)) {
            return;
        }
        let now = gateway.clock.now();
        let connection = Rest { stream, requests, _place: place.flatten() };
        self.pool.put(key, connection, now, now + backend.pool_purge_delay);
    }

    /// One request and its answer.
    async fn exchange(
        &self,
        session: &mut Session,
        server: &mut Server,
        reused: bool,
        request: &mut Request,
    ) -> Result<()> {
        self.edge.connected(session, reused, server.socket(), request);
        self.send(session, server, request).await?;
        let answer = self.answer(session, server, request).await?;
        server.expect(&answer, &session.req_header().method);
        let mut left = length(&answer);
        self.respond(session, answer, !server.is_done(), request).await?;
        while let Some(piece) = watched(session, pin!(server.piece())).await? {
            if let Some(delay) = self.edge.delay(request, piece.len()) {
                tokio::time::sleep(delay).await;
            }
            left = left.map(|left| left.saturating_sub(piece.len()));
            write(session, piece, left == Some(0)).await.map_err(|error| error.into_down())?;
        }
        session.as_downstream_mut().finish_body().await.map_err(|error| error.into_down())
    }

    async fn send(&self, session: &mut Session, server: &mut Server, request: &mut Request) -> Result<()> {
        let frontend = request.connection.map(|connection| connection.frontend);
        let rules = frontend.map(|frontend| &self.edge.gateway.config.frontends[frontend].rules);
        let may_be_changed = rules.is_some_and(|rules| !rules.is_empty());
        let is_h2 = session.req_header().version == Version::HTTP_2;
        if is_h2 {
            name_host(session.req_header_mut()).map_err(|error| error.into_down())?;
        }
        if may_be_changed {
            settle_host(session.req_header_mut()).map_err(|error| error.into_in())?;
        }
        // A head of HTTP/1.1 that it takes has nothing else that ends here, unless a rule has put it there.
        let gone = if may_be_changed || is_h2 { &ENDS_HERE[..] } else { &ENDS_HERE[..1] };
        self.edge.mark(session.req_header_mut(), request)?;
        let mut wire = Wire::new(session.req_header(), gone);
        self.edge.for_server(session, request, false, &mut wire)?;
        let head = wire.finish();
        server.send(&head).await.map_err(|error| error.into_up())
    }

    /// The head of the answer; what only informs goes to the client at once.
    async fn answer(
        &self,
        session: &mut Session,
        server: &mut Server,
        request: &mut Request,
    ) -> Result<Box<ResponseHeader>> {
        loop {
            let mut head = watched(session, pin!(server.answer())).await?;
            self.edge.answered(session, &mut head, request)?;
            if !head.status.is_informational() {
                return Ok(head);
            }
            self.respond(session, head, false, request).await?;
        }
    }

    async fn respond(
        &self,
        session: &mut Session,
        mut head: Box<ResponseHeader>,
        has_body: bool,
        request: &mut Request,
    ) -> Result<()> {
        let states_end =
            head.headers.contains_key(CONTENT_LENGTH) || head.headers.contains_key(TRANSFER_ENCODING);
        if has_body && !states_end {
            // The server ends it with its connection, which says nothing about the client's.
            head.set_version(Version::HTTP_11);
            head.insert_header(TRANSFER_ENCODING, "chunked")?;
        }
        self.edge.for_client(session, &mut head, request)?;
        let ends = !has_body && !head.status.is_informational();
        match session.as_downstream_mut() {
            ServerSession::Custom(stream) => stream.write_response_header(head, ends).await,
            client => client.write_response_header(head).await,
        }
        .map_err(|error| error.into_down())
    }
}

/// Whether all servers that requests of this frontend may come to speak HTTP/1.1.
fn speaks_http1(config: &Config, frontend: &Frontend) -> bool {
    let backends = frontend.routes.backends().chain(frontend.rules.backends());
    let mut servers = backends.flat_map(|backend| &config.backends[backend.0].servers);
    servers.all(|server| server.http.1 == 1)
}

/// Reads the head, of which all is there.
async fn open(session: &mut Session) -> Option<()> {
    match session.read_request().await {
        Ok(true) => Some(()),
        Ok(false) => None,
        Err(error) => {
            if *error.etype() == ErrorType::InvalidHTTPHeader {
                // The client may be gone by now.
                let _ = Box::pin(session.respond_error(400)).await;
            }
            session.shutdown().await;
            None
        }
    }
}

/// The name that a server is asked for, where its client chooses it, and what a connection to it begins with.
fn introduction(session: &Session, server: &upstream::Server) -> (Option<String>, Vec<u8>) {
    let link = link(session);
    let handshake = link.and_then(Link::handshake).map(Arc::as_ref);
    let asked = handshake.and_then(|handshake| handshake.name.as_deref());
    let name = server.name_by_client(|| rules::host(session.req_header()), asked);
    let header = server
        .send_proxy
        .zip(link)
        .map(|(version, link)| proxy_out::header(version, link.connection(), handshake, None));
    (name.map(str::to_owned), header.unwrap_or_default())
}

/// What the server sends, unless the client goes away before that.
async fn watched<T>(session: &mut Session, server: Pin<&mut impl Future<Output = Result<T>>>) -> Result<T> {
    tokio::select! {
        biased;
        told = server => told.map_err(|error| error.into_up()),
        gone = session.read_body_or_idle(true) => Err(match gone {
            Err(error) => error.into_down(),
            Ok(_) => Error::new(ErrorType::ConnectionClosed).into_down(),
        }),
    }
}

/// A piece of the answer's body, perhaps its last. Over HTTP/2 it is a copy that waits for the client, so it is made bit
/// by bit.
async fn write(session: &mut Session, piece: &[u8], is_last: bool) -> Result<()> {
    match session.as_downstream_mut() {
        ServerSession::H1(client) => client.write_body(piece).await.map(|_| ()),
        stream => {
            let mut bits = piece.chunks(BIT).peekable();
            while let Some(bit) = bits.next() {
                let ends = is_last && bits.peek().is_none();
                stream.write_response_body(Bytes::copy_from_slice(bit), ends).await?;
            }
            Ok(())
        }
    }
}

/// How long the answer's body is, if its head says so.
fn length(answer: &ResponseHeader) -> Option<usize> {
    answer.headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Says in a head of HTTP/2 whom it is for, as a server of HTTP/1.1 is told (RFC 9113 §8.3.1).
fn name_host(head: &mut RequestHeader) -> Result<()> {
    let authority = head.uri.authority().map(|authority| authority.as_str().to_owned());
    if let Some(authority) = authority {
        head.insert_header(HOST, authority)?;
    } else if !head.headers.contains_key(HOST) {
        head.insert_header(HOST, "")?;
    }
    Ok(())
}

/// Rules may have changed for whom a request is.
fn settle_host(head: &mut RequestHeader) -> Result<()> {
    if !head.headers.contains_key(HOST) {
        head.insert_header(HOST, "")?;
    }
    validate_request_authority(head)
}

/// Bytes: what a frame of HTTP/2 holds, unless its receiver wants larger ones.
const BIT: usize = 16 * 1024;
/// Fields that a server never sees (RFC 9110 §7.6.1). Most requests have the first at most.
const ENDS_HERE: [&str; 10] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_runs_takes_less_than_a_page() {
        fn size<'a, F>(_: impl FnOnce(&'a Exchange, Stream, fn(&mut ServerSession)) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(Exchange::serve);
        assert!(
            size <= 4096,
            "{size} bytes {} {} {}",
            size_of::<Session>(),
            size_of::<Request>(),
            size_of::<Server>()
        );
    }
}
