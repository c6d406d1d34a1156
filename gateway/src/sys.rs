//! What the standard library offers only as unsafe.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches what comes in on the open socket `fd` beside who reads it, through a descriptor of its own.
pub(crate) fn watch(fd: RawFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is only borrowed for this call. Were it closed or another file's by now, the
    // call would fail or duplicate that file; no memory depends on it.
    let own = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()?;
    // SAFETY: an `OwnedFd` gives the same open descriptor for as long as it lives.
    unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) }.map_err(Into::into)
}
