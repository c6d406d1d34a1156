//! Growing pauses with jitter from a seed, so that neighbors and nodes do not try in step.

use base_core::random::Random;
use std::time::Duration;

/// Pauses that double from `first` up to `cap`, each shortened by up to a quarter.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    attempt: u32,
    random: Random,
}

impl Backoff {
    /// Starts at `first`.
    pub const fn new(first: Duration, cap: Duration, seed: u64) -> Self {
        Self { first, cap, attempt: 0, random: Random::new(seed) }
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.attempt).unwrap_or(u32::MAX);
        self.attempt = (self.attempt + 1).min(31);
        let pause = self.first.saturating_mul(factor).min(self.cap);
        // RFC 4271 section 10: the base times 0.75 to 1.0.
        pause - pause.mul_f64(self.random.fraction() / 4.0)
    }

    /// The next pause is the first again.
    pub const fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;
    use std::time::Duration;

    #[test]
    fn pauses_double_to_the_cap_within_their_jitter_and_start_again() {
        let (first, cap) = (Duration::from_millis(250), Duration::from_secs(10));
        for seed in 0..50 {
            let mut backoff = Backoff::new(first, cap, seed);
            for attempt in 0..100_u32 {
                let full = first.saturating_mul(1 << attempt.min(20)).min(cap);
                let pause = backoff.pause();
                assert!(pause <= full && pause >= full.mul_f64(0.74), "{seed} {attempt} {pause:?}");
            }
            backoff.reset();
            assert!(backoff.pause() <= first);
        }
    }
}
