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

use base::Clock;
use bgp_core::bfd::demux::{MULTIHOP_PORT, SINGLE_HOP_PORT};
use bgp_core::bfd::{Change, Hops, Settings};
use bgp_core::config::Config;
use nix::sys::eventfd::{EfdFlags, EventFd};
use prometheus::IntCounter;
use session::{Peer, Session};
use socket::Listener;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use thread::Loop;
use tokio::sync::mpsc;

/// The running thread. Dropped, the thread ends without a word to anybody: to the routers it is as if the
/// node had died.
pub(crate) struct Bfd {
    commands: Option<SyncSender<Command>>,
    wake: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

/// What BFD tells each neighbor's task; `None` for one without BFD.
pub(crate) type Paths = Vec<Option<mpsc::Receiver<Change>>>;

/// What the thread is told.
#[derive(Clone, Copy, Debug)]
enum Command {
    /// All sessions go AdminDown: what follows is no failure of the path.
    Disable,
}

impl Bfd {
    /// Opens the sockets that the neighbors' sessions need, and starts the thread; does neither if no neighbor
    /// has BFD. The paths are in the order of the neighbors.
    pub(crate) fn start(
        config: &Config,
        clock: Clock,
        metrics: &Metrics,
    ) -> io::Result<(Option<Self>, Paths)> {
        let (random, mut used) = (RandomState::new(), BTreeSet::new());
        let (mut sessions, mut ways, mut paths) = (Vec::new(), BTreeSet::new(), Paths::new());
        for neighbor in &config.neighbors {
            let Some(bfd) = neighbor.bfd else {
                paths.push(None);
                continue;
            };
            let (changes, path) = mpsc::channel(CHANGES);
            paths.push(Some(path));
            ways.insert((neighbor.address.is_ipv4(), bfd.hops != Hops::Single));
            let discriminator = discriminator(&random, &mut used);
            sessions.push(Session::new(Peer {
                address: neighbor.address,
                interface: neighbor.interface.clone(),
                source: neighbor.source,
                hops: bfd.hops,
                settings: Settings {
                    discriminator,
                    timers: bfd.timers,
                    seed: random.hash_one(&neighbor.name),
                },
                changes,
                metrics: metrics.peer(&neighbor.name),
            })?);
        }
        if sessions.is_empty() {
            return Ok((None, paths));
        }
        let listeners = ways.into_iter().map(|(ipv4, multihop)| listen(ipv4, multihop));
        let bfd = Self::spawn(sessions, listeners.collect::<io::Result<_>>()?, clock, metrics.discarded())?;
        Ok((Some(bfd), paths))
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

/// A number that no other session has, and nobody outside can guess: over several hops that is what stands
/// against forgery (RFC 5883 section 3).
fn discriminator(random: &RandomState, used: &mut BTreeSet<u32>) -> NonZeroU32 {
    let mut attempts = (0_u64..).map(|attempt| (random.hash_one(attempt) >> 32) as u32);
    let fresh = attempts.find(|number| *number != 0 && used.insert(*number));
    fresh.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

fn listen(ipv4: bool, multihop: bool) -> io::Result<Listener> {
    let port = if multihop { MULTIHOP_PORT } else { SINGLE_HOP_PORT };
    Listener::open(ipv4, port, multihop)
        .map_err(|error| io::Error::new(error.kind(), format!("UDP port {port}: {error}")))
}

/// Changes that may wait for a neighbor's task.
const CHANGES: usize = 16;
/// Commands that may wait; there is one.
const COMMANDS: usize = 4;
/// Bytes of stack: the loop has one datagram on it and calls little.
const STACK: usize = 256 * 1024;
