//! Counts what happened, and hands the record of each request to the access log.

use crate::cookie;
use crate::metrics::FrontendMetrics;
use crate::proxy::link;
use crate::request::{Link, Refusal, Request};
use crate::state::Gateway;
use crate::tcp::Traffic;
use crate::trace::Span;
use chrono::{DateTime, FixedOffset, Local, Utc};
use gateway_core::capture::Captured;
use gateway_core::config::BackendId;
use gateway_core::failure::NoRequest;
use gateway_core::limits::Outcome;
use gateway_core::queue::Wish;
use gateway_core::record::{Counts, Record, Termination, Timers};
use gateway_core::track;
use http::HeaderValue;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// A request is over.
pub(crate) fn request(worker: usize, session: &Session, request: &mut Request) {
    let Some(connection) = request.connection else { return };
    if request.is_probe {
        return;
    }
    let gateway = &request.gateway;
    let total = gateway.clock.now() - request.began;
    let response = session.response_written();
    let status = response.map(|response| response.status.as_u16());
    let sent_head = response.map_or(0, head_size);
    let sent = sent_head + session.body_bytes_sent() as u64;
    request.tracked.outcome =
        Outcome { status: status.unwrap_or(0), bytes_in: session.body_bytes_read() as u64, bytes_out: sent };
    if let Some(link) = link(session) {
        let is_glitch = status == Some(400) && matches!(request.refused, Some(Refusal::Word(_)));
        ended(link, Outcome { status: 0, ..request.tracked.outcome }, is_glitch);
    }
    let metrics = &gateway.metrics.frontends[connection.frontend];
    metrics.answered(status);
    metrics.duration.observe((total - request.head).as_secs_f64());
    if request.termination != Termination::Normal {
        gateway.metrics.failed(connection.frontend, request.termination.code());
    }
    trace(session, request, status, total);
    if let Some(BackendId(backend)) = request.backend {
        let metrics = &gateway.metrics.backends[backend];
        metrics.total.observe((total - request.head).as_secs_f64());
        if let Some(response) = request.response {
            metrics.response.observe(response.as_secs_f64());
        }
        if !request.queued.waited.is_zero() {
            metrics.queue_time.observe(request.queued.waited.as_secs_f64());
        }
    }

    let frontend = &gateway.config.frontends[connection.frontend];
    let backend = request.backend.map(|backend| &gateway.config.backends[backend.0]);
    let head = session.req_header();
    gateway.access_log.write(
        worker,
        &Record {
            client: std::net::SocketAddr::new(
                request.client.as_ref().map_or_else(|| connection.peer.ip(), |client| client.address),
                connection.peer.port(),
            ),
            accept_date: local(request.date),
            frontend: &frontend.name,
            tls: frontend.tls.is_some(),
            backend: backend.map_or(&frontend.name, |backend| &backend.name),
            server: backend
                .zip(server(request))
                .map(|(backend, server)| backend.servers[server].name.as_str()),
            timers: timers(request, total),
            status,
            bytes: sent,
            termination: request.termination,
            persistence: cookie::letters(request),
            reason: reason(request),
            mark: request.tracked.mark,
            captured: (!frontend.capture.is_empty())
                .then_some(Captured { capture: &frontend.capture, taken: request.captured.as_deref() }),
            id: request.id.as_ref().map(HeaderValue::as_bytes),
            counts: counts(request, metrics),
            request: Some((
                head.method.as_str(),
                request.target.as_deref().unwrap_or_else(|| head.raw_path()),
                version(head.version),
            )),
        },
    );
}

/// Hands the span of a request over, if it has one.
fn trace(session: &Session, request: &Request, status: Option<u16>, total: Duration) {
    let gateway = &request.gateway;
    let (Some(tracer), Some(context), Some(connection)) =
        (&gateway.tracer, request.trace.filter(|trace| trace.sampled), request.connection)
    else {
        return;
    };
    let head = session.req_header();
    let backend = request.backend.map(|backend| &gateway.config.backends[backend.0]);
    let server = backend.zip(server(request)).map(|(backend, server)| backend.servers[server].name.clone());
    let client = request.client.as_ref().map_or_else(|| connection.peer.ip(), |client| client.address);
    tracer.record(Span {
        context,
        begun: request.date,
        took: total,
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        client: client.to_string(),
        frontend: gateway.config.frontends[connection.frontend].name.clone(),
        backend: backend.map(|backend| backend.name.clone()),
        server,
        status,
        termination: request.termination.code(),
    });
}

