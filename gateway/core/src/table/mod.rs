//! The stick table: what is known of each client, in a bounded number of entries, shared by all
//! workers (HAProxy manual, "stick-table").
//!
//! Keys are spread over shards, each behind its own short lock; nothing waits or calls out while it
//! holds one. A shard keeps its entries in the order of their last use: since all entries live
//! equally long, that is also the order in which they expire, so expiry looks at the oldest and
//! nowhere else (one that a peer taught with less time left is gone for all who ask, and its room is free
//! when its turn comes). When a shard is full the oldest entry goes and is counted; an entry that is held by
//! a running request, or an open connection, never goes, or what it counts would be lost with it: it has no
//! place in that order until it is let go.
//!
//! A table that is shared with peers lines up what has changed; each reader has a place in that line, and
//! an entry that changes a hundred times before it is read is read once.

mod data;
mod dictionary;
mod entry;
mod freq;
mod hash;
mod index;
mod key;
mod shape;
mod shard;

#[cfg(test)]
mod tests;

pub use data::{DataType, Kind, Layout, Stored};
pub use entry::Entry;
pub use freq::FreqCtr;
pub use key::{AddressKey, KeyType};

use base_core::Time;
use dictionary::Dictionary;
use hash::Hasher;
use shape::Shape;
use shard::{Place, Shard};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a table shall be.
#[derive(Clone, Debug)]
pub struct Options {
    /// What its keys are.
    pub key: KeyType,
    /// What it stores.
    pub layout: Layout,
    /// Most entries, or a little more, so that every shard holds as many.
    pub size: usize,
    /// How long an entry is kept after its last use.
    pub expire: Duration,
    /// A full table takes no new entries, instead of dropping the oldest.
    pub nopurge: bool,
    /// Whether peers read its changes.
    pub shared: bool,
}

/// A stick table.
#[derive(Debug)]
pub struct StickTable {
    shape: Shape,
    shards: Box<[Mutex<Shard>]>,
    hasher: Hasher,
    texts: Mutex<Dictionary>,
    evicted: AtomicU64,
    refused: AtomicU64,
}

/// An entry that is held: it stays until it is released.
#[derive(Debug)]
#[must_use = "an entry that is not released stays for ever"]
pub struct Held {
    shard: u16,
    slot: u32,
}

/// How far a reader of changes has come, in each shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    places: Vec<Place>,
}

impl Cursor {
    /// Before all that has ever changed.
    pub const START: Self = Self { places: Vec::new() };
}

/// An entry with what stands around it, as readers see it.
#[derive(Debug)]
pub struct Row<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// What it holds.
    pub entry: Entry<'a>,
    /// How long until it expires.
    pub expires_in: Duration,
    /// How often it is held.
    pub holds: u32,
}

