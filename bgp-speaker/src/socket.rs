//! Opens the TCP connection to a neighbor, with all options that a BGP session wants.

use crate::sys;
use bgp_core::config::Neighbor;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

/// Connects. `hold_time` bounds how long sent bytes may stay without an answer of the other kernel.
pub(crate) async fn connect(neighbor: Neighbor, hold_time: u16) -> io::Result<TcpStream> {
    let remote = SocketAddr::new(neighbor.address, neighbor.port);
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if hold_time > 0 {
        socket.set_tcp_user_timeout(Some(Duration::from_secs(hold_time.into())))?;
    }
    if neighbor.ttl_security {
        sys::set_ttl_security(socket.as_fd(), remote.is_ipv4())?;
    }
    if let Some(password) = &neighbor.password {
        sys::set_md5(socket.as_fd(), remote.ip(), password.0.as_bytes())?;
    }
    if let Some(source) = neighbor.source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    // CS6, network control: routing survives a full link (RFC 4594 section 3.2).
    let marked = if remote.is_ipv4() { socket.set_tos_v4(CS6) } else { socket.set_tclass_v6(CS6) };
    marked?;
    TcpSocket::from_std_stream(socket.into()).connect(remote).await
}

/// Differentiated services code point CS6 in its place in the byte.
const CS6: u32 = 0xc0;
