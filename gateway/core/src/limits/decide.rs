//! How a tracker decides and counts.

use super::{Action, Asker, Count, Denial, Limit, Others, Outcome, Patience, Scope, Tracker, Unit, Verdict};
use crate::table::{DataType, Entry, Kind};
use crate::track;
use base_core::Time;
use std::time::Duration;

impl Tracker {
    /// Whether any of its limits goes by what other nodes have counted.
    pub fn is_for_cluster(&self) -> bool {
        self.limits.iter().any(|limit| limit.scope != Scope::Node)
    }

    /// How long and with how many others a request may wait for its turn, if any of its limits lets it.
    pub fn patience(&self) -> Option<Patience> {
        self.limits.iter().find_map(|limit| match limit.action {
            Action::Queue(patience) => Some(patience),
            _ => None,
        })
    }

    /// Decides on one request of the client whose entry this is, and counts it.
    pub fn admit<'a>(
        &self,
        entry: &mut Entry<'_>,
        asker: impl Into<Asker<'a>>,
        others: &Others,
        now: Time,
    ) -> Verdict {
        let asker = asker.into();
        let mut verdict = Verdict::default();
        if self.count == Count::All {
            self.unit.count(entry, now);
        }
        let already = u64::from(self.count == Count::All);
        for (limit, sum) in self.limits.iter().zip(others.sums) {
            if !limit.is_reached(entry, asker, (sum, already), others, now) || !limit.concerns(asker.address)
            {
                continue;
            }
            if limit.dry_run {
                verdict.would_deny = verdict.would_deny.or_else(|| Some(limit.data.name()));
            } else if limit.action == Action::Mark {
                verdict.mark = verdict.mark.or_else(|| Some(limit.data.name()));
            } else {
                verdict.denial = Some(limit.denial(entry, asker, sum, others, now));
                return verdict;
            }
        }
        if self.count == Count::Admitted {
            self.unit.count(entry, now);
        }
        for limit in &self.limits {
            // What it only would have refused it does not count, as if it had.
            if let Some(gcra) = limit.gcra(asker)
                && limit.concerns(asker.address)
                && gcra.wait(entry, now).is_zero()
            {
                gcra.count(entry, now);
            }
        }
        verdict.holds = HELD.iter().any(|data| entry.layout().get(*data).is_some());
        if verdict.holds {
            entry.add(DataType::ConnCur, 1);
        }
        verdict
    }

    /// Gives back what [`Verdict::holds`] took, and counts how the request ended.
    pub fn release(entry: &mut Entry<'_>, outcome: Outcome, now: Time) {
        track::gone(entry);
        track::ended(entry, outcome, now);
    }
}

impl Limit {
    /// What the client has, here and elsewhere, without this request.
    fn found(&self, entry: &Entry<'_>, others: u64, already: u64, now: Time) -> u64 {
        let own = match self.data.kind() {
            Kind::Rate => u64::from(entry.rate(self.data, now)),
            _ => entry.get(self.data),
        };
        let counted = matches!(
            self.data,
            DataType::HttpReqCnt | DataType::HttpReqRate | DataType::ConnCnt | DataType::ConnRate
        );
        let own = if counted { own.saturating_sub(already) } else { own };
        if self.scope == Scope::Node { own } else { own.saturating_add(others) }
    }

    /// Whether who asks has had as much as may be.
    #[inline]
    fn is_reached(
        &self,
        entry: &Entry<'_>,
        asker: Asker<'_>,
        (others, already): (u64, u64),
        all: &Others,
        now: Time,
    ) -> bool {
        match self.gcra(asker) {
            Some(gcra) => !gcra.wait(entry, now).is_zero(),
            None => self.found(entry, others, already, now) >= u64::from(self.most(asker, all)),
        }
    }

    fn denial(&self, entry: &Entry<'_>, asker: Asker<'_>, others: u64, all: &Others, now: Time) -> Denial {
        let most = self.most(asker, all);
        let wait = match self.gcra(asker) {
            Some(gcra) => Some(gcra.wait(entry, now)),
            None => self.window_wait(entry, others, most, now),
        };
        let stored = entry.layout().get(self.data);
        Denial {
            reason: self.data.name(),
            retry_after: wait
                .map_or(RETRY_AFTER_UNKNOWN, |wait| wait.as_nanos().div_ceil(NANOS) as u64)
                .max(RETRY_AFTER_UNKNOWN),
            most,
            period: stored.map_or(0, |stored| stored.period.as_nanos().div_ceil(NANOS) as u64),
            data: self.data,
            wait,
            action: self.action,
        }
    }

    /// When the window has room for one more, if that is known.
    fn window_wait(&self, entry: &Entry<'_>, others: u64, most: u32, now: Time) -> Option<Duration> {
        let stored = entry.layout().get(self.data).filter(|stored| !stored.period.is_zero())?;
        let others = if self.scope == Scope::Node { 0 } else { u32::try_from(others).unwrap_or(u32::MAX) };
        let room = most.saturating_sub(others);
        // With no room the others' share has to fade first; when, only they know.
        (room > 0).then(|| entry.frequency(self.data, 0).wait_below(room, now, stored.period))
    }
}

impl Unit {
    /// Counts one where it begins.
    fn count(self, entry: &mut Entry<'_>, now: Time) {
        let (count, rate) = match self {
            Self::Request => (DataType::HttpReqCnt, DataType::HttpReqRate),
            Self::Connection => (DataType::ConnCnt, DataType::ConnRate),
        };
        entry.add(count, 1);
        entry.add_rate(rate, 1, now);
    }
}

/// What is written when a request ends, so that its entry must stay until then.
const HELD: [DataType; 9] = [
    DataType::ConnCur,
    DataType::BytesInCnt,
    DataType::BytesInRate,
    DataType::BytesOutCnt,
    DataType::BytesOutRate,
    DataType::HttpErrCnt,
    DataType::HttpErrRate,
    DataType::HttpFailCnt,
    DataType::HttpFailRate,
];
/// Seconds. Nobody knows when a running request ends; this is the least that the field can say.
const RETRY_AFTER_UNKNOWN: u64 = 1;
const NANOS: u128 = 1_000_000_000;
