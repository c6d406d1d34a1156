//! When the next probe is due.
//!
//! Promises: a fixed rate (slots are counted from slot to slot, never from when a probe ended, so nothing
//! drifts); many servers do not probe in step (the first slot is spread over the whole interval, each later
//! probe is up to a twentieth late); a slot that passes while a probe still runs is skipped, so that a slow
//! server never gets a burst. HAProxy manual 5.2 `inter`, 3.2 `spread-checks`.

use base_core::Time;
use base_core::random::Random;
use std::time::Duration;

/// The slots of one server's probes.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The slot of the probe that was started last: what the next one is counted from.
    last: Time,
    /// When that probe really started; the start of the schedule before the first one.
    started: Time,
    /// The slot of the next probe, without its jitter.
    next: Time,
    /// When the next probe starts.
    due: Time,
    random: Random,
}

impl Schedule {
    /// The first probe falls somewhere in one `interval` from `now`; where is decided by `seed`.
    pub fn start(now: Time, interval: Duration, seed: u64) -> Self {
        let mut schedule = Self { last: now, started: now, next: now, due: now, random: Random::new(seed) };
        let first = now + schedule.below(interval);
        (schedule.last, schedule.next, schedule.due) = (first, first, first);
        schedule
    }

    /// When the next probe starts.
    pub const fn due(&self) -> Time {
        self.due
    }

    /// A probe starts now, in the slot that was due.
    pub const fn take(&mut self, now: Time) {
        self.last = self.next;
        self.started = now;
    }

    /// Plans the next probe: the first slot, counted in `interval`s from the last one, that has not passed.
    pub fn plan(&mut self, now: Time, interval: Duration) {
        let step = interval.max(MIN_INTERVAL).as_nanos();
        let missed = now.since(self.last).as_nanos().div_ceil(step).max(1);
        let ahead = u64::try_from(missed.saturating_mul(step)).unwrap_or(u64::MAX);
        self.next = self.last + Duration::from_nanos(ahead);
        let late = self.below(interval / JITTER_PART);
        self.due = self.next + late;
    }

    /// Brings the next probe forward to now, but to no less than `gap` after the last one started. Never puts it off.
    pub fn hurry(&mut self, now: Time, gap: Duration) {
        let at = now.max(self.started + gap);
        if at < self.due {
            (self.next, self.due) = (at, at);
        }
    }

    /// The next probe starts at `at`, whatever was planned.
    pub const fn put_off(&mut self, at: Time) {
        (self.next, self.due) = (at, at);
    }

    fn below(&mut self, limit: Duration) -> Duration {
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.random.below(limit))
    }
}

/// The shortest interval: below it the probes of one server would be a load of their own.
pub const MIN_INTERVAL: Duration = Duration::from_millis(10);
/// A probe is late by up to this part of its interval: enough to break up servers that move in step after
/// they all changed at once, too little to matter for how fast a failure is found.
pub const JITTER_PART: u32 = 20;

#[cfg(test)]
mod tests;
