//! A cluster's sums as one table that stock HAProxy nodes can read, `<table>.agg`: so they enforce a limit for the
//! cluster too, while a migration lasts. Each Headgate node keeps the same sums and pushes them as last writer.
//!
//! Nothing comes back: what a HAProxy counts itself is no part of them. HAProxy 2.6 never learns a `conn_cur`, so
//! what runs at once stands in `gpt0` as well.

use super::cluster::{Cluster, Role, Shared};
use super::mirror::Mirror;
use crate::table::{Cursor, DataType, Entry, FreqCtr, Kind, Layout, Options, Row, StickTable, Stored, Walk};
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
    /// Through all of its entries, since it has begun or ended.
    walk: Option<Walk>,
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

    /// Adds up what has changed, at most about `most` entries of each run, and as many of one that has ended.
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
                let (mirror, cursor) = (Arc::clone(mirror), Cursor::START);
                self.runs.push(Run { mirror, cursor, live: true, walk: None });
            }
        }
        for Run { mirror, cursor, live, walk } in &mut self.runs {
            mirror.table.read_changes(cursor, most, now, &mut changed);
            // What ran there counts no more, or counts again: of all that it has, some at a time.
            if std::mem::replace(live, mirror.is_live()) != *live {
                *walk = Some(Walk::default());
            }
            let slots = u32::try_from(most).unwrap_or(u32::MAX);
            walk.take_if(|walk| !mirror.table.walk(walk, slots, now, &mut changed));
        }
        keys.sort_unstable();
        keys.dedup();
        let fields = source.table.layout().stored();
        let fields = fields.flat_map(|stored| (0..stored.elements).map(move |index| (*stored, index)));
        let mut sums: Vec<_> = fields.map(|(stored, index)| Sum::new(stored, index)).collect();
        keys.iter().for_each(|key| self.add_up(source, &target.table, key, &mut sums, now));
    }

    /// Each run's entry is looked up once.
    fn add_up(&self, source: &Shared, target: &StickTable, key: &[u8], sums: &mut [Sum], now: Time) {
        sums.iter_mut().for_each(Sum::clear);
        let mut add = |entry: &Entry<'_>, live| sums.iter_mut().for_each(|sum| sum.add(entry, live));
        source.table.peek(key, now, |entry| add(entry, true));
        for run in &self.runs {
            let live = run.mirror.is_live();
            run.mirror.table.peek(key, now, |entry| add(entry, live));
        }
        target.update(key, now, |entry| sums.iter().for_each(|sum| sum.write(entry, now)));
    }
}

/// One field, added up.
struct Sum {
    stored: Stored,
    index: u16,
    total: u64,
    rates: Vec<FreqCtr>,
}

impl Sum {
    fn new(stored: Stored, index: u16) -> Self {
        Self { stored, index, total: 0, rates: Vec::new() }
    }

    fn clear(&mut self) {
        self.total = 0;
        self.rates.clear();
    }

    fn add(&mut self, entry: &Entry<'_>, live: bool) {
        match (self.stored.data, self.stored.data.kind()) {
            (data, Kind::Rate) => self.rates.push(entry.frequency(data, self.index)),
            (DataType::ConnCur, _) if !live => {}
            (data, _) => self.total = self.total.saturating_add(entry.element(data, self.index)),
        }
    }

    fn write(&self, entry: &mut Entry<'_>, now: Time) {
        let data = self.stored.data;
        if data.kind() == Kind::Rate {
            let together = FreqCtr::together(self.rates.iter().copied(), now, self.stored.period);
            return entry.set_frequency(data, self.index, together);
        }
        entry.set_element(data, self.index, self.total);
        if data == DataType::ConnCur {
            entry.set(DataType::Gpt0, self.total);
        }
    }
}
