//! What was observed as it stands in a file: of bounded size, and refused as a whole if anything in it is not as it is
//! written.

use super::histogram::Histogram;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr};

/// All that one node has observed, or several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Of this form.
    pub version: u32,
    /// In what period requests were counted, in milliseconds.
    pub period_ms: u64,
    /// The section of peers that tells them, if peaks are those on all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<String>,
    /// By route.
    pub routes: Vec<Route>,
}

/// As much as is read of a file of any version.
#[derive(Deserialize)]
struct Form {
    version: u32,
}

/// A frontend and the backend that it leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The frontend's name.
    pub frontend: String,
    /// The backend's.
    pub backend: String,
    /// At most [`HOURS`], the latest last.
    pub hours: Vec<Hour>,
}

/// One hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hour {
    /// Hours since 1970.
    pub hour: u64,
    /// Requests in a period.
    pub rate: Peaks,
    /// Requests at once.
    pub concurrency: Peaks,
}

/// The peaks of all clients in an hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peaks {
    /// Of all.
    pub histogram: Histogram,
    /// The highest, in any order.
    pub highest: Vec<(Ipv6Addr, u32)>,
}

impl Record {
    /// Reads the text of a file that counts in this period, and over the cluster or not, if that matters.
    pub fn read(text: &str, counts: Option<(u64, bool)>) -> Result<Self, String> {
        let Form { version } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if version != VERSION {
            return Err(format!("version {version} is not known"));
        }
        let record: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if let Some((period_ms, _)) = counts.filter(|(period_ms, _)| record.period_ms != *period_ms) {
            return Err(format!("it counts in {} ms, and not in {period_ms} ms", record.period_ms));
        }
        let is_cluster = record.is_cluster();
        if counts.is_some_and(|(_, cluster)| is_cluster != cluster) {
            let scope = |cluster| if cluster { "all nodes have" } else { "one node has" };
            let (own, other) = (scope(is_cluster), scope(!is_cluster));
            return Err(format!("it goes by what {own} counted, and not by what {other}"));
        }
        let is_sound = |peaks: &Peaks| peaks.histogram.is_sound() && peaks.highest.len() <= HIGHEST;
        for route in &record.routes {
            let ordered = route.hours.is_sorted_by(|one, next| one.hour < next.hour);
            let hours = route.hours.iter().all(|hour| is_sound(&hour.rate) && is_sound(&hour.concurrency));
            if !ordered || !hours || route.hours.len() > HOURS {
                return Err(format!("{}/{} is not as it is written", route.frontend, route.backend));
            }
        }
        Ok(record)
    }

    /// Whether peaks are those on all nodes.
    fn is_cluster(&self) -> bool {
        self.peers.is_some()
    }

    /// Adds what another node has observed.
    pub fn merge(&mut self, other: Self) -> Result<(), String> {
        let is_cluster = self.is_cluster();
        if (self.period_ms, is_cluster) != (other.period_ms, other.is_cluster()) {
            return Err("they do not count alike: period and scope must be the same on all nodes".to_owned());
        }
        for theirs in other.routes {
            let is_it =
                |ours: &&mut Route| (&ours.frontend, &ours.backend) == (&theirs.frontend, &theirs.backend);
            match self.routes.iter_mut().find(is_it) {
                None => self.routes.push(theirs),
                Some(ours) => {
                    for hour in theirs.hours {
                        match ours.hours.binary_search_by_key(&hour.hour, |hour| hour.hour) {
                            Err(place) => ours.hours.insert(place, hour),
                            Ok(place) => {
                                let ours = &mut ours.hours[place];
                                ours.rate.merge(&hour.rate, is_cluster);
                                ours.concurrency.merge(&hour.concurrency, is_cluster);
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl Route {
    pub(super) fn new(frontend: String, backend: String) -> Self {
        Self { frontend, backend, hours: Vec::new() }
    }

    /// Drops hours that have not come yet, as after a clock that was ahead has been set right: how many. Otherwise
    /// nothing would be observed until then.
    pub(super) fn drop_beyond(&mut self, hour: u64) -> usize {
        let known = self.hours.len();
        if hour >= EARLIEST {
            // Another worker may be in the next hour already.
            while self.hours.last().is_some_and(|last| last.hour > hour + 1) {
                self.hours.pop();
            }
        }
        known - self.hours.len()
    }

    /// This hour; none if it is past, as in the moment in which the next one begins, or under a clock that is not set.
    pub(super) fn hour(&mut self, hour: u64) -> Option<&mut Hour> {
        if hour < EARLIEST {
            return None;
        }
        let last = self.hours.last().map(|last| last.hour);
        if last.is_none_or(|last| last < hour) {
            self.hours.retain(|old| old.hour + HOURS as u64 > hour);
            self.hours.push(Hour { hour, ..Hour::default() });
        }
        // The latest, but for the moment in which one begins.
        self.hours.iter_mut().rev().find(|known| known.hour == hour)
    }
}

impl Peaks {
    /// A client's peak has risen.
    pub(super) fn rose(&mut self, client: Ipv6Addr, before: u32, after: u32) {
        if before == after {
            return;
        }
        self.histogram.moved(before, after);
        if let Some((_, peak)) = self.highest.iter_mut().find(|(known, _)| *known == client) {
            *peak = after.max(*peak);
        } else if self.highest.len() < HIGHEST {
            self.highest.push((client, after));
        } else if let Some(lowest) = self.highest.iter_mut().min_by_key(|(_, peak)| *peak)
            && lowest.1 < after
        {
            *lowest = (client, after);
        }
    }

    /// The highest of all.
    pub fn peak(&self) -> u32 {
        self.highest.iter().map(|(_, peak)| *peak).max().unwrap_or(0)
    }

    /// Of a client that several nodes have seen, peaks on all nodes are the same peak, and those on each add up, at most.
    fn merge(&mut self, other: &Self, cluster: bool) {
        self.histogram.merge(&other.histogram);
        for (client, peak) in &other.highest {
            match self.highest.iter_mut().find(|(known, _)| known == client) {
                Some((_, known)) if cluster => *known = (*known).max(*peak),
                Some((_, known)) => *known = known.saturating_add(*peak),
                None => self.highest.push((*client, *peak)),
            }
        }
        self.highest.sort_by_key(|(_, peak)| std::cmp::Reverse(*peak));
        self.highest.truncate(HIGHEST);
    }
}

/// An address as people write it.
pub(super) fn shown(client: Ipv6Addr) -> String {
    IpAddr::V6(client).to_canonical().to_string()
}

/// Of this form.
pub(super) const VERSION: u32 = 2;
/// Hours since 1970: in 2025. A clock before that has not been set since the machine began.
const EARLIEST: u64 = 485_000;
/// A week.
pub const HOURS: usize = 168;
/// Clients that are kept by name, for each route, hour and kind of peak.
pub const HIGHEST: usize = 100;
