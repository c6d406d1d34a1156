//! Connections to servers that rest until the next request. They belong to one worker, and need no task each:
//! whether one still stands is asked when it is taken, and once in a while.

use crate::upstream::Connection;
use base_core::Time;
use gateway_core::pool::Idle;
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use tokio::io::{AsyncRead, ReadBuf};

/// All that rest, by what they are kept by.
pub(super) struct Pool {
    resting: Mutex<Resting>,
    most: usize,
}

#[derive(Default)]
struct Resting {
    /// Those used last are at the back.
    by_key: HashMap<u64, VecDeque<Rested>>,
    count: usize,
}

/// A connection that is to rest.
pub(super) struct Rest {
    pub(super) stream: Connection,
    /// Those that it has carried.
    pub(super) requests: u32,
    /// Its place among those of its server that rest, where these are bounded.
    pub(super) _place: Option<Idle>,
}

struct Rested {
    connection: Rest,
    since: Time,
    until: Time,
}

impl Pool {
    /// One that keeps so many.
    pub(super) fn new(most: usize) -> Self {
        Self { resting: Mutex::default(), most }
    }

    /// The connection used last of those kept by `key` that still stand, and how many requests it has carried.
    pub(super) fn take(&self, key: u64, now: Time) -> Option<(Connection, u32)> {
        let resting = &mut *self.lock();
        let rested = resting.by_key.get_mut(&key)?;
        while let Some(mut last) = rested.pop_back() {
            resting.count -= 1;
            if last.stands(now) {
                return Some((last.connection.stream, last.connection.requests));
            }
        }
        None
    }

    /// Keeps a connection; where there are too many, the one unused for longest goes.
    pub(super) fn put(&self, key: u64, connection: Rest, now: Time, until: Time) {
        let resting = &mut *self.lock();
        if resting.count >= self.most {
            resting.drop_oldest();
        }
        resting.by_key.entry(key).or_default().push_back(Rested { connection, since: now, until });
        resting.count += 1;
    }

    /// Closes those that have rested for too long, or that the server has closed.
    pub(super) fn sweep(&self, now: Time) {
        let resting = &mut *self.lock();
        resting.by_key.retain(|_, rested| {
            rested.retain_mut(|connection| connection.stands(now));
            !rested.is_empty()
        });
        resting.count = resting.by_key.values().map(VecDeque::len).sum();
    }

    fn lock(&self) -> MutexGuard<'_, Resting> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resting {
    fn drop_oldest(&mut self) {
        let oldest = self.by_key.values_mut().filter(|rested| !rested.is_empty());
        let oldest = oldest.min_by_key(|rested| rested.front().map(|first| first.since));
        if oldest.and_then(VecDeque::pop_front).is_some() {
            self.count -= 1;
        }
    }
}

impl Rested {
    /// Whether it can be used: a server says nothing unasked, not even that it ends.
    fn stands(&mut self, now: Time) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let mut context = Context::from_waker(Waker::noop());
        now < self.until
            && Pin::new(&mut self.connection.stream).poll_read(&mut context, &mut buffer).is_pending()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::net::UnixStream;

    const START: Time = Time::from_nanos(1_000_000_000);

    fn put(pool: &Pool, key: u64, age: u64, server: UnixStream) {
        let since = START + Duration::from_secs(age);
        let connection = Rest { stream: Connection::Local(server), requests: 1, _place: None };
        pool.put(key, connection, since, since + Duration::from_secs(60));
    }

    fn pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().expect("a pair")
    }

    #[tokio::test]
    async fn the_connection_used_last_is_used_next_while_it_stands() {
        let pool = Pool::new(8);
        let [(stands, _first), (ends, second), (speaks, third)] = [pair(), pair(), pair()];
        drop(second);
        third.try_write(b"unasked").expect("it has room");
        // The runtime has heard of it.
        for server in [&ends, &speaks] {
            server.readable().await.expect("it is open");
        }
        for (age, server) in (0..).zip([stands, ends, speaks]) {
            put(&pool, 1, age, server);
        }
        assert!(pool.take(2, START).is_none(), "of another server");
        assert!(pool.take(1, START).is_some(), "the first");
        assert!(pool.take(1, START).is_none());
    }

    #[tokio::test]
    async fn what_has_rested_for_too_long_goes_and_so_does_the_oldest_of_too_many() {
        let pool = Pool::new(2);
        let others = (0..3).map(|age| {
            let (server, other) = pair();
            put(&pool, age, age, server);
            other
        });
        let _others: Vec<_> = others.collect();
        let later = START + Duration::from_secs(61);
        pool.sweep(later);
        assert!(pool.take(0, START).is_none(), "one too many");
        assert!(pool.take(1, START).is_none(), "too old");
        assert!(pool.take(2, later).is_some());
        assert!(pool.lock().by_key.len() <= 1);
    }
}
