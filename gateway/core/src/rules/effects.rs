//! What a rule changes about how a request is served, beside what is in it: patience and pace.

use base_core::Time;
use std::time::Duration;

/// What a matching rule changes for its request; the last word counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Longest silence of the server.
    pub server_timeout: Option<Duration>,
    /// Longest silence of the client, and longest that it may take nothing.
    pub client_timeout: Option<Duration>,
    /// Longest silence of both sides once it is a tunnel.
    pub tunnel_timeout: Option<Duration>,
    /// Most bytes of the answer's body in a second.
    pub bandwidth_limit: Option<u64>,
}

impl Effects {
    /// Takes over what a later rule says.
    pub fn overlay(&mut self, later: Self) {
        self.server_timeout = later.server_timeout.or(self.server_timeout);
        self.client_timeout = later.client_timeout.or(self.client_timeout);
        self.tunnel_timeout = later.tunnel_timeout.or(self.tunnel_timeout);
        self.bandwidth_limit = later.bandwidth_limit.or(self.bandwidth_limit);
    }
}

/// Paces a body: each piece goes when those before it have had their time. Time in which nothing came is
/// not made up for.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    bytes_per_second: u64,
    free: Time,
}

impl Pace {
    /// A body that may begin at once.
    pub fn new(bytes_per_second: u64, now: Time) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free: now }
    }

    /// How long a piece of so many bytes has to wait.
    pub fn delay(&mut self, bytes: usize, now: Time) -> Duration {
        let begins = self.free.max(now);
        let nanos = bytes as u128 * NANOS_PER_SECOND / u128::from(self.bytes_per_second);
        self.free = begins + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        begins - now
    }
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_later_rule_changes_only_what_it_names() {
        let second = Duration::from_secs(1);
        let mut effects = Effects { server_timeout: Some(second), ..Effects::default() };
        effects.overlay(Effects { bandwidth_limit: Some(5), ..Effects::default() });
        effects.overlay(Effects { bandwidth_limit: Some(6), ..Effects::default() });
        assert_eq!((effects.server_timeout, effects.bandwidth_limit), (Some(second), Some(6)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_more_goes_than_the_limit_and_one_piece(
            pieces in proptest::collection::vec((1..100_000usize, 0..300u64), 1..50),
            limit in 1_000..1_000_000u64,
        ) {
            let mut now = Time::from_millis(1);
            let begun = now;
            let mut pace = Pace::new(limit, now);
            let mut sent = 0;
            for (bytes, idle) in pieces {
                now += Duration::from_millis(idle);
                now += pace.delay(bytes, now);
                let seconds = (now - begun).as_secs_f64();
                prop_assert!(sent as f64 <= seconds * limit as f64 + 1.0, "{sent} bytes in {seconds} s");
                sent += bytes;
            }
        }
    }
}
