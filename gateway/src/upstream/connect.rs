//! Connections to servers from an address that the operator chose (HAProxy manual, `source`), also one that
//! this node does not have yet.

use async_trait::async_trait;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr as AnyAddress;
use pingora::protocols::l4::stream::Stream;
use pingora::{Error, ErrorType, OkOrErr, Result};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream};

/// Where connections to a server come from.
#[derive(Debug)]
pub(super) struct Source(pub(super) IpAddr);

#[async_trait]
impl L4Connect for Source {
    async fn connect(&self, address: &AnyAddress) -> Result<Stream> {
        let address = address.as_inet().or_err(ErrorType::ConnectError, "not an IP address")?;
        match connect(*address, Some(self.0)).await {
            Ok(stream) => Ok(stream.into()),
            Err(error) => {
                let refused = error.kind() == io::ErrorKind::ConnectionRefused;
                let kind = if refused { ErrorType::ConnectRefused } else { ErrorType::ConnectError };
                Err(Error::because(kind, format!("from {}", self.0), error))
            }
        }
    }
}

/// A connection to `address`, from `source` if there is one.
pub(crate) async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
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
