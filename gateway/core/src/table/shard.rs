//! One shard of a table: entries side by side in one block of words, found by an index, linked in the order
//! of their last use, and a line of those that have changed, for peers to read. An entry that is held stands
//! outside of that order until it is let go: so the oldest is always one that may go.

use super::entry::Entry;
use super::index::Index;
use super::shape::Shape;
use base_core::Time;
use std::collections::VecDeque;

/// Entries, found by key, ordered by last use. Slots are numbered; links are numbers, not pointers.
#[derive(Debug)]
pub(super) struct Shard {
    index: Index,
    words: Vec<u32>,
    /// Slots that `words` holds.
    slots: u32,
    /// The first free slot; more are linked behind it.
    free: u32,
    oldest: u32,
    newest: u32,
    capacity: usize,
    changes: Changes,
    /// Entries that went before their time.
    pub(super) evicted: u64,
}

/// Slots in the order in which they changed last, for any number of readers. Each change has a number; a slot
/// is in line once for a change that nobody has read yet, however often it changes.
#[derive(Debug, Default)]
struct Changes {
    /// With [`MOVED`], it stands here for a change that stood at the front before.
    line: VecDeque<u32>,
    /// The number of the first in line.
    first: u32,
    /// One past the highest number that somebody has read.
    read: u32,
}

/// Where a reader of changes stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The number that it reads next.
    pub(super) next: u32,
    /// It had fallen behind: before this number it is told of what has moved as well, which it may have missed.
    behind: u32,
}

impl Shard {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            index: Index::default(),
            words: Vec::new(),
            slots: 0,
            free: NONE,
            oldest: NONE,
            newest: NONE,
            capacity: capacity.max(1),
            changes: Changes::default(),
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    #[inline]
    pub(super) fn entry<'a>(&'a mut self, shape: &'a Shape, slot: u32) -> Entry<'a> {
        let words = self.slot_mut(shape, slot);
        Entry { layout: &shape.layout, words: &mut words[shape.data..] }
    }

    /// The slot of `key`, unless it has expired.
    #[inline]
    pub(super) fn find(&self, shape: &Shape, hash: u32, key: &[u8], now: Time) -> Option<u32> {
        self.seek(shape, hash, key).filter(|slot| !self.is_dead(shape, *slot, now))
    }

    /// The slot of `key`, made if there was none, now the newest and good for `expire` milliseconds.
    #[inline]
    pub(super) fn touch_or_insert(
        &mut self,
        shape: &Shape,
        hash: u32,
        key: &[u8],
        now: Time,
        expire: u32,
    ) -> Option<u32> {
        self.drop_expired(shape, now, EXPIRED_PER_CALL);
        let slot = match self.seek(shape, hash, key) {
            Some(slot) => {
                if self.is_dead(shape, slot, now) {
                    self.entry(shape, slot).words.fill(0);
                }
                if self.newest != slot && self.holds(shape, slot) == 0 {
                    self.unlink(shape, slot);
                    self.link_newest(shape, slot);
                }
                slot
            }
            None => self.insert(shape, hash, key)?,
        };
        self.slot_mut(shape, slot)[EXPIRES] = millis(now).wrapping_add(expire);
        Some(slot)
    }

    /// Holds an entry, so that it stays.
    pub(super) fn hold(&mut self, shape: &Shape, slot: u32) {
        if self.holds(shape, slot) == 0 {
            self.unlink(shape, slot);
        }
        let count = &mut self.slot_mut(shape, slot)[HOLDS];
        *count = count.saturating_add(1);
    }

    /// Lets go of an entry, which is used for the last time with that.
    pub(super) fn let_go(&mut self, shape: &Shape, slot: u32, now: Time) {
        let words = self.slot_mut(shape, slot);
        words[EXPIRES] = millis(now).wrapping_add(shape.expire);
        words[HOLDS] = words[HOLDS].saturating_sub(1);
        if words[HOLDS] == 0 {
            self.link_newest(shape, slot);
        }
    }

    /// How often an entry is held.
    pub(super) fn holds(&self, shape: &Shape, slot: u32) -> u32 {
        self.slot(shape, slot)[HOLDS]
    }

    /// Milliseconds until an entry expires. The time of one that is held begins when it is let go.
    pub(super) fn expires_in(&self, shape: &Shape, slot: u32, now: Time) -> u32 {
        let words = self.slot(shape, slot);
        if words[HOLDS] > 0 {
            return shape.expire;
        }
        let left = words[EXPIRES].wrapping_sub(millis(now));
        if left > i32::MAX as u32 { 0 } else { left }
    }

    /// The key of an entry.
    pub(super) fn key(&self, shape: &Shape, slot: u32, key: &mut Vec<u8>) {
        shape.read_key(&self.slot(shape, slot)[HEAD..], key);
    }

