//! The admin listener: `/health`, `/health/<frontend>`, `/health/watch`, `/metrics` and `/vips`.

use super::vips::Speaker;
use crate::metrics;
use crate::state::Gateway;
use bytes::Bytes;
use gateway_core::config::BackendId;
use healthcheck_core::verdict::{self, GatewayState, Verdict};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Serves the admin listener for ever.
pub(crate) async fn run(gateway: Arc<Gateway>, listener: TcpListener, verdicts: watch::Receiver<Verdict>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "the admin listener does not accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (gateway, verdicts) = (Arc::clone(&gateway), verdicts.clone());
        tokio::spawn(async move {
            // A beat that waits for more to send with it would be late.
            let _ = socket.set_nodelay(true);
            let ends = socket.peer_addr().and_then(|there| Ok((there, socket.local_addr()?))).ok();
            let speaker = Arc::new(Speaker::new(Arc::clone(&gateway), ends));
            let service = service_fn(move |request: Request<Incoming>| {
                let is_exchange = *request.method() == Method::POST && request.uri().path() == "/vips";
                let otherwise = (!is_exchange).then(|| answer(&gateway, &request, &verdicts));
                let speaker = Arc::clone(&speaker);
                async move {
                    Ok::<_, Infallible>(match otherwise {
                        Some(answer) => answer,
                        None => vips(&speaker, request).await,
                    })
                }
            });
            // What goes wrong on one connection is its client's affair.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(socket), service)
                .await;
            drop(slot);
        });
    }
}

fn answer(
    gateway: &Arc<Gateway>,
    request: &Request<Incoming>,
    verdicts: &watch::Receiver<Verdict>,
) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
    }
    match request.uri().path() {
        "/health" => health(gateway, &verdicts.borrow()),
        "/health/watch" => watch_health(gateway, verdicts.clone()),
        "/metrics" => {
            let ready = verdicts.borrow().state == GatewayState::Ready;
            respond(StatusCode::OK, "text/plain; version=0.0.4", metrics::encode(gateway, ready))
        }
        path => match path
            .strip_prefix("/health/")
            .and_then(|name| frontend_health(gateway, name, &verdicts.borrow()))
        {
            Some(answer) => answer,
            None => text(
                StatusCode::NOT_FOUND,
                "there are /health, /health/<frontend>, /health/watch and /metrics\n",
            ),
        },
    }
}

/// An exchange of the speaker of this node.
async fn vips(speaker: &Speaker, request: Request<Incoming>) -> Answer {
    match tokio::time::timeout(HEADER_TIMEOUT, speaker.exchange(request)).await {
        Ok(Ok(fleet)) => {
            let body = serde_json::to_vec(&fleet).unwrap_or_default();
            respond(StatusCode::OK, "application/json", body)
        }
        Ok(Err((status, why))) => text(status, why),
        Err(_) => text(StatusCode::REQUEST_TIMEOUT, "not sent in time\n"),
    }
}

fn health(gateway: &Gateway, verdict: &Verdict) -> Answer {
    let body =
        serde_json::json!({ "state": verdict.state, "reasons": verdict.reasons, "node": gateway.node });
    json(status(verdict), &body)
}

/// The gateway's own verdict, and beside it how much of what is behind the frontend works: that is for
/// people, the status says only whether this node serves.
fn frontend_health(gateway: &Gateway, name: &str, verdict: &Verdict) -> Option<Answer> {
    let frontend = gateway.config.frontends.iter().find(|frontend| frontend.name == name)?;
    let states: Vec<_> = frontend
        .backends()
        .map(|BackendId(place)| {
            let servers = gateway.backends[place].servers.iter().map(|server| server.state());
            (&gateway.config.backends[place].name, verdict::backend(servers))
        })
        .collect();
    let service = verdict::frontend(states.iter().map(|(_, service)| *service));
    let backends: serde_json::Map<_, _> =
        states.iter().map(|(name, service)| ((*name).clone(), serde_json::json!(service))).collect();
    let body = serde_json::json!({
        "state": verdict.state,
        "reasons": verdict.reasons,
        "service": service,
        "backends": backends,
    });
    Some(json(status(verdict), &body))
}

fn watch_health(gateway: &Arc<Gateway>, verdicts: watch::Receiver<Verdict>) -> Answer {
    let (lines, received) = mpsc::channel(UNREAD_LINES);
    tokio::spawn(say(Arc::clone(gateway), verdicts, lines));
    let mut answer = Response::new(Lines(received).boxed());
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/x-ndjson"));
    answer
}

/// Says the verdict at once, at each change, and again with every beat. A beat is left out while a
/// worker is stuck. A reader that does not read is cut off.
async fn say(gateway: Arc<Gateway>, mut verdicts: watch::Receiver<Verdict>, lines: mpsc::Sender<Bytes>) {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            changed = verdicts.changed() => if changed.is_err() { return },
            _ = beat.tick() => {
                if !verdict::may_beat(&gateway.turns(), gateway.clock.now()) {
                    continue;
                }
            }
            () = lines.closed() => return,
        }
        let mut line = serde_json::to_vec(&*verdicts.borrow_and_update()).unwrap_or_default();
        line.push(b'\n');
        if lines.try_send(line.into()).is_err() {
            return;
        }
    }
}

/// A body of lines as they come.
struct Lines(mpsc::Receiver<Bytes>);

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

fn status(verdict: &Verdict) -> StatusCode {
    if verdict.state == GatewayState::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    respond(status, "application/json", format!("{body}\n"))
}

fn text(status: StatusCode, body: &'static str) -> Answer {
    respond(status, "text/plain", body)
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static(content_type));
    answer
}

/// The rhythm that the speaker counts on; it withdraws after three beats that did not come.
const BEAT: Duration = Duration::from_millis(100);
/// Lines that a reader may be behind: six seconds of beats.
const UNREAD_LINES: usize = 64;
/// Connections at once: speakers, Prometheus, people.
const CONNECTIONS: usize = 256;
/// How long a client may take to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
