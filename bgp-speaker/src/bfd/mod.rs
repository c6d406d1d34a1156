//! BFD's shell: one thread of its own, which nothing else in this process can hold up, drives the machines
//! of [`bgp_core::bfd`] with packets and time.
//!
//! ```text
//!   start ──sessions──► ┌──────────── thread "bfd" ───────────┐ ──changes, bounded──► neighbor tasks
//!   stop ──eventfd────► │ ppoll: packets, commands, deadlines │
//!                       └─────────────────────────────────────┘ ──atomics──► metrics, status
//! ```
//!
//! It promises: in its loop it waits for nothing but packets, commands and deadlines, takes no lock,
//! writes no log, and allocates nothing except where a state changes. It gets real-time priority and
//! memory that stays in place where the system allows it, and says so where not.

pub(crate) mod metrics;
mod realtime;
mod session;
mod socket;
mod sys;
#[cfg(test)]
mod tests;
mod thread;

pub(crate) use metrics::Metrics;
pub(crate) use session::{CHANGES, Peer};

use base::Clock;
use bgp_core::bfd::Hops;
use bgp_core::bfd::demux::{MULTIHOP_PORT, SINGLE_HOP_PORT};
use nix::sys::eventfd::{EfdFlags, EventFd};
use prometheus::IntCounter;
use session::Session;
use socket::Listener;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use thread::Loop;

/// The running thread. Dropped, the thread ends without a word to anybody: to the routers it is as if the
/// node had died.
pub(crate) struct Bfd {
    commands: Option<SyncSender<Command>>,
    wake: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is told.
#[derive(Clone, Copy, Debug)]
enum Command {
    /// All sessions go AdminDown: what follows is no failure of the path.
    Disable,
}

impl Bfd {
    /// Opens the sockets that `peers` need, and starts the thread.
    pub(crate) fn start(
        peers: Vec<Peer>,
        clock: Clock,
        discarded: [IntCounter; metrics::REASONS],
    ) -> io::Result<Self> {
        let mut ways = BTreeSet::new();
        for peer in &peers {
            ways.insert((peer.address.is_ipv4(), peer.hops != Hops::Single));
        }
        let listeners = ways.into_iter().map(|(ipv4, multihop)| {
            let port = if multihop { MULTIHOP_PORT } else { SINGLE_HOP_PORT };
            Listener::open(ipv4, port, multihop)
                .map_err(|error| io::Error::new(error.kind(), format!("UDP port {port}: {error}")))
        });
        let listeners = listeners.collect::<io::Result<_>>()?;
        let sessions = peers.into_iter().map(Session::new).collect::<io::Result<_>>()?;
        Self::spawn(sessions, listeners, clock, discarded)
    }

    fn spawn(
        sessions: Vec<Session>,
        listeners: Vec<Listener>,
        clock: Clock,
        discarded: [IntCounter; metrics::REASONS],
    ) -> io::Result<Self> {
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let (commands, inbox) = sync_channel(COMMANDS);
        realtime::lock_memory();
        let turn = Loop::new(clock, sessions, listeners, inbox, Arc::clone(&wake), discarded);
        let (tell, told) = sync_channel(1);
        let body = move || {
            // Whoever started the thread logs it: a log may wait, this thread may not.
            let _ = tell.send(realtime::raise_priority());
            turn.run();
        };
        let thread = std::thread::Builder::new().name("bfd".into()).stack_size(STACK).spawn(body)?;
        if let Ok(Err(error)) = told.recv() {
            tracing::warn!(%error, "BFD runs without real-time priority: a busy node may lose sessions");
        }
        Ok(Self { commands: Some(commands), wake, thread: Some(thread) })
    }

    /// Tells all neighbors that what follows is intended, and ends. To be called once nothing is announced
    /// any more.
    pub(crate) async fn stop(mut self) {
        if let Some(commands) = &self.commands {
            let _ = commands.try_send(Command::Disable);
        }
        self.end();
        if let Some(thread) = self.thread.take() {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    /// A channel without a sender ends the thread, after what is still in it.
    fn end(&mut self) {
        self.commands = None;
        let _ = self.wake.write(1);
    }
}

impl Drop for Bfd {
    fn drop(&mut self) {
        self.end();
    }
}

/// Commands that may wait; there is one.
const COMMANDS: usize = 4;
/// Bytes of stack: the loop has one datagram on it and calls little.
const STACK: usize = 256 * 1024;
