//! The few system calls that have no safe wrapper.
#![allow(unsafe_code)]

use bgp_core::config::{AoAlgorithm, TcpAo};
use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// `struct tcp_md5sig` (Linux, include/uapi/linux/tcp.h).
#[repr(C)]
struct Md5Signature {
    address: socket2::SockAddrStorage,
    flags: u8,
    prefix_length: u8,
    key_length: u16,
    interface: libc::c_int,
    key: [u8; 80],
}

/// Signs every segment to and from `peer` with `key` (TCP MD5, RFC 2385). To be called before connecting.
pub(crate) fn set_md5(socket: BorrowedFd<'_>, peer: IpAddr, key: &[u8]) -> io::Result<()> {
    let mut signature = Md5Signature {
        address: socket2::SockAddr::from(std::net::SocketAddr::new(peer, 0)).as_storage(),
        flags: 0,
        prefix_length: 0,
        key_length: 0,
        interface: 0,
        key: [0; 80],
    };
    let room = signature.key.get_mut(..key.len());
    room.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the TCP MD5 key is too long"))?
        .copy_from_slice(key);
    signature.key_length = u16::try_from(key.len()).unwrap_or_default();
    set(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG, &signature)
}

/// `struct tcp_ao_add` (Linux, include/uapi/linux/tcp.h).
#[repr(C, align(8))]
struct AuthenticationKey {
    address: socket2::SockAddrStorage,
    algorithm: [u8; 64],
    interface: i32,
    /// Bit 0: sign with it at once; bit 1: ask the other side to.
    use_now: u32,
    reserved: u16,
    prefix: u8,
    send_id: u8,
    recv_id: u8,
    mac_length: u8,
    flags: u8,
    key_length: u8,
    key: [u8; 80],
}

/// Signs every segment to and from `peer` with the TCP Authentication Option (RFC 5925). To be called before connecting.
pub(crate) fn set_tcp_ao(socket: BorrowedFd<'_>, peer: IpAddr, ao: &TcpAo, listens: bool) -> io::Result<()> {
    let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "the TCP-AO key is too long");
    let name: &[u8] = match ao.algorithm {
        AoAlgorithm::HmacSha1 => b"hmac(sha1)",
        AoAlgorithm::CmacAes128 => b"cmac(aes128)",
    };
    let (mut algorithm, mut key) = ([0; 64], [0; 80]);
    algorithm.get_mut(..name.len()).ok_or_else(too_long)?.copy_from_slice(name);
    let secret = ao.key.0.as_bytes();
    key.get_mut(..secret.len()).ok_or_else(too_long)?.copy_from_slice(secret);
    let add = AuthenticationKey {
        address: socket2::SockAddr::from(std::net::SocketAddr::new(peer, 0)).as_storage(),
        algorithm,
        interface: 0,
        use_now: if listens { 0 } else { 0b11 },
        reserved: 0,
        prefix: if peer.is_ipv4() { 32 } else { 128 },
        send_id: ao.send_id,
        recv_id: ao.recv_id,
        mac_length: AO_MAC,
        flags: 0,
        key_length: u8::try_from(secret.len()).unwrap_or_default(),
        key,
    };
    set(socket, libc::IPPROTO_TCP, TCP_AO_ADD_KEY, &add)
}

/// Sends with this TTL, and takes only what arrives with at least that one (GTSM, RFC 5082), for IPv4 or IPv6.
pub(crate) fn set_ttl(
    socket: BorrowedFd<'_>,
    ipv4: bool,
    send: Option<u8>,
    least: Option<u8>,
) -> io::Result<()> {
    let (level, ttl, min_ttl) = if ipv4 {
        (libc::IPPROTO_IP, libc::IP_TTL, libc::IP_MINTTL)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, IPV6_MINHOPCOUNT)
    };
    for (option, value) in [(ttl, send), (min_ttl, least)] {
        if let Some(value) = value {
            set(socket, level, option, &libc::c_int::from(value))?;
        }
    }
    Ok(())
}

/// A descriptor that has just come out of a message, and belongs to nobody yet.
pub(crate) fn own(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made it for this process, and nothing else has seen it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Asks for a better place in the scheduler's queue: `nice` as of `nice(2)`.
pub(crate) fn set_priority(nice: i32) -> io::Result<()> {
    // SAFETY: takes three numbers; 0 is the calling process.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set<T>(socket: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(mem::size_of::<T>()).unwrap_or(0);
    // SAFETY: the descriptor is open as long as it is borrowed; `value` is valid for `length` bytes, which
    // the kernel only reads.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const *value).cast(), length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Linux 6.7 and later, include/uapi/linux/tcp.h.
const TCP_AO_ADD_KEY: libc::c_int = 38;
/// Bytes of a signature: 96 bits (RFC 5926).
const AO_MAC: u8 = 12;
/// Linux, include/uapi/linux/in6.h.
const IPV6_MINHOPCOUNT: libc::c_int = 73;
