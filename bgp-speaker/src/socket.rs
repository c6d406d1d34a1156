//! TCP towards neighbors: connections of ours, and listeners for theirs, with all options that a BGP session wants.

use crate::sys;
use bgp_core::config::{Neighbor, TTL_SECURITY};
use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

/// Connects. `hold_time` bounds how long sent bytes may stay without an answer of the other kernel.
pub(crate) async fn connect(neighbor: Neighbor, hold_time: u16) -> io::Result<TcpStream> {
    let remote = address(neighbor.address, neighbor.port, neighbor.interface.as_deref())?;
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    set_options(&socket, &neighbor, hold_time)?;
    set_key(&socket, &neighbor, false)?;
    if let Some(source) = neighbor.source {
        if neighbor.freebind {
            if source.is_ipv4() { socket.set_freebind_v4(true)? } else { socket.set_freebind_v6(true)? }
        }
        socket.bind(&address(source, 0, neighbor.interface.as_deref())?.into())?;
    }
    TcpSocket::from_std_stream(socket.into()).connect(remote).await
}

/// What a connection that came has not from its listener.
pub(crate) fn adopt(stream: &TcpStream, neighbor: &Neighbor, hold_time: u16) -> io::Result<()> {
    set_options(&socket2::SockRef::from(stream), neighbor, hold_time)
}

/// Listens for `neighbors`: their keys must be there before they come, and what came over more routers than each of them
/// may is not even answered.
pub(crate) fn listen<'a>(
    at: SocketAddr,
    neighbors: impl Iterator<Item = &'a Neighbor> + Clone,
    inherited: Option<OwnedFd>,
) -> io::Result<TcpListener> {
    let listens = inherited.is_some();
    let socket = match inherited {
        Some(socket) => Socket::from(socket),
        None => Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?,
    };
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if at.is_ipv6() && !listens {
        socket.set_only_v6(true)?;
    }
    if let Some(least) = neighbors.clone().map(|neighbor| ttl(neighbor).1.unwrap_or(0)).min() {
        let farthest = neighbors.clone().filter_map(|neighbor| ttl(neighbor).0).max();
        sys::set_ttl(socket.as_fd(), at.is_ipv4(), farthest, Some(least).filter(|least| *least > 0))?;
    }
    neighbors.into_iter().try_for_each(|neighbor| set_key(&socket, neighbor, true))?;
    mark(&socket, at.is_ipv4())?;
    if !listens {
        socket.bind(&at.into())?;
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

/// Does the kernel sign as this neighbor wants? Said at the start, where it helps, and not at each connection.
pub(crate) fn try_key(neighbor: &Neighbor) -> io::Result<()> {
    let domain = if neighbor.address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    set_key(&Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?, neighbor, false)
}

/// The address with its link, as the system wants it.
pub(crate) fn address(ip: IpAddr, port: u16, interface: Option<&str>) -> io::Result<SocketAddr> {
    let link = match (ip, interface) {
        (IpAddr::V6(ip), Some(name)) if ip.is_unicast_link_local() => (ip, name),
        _ => return Ok(SocketAddr::new(ip, port)),
    };
    let index =
        if_nametoindex(link.1).map_err(|error| io::Error::other(format!("interface {}: {error}", link.1)))?;
    Ok(SocketAddrV6::new(link.0, port, 0, index).into())
}

fn set_options(socket: &Socket, neighbor: &Neighbor, hold_time: u16) -> io::Result<()> {
    let ipv4 = neighbor.address.is_ipv4();
    socket.set_tcp_nodelay(true)?;
    if hold_time > 0 {
        socket.set_tcp_user_timeout(Some(Duration::from_secs(hold_time.into())))?;
    }
    let (send, least) = ttl(neighbor);
    sys::set_ttl(socket.as_fd(), ipv4, send, least)?;
    mark(socket, ipv4)
}

fn set_key(socket: &Socket, neighbor: &Neighbor, listens: bool) -> io::Result<()> {
    if let Some(password) = &neighbor.password {
        sys::set_md5(socket.as_fd(), neighbor.address, password.0.as_bytes())?;
    }
    if let Some(ao) = &neighbor.tcp_ao {
        sys::set_tcp_ao(socket.as_fd(), neighbor.address, ao.get_ref(), listens)?;
    }
    Ok(())
}

/// CS6, network control: routing survives a full link (RFC 4594 section 3.2).
fn mark(socket: &Socket, ipv4: bool) -> io::Result<()> {
    if ipv4 { socket.set_tos_v4(CS6) } else { socket.set_tclass_v6(CS6) }
}

/// The TTL to send with, and the least to take (RFC 5082 section 3); `None`: as the system does.
fn ttl(neighbor: &Neighbor) -> (Option<u8>, Option<u8>) {
    let hops = neighbor.multihop.unwrap_or(1);
    let least = u8::try_from(TTL_SECURITY - u16::from(hops)).unwrap_or(u8::MAX);
    if neighbor.ttl_security { (Some(u8::MAX), Some(least)) } else { (neighbor.multihop, None) }
}

/// Differentiated services code point CS6 in its place in the byte.
const CS6: u32 = 0xc0;
/// Connections that wait to be accepted: as many as there may be neighbors.
const BACKLOG: i32 = 256;
