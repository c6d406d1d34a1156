//! The stick table: what is known of each client, in a bounded number of entries, shared by all
//! workers (HAProxy manual, "stick-table").
//!
//! Keys are spread over shards, each behind its own short lock; nothing waits or calls out while it
//! holds one. A shard keeps its entries in the order of their last use: since all entries live
//! equally long, that is also the order in which they expire, so expiry looks at the oldest and
//! nowhere else. When a shard is full the oldest entry goes and is counted; an entry that holds
//! running requests never goes, or their count would be lost with it.

mod freq;
mod shard;

#[cfg(test)]
mod tests;

pub use freq::FreqCtr;

use base_core::Time;
use shard::Shard;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A client's address, as the table keys it: IPv4 as its IPv4-mapped IPv6 form, so that one type
/// holds both, as HAProxy's `ipv6` tables do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u128);

/// What is known of one client. Data types go by HAProxy's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Requests that are running now, or connections in mode tcp.
    pub conn_cur: u32,
    /// Requests let through in the table's period.
    pub http_req_rate: FreqCtr,
    /// Connections let through in the table's period, in mode tcp.
    pub conn_rate: FreqCtr,
    /// The server that it sticks to: its number in the backend, from 1; 0 is none.
    pub server_id: u32,
}

/// A stick table.
#[derive(Debug)]
pub struct StickTable {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    expire: Duration,
    evicted: AtomicU64,
    refused: AtomicU64,
}

impl StickTable {
    /// At most `size` entries (a little more, so that every shard holds as many), each kept for
    /// `expire` after its last use. `hasher` brings the random seed: clients choose the keys.
    pub fn new(size: usize, expire: Duration, hasher: RandomState) -> Self {
        let shards = if size < SMALL { 1 } else { SHARDS };
        let shard = || Mutex::new(Shard::new(size.div_ceil(shards)));
        Self {
            shards: (0..shards).map(|_| shard()).collect(),
            hasher,
            expire,
            evicted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Lets `change` read and write the entry of `key`, a new one if there was none, and counts it as
    /// used. `None` if there is no room even for one more, since every entry that could go holds
    /// running requests: counted as refused.
    pub fn update<R>(&self, key: Key, now: Time, change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let mut shard = self.shard(key);
        let evicted = shard.evicted;
        let slot = shard.touch_or_insert(key, now, now + self.expire);
        self.evicted.fetch_add(shard.evicted - evicted, Ordering::Relaxed);
        if slot.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        slot.map(|slot| change(shard.entry(slot)))
    }

    /// Lets `change` read and write the entry of `key` if there is one, without counting it as used.
    pub fn peek<R>(&self, key: Key, now: Time, change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let mut shard = self.shard(key);
        let slot = shard.find(key, now)?;
        Some(change(shard.entry(slot)))
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

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        // The high bits choose the shard, the shard's own map uses a hash of its own.
        let hash = self.hasher.hash_one(key);
        lock(&self.shards[(hash >> 32) as usize % self.shards.len()])
    }
}

impl From<IpAddr> for Key {
    fn from(address: IpAddr) -> Self {
        let v6: Ipv6Addr = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Self(v6.to_bits())
    }
}

/// A panic elsewhere leaves a shard as it was between two whole changes; it can be used on.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shards of a table: enough that workers rarely meet in one.
const SHARDS: usize = 64;
/// Tables smaller than this have one shard, so that their size is exact.
const SMALL: usize = 1024;
