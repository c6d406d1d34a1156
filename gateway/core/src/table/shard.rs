//! One shard of a table: a map from key to slot, and the slots in the order of their last use.

use super::{Entry, Key};
use base_core::Time;
use std::collections::HashMap;

/// Entries, found by key, ordered by last use. Slots are numbered; links are numbers, not pointers.
#[derive(Debug)]
pub(super) struct Shard {
    slots_by_key: HashMap<Key, u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
    capacity: usize,
    /// Entries that went before their time.
    pub(super) evicted: u64,
}

#[derive(Debug)]
struct Slot {
    key: Key,
    entry: Entry,
    expires: Time,
    older: u32,
    newer: u32,
}

impl Shard {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            slots_by_key: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            capacity: capacity.max(1),
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots_by_key.len()
    }

    pub(super) fn entry(&mut self, slot: u32) -> &mut Entry {
        &mut self.slots[slot as usize].entry
    }

    /// The slot of `key`, unless it has expired.
    pub(super) fn find(&self, key: Key, now: Time) -> Option<u32> {
        let slot = *self.slots_by_key.get(&key)?;
        let found = &self.slots[slot as usize];
        (now < found.expires || found.entry.conn_cur > 0).then_some(slot)
    }

    /// The slot of `key`, made if there was none, now the newest and good until `expires`.
    pub(super) fn touch_or_insert(&mut self, key: Key, now: Time, expires: Time) -> Option<u32> {
        self.drop_expired(now);
        let slot = match self.slots_by_key.get(&key) {
            Some(&slot) => {
                if self.find(key, now).is_none() {
                    *self.entry(slot) = Entry::default();
                }
                self.unlink(slot);
                slot
            }
            None => self.insert(key)?,
        };
        self.slots[slot as usize].expires = expires;
        self.link_newest(slot);
        Some(slot)
    }

    /// Expired entries are the oldest ones. A few per call keep up with any rate of inserts.
    fn drop_expired(&mut self, now: Time) {
        for _ in 0..EXPIRED_PER_CALL {
            let Some(slot) = self.slots.get(self.oldest as usize) else { return };
            if now < slot.expires || slot.entry.conn_cur > 0 {
                return;
            }
            self.remove(self.oldest);
        }
    }

    fn insert(&mut self, key: Key) -> Option<u32> {
        if self.len() >= self.capacity {
            let victim = self.oldest_idle()?;
            self.remove(victim);
            self.evicted += 1;
        }
        let slot = Slot { key, entry: Entry::default(), expires: Time::ZERO, older: NONE, newer: NONE };
        let number = match self.free.pop() {
            Some(number) => {
                self.slots[number as usize] = slot;
                number
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).ok()?
            }
        };
        self.slots_by_key.insert(key, number);
        Some(number)
    }

    /// The oldest entry without running requests; gives up after a few.
    fn oldest_idle(&self) -> Option<u32> {
        let mut slot = self.oldest;
        for _ in 0..BUSY_SKIPPED {
            let candidate = self.slots.get(slot as usize)?;
            if candidate.entry.conn_cur == 0 {
                return Some(slot);
            }
            slot = candidate.newer;
        }
        None
    }

    fn remove(&mut self, slot: u32) {
        self.unlink(slot);
        let key = self.slots[slot as usize].key;
        self.slots_by_key.remove(&key);
        self.free.push(slot);
    }

    fn unlink(&mut self, slot: u32) {
        let Slot { older, newer, .. } = self.slots[slot as usize];
        match self.slots.get_mut(older as usize) {
            Some(neighbour) => neighbour.newer = newer,
            None => self.oldest = newer,
        }
        match self.slots.get_mut(newer as usize) {
            Some(neighbour) => neighbour.older = older,
            None => self.newest = older,
        }
    }

    fn link_newest(&mut self, slot: u32) {
        let older = self.newest;
        match self.slots.get_mut(older as usize) {
            Some(neighbour) => neighbour.newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
        let linked = &mut self.slots[slot as usize];
        (linked.older, linked.newer) = (older, NONE);
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        let mut slot = self.oldest;
        let mut before = NONE;
        let mut seen = 0;
        while let Some(found) = self.slots.get(slot as usize) {
            assert_eq!(found.older, before, "links go both ways");
            assert_eq!(
                self.slots_by_key.get(&found.key),
                Some(&slot),
                "every linked slot is found by its key"
            );
            seen += 1;
            assert!(seen <= self.len(), "the list has no loop");
            (before, slot) = (slot, found.newer);
        }
        assert_eq!((self.newest, seen), (before, self.len()), "every entry is linked");
        assert_eq!(self.len() + self.free.len(), self.slots.len(), "every slot is used or free");
        assert!(self.len() <= self.capacity, "the bound holds");
    }
}

/// No slot: past any that can exist.
const NONE: u32 = u32::MAX;
/// Expired entries dropped per call: more than one, so that the dead go faster than the new come.
const EXPIRED_PER_CALL: usize = 4;
/// Busy entries that are stepped over in search of one to evict.
const BUSY_SKIPPED: usize = 32;
