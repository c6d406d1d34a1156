//! An entry of a running request lives on here, however long that takes; elsewhere it lives as long as its table
//! says. So what runs is said again in time, or it would count no more while it still runs.

use super::cluster::{Cluster, Role};
use crate::table::Walk;
use base_core::Time;
use std::time::Duration;

/// What says it again, for one table.
#[derive(Debug)]
pub struct Renewal {
    /// The table's place in the cluster.
    place: usize,
    walk: Walk,
    /// When this walk began.
    began: Time,
}

impl Renewal {
    /// For each table whose numbers are summed: of others, nobody knows what runs.
    pub fn of(cluster: &Cluster, now: Time) -> Vec<Self> {
        let sums = cluster.tables().iter().enumerate().filter(|(_, shared)| shared.role == Role::Sums);
        sums.map(|(place, _)| Self { place, walk: Walk::default(), began: now }).collect()
    }

    /// Lines up some of what is held. When to go on.
    pub fn go_on(&mut self, cluster: &Cluster, now: Time) -> Time {
        let Some(shared) = cluster.tables().get(self.place) else { return now + REST };
        if self.walk.is_at_start() {
            self.began = now;
        }
        if shared.table.renew_held(&mut self.walk, SLOTS) {
            return now + PAUSE;
        }
        self.walk = Walk::default();
        (self.began + shared.table.expire() / 2).max(now + PAUSE)
    }
}

/// Slots looked at in one go: tens of microseconds, in which a worker may have to wait for its shard.
const SLOTS: u32 = 2048;
/// Between two of them: a million entries take half a second.
const PAUSE: Duration = Duration::from_millis(1);
/// Where there is no table.
const REST: Duration = Duration::from_secs(60);
