//! A circuit breaker for each server (HAProxy manual, `observe`, `error-limit`, `on-error mark-down`): one that
//! fails so many requests in a row gets none for a while, and then one at a time that may show that it is back.
//!
//! ```text
//!   CLOSED ── `error_limit` failures in a row ──► OPEN ── `open` has passed ──► HALF-OPEN: one request
//!     ▲                                            ▲                               │
//!     └───────────────── it succeeds ──────────────┼───────────────────────────────┤
//!                                                  └── it fails: twice as long ────┘
//! ```
//! Promises: one success closes it; while it is open nothing is sent, also if no other server is left, so that
//! clients fail at once instead of waiting for what will fail. Refuses: to judge by what was sent before it opened.

use crate::on_error::Layer;
use base_core::Time;
use std::time::Duration;

/// When it opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Failures in a row.
    pub error_limit: u32,
    /// From opening to the request that may show that the server is back; doubles each time.
    pub open: Duration,
    /// What counts as a failure.
    pub layer: Layer,
}

/// The breakers of a backend.
#[derive(Clone, Debug)]
pub struct Breaker {
    policy: Policy,
    servers: Vec<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Time, times: u32 },
    HalfOpen { until: Time, times: u32 },
}

impl Breaker {
    /// For so many servers, all of them closed.
    pub fn new(policy: Policy, servers: usize) -> Self {
        Self { policy, servers: vec![State::Closed { failures: 0 }; servers] }
    }

    /// Whether the server at `place` may get a request now.
    pub fn lets(&self, place: usize, now: Time) -> bool {
        match self.servers[place] {
            State::Closed { .. } => true,
            // A request that never came to an end of any kind does not keep others out for ever.
            State::Open { until, .. } | State::HalfOpen { until, .. } => now >= until,
        }
    }

    /// Whether it is not closed.
    pub fn is_open(&self, place: usize) -> bool {
        !matches!(self.servers[place], State::Closed { .. })
    }

    /// A request goes to the server at `place`.
    pub fn sent(&mut self, place: usize, now: Time) {
        if let State::Open { until, times } | State::HalfOpen { until, times } = self.servers[place]
            && now >= until
        {
            self.servers[place] = State::HalfOpen { until: now + self.pause(times), times };
        }
    }

    /// A request to the server at `place` has not been sent after all: the next one may show that it is back.
    pub fn unsent(&mut self, place: usize, now: Time) {
        if let State::HalfOpen { times, .. } = self.servers[place] {
            self.servers[place] = State::Open { until: now, times };
        }
    }

    /// A request to the server at `place` has succeeded.
    pub fn succeeded(&mut self, place: usize) {
        if !matches!(self.servers[place], State::Open { .. }) {
            self.servers[place] = State::Closed { failures: 0 };
        }
    }

    /// A request to the server at `place` has failed.
    pub fn failed(&mut self, place: usize, now: Time) {
        self.servers[place] = match self.servers[place] {
            State::Closed { failures } if failures + 1 < self.policy.error_limit => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } => State::Open { until: now + self.policy.open, times: 1 },
            State::HalfOpen { times, .. } => State::Open { until: now + self.pause(times), times: times + 1 },
            open @ State::Open { .. } => open,
        };
    }

    /// Something else says that the server at `place` is well: it begins anew.
    pub fn forget(&mut self, place: usize) {
        self.servers[place] = State::Closed { failures: 0 };
    }

    fn pause(&self, times: u32) -> Duration {
        self.policy.open.saturating_mul(1 << times.min(MOST_DOUBLINGS))
    }
}

/// A server that is back after long is found after at most so many times `open`: 16.
const MOST_DOUBLINGS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: Policy = Policy { error_limit: 3, open: Duration::from_secs(1), layer: Layer::Seven };

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_after_one_success() {
        let mut breaker = Breaker::new(POLICY, 2);
        for _ in 0..2 {
            breaker.failed(0, at(0));
            breaker.failed(0, at(0));
            assert!(breaker.lets(0, at(0)));
            breaker.succeeded(0);
        }
        (0..3).for_each(|_| breaker.failed(0, at(0)));
        assert!(!breaker.lets(0, at(999)) && breaker.lets(1, at(0)));
        breaker.succeeded(0);
        assert!(!breaker.lets(0, at(999)), "what was sent before does not close it");
        assert!(breaker.lets(0, at(1000)));
        breaker.sent(0, at(1000));
        assert!(!breaker.lets(0, at(1001)), "one at a time");
        breaker.failed(0, at(1001));
        assert!(!breaker.lets(0, at(3000)) && breaker.lets(0, at(3001)), "twice as long");
        breaker.sent(0, at(3001));
        assert!(!breaker.lets(0, at(3002)));
        breaker.unsent(0, at(3002));
        assert!(breaker.lets(0, at(3002)) && breaker.is_open(0), "one that was not sent is no trial");
        breaker.sent(0, at(3002));
        breaker.succeeded(0);
        breaker.unsent(0, at(3003));
        assert!(breaker.lets(0, at(3002)) && !breaker.is_open(0));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_server_is_never_kept_out_for_ever(steps in proptest::collection::vec(0u8..4, 0..200)) {
            let mut breaker = Breaker::new(POLICY, 1);
            for (ms, step) in (0u64..).step_by(100).zip(steps) {
                match step {
                    0 if breaker.lets(0, at(ms)) => breaker.sent(0, at(ms)),
                    1 => breaker.failed(0, at(ms)),
                    2 => breaker.succeeded(0),
                    3 => breaker.unsent(0, at(ms)),
                    _ => {}
                }
                prop_assert!(breaker.lets(0, at(ms + 16_000)));
            }
        }
    }
}
