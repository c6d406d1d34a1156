//! One process takes over from another, and nobody outside notices: the sessions with all that is agreed on in them, the
//! bytes that were read or not yet taken, BFD, what the gate decided, what was ordered, the events.
//!
//! ```text
//!   old                                          new (a child of the old one, the program as it is on disk)
//!    │ ── Hello: configuration, listeners ──────► │ checks it, opens what is not there yet
//!    │ ◄──────────────────────────────── Ready ── │
//!    │ stops: gate, sessions (BFD goes on)        │
//!    │ ── Record: state, connections ───────────► │ builds everything, runs nothing
//!    │ ◄──────────────────────────────── Ready ── │
//!    │ stops BFD                                  │
//!    │ ── Paths: BFD's state and sockets ───────► │
//!    │ ◄──────────────────────────────── Ready ── │
//!    │ ── Go ───────────────────────────────────► │ runs
//!    ▼ ends, and says nothing to anybody          ▼
//! ```
//! All or nothing: until Go the old process can go on where it stopped, and does when the new one refuses, ends or takes
//! too long; that one is killed first. A reload is the same, with another configuration.

pub(crate) mod channel;
pub(crate) mod give;
pub(crate) mod take;

use crate::text_api;
use bgp_core::bfd;
use bgp_core::config::change::Key;
use bgp_core::gate;
use bgp_core::neighbor::{self, Standings};
use bgp_core::wire::notification::Code;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use tokio::sync::oneshot;

/// Asks a task to stop where it is, and to tell what another process needs to go on.
pub(crate) struct Freeze<S> {
    pub(crate) reply: oneshot::Sender<S>,
    /// What becomes of it; nothing: it goes on.
    pub(crate) fate: oneshot::Receiver<Fate>,
}

/// What becomes of a task that was stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// Another process goes on with what it has.
    Gone,
    /// What it has comes to an end.
    End(Code),
}

/// A neighbor's task, stopped.
pub(crate) struct FrozenNeighbor {
    /// `None`: there is no session to go on with.
    pub(crate) session: Option<(SavedNeighbor, OwnedFd)>,
}

/// A session with its connection, but for the descriptor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedNeighbor {
    pub(crate) machine: neighbor::Saved,
    /// Read, and no whole message yet.
    pub(crate) input: Vec<u8>,
    /// Written, and not taken by the kernel yet.
    pub(crate) output: Vec<u8>,
    /// What it knows of its BFD session.
    pub(crate) path: Option<bfd::State>,
}

/// The gate's task, stopped.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct SavedGate {
    pub(crate) machine: gate::Saved,
    pub(crate) standings: Option<Standings>,
}

/// BFD's thread, stopped.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedPath {
    pub(crate) neighbor: Key,
    pub(crate) machine: bfd::Saved,
}

/// The first thing that is said. Descriptors: the listeners, in the order of their names.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) version: u32,
    pub(crate) file: String,
    pub(crate) config: String,
    pub(crate) listeners: Vec<String>,
}

/// The second. Descriptors: the connections of the neighbors.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The old clock.
    pub(crate) now: base_core::Time,
    pub(crate) gate: SavedGate,
    pub(crate) neighbors: Vec<(Key, SavedNeighbor)>,
    #[serde(default)]
    pub(crate) text_api: text_api::Saved,
    /// VIPs that this speaker has put on the loopback interface.
    pub(crate) loopback: Vec<IpAddr>,
    pub(crate) events: Vec<serde_json::Value>,
}

/// The third. Descriptors: a socket for each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Paths {
    pub(crate) paths: Vec<SavedPath>,
}

/// What the new process answers to each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Ready,
    Refused(String),
}

/// Of what is said here; a process of another version is not taken over from, and goes on.
pub(crate) const VERSION: u32 = 1;
