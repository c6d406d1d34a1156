//! Stops one thread of a process and leaves the others running: a worker that is stuck.
//!
//! A signal stops a whole process; ptrace(2) stops a thread. `PTRACE_SEIZE` and `PTRACE_INTERRUPT` leave
//! no trace in the process once it is let go.

use anyhow::{Context, Result, bail};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// A thread that stands still. Dropping this lets it run again.
#[derive(Debug)]
pub struct Frozen {
    let_go: Option<SyncSender<()>>,
    tracer: Option<JoinHandle<()>>,
}

impl Frozen {
    /// Stops the thread called `name` of process `pid`.
    pub fn thread(pid: Pid, name: &str) -> Result<Self> {
        let thread = find(pid, name)?;
        let (ready, stopped) = sync_channel(1);
        let (let_go, wait) = sync_channel::<()>(1);
        // All requests must come from the thread that seized.
        let work = move || {
            let held = seize(thread);
            let is_held = held.is_ok();
            let _ = ready.send(held);
            if is_held {
                let _ = wait.recv();
                // The process may have been killed meanwhile.
                let _ = ptrace::detach(thread, None);
            }
        };
        let tracer = std::thread::Builder::new().name("lab-tracer".to_owned()).spawn(work)?;
        stopped.recv().context("the tracer has ended")?.with_context(|| format!("cannot stop {name}"))?;
        Ok(Self { let_go: Some(let_go), tracer: Some(tracer) })
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.let_go.take());
        if let Some(tracer) = self.tracer.take() {
            let _ = tracer.join();
        }
    }
}

fn seize(thread: Pid) -> nix::Result<()> {
    ptrace::seize(thread, ptrace::Options::empty())?;
    ptrace::interrupt(thread)?;
    waitpid(thread, Some(WaitPidFlag::__WALL)).map(drop)
}

fn find(pid: Pid, name: &str) -> Result<Pid> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let entry = entry?;
        let comm = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if comm.trim_end() == name {
            return Ok(Pid::from_raw(entry.file_name().to_string_lossy().parse()?));
        }
        names.push(comm.trim_end().to_owned());
    }
    bail!("process {pid} has no thread {name}; it has {}", names.join(", "))
}
