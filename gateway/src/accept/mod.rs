//! From a socket to a connection that requests come on.

mod bind;
mod stream;
mod tls;

pub(crate) use bind::{Listener, bind_all, bind_alone};

use crate::proxy::Edge;
use crate::request::Connection;
use crate::state::Gateway;
use crate::worker::Phase;
use pingora::apps::HttpServerApp;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream as TcpIo;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{GetProxyDigest, GetSocketDigest, SocketDigest, Stream};
use pingora::proxy::HttpProxy;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use stream::Buffered;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Accepts on one listening socket until the phase says to close.
pub(crate) async fn run(
    gateway: Arc<Gateway>,
    listener: Listener,
    proxy: Arc<HttpProxy<Edge>>,
    mut phase: watch::Receiver<Phase>,
) {
    let frontend = listener.frontend;
    let closing = |phase: &Phase| matches!(phase, Phase::Close | Phase::Stop);
    let (ends_keep_alive, shutdown) = watch::channel(false);
    let shared = Shared { gateway, frontend, proxy, tls: listener.tls, shutdown };
    let socket = match TcpListener::from_std(listener.socket) {
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
    frontend: usize,
    proxy: Arc<HttpProxy<Edge>>,
    tls: Option<tls::Acceptor>,
    shutdown: watch::Receiver<bool>,
}

impl Shared {
    async fn accepted(&self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        let metrics = &self.gateway.metrics.frontends[self.frontend];
        match accepted {
            Ok((socket, peer)) => {
                metrics.accepted.inc();
                tokio::spawn(self.clone().serve(socket, peer));
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
    async fn take_what_waits(&self, socket: TcpListener) {
        let Ok(socket) = socket.into_std() else { return };
        while let Ok((stream, peer)) = socket.accept() {
            if stream.set_nonblocking(true).is_ok() {
                self.accepted(TcpStream::from_std(stream).map(|stream| (stream, peer))).await;
            }
        }
    }

    async fn serve(self, socket: TcpStream, peer: SocketAddr) {
        let _open = Open::new(&self.gateway, self.frontend);
        // Answers go out as they are written.
        let _ = socket.set_nodelay(true);
        let socket_digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
        let _ = socket_digest.peer_addr.set(Some(peer.into()));
        let mut io = Buffered::new(TcpIo::from(socket));
        io.set_socket_digest(socket_digest);
        let Ok(no_head) = ResponseHeader::build(200, None) else { return };
        let connection = Connection { frontend: self.frontend, peer };
        io.set_proxy_digest(ProxyDigest::new(Box::new(no_head), Some(Box::new(connection))));
        let stream: Stream = match &self.tls {
            None => Box::new(io),
            Some(acceptor) => match tls::handshake(acceptor, io).await {
                Some(stream) => stream,
                None => return self.gateway.metrics.frontends[self.frontend].tls_failures.inc(),
            },
        };
        self.requests(stream).await;
    }

    /// One request after another, as long as both sides keep the connection.
    async fn requests(&self, stream: Stream) {
        let keep_alive = self.gateway.config.frontends[self.frontend].keep_alive_timeout;
        let mut session = ServerSession::new_http1(stream);
        session.set_keepalive((!*self.shutdown.borrow()).then_some(keep_alive.as_secs().max(1)));
        let mut next = self.proxy.process_new_http(session, &self.shutdown).await;
        while let Some((stream, settings)) = next.map(|reused| reused.consume()) {
            let mut session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
            next = self.proxy.process_new_http(session, &self.shutdown).await;
        }
    }
}

/// Counts a connection for as long as it is open.
struct Open<'a> {
    gateway: &'a Gateway,
    frontend: usize,
}

impl<'a> Open<'a> {
    fn new(gateway: &'a Gateway, frontend: usize) -> Self {
        gateway.load.connections.fetch_add(1, Ordering::Relaxed);
        gateway.metrics.frontends[frontend].open.fetch_add(1, Ordering::Relaxed);
        Self { gateway, frontend }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.gateway.load.connections.fetch_sub(1, Ordering::Relaxed);
        self.gateway.metrics.frontends[self.frontend].open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | TimedOut)
}

/// Long enough for a shortage of file descriptors to pass, short enough that clients do not notice.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
