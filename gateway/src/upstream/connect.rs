//! Connections to servers from an address that the operator chose (HAProxy manual, `source`), also one that
//! this node does not have yet.

use async_trait::async_trait;
use gateway_core::failure::NoConnection;
use nix::errno::Errno;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr as AnyAddress;
use pingora::protocols::l4::stream::Stream;
use pingora::{Error, ErrorType, OkOrErr, Result};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream, UnixStream};

/// Where connections to a server come from.
#[derive(Debug)]
pub(super) struct Source(pub(super) IpAddr);

/// A connection that begins with a PROXY header.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) source: Option<IpAddr>,
    pub(super) header: Vec<u8>,
}

#[async_trait]
impl L4Connect for Source {
    async fn connect(&self, address: &AnyAddress) -> Result<Stream> {
        let address = address.as_inet().or_err(ErrorType::ConnectError, "not an IP address")?;
        connect(*address, Some(self.0)).await.map(Stream::from).map_err(failed)
    }
}

#[async_trait]
impl L4Connect for Announced {
    async fn connect(&self, address: &AnyAddress) -> Result<Stream> {
        if let AnyAddress::Unix(address) = address {
            let path = address.as_pathname().or_err(ErrorType::ConnectError, "not a path")?;
            return announce_on(path, &self.header).await.map(Stream::from).map_err(failed);
        }
        let address = address.as_inet().or_err(ErrorType::ConnectError, "not an IP address")?;
        announce(*address, self.source, &self.header).await.map(Stream::from).map_err(failed)
    }
}

fn failed(error: io::Error) -> Box<Error> {
    let refused = error.kind() == io::ErrorKind::ConnectionRefused;
    let kind = if refused { ErrorType::ConnectRefused } else { ErrorType::ConnectError };
    Error::because(kind, "in a way of our own", error)
}

/// Why a socket did not get its connection.
pub(crate) fn unreached(error: &io::Error) -> NoConnection {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EADDRNOTAVAIL) => NoConnection::NoPort,
        // No more files for this process or this system, no memory.
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => NoConnection::Exhausted,
        _ => NoConnection::Server,
    }
}

/// A connection that begins with `header`, which may be empty.
pub(super) async fn announce(
    address: SocketAddr,
    source: Option<IpAddr>,
    header: &[u8],
) -> io::Result<TcpStream> {
    let mut server = connect(address, source).await?;
    // Or the first bytes would wait until the header is acknowledged.
    server.set_nodelay(true)?;
    server.write_all(header).await?;
    Ok(server)
}

/// The same to a UNIX socket.
pub(super) async fn announce_on(path: &Path, header: &[u8]) -> io::Result<UnixStream> {
    let mut server = UnixStream::connect(path).await?;
    server.write_all(header).await?;
    Ok(server)
}

/// A connection to `address`, from `source` if there is one.
async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(address).await };
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let options = socket2::SockRef::from(&socket);
    match source {
        IpAddr::V4(_) => options.set_freebind_v4(true)?,
        IpAddr::V6(_) => options.set_freebind_v6(true)?,
    }
    // The port is chosen when it is known where to, so the same one serves many servers.
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(address).await
}
