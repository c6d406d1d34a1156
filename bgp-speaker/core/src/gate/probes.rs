//! Real requests through each VIP: when the next is due, and how many in a row failed.

use super::Action;
use base_core::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// The probes of all VIPs that have one.
#[derive(Debug)]
pub(super) struct Probes(BTreeMap<IpAddr, Probe>);

#[derive(Debug)]
struct Probe {
    good: bool,
    failures: u32,
    /// `None` before the first.
    due: Option<Time>,
    in_flight: bool,
}

impl Probes {
    pub(super) fn new(vips: &BTreeSet<IpAddr>) -> Self {
        let probe = |vip: &IpAddr| (*vip, Probe { good: false, failures: 0, due: None, in_flight: false });
        Self(vips.iter().map(probe).collect())
    }

    /// A VIP without a probe has nothing against it.
    pub(super) fn good(&self, vip: IpAddr) -> bool {
        self.0.get(&vip).is_none_or(|probe| probe.good)
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.0.values().filter(|probe| !probe.in_flight).filter_map(|probe| probe.due).min()
    }

    pub(super) fn probed(&mut self, vip: IpAddr, served: Option<bool>) {
        let Some(probe) = self.0.get_mut(&vip) else { return };
        probe.in_flight = false;
        match served {
            Some(true) => {
                probe.failures = 0;
                probe.good = true;
            }
            Some(false) => {
                probe.failures = probe.failures.saturating_add(1);
                probe.good &= probe.failures < FALL;
            }
            None => {}
        }
    }

    /// The gateway has just become ready: what failed is asked again at once.
    pub(super) fn hurry(&mut self, now: Time) {
        self.0.values_mut().filter(|probe| !probe.good).for_each(|probe| probe.due = Some(now));
    }

    /// Sends what is due, at a fixed rate that does not depend on how long an answer takes.
    pub(super) fn run(&mut self, now: Time, actions: &mut Vec<Action>) {
        for (vip, probe) in &mut self.0 {
            let due = probe.due.unwrap_or(now);
            if !probe.in_flight && due <= now {
                probe.in_flight = true;
                probe.due = Some((due + PROBE_INTERVAL).max(now));
                actions.push(Action::Probe { vip: *vip });
            } else {
                probe.due = Some(due);
            }
        }
    }
}

/// From one request to the next.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);
/// A request that takes longer failed.
pub const PROBE_TIMEOUT: Duration = Duration::from_millis(300);
/// So many failures in a row withdraw; one success announces again.
const FALL: u32 = 2;
