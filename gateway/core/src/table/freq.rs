//! A rate over a sliding window, counted as HAProxy counts it, so that values can be exchanged with
//! it: two counters, for the current period and the one before, of which the older one fades out
//! (HAProxy `include/haproxy/freq_ctr.h` describes the arithmetic).

use base_core::Time;
use std::time::Duration;

/// Events per period, in 12 bytes. The period is an argument: a table has one for all its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FreqCtr {
    /// When the current period began: milliseconds, wrapping after 49 days.
    tick: u32,
    current: u32,
    previous: u32,
}

impl FreqCtr {
    /// Events in the period that ends now, rounded down; saturates.
    pub fn read(&self, now: Time, period: Duration) -> u32 {
        let (current, previous, remaining) = self.at(now, period);
        if previous == 0 {
            return current;
        }
        let faded = u64::from(previous) * u64::from(remaining) / u64::from(millis(period));
        current.saturating_add(u32::try_from(faded).unwrap_or(u32::MAX))
    }

    /// Counts one event.
    pub fn add(&mut self, now: Time, period: Duration) {
        self.add_many(1, now, period);
    }

    /// Counts events.
    pub fn add_many(&mut self, events: u32, now: Time, period: Duration) {
        let (current, previous, remaining) = self.at(now, period);
        let elapsed = millis(period) - remaining;
        let current = current.saturating_add(events);
        *self = Self { tick: wrapping(now).wrapping_sub(elapsed), current, previous };
    }

    /// One that reads now as all of these together, and then fades as the largest of them does.
    pub fn together(all: impl Iterator<Item = Self> + Clone, now: Time, period: Duration) -> Self {
        let reads = all.clone().map(|one| u64::from(one.read(now, period))).sum::<u64>();
        let largest = all.clone().max_by_key(|one| one.read(now, period)).unwrap_or_default();
        let current = all.map(|one| u64::from(one.at(now, period).0)).sum::<u64>();
        let (_, _, remaining) = largest.at(now, period);
        let faded = reads.saturating_sub(current) * u64::from(millis(period));
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            tick: wrapping(now).wrapping_sub(millis(period) - remaining),
            current: narrow(current),
            previous: narrow(faded.div_ceil(u64::from(remaining.max(1)))),
        }
    }

    /// As the wire has it: how long ago the current period began, in milliseconds, and both counters.
    pub fn parts(&self, now: Time) -> [u32; 3] {
        [wrapping(now).wrapping_sub(self.tick), self.current, self.previous]
    }

    /// From what the wire has.
    pub fn from_parts([age, current, previous]: [u32; 3], now: Time) -> Self {
        Self { tick: wrapping(now).wrapping_sub(age), current, previous }
    }

    pub(super) fn words(self) -> [u32; 3] {
        [self.tick, self.current, self.previous]
    }

    pub(super) fn from_words([tick, current, previous]: [u32; 3]) -> Self {
        Self { tick, current, previous }
    }

    /// How long until fewer than `limit` events are in the window, if none is added; zero if that is
    /// so now. `limit` is at least 1.
    pub fn wait_below(&self, limit: u32, now: Time, period: Duration) -> Duration {
        if self.read(now, period) < limit {
            return Duration::ZERO;
        }
        let (current, previous, remaining) = self.at(now, period);
        let window = u64::from(millis(period));
        // The time left of a period in which `count` old events have faded below `room`.
        let left_when_below =
            |count: u32, room: u32| (u64::from(room) * window).saturating_sub(1) / u64::from(count);
        let millis = if current < limit {
            u64::from(remaining).saturating_sub(left_when_below(previous.max(1), limit - current))
        } else {
            u64::from(remaining) + window - left_when_below(current, limit).min(window)
        };
        Duration::from_millis(millis)
    }

    /// The two counters as they stand at `now`, and what is left of the current period, in 1..=period.
    fn at(&self, now: Time, period: Duration) -> (u32, u32, u32) {
        let period = millis(period);
        let elapsed = wrapping(now).wrapping_sub(self.tick);
        match elapsed.checked_sub(period) {
            // The first event begins a period, whatever the clock shows.
            _ if (self.current, self.previous) == (0, 0) => (0, 0, period),
            None => (self.current, self.previous, period - elapsed),
            Some(late) if late < period => (0, self.current, period - late),
            Some(_) => (0, 0, period),
        }
    }
}

