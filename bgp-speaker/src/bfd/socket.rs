//! UDP for BFD (RFC 5881 sections 4 and 5, RFC 5883 section 5).
//!
//! The kernel's own check of the least TTL (IP_MINTTL) is accepted on UDP sockets and not done; so every
//! datagram's TTL is asked for, and checked by [`bgp_core::bfd::accept`].

use bgp_core::bfd::Arrival;
use bgp_core::bfd::demux::{FARTHEST, FIRST_SOURCE_PORT};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Where packets of all neighbors of one family and distance arrive.
pub(super) struct Listener {
    socket: Socket,
    multihop: bool,
}

/// Room for one datagram and what the kernel says about it; made once.
pub(super) struct Room {
    payload: [u8; DATAGRAM],
    control: Vec<u8>,
}

/// Where packets to one neighbor leave.
pub(super) struct Sender {
    socket: Socket,
    remote: SockAddr,
}

impl Listener {
    pub(super) fn open(ipv4: bool, port: u16, multihop: bool) -> io::Result<Self> {
        let address = SocketAddr::new(unspecified(ipv4), port);
        let socket = udp(ipv4)?;
        if ipv4 {
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
        } else {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
        }
        socket.bind(&address.into())?;
        Ok(Self { socket, multihop })
    }

    /// One that another process had.
    pub(super) fn resume(socket: OwnedFd, multihop: bool) -> Self {
        Self { socket: socket.into(), multihop }
    }

    /// Takes one datagram, if there is one. `None`: there is none. A payload that is longer than any that
    /// is accepted is cut.
    pub(super) fn receive<'a>(&self, room: &'a mut Room) -> Option<(&'a [u8], Arrival)> {
        let mut parts = [IoSliceMut::new(&mut room.payload)];
        let received = loop {
            let control = Some(room.control.as_mut_slice());
            match recvmsg::<SockaddrStorage>(
                self.socket.as_raw_fd(),
                &mut parts,
                control,
                MsgFlags::MSG_DONTWAIT,
            ) {
                Err(Errno::EINTR) => {}
                received => break received.ok()?,
            }
        };
        let (count, source) = (received.bytes, received.address.as_ref().and_then(ip));
        let ttl = received.cmsgs().ok().and_then(|mut messages| {
            messages.find_map(|message| match message {
                ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) => {
                    u8::try_from(ttl).ok()
                }
                _ => None,
            })
        });
        let source = source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let payload = room.payload.get(..count).unwrap_or_default();
        Some((payload, Arrival { source, ttl, multihop: self.multihop }))
    }

    #[cfg(test)]
    pub(super) fn port(&self) -> u16 {
        self.socket
            .local_addr()
            .ok()
            .and_then(|address| address.as_socket())
            .map_or(0, |address| address.port())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Room {
    pub(super) fn new() -> Self {
        Self { payload: [0; DATAGRAM], control: cmsg_space!(libc::c_int, libc::c_int) }
    }
}

impl Sender {
    /// Opens a socket with a port of its own, at or after one that `seed` chooses, for packets to `remote`.
    /// An address in `source` may still be missing.
    pub(super) fn open(source: Option<IpAddr>, remote: SocketAddr, seed: u64) -> io::Result<Self> {
        let ipv4 = remote.is_ipv4();
        let socket = udp(ipv4)?;
        // CS6, network control: detection survives a full link (RFC 4594 section 3.2).
        if ipv4 {
            socket.set_ttl_v4(FARTHEST.into())?;
            socket.set_tos_v4(CS6)?;
            socket.set_freebind_v4(true)?;
        } else {
            socket.set_only_v6(true)?;
            socket.set_unicast_hops_v6(FARTHEST.into())?;
            socket.set_tclass_v6(CS6)?;
            socket.set_freebind_v6(true)?;
        }
        let source = source.unwrap_or_else(|| unspecified(ipv4));
        let count = u64::from(u16::MAX - FIRST_SOURCE_PORT) + 1;
        for offset in 0..count {
            let port = u64::from(FIRST_SOURCE_PORT) + seed.wrapping_add(offset) % count;
            let mut address = SocketAddr::new(source, u16::try_from(port).unwrap_or(u16::MAX));
            // A link-local one is of the link that the neighbor is on.
            if let (SocketAddr::V6(local), SocketAddr::V6(remote)) = (&mut address, remote) {
                local.set_scope_id(remote.scope_id());
            }
            match socket.bind(&address.into()) {
                Ok(()) => return Ok(Self { socket, remote: remote.into() }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no port from 49152 to 65535 is free"))
    }

    /// One that another process had.
    pub(super) fn resume(socket: OwnedFd, remote: SocketAddr) -> Self {
        Self { socket: socket.into(), remote: remote.into() }
    }

    /// Sends; says whether the kernel took it.
    pub(super) fn send(&self, payload: &[u8]) -> bool {
        self.socket.send_to(payload, &self.remote).is_ok()
    }
}

impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn udp(ipv4: bool) -> io::Result<Socket> {
    let domain = if ipv4 { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

const fn unspecified(ipv4: bool) -> IpAddr {
    if ipv4 { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) }
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| address.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
}

/// Bytes of the longest control packet that a length field can tell of.
const DATAGRAM: usize = 255;
/// Differentiated services code point CS6 in its place in the byte.
const CS6: u32 = 0xc0;
