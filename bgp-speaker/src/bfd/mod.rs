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

use crate::handover::SavedPath;
use crate::handover::take::Inherited;
use base::Clock;
use bgp_core::bfd::demux::{MULTIHOP_PORT, SINGLE_HOP_PORT};
use bgp_core::bfd::{Change, Hops, Settings, State};
use bgp_core::config::Config;
use bgp_core::config::change::Key;
use nix::sys::eventfd::{EfdFlags, EventFd};
use prometheus::IntCounter;
use session::{Peer, Session};
use socket::Listener;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use thread::Loop;
use tokio::sync::{mpsc, oneshot};

/// The running thread. Dropped, the thread ends without a word to anybody: to the routers it is as if the
/// node had died.
pub(crate) struct Bfd {
    commands: Option<SyncSender<Command>>,
    wake: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
    /// For another process, by name.
    listeners: Vec<(String, OwnedFd)>,
}

/// Everything but the thread.
pub(crate) struct Prepared {
    sessions: Vec<Session>,
    listeners: Vec<Listener>,
    copies: Vec<(String, OwnedFd)>,
    clock: Clock,
    discarded: [IntCounter; metrics::REASONS],
}

/// What BFD tells each neighbor's task; `None` for one without BFD.
pub(crate) type Paths = Vec<Option<mpsc::Receiver<Change>>>;

/// What the thread is told.
#[derive(Debug)]
enum Command {
    /// All sessions go AdminDown: what follows is no failure of the path.
    Disable,
    /// Tell what another process needs to go on, and do nothing more; go on if nobody says which sessions end.
    Freeze { reply: oneshot::Sender<Vec<(SavedPath, OwnedFd)>>, gone: oneshot::Receiver<Vec<Key>> },
}

impl Prepared {
    /// Goes on with the sessions of another process. `known`: what the neighbors' tasks know of them.
    pub(crate) fn resume(
        &mut self,
        saved: impl Iterator<Item = (SavedPath, OwnedFd)>,
        known: &BTreeMap<Key, State>,
    ) {
        for (path, socket) in saved {
            if let Some(session) = self.sessions.iter_mut().find(|session| *session.key() == path.neighbor) {
                session.resume(&path.machine, socket, known.get(&path.neighbor).copied());
            }
        }
    }

    /// Starts the thread, if there is something to do for it.
    pub(crate) fn spawn(self) -> io::Result<Option<Bfd>> {
        let Self { sessions, listeners, copies, clock, discarded } = self;
        if sessions.is_empty() {
            return Ok(None);
        }
        let mut bfd = Bfd::spawn(sessions, listeners, clock, discarded)?;
        bfd.listeners = copies;
        Ok(Some(bfd))
    }
}

impl Bfd {
    /// Opens the sockets that the neighbors' sessions need, as far as they are not inherited. The paths are in the order
    /// of the neighbors.
    pub(crate) fn prepare(
        config: &Config,
        clock: Clock,
        metrics: &Metrics,
        inherited: &mut Inherited,
    ) -> io::Result<(Prepared, Paths)> {
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
                key: neighbor.key(),
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
        let (mut listeners, mut copies) = (Vec::new(), Vec::new());
        for (ipv4, multihop) in ways {
            let name = format!("bfd {} {multihop}", if ipv4 { 4 } else { 6 });
            let listener = match inherited.take(&name) {
                Some(socket) => Listener::resume(socket, multihop),
                None => listen(ipv4, multihop)?,
            };
            copies.push((name, listener.as_fd().try_clone_to_owned()?));
            listeners.push(listener);
        }
        Ok((Prepared { sessions, listeners, copies, clock, discarded: metrics.discarded() }, paths))
    }

    /// For another process, by name.
    pub(crate) fn listeners(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let copy = |(name, socket): &(String, OwnedFd)| Ok((name.clone(), socket.try_clone()?));
        self.listeners.iter().map(copy).collect()
    }

    /// Stops the thread where it is. It goes on when what decides its fate is dropped; told which sessions end, it ends.
    pub(crate) async fn freeze(&self) -> Option<(Vec<(SavedPath, OwnedFd)>, oneshot::Sender<Vec<Key>>)> {
        let ((reply, saved), (end, gone)) = (oneshot::channel(), oneshot::channel());
        self.commands.as_ref()?.try_send(Command::Freeze { reply, gone }).ok()?;
        let _ = self.wake.write(1);
        Some((saved.await.ok()?, end))
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
        Ok(Self { commands: Some(commands), wake, thread: Some(thread), listeners: Vec::new() })
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
