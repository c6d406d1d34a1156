//! The data path, stage by stage, as pingora calls them.

use crate::accept::h2;
use crate::answer::Answer;
use crate::request::{Link, Refusal, Request};
use crate::rules::Ended;
use crate::state::Gateway;
use crate::tls::headers;
use crate::to_server::TRACEPARENT;
use crate::upstream::Lease;
use crate::{
    account, answers, capture, cookie, forwarded, guard, observe, pick, proxy_out, request_id, rules, tries,
    tunnel, upgrade,
};
use async_trait::async_trait;
use bytes::Bytes;
use gateway_core::normalize;
use gateway_core::rules::Pace;
use gateway_core::scanners;
use gateway_core::strict;
use gateway_core::track;
use http::header::{CONNECTION, HeaderValue, TE, UPGRADE};
use http::{StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use std::borrow::Cow;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

/// What pingora asks on the way of each request of one worker.
pub(crate) struct Edge {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) worker: usize,
}

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Request;

    fn new_ctx(&self) -> Request {
        Request::new(Arc::clone(&self.gateway))
    }

    /// identify → guard → rules → route
    async fn request_filter(&self, session: &mut Session, request: &mut Request) -> Result<bool> {
        self.arrive(session, request).await
    }

    /// pick
    async fn upstream_peer(&self, session: &mut Session, request: &mut Request) -> Result<Box<HttpPeer>> {
        self.choose(session, request).await?;
        let lease = request.lease.as_ref().ok_or_else(|| Error::new(ErrorType::InternalError))?;
        Ok(Self::peer(session, request, lease))
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        fd: RawFd,
        _digest: Option<&Digest>,
        request: &mut Request,
    ) -> Result<()> {
        self.connected(session, reused, fd, request);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        request: &mut Request,
    ) -> Result<()> {
        self.mark(upstream, request)?;
        let is_h2 = upstream.version == Version::HTTP_2;
        if is_h2
            && h2::is_h2(session)
            && let Some(trailers) = session.req_header().headers.get(TE)
        {
            // gRPC goes by it, and pingora takes it from requests whose session is not its own.
            upstream.insert_header(TE, trailers)?;
        }
        // What pingora keeps can't be bounded for each server.
        let is_bounded = request.lease.as_ref().is_some_and(|lease| lease.server().pool.is_some());
        if is_bounded && !is_h2 && !upstream.headers.contains_key(UPGRADE) {
            upstream.insert_header(CONNECTION, "close")?;
        }
        self.for_server(session, request, is_h2, upstream)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Request,
    ) -> Result<()> {
        self.answered(session, response, request)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Request,
    ) -> Result<()> {
        self.for_client(session, response, request)
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        request: &mut Request,
    ) -> Result<Option<Duration>> {
        Ok(body.as_ref().and_then(|body| self.delay(request, body.len())))
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _peer: &HttpPeer,
        request: &mut Request,
        error: Box<Error>,
    ) -> Box<Error> {
        tries::unconnected(session, request, error)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        request: &mut Request,
        reused: bool,
    ) -> Box<Error> {
        tries::broken(session, request, error, reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        request: &mut Request,
    ) -> FailToProxy {
        let status = match error.etype() {
            ErrorType::HTTPStatus(status) => Some(*status),
            _ => {
                if let Some(reason) = tries::bad_body(error) {
                    account::refused(request, Refusal::Word(reason));
                }
                let failure = tries::failure(session, request, error);
                request.termination = failure.termination();
                failure.status()
            }
        };
        if let Some(status) = status {
            let answer = Answer { status, close: true, ..Answer::default() };
            // The client may be gone by now; the log says how it ended.
            let _ = self.answer(session, request, answer).await;
        }
        FailToProxy { error_code: status.unwrap_or(0), can_reuse_downstream: false }
    }

    /// account → access_log
    async fn logging(&self, session: &mut Session, _error: Option<&Error>, request: &mut Request) {
        account::request(self.worker, session, request);
    }

    // What clients and servers do wrong is told once, in the access log and the metrics.
    fn suppress_error_log(&self, _session: &Session, _request: &Request, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _request: &Request,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

impl Edge {
    /// Chooses the server of the next try.
    pub(crate) async fn choose(&self, session: &mut Session, request: &mut Request) -> Result<()> {
        // The place on the server before goes back first, or it would weigh on the choice.
        request.lease = None;
        request.connect = None;
        request.response = None;
        request.session = None;
        request.switch = None;
        request.interim = 0;
        let socket = request.connection.map(|connection| connection.socket);
        let key = pick::key(&self.gateway, request, session.req_header());
        request.visit = cookie::visit(request, session.req_header());
        let lease = pick::server(&self.gateway, request, key, || pick::gone(session, socket)).await?;
        let suits = lease.server().can_be_asked_for(|| rules::host(session.req_header()), None);
        request.picked = Some(self.gateway.clock.now());
        request.lease = Some(lease);
        if suits { Ok(()) } else { Err(tries::unnamed(request)) }
    }

    /// How the server that was chosen is reached.
    pub(crate) fn peer(session: &Session, request: &Request, lease: &Lease) -> Box<HttpPeer> {
        let head = session.req_header();
        let link = link(session);
        let handshake = link.and_then(Link::handshake).map(Arc::as_ref);
        let asked = handshake.and_then(|handshake| handshake.name.as_deref());
        let mut peer = lease.peer(rules::host(head), asked);
        if let Some(link) = link {
            lease.announce(&mut peer, |version| {
                proxy_out::header(version, link.connection(), handshake, None)
            });
        }
        if let Some(timeout) = request.effects.server_timeout {
            peer.options.read_timeout = Some(timeout);
            peer.options.write_timeout = Some(timeout);
        }
        if head.headers.contains_key(UPGRADE) {
            if let Some(timeout) = request.tunnel_timeout() {
                peer.options.read_timeout = Some(timeout);
            }
            lease.bound(&mut peer);
        }
        peer
    }

    /// How long a server may be silent, and not take what it is sent.
    pub(crate) fn server_timeout(&self, request: &Request) -> Option<Duration> {
        let own = request.backend.map(|backend| self.gateway.config.backends[backend.0].server_timeout);
        request.effects.server_timeout.or(own)
    }

    /// There is a connection to the server.
    pub(crate) fn connected(&self, session: &Session, reused: bool, fd: RawFd, request: &mut Request) {
        let since = request.picked.filter(|_| !reused);
        request.connect = Some(since.map_or(Duration::ZERO, |picked| self.gateway.clock.now() - picked));
        let Some(lease) = &request.lease else { return };
        lease.sent();
        request.session = lease.server().runs(fd);
        let backend = &self.gateway.config.backends[lease.backend.0];
        if request.tunnel_timeout().is_some() && session.req_header().headers.contains_key(UPGRADE) {
            let timeout = request.effects.server_timeout.unwrap_or(backend.server_timeout);
            request.switch = tunnel::Switch::within(fd, timeout);
        }
    }

    /// The head of an answer, as the server has sent it.
    pub(crate) fn answered(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Request,
    ) -> Result<()> {
        answers::check(session, response, &mut request.interim)?;
        capture::response(request, response);
        if let Some(lease) = &request.lease {
            lease.answered();
        }
        tries::answered(session, request, response.status)?;
        self.switched(session, request, response);
        let waited = request.connect.zip(request.picked);
        request.response =
            waited.map(|(connect, picked)| (self.gateway.clock.now() - picked).saturating_sub(connect));
        Ok(())
    }

    /// The head of an answer, as the client gets it.
    pub(crate) fn for_client(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Request,
    ) -> Result<()> {
        if self.gateway.is_draining() || link(session).is_some_and(Link::is_spent) {
            session.set_keepalive(None);
        }
        answers::fit(session, response);
        if !response.status.is_informational() {
            cookie::change_answer(session, request, response)?;
        }
        request.pace =
            request.effects.bandwidth_limit.map(|limit| Pace::new(limit, self.gateway.clock.now()));
        if !self.gateway.identities.is_empty() {
            guard::learn(session, request, response);
        }
        rules::change_answer(session, request, response)
    }

    /// How long so many bytes of an answer wait, if at all.
    pub(crate) fn delay(&self, request: &mut Request, bytes: usize) -> Option<Duration> {
        let pace = request.pace.as_mut()?;
        Some(pace.delay(bytes, self.gateway.clock.now())).filter(|delay| !delay.is_zero())
    }

    /// The server has answered: what may become a tunnel has become one, or not.
    fn switched(&self, session: &mut Session, request: &mut Request, response: &ResponseHeader) {
        let informs = response.status.is_informational();
        if informs && response.status != StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        request.switch = None;
        if let Some(timeout) = request.tunnel_timeout().filter(|_| informs) {
            session.set_read_timeout(Some(timeout));
        }
    }

    /// Takes a request in; whether it has been answered, and goes to no server.
    pub(crate) async fn arrive(&self, session: &mut Session, request: &mut Request) -> Result<bool> {
        let received = match self.receive(session, request) {
            Ok(place) => self.admit(session, request, place).await,
            Err(answer) => Err(Some(answer)),
        };
        match received {
            Ok(()) => Ok(false),
            Err(None) => Ok(true),
            Err(Some(answer)) => Box::pin(self.reply(session, request, answer)).await.map(|()| true),
        }
    }

    /// The gateway answers itself.
    async fn reply(&self, session: &mut Session, request: &mut Request, answer: Answer) -> Result<()> {
        if self.waits(session, request, &answer).await {
            self.answer(session, request, answer).await?;
        }
        Ok(())
    }

    /// guard → rules → route: a backend that shall serve it, or an answer, if anybody is left to hear it.
    async fn admit(
        &self,
        session: &mut Session,
        request: &mut Request,
        place: usize,
    ) -> Result<(), Option<Answer>> {
        guard::admit(session, request, &self.gateway.config.frontends[place].limits).await?;
        self.judge(session, request, place).map_err(Some)?;
        guard::admit_routed(session, request, &self.gateway.config.frontends[place]).await?;
        if self.gateway.observer.is_some() {
            observe::count(request);
        }
        Ok(())
    }

    /// identify: whose request it is, and through which frontend it came.
    fn receive(&self, session: &mut Session, request: &mut Request) -> Result<usize, Answer> {
        let link = link(session).ok_or_else(|| Answer::of(500))?;
        let connection = link.connection();
        request.came_on(link);
        upgrade::settle(session.req_header_mut());
        if h2::is_h2(session) {
            let bounds = self.gateway.config.frontends[connection.frontend].bounds;
            if let Err(reason) = h2::receive(session, bounds) {
                let status = strict::status(reason);
                // What is only too large is a request all the same.
                if let Some(link) = self::link(session).filter(|_| status == 400) {
                    link.was_malformed();
                }
                return Err(Answer::refuse(status, reason));
            }
        }
        let frontend = &self.gateway.config.frontends[connection.frontend];
        let client = forwarded::identify(session, connection.peer.ip(), frontend);
        let speaks_for_others = client.chain_is_trusted;
        request.client = Some(client);
        self.tell_certificate(session, connection.frontend, speaks_for_others)?;
        let head = session.req_header();
        if frontend.monitor_uri.as_deref().is_some_and(|uri| uri == head.uri.path()) {
            request.is_probe = true;
            return Err(Answer::of(200));
        }
        request.count();
        if let Some(tracks) = self::link(session).and_then(Link::tracks) {
            tracks.each(track::request);
        }
        capture::request(request, &frontend.capture, session.req_header());
        request.id = frontend.unique_id_header.as_ref().and_then(|field| request_id::give(session, field));
        request.trace = self.gateway.tracer.as_ref().and_then(|tracer| {
            let mut said = session.req_header().headers.get_all(TRACEPARENT).iter();
            // Of several none holds.
            let one = said.next().filter(|_| said.next().is_none());
            tracer.decide(one.map(HeaderValue::as_bytes))
        });
        Ok(connection.frontend)
    }

    /// What a client says of its own certificate goes; what it has shown is said. Only a trusted proxy may
    /// speak for others, where nobody has to show anything here.
    fn tell_certificate(&self, session: &mut Session, place: usize, trusted: bool) -> Result<(), Answer> {
        let asks = self.gateway.tls[place].as_ref().is_some_and(|tls| tls.client_auth.is_some());
        if asks || !trusted {
            headers::strip(session.req_header_mut());
        }
        if asks && let Some(handshake) = link(session).and_then(Link::handshake).cloned() {
            headers::tell(session.req_header_mut(), &handshake).map_err(|_| Answer::of(500))?;
        }
        Ok(())
    }

    /// normalize → rules → route
    fn judge(&self, session: &mut Session, request: &mut Request, place: usize) -> Result<(), Answer> {
        let frontend = &self.gateway.config.frontends[place];
        let path = normalize::apply(frontend.normalize_path, session.req_header().uri.path());
        if let Cow::Owned(path) = path.map_err(|reason| Answer::refuse(400, reason))? {
            rules::set_path(session.req_header_mut(), request, &path).map_err(|_| Answer::of(500))?;
        }
        if frontend.block_scanners != scanners::Mode::Off
            && let Some(reason) = scanners::reason(session.req_header().uri.path())
        {
            self.gateway.metrics.scanner(place, reason);
            if frontend.block_scanners == scanners::Mode::Deny {
                return Err(Answer::refuse(403, reason));
            }
        }
        if !frontend.rules.is_empty() {
            match rules::apply(session, request, frontend).map_err(|_| Answer::of(500))? {
                None => {}
                Some(Ended::Backend(backend)) => {
                    request.backend = Some(backend);
                    return Ok(());
                }
                Some(Ended::Answer(place, end)) => return Err(self.ended(session, request, place, end)),
            }
        }
        let head = session.req_header();
        let backend = frontend.routes.find(rules::host(head), head.uri.path());
        request.backend = Some(backend.ok_or_else(|| Answer::refuse(404, "no_route"))?);
        Ok(())
    }
}

/// What the accept loop knows of the connection that a request came on.
pub(crate) fn link(session: &Session) -> Option<&Link> {
    let proxy_digest = session.digest()?.proxy_digest.as_ref()?;
    proxy_digest.user_data.as_ref()?.downcast_ref::<Arc<Link>>().map(Arc::as_ref)
}
