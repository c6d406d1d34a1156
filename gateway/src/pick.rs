//! Gets a request its server, at once or when its turn comes.

use crate::accept::h2;
use crate::account;
use crate::request::{Refusal, Request};
use crate::state::Gateway;
use crate::sys;
use crate::upstream::{Ask, Lease, Place, Waiter};
use gateway_core::queue::Wish;
use gateway_core::record::Termination;
use nix::sys::socket::{MsgFlags, recv};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use std::future::Future;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;

/// What a request is hashed by, if it is.
pub(crate) fn key(gateway: &Gateway, request: &Request, head: &RequestHeader) -> Option<u64> {
    let balance = &gateway.config.backends[request.backend?.0].balance;
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let client = request.client.as_ref()?.address;
    balance.key(client, target, |name| Some(head.headers.get(name)?.as_bytes()))
}

/// The server for a request that has a backend. What `gone` returns ends when its client has gone away.
pub(crate) async fn server<F: Future<Output = ()>>(
    gateway: &Arc<Gateway>,
    request: &mut Request,
    key: Option<u64>,
    gone: impl FnOnce() -> F,
) -> Result<Lease> {
    let client = request.client.as_ref().map(|client| client.address);
    let asked = request.backend.zip(client);
    if request.tries == 0
        && let Some(backend) = request.backend
    {
        gateway.backends[backend.0].retry_budget.earn();
    }
    let asked = asked.map(|(backend, client)| Ask { backend, client, key, wanted: request.visit.server });
    let place = asked.map(|ask| Lease::take(gateway, ask, &request.tried));
    match place {
        Some(Place::Now(lease)) => Ok(lease),
        Some(Place::Later(waiter)) => Box::pin(wait(gateway, request, waiter, gone())).await,
        Some(Place::Full(wish)) => {
            request.queued.wish = Some(wish);
            Err(refuse(request, Termination::QueueFull, "queue_full"))
        }
        Some(Place::Nowhere) | None => {
            request.termination = Termination::ServerInConnect;
            Err(Error::explain(ErrorType::HTTPStatus(503), "no server is up"))
        }
    }
}

/// Waits in line, for no longer than the queue's timeout, and only as long as the client does.
async fn wait(
    gateway: &Arc<Gateway>,
    request: &mut Request,
    mut waiter: Waiter,
    gone: impl Future<Output = ()>,
) -> Result<Lease> {
    let Some(backend) = request.backend else { return Err(Error::new(ErrorType::InternalError)) };
    gateway.metrics.backends[backend.0].queued.inc();
    let queued = &mut request.queued;
    match waiter.ticket.wish {
        Wish::Any => queued.backend_position = waiter.ticket.position,
        Wish::Server(_) => queued.server_position = waiter.ticket.position,
    }
    queued.wish = Some(waiter.ticket.wish);
    let joined = gateway.clock.now();
    let outcome = tokio::select! {
        biased;
        lease = waiter.turn() => lease.ok_or_else(|| Error::new(ErrorType::InternalError)),
        () = gone => {
            request.termination = Termination::ClientInQueue;
            Err(Error::explain(ErrorType::ConnectionClosed, "in the queue").into_down())
        }
        () = tokio::time::sleep(gateway.config.backends[backend.0].queue_timeout) => {
            Err(refuse(request, Termination::TimeoutInQueue, "queue_timeout"))
        }
    };
    request.queued.waited += gateway.clock.now() - joined;
    if outcome.is_ok() {
        request.queued.wish = None;
    }
    outcome
}

fn refuse(request: &mut Request, termination: Termination, reason: &'static str) -> Box<Error> {
    request.termination = termination;
    account::refused(request, Refusal::Word(reason));
    Error::explain(ErrorType::HTTPStatus(503), reason)
}

/// Ends when the client has gone away, and never if that can't be told. Nothing is read: what the client
/// has sent is for its server. Who has closed only its sending side counts as gone, as it does later on.
pub(crate) async fn gone(session: &mut Session, socket: Option<RawFd>) {
    if h2::is_h2(session) {
        // Ends with the stream.
        let _ = session.read_body_or_idle(true).await;
        return;
    }
    left(socket, End::Half).await;
}

/// The same while a server is connected to.
pub(crate) async fn gone_meanwhile(session: &mut Session, socket: Option<RawFd>) {
    tokio::time::sleep(UNWATCHED).await;
    gone(session, socket).await;
}

/// What of the other side of a socket counts as its going away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is cut off.
    Cut,
    /// Or it ends its sending side and has sent nothing that waits to be read.
    Unheard,
    /// Or it ends its sending side.
    Half,
}

/// Ends when the other side of a socket has gone away.
pub(crate) async fn left(socket: Option<RawFd>, end: End) {
    let watched = socket.and_then(|socket| sys::watch(socket).ok());
    let Some(watched) = watched else { return std::future::pending().await };
    if end != End::Cut {
        while let Ok(mut ready) = watched.readable().await {
            if ready.ready().is_read_closed() {
                break;
            }
            ready.clear_ready();
        }
        if end == End::Half || !waits_to_be_read(watched.get_ref()) {
            return;
        }
    }
    // Nobody is told of a connection that can't be watched: its timeout ends the wait.
    let cut = watched.ready(Interest::ERROR).await;
    if cut.is_err() {
        std::future::pending::<()>().await;
    }
}

fn waits_to_be_read(socket: &impl AsRawFd) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    recv(socket.as_raw_fd(), &mut [0], flags).is_ok_and(|bytes| bytes > 0)
}

/// As long as servers nearby take at most to be connected to: to watch a client meanwhile costs more than that.
pub(crate) const UNWATCHED: Duration = Duration::from_millis(10);
