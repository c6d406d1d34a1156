//! A histogram of whole numbers from 1: exact below 16, then eight steps for each doubling, so that none is wider than
//! an eighth of where it begins.

use serde::{Deserialize, Serialize};

/// How many there are in each step; steps without any are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram {
    /// Ordered by step.
    steps: Vec<(u8, u32)>,
}

impl Histogram {
    /// One that was `before` is `after` now; 0 is none.
    pub fn moved(&mut self, before: u32, after: u32) {
        let (from, to) = (step(before), step(after));
        if from == to {
            return;
        }
        if let Ok(place) = self.steps.binary_search_by_key(&from, |(step, _)| *step) {
            self.steps[place].1 -= 1;
            if self.steps[place].1 == 0 {
                self.steps.remove(place);
            }
        }
        self.add(to, 1);
    }

    /// Adds another one.
    pub fn merge(&mut self, other: &Self) {
        other.steps.iter().for_each(|(step, count)| self.add(*step, *count));
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.steps.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// What at least this share of a thousand is not above: the end of its step.
    pub fn permille(&self, share: u64) -> u32 {
        let wanted = (self.count() * share).div_ceil(1000);
        let mut seen = 0;
        for (step, count) in &self.steps {
            seen += u64::from(*count);
            if seen >= wanted {
                return bounds(*step).1;
            }
        }
        0
    }

    /// How many are above this, at least and at most.
    pub fn above(&self, value: u32) -> (u64, u64) {
        self.steps.iter().fold((0, 0), |(least, most), (step, count)| {
            let (first, last) = bounds(*step);
            let count = u64::from(*count);
            (least + if first > value { count } else { 0 }, most + if last > value { count } else { 0 })
        })
    }

    /// Whether its steps are as this writes them.
    pub(super) fn is_sound(&self) -> bool {
        let known = self.steps.iter().all(|(step, count)| (1..=LAST).contains(step) && *count > 0);
        known && self.steps.is_sorted_by(|one, next| one.0 < next.0)
    }

    fn add(&mut self, step: u8, count: u32) {
        if step == 0 || count == 0 {
            return;
        }
        match self.steps.binary_search_by_key(&step, |(step, _)| *step) {
            Ok(place) => self.steps[place].1 = self.steps[place].1.saturating_add(count),
            Err(place) => self.steps.insert(place, (step, count)),
        }
    }
}

/// The step that a value is in.
fn step(value: u32) -> u8 {
    if value < EXACT {
        // Below 16.
        return value as u8;
    }
    let exponent = value.ilog2();
    let eighth = value >> (exponent - 3) & 7;
    // At most 239.
    (EXACT + (exponent - 4) * 8 + eighth) as u8
}

/// The first and the last value of a step.
fn bounds(step: u8) -> (u32, u32) {
    let step = u32::from(step);
    if step < EXACT {
        return (step, step);
    }
    let (exponent, eighth) = ((step - EXACT) / 8 + 4, (step - EXACT) % 8);
    let first = (8 + eighth) << (exponent - 3);
    (first, first + ((1 << (exponent - 3)) - 1))
}

/// Values below have a step each.
const EXACT: u32 = 16;
/// The step of the largest value.
const LAST: u8 = 239;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_value_is_within_its_step_and_no_step_is_wide(value in 1u32..) {
            let (first, last) = bounds(step(value));
            prop_assert!((first..=last).contains(&value) && last - first <= first / 8);
            prop_assert!(step(value) <= LAST);
        }

        #[test]
        fn shares_and_counts_are_those_of_the_values(values in proptest::collection::vec(1u32..10_000, 1..200), at in 1u32..10_000) {
            let mut histogram = Histogram::default();
            for value in &values {
                (1..=*value).step_by(7).fold(0, |before, after| { histogram.moved(before, after); after });
                histogram.moved((1..=*value).step_by(7).last().unwrap_or(0), *value);
            }
            prop_assert!(histogram.is_sound());
            prop_assert_eq!(histogram.count(), values.len() as u64);
            let above = values.iter().filter(|value| **value > at).count() as u64;
            let (least, most) = histogram.above(at);
            prop_assert!((least..=most).contains(&above));
            let top = histogram.permille(999);
            prop_assert!(values.iter().filter(|value| **value <= top).count() * 1000 >= values.len() * 999);
        }
    }
}
