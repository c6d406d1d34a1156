//! The way of most requests: those without a body, to a server of HTTP/1.1. It takes the same stages as any
//! other request, in the same order, but not pingora's proxy between them: with one task, no channel and a
//! pool of its own it costs a third of it, and of an answer that its client does not take it holds one read. Bodies, upgrades,
//! expectations, HTTP/2 to servers and whatever else concerns the connection are left to pingora's proxy, which is told
//! apart by the head alone ([`Exchange::takes`]).

mod pool;

use crate::proxy::Edge;
use crate::request::Request;
use crate::tries;
use bytes::Bytes;
use gateway_core::config::{Config, Frontend};
use gateway_core::retry::Failure;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, Version};
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::authority::validate_request_authority;
use pingora::protocols::http::v1::client::HttpSession as Upstream;
use pingora::proxy::{ProxyHttp, Session};
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::Peer;
use pingora::{Error, ErrorType, Result};
use pool::Pool;

/// What one worker carries out such requests with.
pub(crate) struct Exchange {
    edge: Edge,
    connector: TransportConnector,
    pool: Pool,
    /// Frontends all of whose servers speak HTTP/1.1.
    frontends: Vec<bool>,
}

impl Exchange {
    pub(crate) fn new(edge: Edge, conf: &ServerConf) -> Self {
        let connector = TransportConnector::new(Some(ConnectorOptions::from_server_conf(conf)));
        let config = &edge.gateway.config;
        let frontends = config.frontends.iter().map(|frontend| speaks_http1(config, frontend)).collect();
        let pool = Pool::new(conf.upstream_keepalive_pool_size);
        Self { connector, pool, frontends, edge }
    }

    /// Whether plain requests of this frontend are for it.
    pub(crate) fn takes(&self, frontend: usize) -> bool {
        self.frontends.get(frontend).is_some_and(|takes| *takes)
    }

    /// Closes connections to servers that have rested for too long, or that the server has closed.
    pub(crate) fn sweep(&self) {
        self.pool.sweep(self.edge.gateway.clock.now());
    }

    /// Answers the request whose head `prepare` gives to the session; the connection, if it stays.
    pub(crate) async fn serve(
        &self,
        stream: Stream,
        prepare: impl FnOnce(&mut ServerSession),
    ) -> Option<Stream> {
        let mut session = Session::new_h1(stream);
        prepare(session.as_downstream_mut());
        open(&mut session).await?;
        if !self.carry_out(&mut session).await {
            return None;
        }
        session.downstream_session.finish().await.ok()?.map(|reused| reused.into_parts().0)
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
        let reusable = match self.edge.request_filter(session, &mut request).await {
            Ok(true) => true,
            Ok(false) => match self.forward(session, &mut request).await {
                Ok(()) => true,
                Err(error) => self.fails(session, &mut request, &error).await,
            },
            Err(error) => self.fails(session, &mut request, &error).await,
        };
        self.edge.logging(session, None, &mut request).await;
        reusable
    }

    async fn fails(&self, session: &mut Session, request: &mut Request, error: &Error) -> bool {
        self.edge.fail_to_proxy(session, error, request).await.can_reuse_downstream
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
        let (server, key, reused) = match self.connect(session, request).await {
            Ok(connected) => connected,
            Err(error) => {
                let error = tries::failed(session, request, error.into_up(), Failure::NotConnected);
                return Err(error.into_up());
            }
        };
        let mut server = Upstream::new(server);
        match self.exchange(session, &mut server, reused, request).await {
            Ok(()) => {
                server.respect_keepalive();
                if let Some(server) = server.reuse().await {
                    self.keep(key, server, request);
                }
                Ok(())
            }
            Err(error) => Err(tries::broken(session, request, error, reused)),
        }
    }

