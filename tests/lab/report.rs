//! What a span of load came to.

use crate::http::Failure;
use crate::load::{Kind, Sample};
use crate::routes::Change;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The requests of a span of time, to be asked about.
#[derive(Clone, Debug, Default)]
pub struct Report {
    samples: Vec<Sample>,
}

impl Report {
    pub(crate) const fn new(samples: Vec<Sample>) -> Self {
        Self { samples }
    }

    /// Only requests of this kind.
    #[must_use]
    pub fn kind(&self, kind: Kind) -> Self {
        self.only(|sample| sample.kind == kind)
    }

    /// Only requests to this VIP.
    #[must_use]
    pub fn vip(&self, vip: Ipv4Addr) -> Self {
        self.only(|sample| sample.vip == vip)
    }

    /// Only requests to other VIPs.
    #[must_use]
    pub fn other_vips(&self, vip: Ipv4Addr) -> Self {
        self.only(|sample| sample.vip != vip)
    }

    /// Only requests for this service.
    #[must_use]
    pub fn service(&self, service: &str) -> Self {
        self.only(|sample| sample.service == service)
    }

    /// Those whose connection a move of their VIP cut in the middle of the request: begun at one node,
    /// their next packet went to another, which does not know them. The rest is a second report.
    pub fn cut_by(&self, moves: &[Change]) -> (Self, Self) {
        let is_cut = |sample: &Sample| {
            let under_way = |at| {
                sample.start <= at && at <= sample.end + SEEN_WITHIN && sample.end <= at + ANSWERED_WITHIN
            };
            sample.outcome == Err(Failure::Broken)
                && moves.iter().any(|change| change.vip == sample.vip && under_way(change.at))
        };
        (self.only(is_cut), self.only(|sample| !is_cut(sample)))
    }

    /// How many.
    pub fn total(&self) -> usize {
        self.samples.len()
    }

    /// How many got their whole answer, 2xx, in time.
    pub fn ok(&self) -> usize {
        self.samples.iter().filter(|sample| sample.outcome.is_ok()).count()
    }

    /// How many did not.
    pub fn failed(&self) -> usize {
        self.total() - self.ok()
    }

    /// How many failed in which way.
    pub fn failures(&self) -> BTreeMap<Failure, usize> {
        let mut failures = BTreeMap::new();
        for failure in self.samples.iter().filter_map(|sample| sample.outcome.as_ref().err()) {
            *failures.entry(*failure).or_default() += 1;
        }
        failures
    }

    /// How many each server answered.
    pub fn servers(&self) -> BTreeMap<&str, usize> {
        let mut servers = BTreeMap::new();
        for server in self.samples.iter().filter_map(|sample| sample.outcome.as_deref().ok()) {
            *servers.entry(server).or_default() += 1;
        }
        servers
    }

    /// The time that `share` (0.5: the median) of the successes took at most.
    pub fn latency(&self, share: f64) -> Duration {
        let mut times: Vec<_> = self.successes().map(|sample| sample.end - sample.start).collect();
        times.sort_unstable();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let index = (share * times.len() as f64) as usize;
        times.get(index.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// The longest time between two successes, one after the other.
    pub fn longest_gap(&self) -> Duration {
        let mut ends: Vec<_> = self.successes().map(|sample| sample.end).collect();
        ends.sort_unstable();
        ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// `0 failed of 312`, or with what failed how.
    pub fn summary(&self) -> String {
        let failures: Vec<_> =
            self.failures().iter().map(|(failure, count)| format!("{count} {failure}")).collect();
        let how = if failures.is_empty() { String::new() } else { format!(" ({})", failures.join(", ")) };
        format!("{} failed of {}{how}", self.failed(), self.total())
    }

    fn successes(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(|sample| sample.outcome.is_ok())
    }

    fn only(&self, wanted: impl Fn(&Sample) -> bool) -> Self {
        Self { samples: self.samples.iter().filter(|sample| wanted(sample)).cloned().collect() }
    }
}

/// A change of a route is seen this long after it was made, at most: the client may know before.
const SEEN_WITHIN: Duration = Duration::from_millis(5);
/// A request that a move has cut fails this soon after it: its next packet is answered with a reset.
const ANSWERED_WITHIN: Duration = Duration::from_millis(50);