fn wrapping(now: Time) -> u32 {
    // Milliseconds wrap by design; only differences count.
    now.as_millis() as u32
}

fn millis(period: Duration) -> u32 {
    // In 64 bits, which whole milliseconds fit in but for periods of ages.
    let millis = period.as_secs().saturating_mul(1000).saturating_add(period.subsec_millis().into());
    u32::try_from(millis).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERIOD: Duration = Duration::from_secs(10);

    #[test]
    fn a_burst_fades_over_the_next_period() {
        let mut rate = FreqCtr::default();
        let start = Time::from_millis(100_000);
        (0..100).for_each(|_| rate.add(start, PERIOD));
        let after = |ms| rate.read(start + Duration::from_millis(ms), PERIOD);
        assert_eq!(
            [after(0), after(9_999), after(10_000), after(15_000), after(19_900), after(20_000)],
            [100, 100, 100, 50, 1, 0]
        );
    }

    #[test]
    fn the_first_period_is_a_whole_one_however_young_the_clock_is() {
        for start in [1, 7_000, 13_000] {
            let start = Time::from_millis(start);
            let mut rate = FreqCtr::default();
            rate.add_many(100, start, PERIOD);
            let after = |ms| rate.read(start + Duration::from_millis(ms), PERIOD);
            assert_eq!([after(0), after(9_999), after(15_000)], [100, 100, 50], "from {start:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn counters_together_read_as_their_sum_and_fade_within_two_periods(
            parts in proptest::collection::vec((0u32..30_000, 0u32..1_000, 0u32..1_000), 0..6),
        ) {
            let now = Time::from_millis(1_000_000);
            let all: Vec<_> = parts.into_iter().map(|(age, c, p)| FreqCtr::from_parts([age, c, p], now)).collect();
            let sum: u32 = all.iter().map(|one| one.read(now, PERIOD)).sum();
            let together = FreqCtr::together(all.iter().copied(), now, PERIOD);
            // What is rounded down in each is rounded down once.
            prop_assert!(together.read(now, PERIOD).abs_diff(sum) <= 1, "{together:?} {sum}");
            prop_assert_eq!(together.read(now + 2 * PERIOD, PERIOD), 0);
        }

        #[test]
        fn who_waits_as_told_is_let_in_and_not_before(
            gaps in proptest::collection::vec(0u64..3_000, 1..200),
            limit in 1u32..50,
            origin in 0u64..10_000_000_000,
        ) {
            let mut rate = FreqCtr::default();
            let mut now = Time::from_millis(origin);
            for gap in gaps {
                now += Duration::from_millis(gap);
                let wait = rate.wait_below(limit, now, PERIOD);
                prop_assert_eq!(wait.is_zero(), rate.read(now, PERIOD) < limit);
                prop_assert!(rate.read(now + wait, PERIOD) < limit, "{:?} {:?}", rate, wait);
                if wait > Duration::from_millis(1) {
                    let before = now + wait - Time::from_millis(1);
                    prop_assert!(rate.read(Time::ZERO + before, PERIOD) >= limit, "{:?} {:?}", rate, wait);
                }
                rate.add(now, PERIOD);
            }
        }

        #[test]
        fn no_window_ever_lets_more_than_the_limit_begin(
            gaps in proptest::collection::vec(0u64..500, 1..400),
            limit in 1u32..20,
        ) {
            let mut rate = FreqCtr::default();
            let mut now = Time::from_millis(1_000_000);
            for gap in gaps {
                now += Duration::from_millis(gap);
                if rate.read(now, PERIOD) < limit {
                    rate.add(now, PERIOD);
                }
                prop_assert!(rate.read(now, PERIOD) <= limit);
            }
        }
    }
}