impl StickTable {
    /// `random` brings the seed. Clients choose the keys, so only a simulation may bring one that is known.
    pub fn new(options: Options, random: &impl BuildHasher) -> Self {
        let size = options.size;
        let shards = match size {
            ..SMALL => 1,
            size => (size / PER_SHARD).next_power_of_two().clamp(LEAST_SHARDS, MOST_SHARDS),
        };
        let shard = || Mutex::new(Shard::new(size.div_ceil(shards)));
        Self {
            shape: Shape::new(options),
            shards: (0..shards).map(|_| shard()).collect(),
            hasher: Hasher::new(random),
            texts: Mutex::default(),
            evicted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// What its keys are.
    pub fn key_type(&self) -> KeyType {
        self.shape.key
    }

    /// What it stores.
    pub fn layout(&self) -> &Layout {
        &self.shape.layout
    }

    /// How long an entry is kept after its last use.
    pub fn expire(&self) -> Duration {
        Duration::from_millis(self.shape.expire.into())
    }

    /// A client's address as a key of this table.
    #[inline]
    pub fn address(&self, address: IpAddr) -> Option<AddressKey> {
        self.shape.key.address(address)
    }

    /// Lets `change` read and write the entry of `key`, a new one if there was none, and counts it as
    /// used and as changed. `None` if there is no room even for one more, since every entry that could go
    /// is held: counted as refused.
    #[inline]
    pub fn update<R>(
        &self,
        key: impl AsRef<[u8]>,
        now: Time,
        change: impl FnOnce(&mut Entry<'_>) -> R,
    ) -> Option<R> {
        self.with(key.as_ref(), now, self.shape.expire, |shard, slot| {
            shard.changed(&self.shape, slot);
            change(&mut shard.entry(&self.shape, slot))
        })
        .map(|(_, _, result)| result)
    }

    /// As [`Self::update`], and holds the entry if `change` says so.
    #[inline]
    pub fn track<R>(
        &self,
        key: impl AsRef<[u8]>,
        now: Time,
        change: impl FnOnce(&mut Entry<'_>) -> (R, bool),
    ) -> Option<(R, Option<Held>)> {
        let tracked = self.with(key.as_ref(), now, self.shape.expire, |shard, slot| {
            let (result, hold) = change(&mut shard.entry(&self.shape, slot));
            shard.changed(&self.shape, slot);
            if hold {
                shard.hold(&self.shape, slot);
            }
            (result, hold)
        });
        tracked.map(|(shard, slot, (result, hold))| (result, hold.then_some(Held { shard, slot })))
    }

    /// Lets `change` write a held entry.
    #[inline]
    pub fn held<R>(&self, held: &Held, change: impl FnOnce(&mut Entry<'_>) -> R) -> Option<R> {
        let mut shard = lock(self.shards.get(usize::from(held.shard))?);
        shard.changed(&self.shape, held.slot);
        Some(change(&mut shard.entry(&self.shape, held.slot)))
    }

    /// Lets `look` read a held entry.
    #[inline]
    pub fn read<R>(&self, held: &Held, look: impl FnOnce(&Entry<'_>) -> R) -> Option<R> {
        let mut shard = lock(self.shards.get(usize::from(held.shard))?);
        Some(look(&shard.entry(&self.shape, held.slot)))
    }

    /// As [`Self::read`], and puts the entry's key in the place of what `key` holds.
    #[inline]
    pub fn read_with_key<R>(
        &self,
        held: &Held,
        key: &mut Vec<u8>,
        look: impl FnOnce(&Entry<'_>) -> R,
    ) -> Option<R> {
        let mut shard = lock(self.shards.get(usize::from(held.shard))?);
        shard.key(&self.shape, held.slot, key);
        Some(look(&shard.entry(&self.shape, held.slot)))
    }

    /// Lets `change` write a held entry for the last time; from now on its time runs.
    #[inline]
    pub fn release(&self, held: Held, now: Time, change: impl FnOnce(&mut Entry<'_>)) {
        let Some(shard) = self.shards.get(usize::from(held.shard)) else { return };
        let mut shard = lock(shard);
        shard.changed(&self.shape, held.slot);
        change(&mut shard.entry(&self.shape, held.slot));
        shard.let_go(&self.shape, held.slot, now);
    }

    /// Lets `look` read the entry of `key` if there is one, without counting it as used.
    #[inline]
    pub fn peek<R>(&self, key: impl AsRef<[u8]>, now: Time, look: impl FnOnce(&Entry<'_>) -> R) -> Option<R> {
        let key = key.as_ref();
        let (hash, shard) = self.shard(key);
        let mut shard = lock(&self.shards[shard]);
        let slot = shard.find(&self.shape, hash, key, now)?;
        Some(look(&shard.entry(&self.shape, slot)))
    }

    /// Lets `change` write the entry of `key` as it was taught from elsewhere, good for `expire` at most. It is
    /// told whether the entry has changed here and, if so, whether after `seen`; it says whether its own change is
    /// one for peers: as a rule each hears it from who made it.
    pub fn learn(
        &self,
        key: &[u8],
        now: Time,
        expire: Option<Duration>,
        seen: Option<&Cursor>,
        change: impl FnOnce(&mut Entry<'_>, Option<bool>) -> bool,
    ) -> bool {
        let seen = seen.map(|seen| seen.places.get(self.shard(key).1).map_or(0, |place| place.next));
        let expire = expire.map_or(u32::MAX, |expire| u32::try_from(expire.as_millis()).unwrap_or(u32::MAX));
        let expire = expire.min(self.shape.expire);
        let learnt = self.with(key, now, expire, |shard, slot| {
            let unseen = seen.and_then(|seen| shard.has_changed(&self.shape, slot, seen));
            if change(&mut shard.entry(&self.shape, slot), unseen) {
                shard.changed(&self.shape, slot);
            }
        });
        learnt.is_some()
    }

    /// Takes the entry of `key` out; false if it is held.
    pub fn remove(&self, key: impl AsRef<[u8]>, now: Time) -> bool {
        let key = key.as_ref();
        let (hash, shard) = self.shard(key);
        let mut shard = lock(&self.shards[shard]);
        let slot = shard.find(&self.shape, hash, key, now);
        slot.is_none_or(|slot| shard.drop_entry(&self.shape, slot))
    }

    /// The number of a text in the table's dictionary, from 1; 0 if there is no room for more.
    pub fn intern(&self, text: &[u8]) -> u32 {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).intern(text)
    }

    /// The text of this number.
    pub fn text(&self, number: u32) -> Option<Box<[u8]>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).get(number).map(Box::from)
    }

    /// Entries in use, some of which may have expired since they were last looked at.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries that went before their time, because the table was full.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Entries that were not made, because the table was full of clients with running requests.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Goes through all entries. The lock of a shard is held for a few of them at a time.
    pub fn for_each(&self, now: Time, mut each: impl FnMut(Row<'_>)) {
        let mut walk = Walk::default();
        while self.walk(&mut walk, WALKED, now, &mut each) {}
    }

    /// Goes on through all entries, for at most `most` slots; false at the end.
    pub fn walk(&self, walk: &mut Walk, most: u32, now: Time, mut each: impl FnMut(Row<'_>)) -> bool {
        let mut key = std::mem::take(&mut walk.key);
        let goes_on = self.slots(walk, most, |shard, slot| {
            if shard.is_live(&self.shape, slot, now) {
                self.show(shard, slot, now, &mut key, &mut each);
            }
        });
        walk.key = key;
        goes_on
    }

    /// Lines up held entries for peers once more, as if they had changed: they live on here, and are to do so
    /// there. Goes on for at most `most` slots; false at the end.
    pub fn renew_held(&self, walk: &mut Walk, most: u32) -> bool {
        self.slots(walk, most, |shard, slot| {
            if shard.holds(&self.shape, slot) > 0 {
                shard.changed(&self.shape, slot);
            }
        })
    }

    /// Where a reader stands that wants to see only what changes from now on.
    pub fn end(&self) -> Cursor {
        Cursor { places: self.shards.iter().map(|shard| lock(shard).read_all()).collect() }
    }

    /// Reads entries that have changed since `cursor`, at most `most`, each as it is now. True if there may
    /// be more.
    pub fn read_changes(
        &self,
        cursor: &mut Cursor,
        most: usize,
        now: Time,
        mut each: impl FnMut(Row<'_>),
    ) -> bool {
        let mut key = Vec::new();
        let mut left = most;
        // A new reader gets what is still in line, which is each entry that was changed here.
        cursor.places.resize(self.shards.len(), Place::default());
        for (place, shard) in cursor.places.iter_mut().zip(&self.shards) {
            let mut shard = lock(shard);
            while let Some(slot) = shard.read_change(&self.shape, place) {
                if left == 0 {
                    return true;
                }
                place.next = place.next.wrapping_add(1);
                if let Some(slot) = slot.filter(|slot| shard.is_live(&self.shape, *slot, now)) {
                    left -= 1;
                    self.show(&mut shard, slot, now, &mut key, &mut each);
                }
            }
        }
        false
    }

    /// The next `most` slots of a shard, used or not; false if there are no more.
    fn slots(&self, walk: &mut Walk, most: u32, mut each: impl FnMut(&mut Shard, u32)) -> bool {
        let Some(shard) = self.shards.get(walk.shard) else { return false };
        let mut shard = lock(shard);
        let end = walk.slot.saturating_add(most).min(shard.slots());
        (walk.slot..end).for_each(|slot| each(&mut shard, slot));
        walk.slot = end;
        if end == shard.slots() {
            (walk.shard, walk.slot) = (walk.shard + 1, 0);
        }
        true
    }

    fn show(
        &self,
        shard: &mut Shard,
        slot: u32,
        now: Time,
        key: &mut Vec<u8>,
        each: &mut impl FnMut(Row<'_>),
    ) {
        shard.key(&self.shape, slot, key);
        let expires_in = Duration::from_millis(shard.expires_in(&self.shape, slot, now).into());
        let holds = shard.holds(&self.shape, slot);
        each(Row { key, entry: shard.entry(&self.shape, slot), expires_in, holds });
    }

    fn with<R>(
        &self,
        key: &[u8],
        now: Time,
        expire: u32,
        change: impl FnOnce(&mut Shard, u32) -> R,
    ) -> Option<(u16, u32, R)> {
        if !self.shape.key.fits(key) {
            return None;
        }
        let (hash, place) = self.shard(key);
        let mut shard = lock(&self.shards[place]);
        let evicted = shard.evicted;
        let slot = shard.touch_or_insert(&self.shape, hash, key, now, expire);
        if shard.evicted != evicted {
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        let Some(slot) = slot else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        // At most `MOST_SHARDS`.
        Some((place as u16, slot, change(&mut shard, slot)))
    }

    /// The hash for the index of a shard, and the shard: from different halves of one.
    #[inline]
    fn shard(&self, key: &[u8]) -> (u32, usize) {
        let hash = self.hasher.hash(key);
        (hash as u32, (hash >> 32) as usize & (self.shards.len() - 1))
    }
}

/// How far a walk through all entries has come.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    shard: usize,
    slot: u32,
    key: Vec<u8>,
}

impl Walk {
    /// Whether it has not begun.
    pub fn is_at_start(&self) -> bool {
        (self.shard, self.slot) == (0, 0)
    }
}

/// A panic elsewhere leaves a shard as it was between two whole changes; it can be used on.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shards of a table: enough that workers rarely meet in one, and that none is so large that its growth
/// would be noticed.
const LEAST_SHARDS: usize = 64;
const MOST_SHARDS: usize = 1024;
const PER_SHARD: usize = 16_384;
/// Tables smaller than this have one shard, so that their size is exact.
const SMALL: usize = 1024;
/// Slots looked at under one lock.
const WALKED: u32 = 256;