    /// Whether a slot is in use by an entry that lives.
    pub(super) fn is_live(&self, shape: &Shape, slot: u32, now: Time) -> bool {
        slot < self.slots && self.slot(shape, slot)[CHANGE_AND_USE] != FREE && !self.is_dead(shape, slot, now)
    }

    /// Slots there are, used or not.
    pub(super) fn slots(&self) -> u32 {
        self.slots
    }

    /// An entry has changed here: lines it up for peers, unless it is in line already.
    #[inline]
    pub(super) fn changed(&mut self, shape: &Shape, slot: u32) {
        if !shape.shared {
            return;
        }
        let number = self.slot(shape, slot)[CHANGE_AND_USE];
        let is_unread = number.wrapping_sub(self.changes.read) < FAR;
        let place = number.wrapping_sub(self.changes.first) as usize;
        if is_unread
            && let Some(stands) = self.changes.line.get_mut(place)
            && *stands & !MOVED == slot
        {
            // It waits already; now for a change, if it stood there for one of before.
            *stands = slot;
            return;
        }
        self.line_up(shape, slot, 0);
        // What was read long ago goes; what stands at the front and still counts stands at the end again.
        for _ in 0..2 {
            if self.changes.line.len() <= 2 * self.len() + SLACK {
                return;
            }
            let number = self.changes.first;
            let Some(slot) = self.changes.line.pop_front() else { return };
            let slot = slot & !MOVED;
            self.changes.first = number.wrapping_add(1);
            if slot < self.slots && self.slot(shape, slot)[CHANGE_AND_USE] == number {
                self.line_up(shape, slot, MOVED);
            }
        }
    }

    /// Whether an entry has changed here and, if so, whether after a reader stood at `from`. What has stood in line
    /// for long has been read by all who are there.
    pub(super) fn has_changed(&self, shape: &Shape, slot: u32, from: u32) -> Option<bool> {
        let number = self.slot(shape, slot)[CHANGE_AND_USE];
        let stands = self.changes.at(number)?;
        (stands & !MOVED == slot).then_some(stands & MOVED == 0 && number.wrapping_sub(from) < FAR)
    }

    fn line_up(&mut self, shape: &Shape, slot: u32, moved: u32) {
        let number = self.changes.next();
        self.changes.line.push_back(slot | moved);
        self.slot_mut(shape, slot)[CHANGE_AND_USE] = number;
        if number == FREE.wrapping_sub(1) {
            // The number that means "free" is skipped.
            self.changes.line.push_back(NONE);
        }
    }

    /// Takes all changes for read, and returns where the next one will be.
    pub(super) fn read_all(&mut self) -> Place {
        self.changes.read = self.changes.next();
        Place { next: self.changes.read, behind: self.changes.read }
    }

    /// The next change for a reader, at `place` then: its slot, if it still counts and is news to that reader.
    pub(super) fn read_change(&mut self, shape: &Shape, place: &mut Place) -> Option<Option<u32>> {
        if place.next.wrapping_sub(self.changes.first) > FAR {
            *place = Place { next: self.changes.first, behind: self.changes.next() };
        }
        let number = place.next;
        let stands = self.changes.at(number)?;
        if self.changes.read.wrapping_sub(number.wrapping_add(1)) > FAR {
            self.changes.read = number.wrapping_add(1);
        }
        let slot = stands & !MOVED;
        let counts = slot < self.slots && self.slot(shape, slot)[CHANGE_AND_USE] == number;
        let is_news = stands & MOVED == 0 || number.wrapping_sub(place.behind) > FAR;
        Some((counts && is_news).then_some(slot))
    }

    /// Takes an entry out, unless it is held.
    pub(super) fn drop_entry(&mut self, shape: &Shape, slot: u32) -> bool {
        let free = self.holds(shape, slot) == 0;
        if free {
            self.remove(shape, slot);
        }
        free
    }

    /// Drops at most so many expired entries: they are the oldest ones.
    pub(super) fn drop_expired(&mut self, shape: &Shape, now: Time, most: usize) {
        for _ in 0..most {
            if self.oldest == NONE || !self.is_dead(shape, self.oldest, now) {
                return;
            }
            self.remove(shape, self.oldest);
        }
    }

