//! A connection to a server as this gateway makes it itself: for all of mode tcp, and for the requests that
//! [`crate::exchange`] carries out. What goes through pingora's proxy is connected by pingora.

use super::connect::{announce, announce_on, unreached};
use super::secure::Secure;
use super::server::Server;
use gateway_core::failure::NoConnection;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// The connection.
#[derive(Debug)]
pub(crate) enum Connection {
    /// In clear.
    Plain(TcpStream),
    /// To a UNIX socket.
    Local(UnixStream),
    /// In TLS.
    Secure(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// Connects to a server, begins with `header`, and shakes hands by `secure` where it speaks TLS. `name` is the one that it
    /// is asked for, where that is the client's choice.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn open(
        server: &Server,
        secure: Option<&Secure>,
        header: &[u8],
        name: Option<&str>,
    ) -> Result<Self, (NoConnection, io::Error)> {
        let unreached = |error| (unreached(&error), error);
        if let Some(path) = server.path() {
            return announce_on(path, header).await.map(Self::Local).map_err(unreached);
        }
        // It may be nowhere since it was chosen.
        let nowhere = || (NoConnection::Server, io::ErrorKind::NotConnected.into());
        let address = server.address().ok_or_else(nowhere)?;
        let stream = announce(address, server.source, header).await.map_err(unreached)?;
        match secure {
            None if server.is_secure() => {
                Err((NoConnection::Server, io::Error::other("no TLS for this server here")))
            }
            None => Ok(Self::Plain(stream)),
            Some(secure) => {
                let for_client = server.is_asked_for_clients_name(name);
                let disagreed = |error| (NoConnection::Handshake { for_client }, error);
                let secure = secure.handshake(stream, address.ip(), name).await.map_err(disagreed)?;
                Ok(Self::Secure(Box::new(secure)))
            }
        }
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> RawFd {
        match self {
            Self::Plain(stream) => stream.as_raw_fd(),
            Self::Local(stream) => stream.as_raw_fd(),
            Self::Secure(stream) => stream.get_ref().0.as_raw_fd(),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Local(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Secure(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Local(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Secure(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Local(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secure(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Local(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
