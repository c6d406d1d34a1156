//! Real requests through each VIP, and the gates of the node: when the next is due, and whether enough of the latest were served.
//!
//! A VIP is bad when `fall` of the latest `window` requests failed, in a row or not. One that failed in one row, as
//! something that was away for a moment does, is good again with the next success. One that failed here and there
//! is flapping, and must first have a window without a failure: otherwise it would come and go all the time.

use super::Action;
use base_core::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// How many failures are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fall {
    /// So many failures
    pub fall: u32,
    /// among so many requests; at most 64.
    pub window: u32,
}

/// When requests go out, and when too many have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How many failures are too many.
    pub fall: Fall,
    /// From one request to the next.
    pub interval: Duration,
    /// A request that takes longer failed; at most `interval`.
    pub timeout: Duration,
}

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A VIP.
    Vip(IpAddr),
    /// The node: one of its gates, by its place in the configuration.
    Gate(usize),
}

/// The probes of all VIPs that have one, and of the node.
#[derive(Debug)]
pub(super) struct Probes {
    pace: Pace,
    subjects: BTreeMap<Subject, Probe>,
}

#[derive(Debug, Default)]
struct Probe {
    good: bool,
    /// The latest requests, the last in the lowest bit: 1 failed.
    failures: u64,
    /// It failed here and there.
    flapping: bool,
    /// `None` before the first.
    due: Option<Time>,
    in_flight: bool,
    /// What is in flight was asked before the gateway was ready.
    early: bool,
    /// It has been, once, since the gateway was ready.
    answered: bool,
}

impl Fall {
    const fn too_many(self, failures: u64) -> bool {
        failures.count_ones() >= self.fall
    }

    const fn push(self, failures: u64, failed: bool) -> u64 {
        let window = u64::MAX >> (64 - if self.window > 64 { 64 } else { self.window });
        (failures << 1 | failed as u64) & window
    }
}

impl Probe {
    fn judge(&mut self, failed: bool, rule: Fall) {
        self.failures = rule.push(self.failures, failed);
        let too_many = rule.too_many(self.failures);
        if failed && too_many && self.good {
            self.good = false;
            // One row of failures, and nothing but successes before: all ones at the low end.
            self.flapping = self.failures & self.failures.wrapping_add(1) != 0;
        } else if !failed && (!self.flapping || self.failures == 0) {
            self.good = true;
        }
    }
}

impl Probes {
    pub(super) fn new(vips: &BTreeSet<IpAddr>, gates: usize, pace: Pace) -> Self {
        let vips = vips.iter().copied().map(Subject::Vip);
        let subjects = vips.chain((0..gates).map(Subject::Gate));
        Self { pace, subjects: subjects.map(|subject| (subject, Probe::default())).collect() }
    }

    /// A VIP without a probe has nothing against it.
    pub(super) fn good(&self, vip: IpAddr) -> bool {
        self.subjects.get(&Subject::Vip(vip)).is_none_or(|probe| probe.good)
    }

    /// Whether no gate of the node is shut.
    pub(super) fn open(&self) -> bool {
        // Gates come last.
        self.subjects.range(Subject::Gate(0)..).all(|(_, probe)| probe.good)
    }

    /// Nothing is known yet of some.
    pub(super) fn wait(&self) -> bool {
        self.subjects.values().any(|probe| !probe.answered)
    }

    /// Another process found it good; the next request will show.
    pub(super) fn believe(&mut self, vip: IpAddr) {
        if let Some(probe) = self.subjects.get_mut(&Subject::Vip(vip)) {
            probe.good = true;
        }
    }

    /// Another process found all gates open; the next answers will show.
    pub(super) fn believe_open(&mut self) {
        for (_, probe) in self.subjects.range_mut(Subject::Gate(0)..) {
            probe.good = true;
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.subjects.values().filter(|probe| !probe.in_flight).filter_map(|probe| probe.due).min()
    }

    pub(super) fn probed(&mut self, subject: Subject, served: Option<bool>) {
        let Some(probe) = self.subjects.get_mut(&subject) else { return };
        probe.in_flight = false;
        if std::mem::take(&mut probe.early) && served != Some(true) {
            return;
        }
        probe.answered = true;
        if let Some(served) = served {
            probe.judge(!served, self.pace.fall);
        }
    }

    /// The gateway has just become ready: what failed is asked again at once. That it failed while the gateway was
    /// away says nothing about now.
    pub(super) fn hurry(&mut self, now: Time) {
        for probe in self.subjects.values_mut().filter(|probe| !probe.good) {
            let in_flight = probe.in_flight;
            *probe = Probe { due: Some(now), in_flight, early: in_flight, ..Probe::default() };
        }
    }

    /// Sends what is due, at a fixed rate that does not depend on how long an answer takes.
    pub(super) fn run(&mut self, now: Time, actions: &mut Vec<Action>) {
        for (subject, probe) in &mut self.subjects {
            let due = probe.due.unwrap_or(now);
            if !probe.in_flight && due <= now {
                probe.in_flight = true;
                probe.due = Some((due + self.pace.interval).max(now));
                actions.push(Action::Probe { subject: *subject });
            } else {
                probe.due = Some(due);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fall, Probe};

    /// What is good after each request: `+` was served, `-` failed.
    fn verdicts(rule: Fall, requests: &str) -> String {
        let mut probe = Probe::default();
        let judge = |request| {
            probe.judge(request == '-', rule);
            if probe.good { '+' } else { '-' }
        };
        requests.chars().map(judge).collect()
    }

    #[test]
    fn failures_are_counted_within_the_window_and_a_flapping_check_stays_down() {
        let rule = Fall { fall: 2, window: 5 };
        let cases = [
            ("+--+", "++-+", "in a row: one success brings it back"),
            ("+-++++-", "+++++++", "two within six are not within five"),
            ("+-+-+-+-+-+", "+++--------", "every second fails: down, and down it stays"),
            ("+-++-++-++", "++++------", "every third, too"),
            ("+-+-+++++", "+++-----+", "a calm window"),
            ("+--+-+++++", "++-+-----+", "right after a fall, the next failure counts"),
            ("-----+", "-----+", "a start"),
        ];
        for (requests, expected, what) in cases {
            assert_eq!(verdicts(rule, requests), expected, "{what}");
        }
        let lenient = Fall { fall: 3, window: 3 };
        assert_eq!(verdicts(lenient, "+--+--+---+"), "+++++++++-+", "three in a row");
        assert_eq!(verdicts(Fall { fall: 1, window: 64 }, "+-+"), "+-+");
        assert_eq!(verdicts(Fall { fall: 1, window: 1 }, "+-+"), "+-+");
    }
}
