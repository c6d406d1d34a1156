//! TLS towards clients.

use super::stream::Buffered;
use pingora::listeners::tls::Acceptor as PingoraAcceptor;
use pingora::protocols::Stream;
use pingora::protocols::tls::server::handshake as pingora_handshake;
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::Duration;

/// Makes TLS of a connection.
pub(crate) type Acceptor = Arc<PingoraAcceptor>;

/// An acceptor for one frontend.
pub(crate) fn acceptor(config: &Arc<ServerConfig>) -> Acceptor {
    Arc::new(PingoraAcceptor::from_server_config(Arc::clone(config)))
}

/// Shakes hands; `None` if the client does not, or not in time.
pub(crate) async fn handshake(acceptor: &Acceptor, io: Buffered, within: Duration) -> Option<Stream> {
    match tokio::time::timeout(within, pingora_handshake(acceptor, io)).await {
        Ok(Ok(stream)) => Some(Box::new(stream)),
        Ok(Err(_)) | Err(_) => None,
    }
}
