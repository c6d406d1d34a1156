//! The one system call here that has no safe wrapper.
#![allow(unsafe_code)]

use std::io;

/// Puts the calling thread, and none that it starts, ahead of all ordinary ones: SCHED_FIFO.
pub(super) fn schedule_fifo(priority: libc::c_int) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: 0 is the calling thread; the kernel only reads `parameters`, which outlives the call.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