    fn seek(&self, shape: &Shape, hash: u32, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |slot| shape.holds_key(&self.slot(shape, slot)[HEAD..], key))
    }

    fn is_dead(&self, shape: &Shape, slot: u32, now: Time) -> bool {
        let slot = self.slot(shape, slot);
        slot[EXPIRES].wrapping_sub(millis(now)).wrapping_sub(1) > i32::MAX as u32 && slot[HOLDS] == 0
    }

    fn insert(&mut self, shape: &Shape, hash: u32, key: &[u8]) -> Option<u32> {
        if self.len() >= self.capacity {
            if shape.nopurge || self.oldest == NONE {
                return None;
            }
            self.remove(shape, self.oldest);
            self.evicted += 1;
        }
        let slot = self.free_slot(shape);
        let unread = self.changes.first.wrapping_sub(1);
        let words = self.slot_mut(shape, slot);
        words.fill(0);
        words[HASH] = hash;
        words[CHANGE_AND_USE] = if unread == FREE { 0 } else { unread };
        shape.write_key(&mut words[HEAD..], key);
        self.index.insert(hash, slot);
        self.link_newest(shape, slot);
        Some(slot)
    }

    /// A slot that nobody uses; memory grows by doubling, up to what the capacity needs and no more.
    fn free_slot(&mut self, shape: &Shape) -> u32 {
        if self.free != NONE {
            let slot = self.free;
            self.free = self.slot(shape, slot)[NEWER];
            return slot;
        }
        let stride = shape.stride;
        if self.words.len() + stride > self.words.capacity() {
            let slots = (self.slots as usize).max(2).min(self.capacity - self.slots as usize).max(1);
            self.words.reserve_exact(slots * stride);
        }
        self.words.resize(self.words.len() + stride, 0);
        self.slots += 1;
        self.slots - 1
    }

    fn remove(&mut self, shape: &Shape, slot: u32) {
        self.index.remove(self.slot(shape, slot)[HASH], slot);
        self.unlink(shape, slot);
        let free = self.free;
        let words = self.slot_mut(shape, slot);
        words[NEWER] = free;
        words[CHANGE_AND_USE] = FREE;
        self.free = slot;
    }

    fn unlink(&mut self, shape: &Shape, slot: u32) {
        let words = self.slot(shape, slot);
        let (older, newer) = (words[OLDER], words[NEWER]);
        match older {
            NONE => self.oldest = newer,
            older => self.slot_mut(shape, older)[NEWER] = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.slot_mut(shape, newer)[OLDER] = older,
        }
    }

    fn link_newest(&mut self, shape: &Shape, slot: u32) {
        let older = self.newest;
        match older {
            NONE => self.oldest = slot,
            older => self.slot_mut(shape, older)[NEWER] = slot,
        }
        self.newest = slot;
        let words = self.slot_mut(shape, slot);
        (words[OLDER], words[NEWER]) = (older, NONE);
    }

    #[inline]
    fn slot(&self, shape: &Shape, slot: u32) -> &[u32] {
        let stride = shape.stride;
        &self.words[slot as usize * stride..][..stride]
    }

    #[inline]
    fn slot_mut(&mut self, shape: &Shape, slot: u32) -> &mut [u32] {
        let stride = shape.stride;
        &mut self.words[slot as usize * stride..][..stride]
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self, shape: &Shape, rehash: impl Fn(&[u8]) -> u32) {
        let (mut slot, mut before, mut seen) = (self.oldest, NONE, 0);
        let mut key = Vec::new();
        while slot != NONE {
            assert_eq!(self.slot(shape, slot)[OLDER], before, "links go both ways");
            self.key(shape, slot, &mut key);
            assert_eq!(self.seek(shape, rehash(&key), &key), Some(slot), "a linked slot is found by its key");
            seen += 1;
            assert!(seen <= self.len(), "the list has no loop");
            (before, slot) = (slot, self.slot(shape, slot)[NEWER]);
        }
        let held =
            |slot: &u32| self.slot(shape, *slot)[CHANGE_AND_USE] != FREE && self.holds(shape, *slot) > 0;
        let held = (0..self.slots).filter(held).count();
        assert_eq!((self.newest, seen + held), (before, self.len()), "every entry is linked or held");
        assert!(self.len() <= self.capacity, "the bound holds");
        assert!(self.changes.line.len() <= 2 * self.capacity + SLACK + 2, "the line is bounded");
    }
}

impl Changes {
    fn next(&self) -> u32 {
        self.first.wrapping_add(self.line.len() as u32)
    }

    fn at(&self, number: u32) -> Option<u32> {
        self.line.get(number.wrapping_sub(self.first) as usize).copied()
    }
}

/// Milliseconds wrap by design; only differences count, and no entry lives for longer than a week.
fn millis(now: Time) -> u32 {
    now.as_millis() as u32
}

/// The words before an entry's key.
pub(super) const HEAD: usize = 6;
const EXPIRES: usize = 0;
const OLDER: usize = 1;
const NEWER: usize = 2;
const HOLDS: usize = 3;
/// The number of its last change in line, or that the slot is free.
const CHANGE_AND_USE: usize = 4;
const HASH: usize = 5;
/// A slot without an entry.
const FREE: u32 = u32::MAX;
/// No slot: past any that can exist.
const NONE: u32 = u32::MAX;
/// In the line of changes, beside a slot: no table has so many slots that one of them has this bit.
const MOVED: u32 = 1 << 31;
/// Numbers of changes wrap; what is further away than this lies behind.
const FAR: u32 = 1 << 31;
/// Changes in line beyond two for each entry.
const SLACK: usize = 64;
/// Expired entries dropped per call: more than one, so that the dead go faster than the new come.
const EXPIRED_PER_CALL: usize = 4;
