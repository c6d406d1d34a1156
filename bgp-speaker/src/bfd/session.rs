//! One session in the thread: its machine, its socket, and who is told.

use super::metrics::PeerMetrics;
use super::socket::Sender;
use crate::handover::SavedPath;
use base::Clock;
use base_core::{Machine, Time};
use bgp_core::bfd::demux::{MULTIHOP_PORT, SINGLE_HOP_PORT};
use bgp_core::bfd::{
    self, Action, Change, Diagnostic, Event, Hops, Identity, Packet, Settings, State, Timers,
};
use bgp_core::config::change::Key;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// A neighbor to hold a session with.
pub(crate) struct Peer {
    /// By which another process knows it.
    pub(crate) key: Key,
    pub(crate) address: IpAddr,
    /// The link of a link-local address.
    pub(crate) interface: Option<String>,
    pub(crate) source: Option<IpAddr>,
    pub(crate) hops: Hops,
    pub(crate) settings: Settings,
    /// Who is told of changes. Changes that find it full become one, and are offered again.
    pub(crate) changes: mpsc::Sender<Change>,
    pub(crate) metrics: PeerMetrics,
}

pub(super) struct Session {
    key: Key,
    remote: SocketAddr,
    timers: Timers,
    seed: u64,
    identity: Identity,
    machine: bfd::Session,
    sender: Sender,
    changes: mpsc::Sender<Change>,
    untold: Option<Change>,
    metrics: PeerMetrics,
}

impl Peer {
    fn remote(&self) -> io::Result<SocketAddr> {
        let port = match self.hops {
            Hops::Single => SINGLE_HOP_PORT,
            Hops::Multiple { .. } => MULTIHOP_PORT,
        };
        crate::socket::address(self.address, port, self.interface.as_deref())
    }
}

impl Session {
    pub(super) fn new(peer: Peer) -> io::Result<Self> {
        let remote = peer.remote()?;
        Self::towards(peer, remote)
    }

    pub(super) fn towards(peer: Peer, remote: SocketAddr) -> io::Result<Self> {
        let Peer { key, address, source, hops, settings, changes, metrics, .. } = peer;
        let sender = Sender::open(source, remote, settings.seed)?;
        let identity = Identity { discriminator: settings.discriminator, address, hops };
        let machine = bfd::Session::new(settings);
        metrics.state(machine.state());
        let (timers, seed) = (settings.timers, settings.seed);
        Ok(Self { key, remote, timers, seed, identity, machine, sender, changes, untold: None, metrics })
    }

    pub(super) const fn key(&self) -> &Key {
        &self.key
    }

    /// What another process goes on with.
    pub(super) fn save(&self) -> io::Result<(SavedPath, OwnedFd)> {
        let saved = SavedPath { neighbor: self.key.clone(), machine: self.machine.save() };
        Ok((saved, self.sender.as_fd().try_clone_to_owned()?))
    }

    /// Goes on with what another process saved. `known`: what the neighbor's task knows of it. A change that it was not
    /// told of it is told of now.
    pub(super) fn resume(&mut self, saved: &bfd::Saved, socket: OwnedFd, known: Option<bfd::State>) {
        self.machine = bfd::Session::resume(self.timers, self.seed, saved);
        self.identity.discriminator = saved.discriminator();
        self.sender = Sender::resume(socket, self.remote);
        self.metrics.state(saved.state());
        let (from, to, remote) = (known.unwrap_or_default(), saved.state(), saved.remote_state());
        if from != to {
            let failed = from == State::Up && to == State::Down && remote != State::AdminDown;
            let diagnostic = if failed { Diagnostic::EXPIRED } else { Diagnostic::NONE };
            self.tell(Change { from, to, diagnostic, remote, failed });
        }
    }

    /// Agrees on the timers of the configuration, where they are others than before.
    pub(super) fn retime(&mut self, clock: Clock, actions: &mut Vec<Action>) {
        self.feed(Event::Retime(self.timers), clock.now(), actions);
    }

    pub(super) const fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.machine.next_deadline()
    }

    pub(super) fn received(&mut self, packet: Packet, clock: Clock, actions: &mut Vec<Action>) {
        self.metrics.received();
        self.feed(Event::Received(packet), clock.now(), actions);
    }

    pub(super) fn disable(&mut self, clock: Clock, actions: &mut Vec<Action>) {
        self.feed(Event::Disable, clock.now(), actions);
    }

    /// Does what is due.
    pub(super) fn turn(&mut self, clock: Clock, actions: &mut Vec<Action>) {
        let now = clock.now();
        if self.machine.next_deadline().is_some_and(|deadline| deadline <= now) {
            let due = self.machine.transmit_due().filter(|due| *due <= now && *due > Time::ZERO);
            self.feed(Event::Tick, now, actions);
            if let Some(due) = due {
                self.metrics.late(clock.now() - due);
            }
        }
        if let Some(untold) = self.untold.take() {
            self.tell(untold);
        }
    }

    fn feed(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        self.machine.on(event, now, actions);
        if cfg!(debug_assertions) {
            self.machine.check_invariants();
        }
        for action in actions.drain(..) {
            match action {
                Action::Transmit(packet) => self.metrics.sent(self.sender.send(&packet.encode())),
                Action::Changed(change) => {
                    self.metrics.state(change.to);
                    self.tell(change);
                }
            }
        }
    }

    fn tell(&mut self, change: Change) {
        let change = self.untold.take().map_or(change, |untold| untold.then(change));
        if let Err(TrySendError::Full(change)) = self.changes.try_send(change) {
            self.untold = Some(change);
        }
    }
}