    /// A connection to the server that was chosen, what it is kept by, and whether it was used before.
    async fn connect(&self, session: &Session, request: &Request) -> Result<(Stream, u64, bool)> {
        let Some(lease) = &request.lease else { return Err(Error::new(ErrorType::InternalError)) };
        let now = self.edge.gateway.clock.now();
        let one_for_all = lease.server().key();
        if let Some((key, server)) = one_for_all.and_then(|key| Some((key, self.pool.take(key, now)?))) {
            return Ok((server, key, true));
        }
        let peer = Edge::peer(session, request, lease);
        let key = one_for_all.unwrap_or_else(|| peer.reuse_hash());
        match one_for_all.map_or_else(|| self.pool.take(key, now), |_| None) {
            Some(server) => Ok((server, key, true)),
            None => Ok((self.connector.new_stream(&*peer).await?, key, false)),
        }
    }

    fn keep(&self, key: u64, server: Stream, request: &Request) {
        let Some(backend) = request.backend else { return };
        let gateway = &self.edge.gateway;
        let now = gateway.clock.now();
        self.pool.put(key, server, now, now + gateway.config.backends[backend.0].pool_purge_delay);
    }

    /// One request and its answer.
    async fn exchange(
        &self,
        session: &mut Session,
        server: &mut Upstream,
        reused: bool,
        request: &mut Request,
    ) -> Result<()> {
        let timeout = self.edge.server_timeout(request);
        (server.read_timeout, server.write_timeout) = (timeout, timeout);
        self.edge.connected(session, reused, server.stream().id(), request);
        let mut head = session.req_header().clone();
        let may_be_changed = request.connection.is_some_and(|connection| {
            !self.edge.gateway.config.frontends[connection.frontend].rules.is_empty()
        });
        let is_h2 = head.version == Version::HTTP_2;
        if is_h2 {
            as_http1(&mut head).map_err(|error| error.into_down())?;
        }
        // A head of HTTP/1.1 that it takes has nothing else that ends here, unless a rule has put it there.
        let names = ENDS_HERE.iter().take(if may_be_changed || is_h2 { ENDS_HERE.len() } else { 1 });
        for name in names {
            head.remove_header(name);
        }
        self.edge.upstream_request_filter(session, &mut head, request).await?;
        if may_be_changed {
            settle_host(&mut head).map_err(|error| error.into_in())?;
        }
        server.write_request_header(Box::new(head)).await.map_err(|error| error.into_up())?;
        let answer = self.answer(session, server, request).await?;
        let mut left = length(&answer);
        self.respond(session, answer, !server.is_body_done(), request).await?;
        while !server.is_body_done() {
            let Some(piece) = watched(session, server.read_body_ref()).await? else { break };
            // Between two chunks nothing may come, which for the client would be the last chunk.
            if piece.is_empty() {
                continue;
            }
            if let Some(delay) = self.edge.delay(request, piece.len()) {
                tokio::time::sleep(delay).await;
            }
            left = left.map(|left| left.saturating_sub(piece.len()));
            write(session, piece, left == Some(0)).await.map_err(|error| error.into_down())?;
        }
        session.as_downstream_mut().finish_body().await.map_err(|error| error.into_down())
    }

    /// The head of the answer; what only informs goes to the client at once.
    async fn answer(
        &self,
        session: &mut Session,
        server: &mut Upstream,
        request: &mut Request,
    ) -> Result<Box<ResponseHeader>> {
        loop {
            let mut head = watched(session, server.read_resp_header_parts()).await?;
            self.edge.upstream_response_filter(session, &mut head, request).await?;
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
        self.edge.response_filter(session, &mut head, request).await?;
        let ends = !has_body && !head.status.is_informational();
        match session.as_downstream_mut() {
            ServerSession::H2(stream) => stream.write_response_header(head, ends),
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
                let _ = session.respond_error(400).await;
            }
            session.shutdown().await;
            None
        }
    }
}

/// What the server sends, unless the client goes away before that.
async fn watched<T>(session: &mut Session, server: impl Future<Output = Result<T>>) -> Result<T> {
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

/// A head of HTTP/2 as a server of HTTP/1.1 gets it (RFC 9113 §8.3.1).
fn as_http1(head: &mut RequestHeader) -> Result<()> {
    head.set_version(Version::HTTP_11);
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
static ENDS_HERE: [HeaderName; 10] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];
