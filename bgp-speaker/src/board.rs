//! What the tasks show to the status and to each other. Each piece has one writer; everybody else reads.

use base_core::Time;
use bgp_core::bfd;
use bgp_core::fsm::State;
use bgp_core::gate::Outcome;
use bgp_core::gate::order::Order;
use bgp_core::mirror::Path;
use bgp_core::neighbor::Standings;
use bgp_core::wire::attribute::PathAttributes;
use ipnet::IpNet;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// What the gate decided; `None` before its first decision.
pub(crate) type Decisions = Option<Arc<Standings>>;

/// What operators ordered, and what holds still.
pub(crate) type Orders = Arc<BTreeMap<IpAddr, Order>>;

/// What became of the latest drains, by the number that they were asked under.
pub(crate) type Drains = VecDeque<(u64, Outcome)>;

/// For each neighbor: which families the session takes that stands with it, by `Family::index`.
pub(crate) type Reached = Vec<[bool; 2]>;

/// The routes that a neighbor holds.
pub(crate) type Routes = Vec<(IpNet, PathAttributes)>;

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
    /// What it shows of the own VIPs, if it is a looking glass, and whether that should be gone.
    pub(crate) shown: Vec<(IpAddr, Path, bool)>,
}

/// Everything that can be looked at.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    pub(crate) decisions: watch::Receiver<Decisions>,
    pub(crate) orders: watch::Receiver<Orders>,
    pub(crate) drains: watch::Receiver<Drains>,
    /// In the order of the configuration.
    pub(crate) neighbors: Vec<watch::Receiver<NeighborView>>,
    /// Where each answers what it holds, in the same order.
    pub(crate) ribs: Vec<mpsc::Sender<oneshot::Sender<Routes>>>,
}

impl NeighborView {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Idle,
            since: Time::ZERO,
            held: 0,
            last_error: None,
            bfd: None,
            shown: Vec::new(),
        }
    }
}
