//! The generic cell rate algorithm (ITU-T I.371, annex A): an even pace, and a burst beside it. What is kept of a
//! client is one time: when it would be through with all that it was let have, at the pace of the limit.
//!
//! It is a time of this node's clock, which can't be added up over nodes: a limit for the cluster is a sliding window.

use crate::table::Entry;
use base_core::Time;
use std::time::Duration;

/// A pace with a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gcra {
    /// From one to the next, in nanoseconds.
    interval: u64,
    /// How many may come at once.
    burst: u32,
    /// Where an entry keeps the time.
    cell: u16,
}

impl Gcra {
    /// As many as `most` in each `period`, `burst` of them at once. None where the interval would be too short to be
    /// kept with care.
    pub fn new(most: u32, period: Duration, burst: u32, cell: u16) -> Option<Self> {
        let interval = u64::try_from(period.as_nanos().div_ceil(most.max(1).into())).ok()?;
        (interval >= SHORTEST).then_some(Self { interval, burst: burst.max(1), cell })
    }

    /// How long until one more may come, if none comes before; zero if it may now.
    #[inline]
    pub fn wait(&self, entry: &Entry<'_>, now: Time) -> Duration {
        let backlog = entry.cell(self.cell).saturating_sub(now.as_nanos());
        Duration::from_nanos(backlog.saturating_sub(self.room()))
    }

    /// Counts one.
    #[inline]
    pub fn count(&self, entry: &mut Entry<'_>, now: Time) {
        let through = entry.cell(self.cell).max(now.as_nanos());
        entry.set_cell(self.cell, through.saturating_add(self.interval));
    }

    /// How long a client that has used up its burst needs for it to be whole again.
    pub fn lasts(&self) -> Duration {
        Duration::from_nanos(self.interval.saturating_mul(self.burst.into()))
    }

    /// What a client may be ahead of the pace with one more still to come.
    fn room(&self) -> u64 {
        self.interval.saturating_mul(u64::from(self.burst) - 1)
    }
}

/// Nanoseconds: a million in a second. What is rounded away of a longer interval is less than a thousandth of it.
const SHORTEST: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Layout;
    use proptest::prelude::*;

    const PERIOD: Duration = Duration::from_secs(10);

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn in_no_window_is_there_more_than_the_pace_and_one_burst_and_who_waits_as_told_is_let_in(
            gaps in proptest::collection::vec(0u64..3_000, 1..200),
            most in 1u32..50,
            burst in 1u32..20,
        ) {
            let layout = Layout::default().with_cells(2);
            let mut words = vec![0; layout.words()];
            let mut entry = Entry::new(&layout, &mut words);
            let gcra = Gcra::new(most, PERIOD, burst, 1).expect("a pace that can be kept");
            let mut now = Time::from_millis(5_000);
            let mut let_in = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                let wait = gcra.wait(&entry, now);
                prop_assert!(gcra.wait(&entry, now + wait).is_zero());
                if wait.is_zero() {
                    gcra.count(&mut entry, now);
                    let_in.push(now);
                } else if wait > Duration::from_nanos(1) {
                    let before = now + (wait - Duration::from_nanos(1));
                    prop_assert!(!gcra.wait(&entry, before).is_zero());
                }
            }
            for (place, from) in let_in.iter().enumerate() {
                for (count, to) in let_in[place..].iter().enumerate() {
                    let pace = (*to - *from).as_nanos() * u128::from(most) / PERIOD.as_nanos();
                    prop_assert!(count as u128 <= pace + u128::from(burst), "{count} in {:?}", *to - *from);
                }
            }
            prop_assert_eq!(entry.cell(0), 0);
        }
    }

    #[test]
    fn a_burst_goes_through_at_once_and_then_one_at_a_time() {
        let layout = Layout::default().with_cells(1);
        let mut words = vec![0; layout.words()];
        let mut entry = Entry::new(&layout, &mut words);
        let gcra = Gcra::new(10, PERIOD, 3, 0).expect("a pace that can be kept");
        let mut goes = |ms: u64| {
            let now = Time::from_millis(ms);
            let wait = gcra.wait(&entry, now);
            if wait.is_zero() {
                gcra.count(&mut entry, now);
            }
            wait
        };
        assert_eq!([goes(0), goes(0), goes(0)], [Duration::ZERO; 3]);
        assert_eq!(goes(400), Duration::from_millis(600));
        assert_eq!([goes(1_000), goes(1_000)], [Duration::ZERO, Duration::from_secs(1)]);
        assert_eq!([goes(60_000), goes(60_000), goes(60_000)], [Duration::ZERO; 3], "a burst is saved up");
        assert_ne!(goes(60_000), Duration::ZERO, "and no more than one");
    }

    #[test]
    fn a_pace_that_can_not_be_kept_is_none() {
        assert_eq!(Gcra::new(1_100_000, Duration::from_secs(1), 1, 0), None);
        assert!(Gcra::new(1_000_000, Duration::from_secs(1), 1, 0).is_some());
    }
}
