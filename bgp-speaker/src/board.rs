//! What the tasks show to the status and to each other. Each piece has one writer; everybody else reads.

use base_core::Time;
use bgp_core::bfd;
use bgp_core::fsm::State;
use bgp_core::neighbor::Standings;
use std::sync::Arc;
use tokio::sync::watch;

/// What the gate decided; `None` before its first decision.
pub(crate) type Decisions = Option<Arc<Standings>>;

/// How one neighbor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NeighborView {
    pub(crate) state: State,
    pub(crate) since: Time,
    /// How many of our routes it holds.
    pub(crate) held: usize,
    /// Why the last session or attempt ended.
    pub(crate) last_error: Option<String>,
    /// How its BFD session is, if it has one.
    pub(crate) bfd: Option<bfd::State>,
}

/// Everything that can be looked at.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    pub(crate) decisions: watch::Receiver<Decisions>,
    /// In the order of the configuration.
    pub(crate) neighbors: Vec<watch::Receiver<NeighborView>>,
}

impl NeighborView {
    pub(crate) const fn new() -> Self {
        Self { state: State::Idle, since: Time::ZERO, held: 0, last_error: None, bfd: None }
    }
}
