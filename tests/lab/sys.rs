//! The unsafe corner: what a child does between fork and exec.
#![allow(unsafe_code)]

use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes `command` start in the network namespace (if any), outside the terminal's process group (an
/// interrupt is the lab's to handle), and die with the thread that spawns it.
pub(crate) fn confine(command: &mut Command, namespace: Option<File>) {
    command.process_group(0);
    let enter = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        if let Some(namespace) = &namespace {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
        }
        Ok(())
    };
    // SAFETY: runs in the child between fork and exec. It makes two system calls, prctl and setns, which
    // are async-signal-safe; it neither allocates nor takes a lock (an errno converts to io::Error
    // without allocating).
    unsafe { command.pre_exec(enter) };
}
