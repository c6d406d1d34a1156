//! The few system calls that have no safe wrapper.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

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

/// Sends with a TTL of 255 and takes only what arrives with one (GTSM, RFC 5082), for IPv4 or IPv6.
pub(crate) fn set_ttl_security(socket: BorrowedFd<'_>, ipv4: bool) -> io::Result<()> {
    let farthest: libc::c_int = 255;
    if ipv4 {
        set(socket, libc::IPPROTO_IP, libc::IP_TTL, &farthest)?;
        set(socket, libc::IPPROTO_IP, libc::IP_MINTTL, &farthest)
    } else {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, &farthest)?;
        set(socket, libc::IPPROTO_IPV6, IPV6_MINHOPCOUNT, &farthest)
    }
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

/// Linux, include/uapi/linux/in6.h.
const IPV6_MINHOPCOUNT: libc::c_int = 73;