/// What a client sent did not become a request.
pub(crate) fn no_request(gateway: &Gateway, worker: usize, link: &Link, why: NoRequest, sent: u64) {
    connection(gateway, worker, link, (why, Some(why.status())), sent);
}

/// A connection was cut off, without an answer that would say so.
pub(crate) fn cut(gateway: &Gateway, worker: usize, link: &Link, reason: &'static str) {
    connection(gateway, worker, link, (NoRequest::Refused(reason), None), 0);
}

/// A connection has ended, or will, for what came on it that was no request.
fn connection(
    gateway: &Gateway,
    worker: usize,
    link: &Link,
    (why, status): (NoRequest, Option<u16>),
    sent: u64,
) {
    let connection = link.connection();
    let metrics = &gateway.metrics.frontends[connection.frontend];
    metrics.answered(status);
    // One that is cut off has done no less than one that is told.
    let outcome = Outcome { status: why.status(), bytes_in: 0, bytes_out: sent };
    ended(link, outcome, matches!(why, NoRequest::Refused(_)));
    if let Some(reason) = why.reason() {
        gateway.metrics.refused(connection.frontend, reason);
    }
    let frontend = &gateway.config.frontends[connection.frontend];
    let total = link.head_began().map_or(Duration::ZERO, |began| gateway.clock.now() - began);
    let now = SystemTime::now();
    gateway.access_log.write(
        worker,
        &Record {
            client: connection.peer,
            accept_date: local(now.checked_sub(total).unwrap_or(now)),
            frontend: &frontend.name,
            tls: frontend.tls.is_some(),
            backend: &frontend.name,
            server: None,
            timers: Timers { total, ..Timers::default() },
            status,
            bytes: sent,
            termination: why.termination(),
            counts: Counts {
                actconn: gateway.load.connections.load(Ordering::Relaxed),
                feconn: metrics.open.load(Ordering::Relaxed),
                ..Counts::default()
            },
            persistence: None,
            reason: why.reason(),
            mark: None,
            captured: (!frontend.capture.is_empty())
                .then_some(Captured { capture: &frontend.capture, taken: None }),
            id: None,
            request: None,
        },
    );
}

/// Counts the end of a request where its connection is tracked.
fn ended(link: &Link, outcome: Outcome, is_glitch: bool) {
    let Some(tracks) = link.tracks() else { return };
    tracks.each(|entry, now| {
        track::ended(entry, outcome, now);
        if is_glitch {
            track::glitch(entry, now);
        }
    });
}

/// A connection of mode tcp is over.
pub(crate) fn session(worker: usize, request: &Request, traffic: Traffic) {
    let Some(connection) = request.connection else { return };
    let gateway = &request.gateway;
    let termination = request.termination;
    gateway.metrics.session(connection.frontend, termination.code(), traffic.to_server, traffic.to_client);
    let frontend = &gateway.config.frontends[connection.frontend];
    let backend = request.backend.map(|backend| &gateway.config.backends[backend.0]);
    let server = backend.zip(server(request));
    gateway.access_log.write_tcp(
        worker,
        &Record {
            client: connection.peer,
            accept_date: local(request.date),
            frontend: &frontend.name,
            tls: frontend.tls.is_some(),
            backend: backend.map_or(&frontend.name, |backend| &backend.name),
            server: server.map(|(backend, server)| backend.servers[server].name.as_str()),
            timers: Timers { request: None, ..timers(request, gateway.clock.now() - request.began) },
            status: None,
            bytes: traffic.to_client,
            termination,
            persistence: None,
            reason: reason(request),
            mark: None,
            captured: None,
            id: None,
            counts: counts(request, &gateway.metrics.frontends[connection.frontend]),
            request: None,
        },
    );
}

