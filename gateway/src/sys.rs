//! What the standard library offers only as unsafe.
#![allow(unsafe_code)]

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the open socket `fd` end without a word to its other side: with the privilege to do so (CAP_NET_ADMIN)
/// nothing is sent at all, else a reset that the first router on the way throws away.
pub(crate) fn forget(fd: RawFd) {
    let set = |level, name, value: &[libc::c_int]| {
        // SAFETY: the kernel reads as many bytes as `value` has, during this call. Were the descriptor
        // another file's by now, the call would fail on it.
        let set = unsafe {
            libc::setsockopt(fd, level, name, value.as_ptr().cast(), size_of_val(value) as libc::socklen_t)
        };
        set == 0
    };
    if set(libc::IPPROTO_TCP, libc::TCP_REPAIR, &[1]) {
        return;
    }
    set(libc::IPPROTO_IP, libc::IP_TTL, &[1]);
    set(libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, &[1]);
    // On, and no time to linger.
    set(libc::SOL_SOCKET, libc::SO_LINGER, &[1, 0]);
}

/// A descriptor of its own for the open socket `fd`.
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is only borrowed for this call. Were it closed or another file's by now, the
    // call would fail or duplicate that file; no memory depends on it.
    unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()
}

/// A descriptor of its own for one that the process was started with, which programs that it starts itself do not get.
pub(crate) fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is only borrowed for these calls. Were there none, or another file's, the calls would
    // fail or concern that file; no memory depends on it.
    let given = unsafe { BorrowedFd::borrow_raw(fd) };
    fcntl(given, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    given.try_clone_to_owned()
}

/// Watches what comes in on the open socket `fd` beside who reads it, through a descriptor of its own.
pub(crate) fn watch(fd: RawFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is only borrowed for this call. Were it closed or another file's by now, the
    // call would fail or duplicate that file; no memory depends on it.
    let own = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()?;
    // SAFETY: an `OwnedFd` gives the same open descriptor for as long as it lives.
    unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) }.map_err(Into::into)
}
