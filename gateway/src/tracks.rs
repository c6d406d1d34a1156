//! Entries of stick tables that rules track, for as long as a connection or a request lives. Whoever tracks
//! none has none of this.

use crate::state::Gateway;
use base_core::Time;
use gateway_core::config::TableId;
use gateway_core::limits::{Outcome, Tracker};
use gateway_core::rules::{Act, Facts, KeyBytes, Moment};
use gateway_core::table::{Entry, Held, StickTable};
use gateway_core::track::{self, SLOTS};
use std::fmt;
use std::sync::Arc;

/// What is tracked, by number; given back when it is dropped.
pub(crate) struct Tracks {
    gateway: Arc<Gateway>,
    slots: [Option<(TableId, Held)>; SLOTS as usize],
    /// What has passed, if it is a request that tracks this. Its status is counted when it is answered.
    pub(crate) outcome: Outcome,
}

/// Does to stick tables what a rule says: `own` is where it tracks, `above` is what its connection tracks
/// already.
pub(crate) fn act(
    acts: &[Act],
    moment: Moment,
    gateway: &Arc<Gateway>,
    own: &mut Option<Box<Tracks>>,
    above: Option<&Tracks>,
    facts: &impl Facts,
) {
    for act in acts {
        let write = |slot: u8, change: &dyn Fn(&mut Entry<'_>, Time)| {
            let now = gateway.clock.now();
            let both = above.into_iter().chain(own.as_deref());
            both.filter_map(|tracks| tracks.get(slot)).take(1).for_each(|(table, held)| {
                table.held(held, |entry| change(entry, now));
            });
        };
        match act {
            Act::Track { slot, table, key } => {
                let is_tracked =
                    above.into_iter().chain(own.as_deref()).any(|tracks| tracks.get(*slot).is_some());
                if let Some(key) = key.of(facts).filter(|_| !is_tracked) {
                    let status = facts.status();
                    own.get_or_insert_with(|| Tracks::new(gateway))
                        .track(*slot, *table, &key, moment, status);
                }
            }
            Act::IncGpc { slot, index, by } => {
                write(*slot, &|entry, now| track::add_gpc(entry, *index, *by, now));
            }
            Act::SetGpt { slot, index, value } => {
                write(*slot, &|entry, _| track::set_gpt(entry, *index, *value));
            }
        }
    }
}

impl Tracks {
    fn new(gateway: &Arc<Gateway>) -> Box<Self> {
        let slots = Default::default();
        Box::new(Self { gateway: Arc::clone(gateway), slots, outcome: Outcome::default() })
    }

    /// Lets `look` read what is tracked under this number.
    pub(crate) fn read<R>(&self, slot: u8, look: impl FnOnce(&Entry<'_>) -> R) -> Option<R> {
        let (table, held) = self.get(slot)?;
        table.read(held, look)
    }

    /// As [`Self::read`], and puts the key of what is tracked in the place of what `key` holds.
    pub(crate) fn read_with_key<R>(
        &self,
        slot: u8,
        key: &mut Vec<u8>,
        look: impl FnOnce(&Entry<'_>) -> R,
    ) -> Option<R> {
        let (table, held) = self.get(slot)?;
        table.read_with_key(held, key, look)
    }

    /// The table in which something is tracked under this number.
    pub(crate) fn table(&self, slot: u8) -> Option<TableId> {
        self.slots.get(usize::from(slot))?.as_ref().map(|(table, _)| *table)
    }

    /// Lets `change` write all that is tracked.
    pub(crate) fn each(&self, change: impl Fn(&mut Entry<'_>, Time)) {
        let now = self.gateway.clock.now();
        for (TableId(table), held) in self.slots.iter().flatten() {
            self.gateway.tables[*table].held(held, |entry| change(entry, now));
        }
    }

    fn get(&self, slot: u8) -> Option<(&StickTable, &Held)> {
        let (TableId(table), held) = self.slots.get(usize::from(slot))?.as_ref()?;
        Some((&*self.gateway.tables[*table], held))
    }

    /// A table without room counts that; then nothing is tracked.
    fn track(&mut self, slot: u8, table: TableId, key: &KeyBytes, moment: Moment, status: Option<u16>) {
        let now = self.gateway.clock.now();
        let tracked = self.gateway.tables[table.0].track(key, now, |entry| {
            track::begins(entry, now);
            if moment == Moment::Request {
                track::request(entry, now);
            }
            if let Some(status) = status {
                track::answered(entry, status, now);
            }
            ((), true)
        });
        if let (Some(place), Some(((), Some(held)))) = (self.slots.get_mut(usize::from(slot)), tracked) {
            *place = Some((table, held));
        }
    }
}

impl Drop for Tracks {
    fn drop(&mut self) {
        let (now, outcome) = (self.gateway.clock.now(), self.outcome);
        for (TableId(table), held) in self.slots.iter_mut().filter_map(Option::take) {
            self.gateway.tables[table].release(held, now, |entry| Tracker::release(entry, outcome, now));
        }
    }
}

impl fmt::Debug for Tracks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracks").field("slots", &self.slots).finish_non_exhaustive()
    }
}
