//! HTTP/2 towards clients: its streams are requests like any others. What a client may cost is bounded
//! here; the floods that HTTP/2 invites are cut off by the count of frames below, or by the `h2` crate.

use super::Shared;
use super::frames::{Excess, Framed};
use super::h2_stream::H2Stream;
use crate::request::Link;
use crate::{account, guard};
use ::h2::Reason;
use ::h2::server::Connection;
use bytes::Bytes;
use gateway_core::config::Frontend;
use gateway_core::h2;
use gateway_core::strict::{self, PseudoFields};
use http::header::{COOKIE, EXPECT};
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options, handshake};
use pingora::protocols::{Digest, Stream};
use pingora::proxy::Session;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Whether that is how an HTTP/2 client begins; `None`: it may become so.
pub(super) fn is_preface(bytes: &[u8]) -> Option<bool> {
    let so_far = bytes.iter().zip(PREFACE).all(|(byte, expected)| byte == expected);
    if so_far && bytes.len() < PREFACE.len() { None } else { Some(so_far) }
}

/// Whether a request came over HTTP/2.
pub(crate) fn is_h2(session: &Session) -> bool {
    session.as_downstream().is_custom()
}

/// Says whether a request can be read in one way only, and makes its crumbs one cookie field, as HTTP/1 has
/// it.
pub(crate) fn receive(session: &mut Session, bounds: strict::Bounds) -> Result<(), &'static str> {
    let has_body = !session.is_body_empty();
    let head = session.req_header();
    let fields = head.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let method = head.method.as_str().as_bytes();
    strict::check_h2(bounds, PseudoFields { method, target: head.raw_path(), authority, has_body }, fields)?;
    let mut crumbs = head.headers.get_all(COOKIE).iter();
    if let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) {
        let mut cookie = first.as_bytes().to_vec();
        for crumb in std::iter::once(second).chain(crumbs) {
            cookie.extend(b"; ");
            cookie.extend(crumb.as_bytes());
        }
        session.req_header_mut().insert_header(COOKIE, cookie).map_err(|_| "bad_field_value")?;
    }
    Ok(())
}

/// Serves the connection until it ends.
pub(super) async fn serve(shared: &Shared, stream: Stream, link: &Link, frontend: &Frontend) {
    link.head_is_not_seen();
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    let (stream, excess) = Framed::watch(stream, frontend.h2_glitches, shared.gateway.clock);
    let handshake = handshake(stream, Some(options(frontend)));
    let Ok(Ok(mut connection)) = timeout(frontend.http_request_timeout, handshake).await else { return };
    if let Some(reason) = requests(shared, &mut connection, digest, link, &excess, frontend).await {
        guard::glitch(&shared.gateway, link.connection());
        account::cut(&shared.gateway, shared.worker, link, reason);
    }
}

/// Hands each request over until the connection ends. The reason word, if that is its client's fault.
async fn requests(
    shared: &Shared,
    connection: &mut Connection<Stream, Bytes>,
    digest: Arc<Digest>,
    link: &Link,
    excess: &Excess,
    frontend: &Frontend,
) -> Option<&'static str> {
    let mut shutdown = shared.shutdown.clone();
    // Each request that runs holds a receiver.
    let (running, receiver) = watch::channel(());
    drop(receiver);
    let (mut served, mut leaving) = (0, false);
    let mut old = std::pin::pin!(sleep(frontend.max_connection_age));
    loop {
        let patience = match (leaving, served) {
            (true, _) => LEAVE,
            (false, 0) => frontend.http_request_timeout,
            (false, _) => frontend.keep_alive_timeout,
        };
        if link.malformed() > MAX_MALFORMED {
            return Some("h2_malformed_requests");
        }
        let accepted = tokio::select! {
            biased;
            accepted = H2Stream::accept(connection, &digest, frontend.client_timeout) => accepted,
            // It is set while frames are read, right above.
            reason = poll_fn(|_| excess.get().map_or(Poll::Pending, |reason| Poll::Ready(*reason))) => {
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                let _ = timeout(LEAVE, poll_fn(|cx| connection.poll_closed(cx))).await;
                return Some(reason);
            }
            // A drain takes what comes; it lets the client know with the first request, or now.
            () = draining(&mut shutdown), if !leaving && served > 0 => {
                connection.graceful_shutdown();
                leaving = true;
                continue;
            }
            // What runs is finished, as at a drain.
            () = &mut old, if !leaving => {
                connection.graceful_shutdown();
                leaving = true;
                continue;
            }
            // Counts anew with each request, but not with anything else that a client may send.
            () = idle(&running, patience) => {
                if leaving {
                    return None;
                }
                connection.graceful_shutdown();
                leaving = true;
                continue;
            }
        };
        match accepted {
            Ok(Some(stream)) => {
                served += 1;
                if served >= frontend.max_keepalive_requests && !leaving {
                    connection.graceful_shutdown();
                    leaving = true;
                }
                let mut session = ServerSession::new_custom(Box::new(stream));
                let (shared, runs) = (shared.clone(), running.subscribe());
                let is_plain = shared.exchange.takes(shared.frontend) && is_plain(&mut session);
                tokio::spawn(async move {
                    if is_plain {
                        shared.exchange.serve_stream(session).await;
                    } else {
                        shared.proxy.process_new_http(session, &shared.shutdown).await;
                    }
                    drop(runs);
                });
            }
            Ok(None) => return None,
            Err(error) => return fault(&error),
        }
    }
}

/// Why the `h2` crate has ended a connection, if it was its client's fault.
fn fault(error: &::h2::Error) -> Option<&'static str> {
    error.reason().filter(|_| error.is_go_away() && error.is_library()).map(|code| h2::fault(code.into()))
}

/// Whether it is nothing but its head, and asks nothing of the connection to the server.
fn is_plain(session: &mut ServerSession) -> bool {
    session.is_body_empty() && !session.req_header().headers.contains_key(EXPECT)
}

async fn draining(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|draining| *draining).await;
}

/// Comes to its end when no request has run for `patience`.
async fn idle(running: &watch::Sender<()>, patience: Duration) {
    running.closed().await;
    sleep(patience).await;
}

fn options(frontend: &Frontend) -> H2Options {
    let mut options = default_h2_options();
    options.max_concurrent_streams(frontend.h2_max_concurrent_streams);
    // Wider than what is taken, which has an answer and a reason; what is wider still has an answer only.
    options.max_header_list_size(u32::try_from(2 * frontend.bounds.head).unwrap_or(u32::MAX));
    options.initial_connection_window_size(CONNECTION_WINDOW);
    options.max_send_buffer_size(SEND_BUFFER);
    options
}

/// RFC 9113 §3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What a client that has been told to leave gets to do so: two round trips on the slowest link.
const LEAVE: Duration = Duration::from_secs(2);
/// Requests of a connection that are none.
const MAX_MALFORMED: u32 = 32;
/// Bytes of all streams together that may be under way to the gateway. Each stream has 64 KiB, the
/// protocol's default.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of an answer that are held for a stream whose client does not take them.
const SEND_BUFFER: usize = 64 * 1024;
