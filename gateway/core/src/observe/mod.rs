//! What clients do when nobody stops them, so that limits can be set from what is observed: for each route (a
//! frontend and the backend that it leads to) and hour of a week a histogram of its clients' peaks, and the hundred
//! highest by name.
//!
//! A client's peaks within an hour are kept in its entry of a table; only when one rises is anything else written.
//! Peaks go by what all nodes have counted where the table is shared. Memory and file are bounded by routes, hours and
//! the hundred.

mod histogram;
mod record;
mod suggest;

#[cfg(test)]
mod tests;

pub use histogram::Histogram;
pub use record::{HIGHEST, HOURS, Hour, Peaks, Record, Route};
pub use suggest::{Tried, replay, suggest};

use crate::config::{BackendId, TableId};
use crate::limits::{Limit, Tracker, Unit};
use crate::table::{DataType, Entry};
use base_core::Time;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is observed, and where it is kept.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The table of clients and routes.
    pub table: TableId,
    /// The file.
    pub file: PathBuf,
    /// In what period requests are counted.
    pub period: Duration,
    /// The peers over which the table is summed, if it is.
    pub peers: Option<String>,
    /// Frontends and the backends that they lead to.
    pub routes: Vec<(usize, BackendId)>,
}

/// Peaks of a client: requests in a period, and at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// In a period.
    pub rate: u32,
    /// At once.
    pub concurrency: u32,
}

/// What has been observed.
#[derive(Debug)]
pub struct Observer {
    routes: Vec<Mutex<Route>>,
    /// By name, as keys of the table have them.
    names: Vec<[u8; 4]>,
    writing: Mutex<()>,
    /// Counts, and limits nothing.
    pub tracker: Tracker,
}

impl Observer {
    /// Of these routes, by the names of frontend and backend, going on with what `record` holds of them.
    pub fn new(table: TableId, routes: &[(String, String)], record: Record) -> Self {
        let mut known = record.routes;
        let route = |(frontend, backend): &(String, String)| {
            let is_it = |route: &Route| route.frontend == *frontend && route.backend == *backend;
            let place = known.iter().position(is_it);
            Mutex::new(place.map_or_else(
                || Route::new(frontend.clone(), backend.clone()),
                |place| known.swap_remove(place),
            ))
        };
        let limits =
            [DataType::HttpReqRate, DataType::ConnCur].map(|data| Limit::new(data, u32::MAX)).to_vec();
        Self {
            routes: routes.iter().map(route).collect(),
            writing: Mutex::default(),
            names: routes.iter().map(|(frontend, backend)| name(frontend, backend)).collect(),
            tracker: Tracker {
                table,
                unit: Unit::Request,
                count: Default::default(),
                whom: Default::default(),
                limits,
            },
        }
    }

    /// The key of a client on a route.
    pub fn key(&self, route: usize, client: IpAddr) -> Option<[u8; KEY]> {
        let mut key = [0; KEY];
        let (address, name) = key.split_at_mut(16);
        address.copy_from_slice(&v6(client).octets());
        name.copy_from_slice(self.names.get(route)?);
        Some(key)
    }

    /// Counts a request that was let in, of which others have counted `[rate, concurrency]`; what was the client's peak
    /// in this hour, and what it is now, if it has risen.
    #[inline]
    pub fn count(entry: &mut Entry<'_>, others: [u64; 2], hour: u64, now: Time) -> Option<(Peak, Peak)> {
        entry.add(DataType::ConnCur, 1);
        entry.add_rate(DataType::HttpReqRate, 1, now);
        let known = if entry.cell(HOUR) == hour { entry.cell(PEAK) } else { 0 };
        let before = Peak { rate: (known >> 32) as u32, concurrency: known as u32 };
        let sum = |own: u64, others: u64| u32::try_from(own.saturating_add(others)).unwrap_or(u32::MAX);
        let after = Peak {
            rate: sum(entry.rate(DataType::HttpReqRate, now).into(), others[0]).max(before.rate),
            concurrency: sum(entry.get(DataType::ConnCur), others[1]).max(before.concurrency),
        };
        if before == after {
            return None;
        }
        entry.set_cell(HOUR, hour);
        entry.set_cell(PEAK, u64::from(after.rate) << 32 | u64::from(after.concurrency));
        Some((before, after))
    }

    /// A client's peak has risen. How many hours were dropped that have not come yet, by a clock that was ahead.
    pub fn rose(&self, route: usize, client: IpAddr, hour: u64, (before, after): (Peak, Peak)) -> usize {
        let Some(route) = self.routes.get(route) else { return 0 };
        let mut route = lock(route);
        let dropped = route.drop_beyond(hour);
        if let Some(of_hour) = route.hour(hour) {
            of_hour.rate.rose(v6(client), before.rate, after.rate);
            of_hour.concurrency.rose(v6(client), before.concurrency, after.concurrency);
        }
        dropped
    }

    /// For who writes the file, so that nobody else does.
    pub fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of it, for the file.
    pub fn record(&self, period: Duration, peers: Option<&str>) -> Record {
        let routes = self.routes.iter().map(|route| lock(route).clone()).collect();
        let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        Record { version: record::VERSION, period_ms, peers: peers.map(str::to_owned), routes }
    }
}

/// One form for both kinds of addresses.
fn v6(client: IpAddr) -> Ipv6Addr {
    match client {
        IpAddr::V4(client) => client.to_ipv6_mapped(),
        IpAddr::V6(client) => client,
    }
}

/// The same on all nodes, whatever else they have configured (FNV-1a).
fn name(frontend: &str, backend: &str) -> [u8; 4] {
    let bytes = frontend.bytes().chain([b'/']).chain(backend.bytes());
    bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)).to_be_bytes()
}

/// A panic elsewhere leaves a route as it was between two whole changes.
fn lock(route: &Mutex<Route>) -> MutexGuard<'_, Route> {
    route.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of a key: an address and a route.
pub const KEY: usize = 20;
/// Cells of an entry: in which hour its client had the peak that it has, and the peak.
pub const CELLS: u16 = 2;
const HOUR: u16 = 0;
const PEAK: u16 = 1;
