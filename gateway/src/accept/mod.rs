//! From a socket to a connection that requests come on.

mod bind;
mod chunked;
mod connection;
mod frames;
pub(crate) mod h2;
mod h2_stream;
mod head;
mod passes;
mod proxy_header;
mod socket;
pub(crate) mod stream;
mod tls;
mod unix;

pub(crate) use bind::{Listener, bind_all, bind_alone, bind_with_next};

use crate::early;
use crate::exchange::Exchange;
use crate::proxy::Edge;
use crate::state::Gateway;
use crate::worker::Phase;
use pingora::proxy::HttpProxy;
use socket::{Accepted, Listening};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Accepts on one listening socket until the phase says to close.
pub(crate) async fn run(
    gateway: Arc<Gateway>,
    worker: usize,
    listener: Listener,
    proxy: Arc<HttpProxy<Edge>>,
    exchange: Arc<Exchange>,
    mut phase: watch::Receiver<Phase>,
) {
    let frontend = listener.frontend;
    let closing = |phase: &Phase| matches!(phase, Phase::Close | Phase::Stop);
    let (ends_keep_alive, shutdown) = watch::channel(false);
    let shared = Shared { gateway, worker, frontend, proxy, exchange, tls: listener.tls, shutdown };
    let socket = match Listening::new(listener.socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "a listener can't be used"),
    };
    loop {
        tokio::select! {
            accepted = socket.accept() => shared.accepted(accepted).await,
            changed = phase.changed() => {
                let phase = *phase.borrow_and_update();
                if changed.is_err() || closing(&phase) {
                    break;
                }
                ends_keep_alive.send_replace(phase == Phase::Drain);
            }
        }
    }
    ends_keep_alive.send_replace(true);
    shared.take_what_waits(socket).await;
    // Connections that are served watch for the end themselves; this keeps their signal alive.
    let _ = phase.wait_for(|phase| *phase == Phase::Stop).await;
}

/// What each connection of a listener needs.
#[derive(Clone)]
struct Shared {
    gateway: Arc<Gateway>,
    worker: usize,
    frontend: usize,
    proxy: Arc<HttpProxy<Edge>>,
    exchange: Arc<Exchange>,
    tls: Option<tls::Acceptor>,
    shutdown: watch::Receiver<bool>,
}

impl Shared {
    async fn accepted(&self, accepted: io::Result<(Accepted, SocketAddr)>) {
        let metrics = &self.gateway.metrics.frontends[self.frontend];
        match accepted {
            Ok((socket, peer)) => {
                metrics.accepted.inc();
                if early::rejects(&self.gateway, self.frontend, peer) {
                    // What a client sees has been counted by then.
                    early::rejected(&self.gateway, self.frontend, peer, "rejected");
                    return socket.reset();
                }
                tokio::spawn(connection::serve(self.clone(), socket, peer));
            }
            Err(error) => {
                metrics.accept_errors.inc();
                // A connection that died in the queue is its client's affair. Anything else is a
                // shortage of the system's, which a loop without a pause would only make worse.
                if !is_of_one_connection(&error) {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Connections that the kernel has accepted already would be reset if the socket just closed.
    async fn take_what_waits(&self, socket: Listening) {
        while let Some(accepted) = socket.waiting() {
            self.accepted(accepted).await;
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | TimedOut)
}

/// Long enough for a shortage of file descriptors to pass, short enough that clients do not notice.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
