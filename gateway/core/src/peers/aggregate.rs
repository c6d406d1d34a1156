//! A cluster's sums as one table that stock HAProxy nodes can read, `<table>.agg`: so they enforce a limit for the
//! cluster too, while a migration lasts. Each Headgate node keeps the same sums and pushes them as last writer.
//!
//! Nothing comes back: what a HAProxy counts itself is no part of them. HAProxy 2.6 never learns a `conn_cur`, so
//! what runs at once stands in `gpt0` as well.

use super::cluster::{Cluster, Role, Shared};
use super::mirror::Mirror;
use crate::table::{Cursor, DataType, Entry, FreqCtr, Kind, Layout, Options, Row, StickTable, Stored};
use base_core::Time;
use std::hash::RandomState;
use std::sync::Arc;

/// What keeps the sums of one table up to date.
#[derive(Debug)]
pub struct Aggregate {
    /// Places among the cluster's tables.
    source: usize,
    target: usize,
    own: Cursor,
    runs: Vec<Run>,
}

#[derive(Debug)]
struct Run {
    mirror: Arc<Mirror>,
    cursor: Cursor,
    live: bool,
}

/// The table for the sums of another one, made by `options`.
pub fn shared(name: &str, options: &Options) -> Shared {
    let runs = options.layout.get(DataType::ConnCur).map(|_| Stored::one(DataType::Gpt0));
    let stored = options.layout.stored().copied().filter(|stored| stored.data != DataType::Gpt0);
    let layout = Layout::new(stored.chain(runs));
    let options = Options { layout, shared: true, ..options.clone() };
    let table = Arc::new(StickTable::new(options.clone(), &RandomState::new()));
    Shared::new(format!("{name}.agg"), table, options, Role::Aggregate, false)
}

impl Aggregate {
    /// From the table at `source` of a cluster into the one at `target`.
    pub fn new(source: usize, target: usize) -> Self {
        Self { source, target, own: Cursor::START, runs: Vec::new() }
    }

    /// Adds up what has changed, at most about `most` entries of each run.
    pub fn go_on(&mut self, cluster: &Cluster, most: usize, now: Time) {
        let Some((source, target)) = cluster.tables().get(self.source).zip(cluster.tables().get(self.target))
        else {
            return;
        };
        let mut keys = Vec::new();
        let mut changed = |row: Row<'_>| keys.push(row.key.to_vec());
        source.table.read_changes(&mut self.own, most, now, &mut changed);
        let mirrors = source.mirrors();
        self.runs.retain(|run| mirrors.iter().any(|mirror| Arc::ptr_eq(mirror, &run.mirror)));
        for mirror in mirrors.iter() {
            if !self.runs.iter().any(|run| Arc::ptr_eq(mirror, &run.mirror)) {
                self.runs.push(Run { mirror: Arc::clone(mirror), cursor: Cursor::START, live: true });
            }
        }
        for Run { mirror, cursor, live } in &mut self.runs {
            mirror.table.read_changes(cursor, most, now, &mut changed);
            // What ran there counts no more, or counts again.
            if std::mem::replace(live, mirror.is_live()) != *live {
                mirror.table.for_each(now, &mut changed);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys.iter().for_each(|key| self.add_up(source, &target.table, key, now));
    }

    fn add_up(&self, source: &Shared, target: &StickTable, key: &[u8], now: Time) {
        for stored in source.table.layout().stored() {
            let data = stored.data;
            for index in 0..stored.elements {
                if data.kind() == Kind::Rate {
                    let mut all = Vec::new();
                    self.each(source, key, now, |entry, _| all.push(entry.frequency(data, index)));
                    let sum = FreqCtr::together(all.iter().copied(), now, stored.period);
                    target.update(key, now, |entry| entry.set_frequency(data, index, sum));
                    continue;
                }
                let mut sum = 0u64;
                self.each(source, key, now, |entry, live| {
                    let value =
                        if data == DataType::ConnCur && !live { 0 } else { entry.element(data, index) };
                    sum = sum.saturating_add(value);
                });
                target.update(key, now, |entry| {
                    entry.set_element(data, index, sum);
                    if data == DataType::ConnCur {
                        entry.set(DataType::Gpt0, sum);
                    }
                });
            }
        }
    }

    /// Each run's entry of a key, with whether it lives.
    fn each(&self, source: &Shared, key: &[u8], now: Time, mut look: impl FnMut(&Entry<'_>, bool)) {
        source.table.peek(key, now, |entry| look(entry, true));
        for run in &self.runs {
            run.mirror.table.peek(key, now, |entry| look(entry, run.mirror.is_live()));
        }
    }
}