/// A request was refused.
pub(crate) fn refused(request: &mut Request, refusal: Refusal) {
    request.refused = Some(refusal);
    if let Some((connection, reason)) = request.connection.zip(reason(request)) {
        request.gateway.metrics.refused(connection.frontend, reason);
    }
}

/// The reason word of a request that was refused.
fn reason(request: &Request) -> Option<&str> {
    match request.refused? {
        Refusal::Word(reason) => Some(reason),
        Refusal::Rule(place) => {
            let rules = &request.gateway.config.frontends[request.connection?.frontend].rules;
            rules.get(place)?.end.as_ref()?.reason()
        }
    }
}

/// A request goes to another server.
pub(crate) fn retried(request: &Request, reason: &str) {
    if let Some(backend) = request.backend {
        request.gateway.metrics.retried(backend.0, reason);
    }
}

/// The zone is asked for once in a quarter of an hour, in which none changes.
fn local(time: SystemTime) -> DateTime<FixedOffset> {
    thread_local! {
        static ZONE: Cell<Option<(i64, FixedOffset)>> = const { Cell::new(None) };
    }
    let time = DateTime::<Utc>::from(time);
    let quarter = time.timestamp().div_euclid(QUARTER);
    let zone = match ZONE.get() {
        Some((known, zone)) if known == quarter => zone,
        _ => {
            let zone = *time.with_timezone(&Local).offset();
            ZONE.set(Some((quarter, zone)));
            zone
        }
    };
    time.with_timezone(&zone)
}

/// The server that it went to, or waited for in vain.
fn server(request: &Request) -> Option<usize> {
    match (&request.lease, request.queued.wish) {
        (Some(lease), _) => Some(lease.server),
        (None, Some(Wish::Server(place))) => Some(place),
        (None, _) => None,
    }
}

fn timers(request: &Request, total: Duration) -> Timers {
    if request.tarpit.is_some() {
        // HAProxy tells a tarpit so.
        return Timers { queue: request.tarpit, total, ..Timers::default() };
    }
    // A request that was refused, or failed on its way, did not come to the rest.
    let reached = request.backend.is_some()
        && !matches!(request.termination, Termination::Refused | Termination::QueueFull);
    Timers {
        request: Some(request.head),
        queue: (reached || !request.limit_wait.is_zero())
            .then_some(request.queued.waited + request.limit_wait),
        connect: request.connect,
        response: request.response,
        total,
    }
}

fn counts(request: &Request, metrics: &FrontendMetrics) -> Counts {
    let gateway = &request.gateway;
    let srv_conn = request.lease.as_ref().map_or(0, |lease| lease.server().active.load(Ordering::Relaxed));
    let beconn = request.lease.as_ref().map(|lease| &gateway.backends[lease.backend.0]);
    // HAProxy counts what is still there without the request that ends.
    let others = |count: u64| count.saturating_sub(1);
    Counts {
        actconn: gateway.load.connections.load(Ordering::Relaxed),
        feconn: metrics.open.load(Ordering::Relaxed),
        beconn: others(beconn.map_or(0, |backend| backend.active.load(Ordering::Relaxed))),
        srv_conn: others(u64::from(srv_conn)),
        retries: request.tries,
        redispatched: request
            .lease
            .as_ref()
            .is_some_and(|lease| request.tried.iter().any(|tried| *tried != lease.server)),
        srv_queue: request.queued.server_position,
        backend_queue: request.queued.backend_position,
    }
}

/// Bytes of a head as it was sent, near enough: the reason phrase is not kept.
fn head_size(head: &ResponseHeader) -> u64 {
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let reason = head.status.canonical_reason().map_or(0, str::len);
    ("HTTP/1.1 200 \r\n\r\n".len() + reason + fields.sum::<usize>()) as u64
}

fn version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// Zones change on these marks, in seconds.
const QUARTER: i64 = 15 * 60;
