//! The one place that reads the monotonic clock.

use base_core::Time;
use std::time::Instant;

/// The monotonic clock, counted from the moment it was started. A process starts one and copies it
/// to whoever needs it, so that all of its [`Time`]s can be compared.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts counting now.
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Goes on where another process's clock is at `now`, so that its [`Time`]s mean the same here.
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    pub fn resume(now: Time) -> Self {
        let present = Instant::now();
        // Both count from the start of the machine: the origin is after it.
        Self { origin: present.checked_sub(now - Time::ZERO).unwrap_or(present) }
    }

    /// The present moment.
    pub fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    /// Sleeps until `at`; returns at once if it has passed. Timers of the runtime are exact to a
    /// millisecond.
    pub async fn sleep_until(&self, at: Time) {
        tokio::time::sleep_until((self.origin + (at - Time::ZERO)).into()).await;
    }
}
