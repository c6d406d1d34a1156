//! TLS towards clients: the handshake, and a stream that pingora takes for one of its own.

use super::stream::Buffered;
use crate::tls::TlsSide;
use crate::tls::identity::{Handshake, Identity};
use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream as Io;

/// Makes TLS of a connection.
#[derive(Clone)]
pub(crate) struct Acceptor(TlsSide);

/// A connection over TLS.
#[derive(Debug)]
pub(crate) struct TlsStream(Io<Buffered>);

impl Acceptor {
    /// For one frontend.
    pub(crate) fn new(side: &TlsSide) -> Self {
        Self(side.clone())
    }

    /// Shakes hands; `None` if the client does not, not in time, or may not go on with its session.
    pub(super) async fn handshake(&self, io: Buffered, within: Duration) -> Option<(TlsStream, Handshake)> {
        let acceptor = TlsAcceptor::from(self.0.config());
        let stream = tokio::time::timeout(within, acceptor.accept(io)).await.ok()?.ok()?;
        let handshake = self.look(stream.get_ref().1)?;
        Some((TlsStream(stream), handshake))
    }

    fn look(&self, session: &ServerConnection) -> Option<Handshake> {
        let chain = session.peer_certificates();
        let client_auth = self.0.client_auth.as_ref();
        let goes_on = session.handshake_kind() == Some(HandshakeKind::Resumed);
        if goes_on && client_auth.is_some_and(|client_auth| !client_auth.still_holds(chain)) {
            return None;
        }
        let first = client_auth.and(chain).and_then(<[_]>::first);
        Some(Handshake {
            name: session.server_name().map(str::to_owned),
            protocol: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLSv1.2",
            },
            cipher: session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or(""),
            resumed: goes_on,
            alpn: session.alpn_protocol().map(<[u8]>::to_vec),
            client: match first {
                None => None,
                // Whom nobody could name is nobody.
                Some(certificate) => Some(Identity::of(certificate)?),
            },
        })
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for TlsStream {
    async fn shutdown(&mut self) {
        // The client may be gone; there is nobody to tell.
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut self.0).await;
    }
}

impl UniqueID for TlsStream {
    fn id(&self) -> UniqueIDType {
        self.0.get_ref().0.id()
    }
}

impl Ssl for TlsStream {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        match self.0.get_ref().1.alpn_protocol()? {
            b"h2" => Some(ALPN::H2),
            b"http/1.1" => Some(ALPN::H1),
            _ => None,
        }
    }
}

#[async_trait]
impl Peek for TlsStream {}

impl GetTimingDigest for TlsStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.0.get_ref().0.get_timing_digest()
    }
}

impl GetProxyDigest for TlsStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.0.get_ref().0.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.0.get_mut().0.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for TlsStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.0.get_ref().0.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.0.get_mut().0.set_socket_digest(digest);
    }
}
