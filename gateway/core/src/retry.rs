//! May a request that failed be sent once more (HAProxy manual, `retries`, `retry-on`)? Only where the first
//! try can't have had an effect, or where having it twice is having it once (RFC 9110 §9.2.2), and only as
//! much as the servers can bear.
//!
//! Promises: without `retry_on` nothing that a server may have acted on is sent again; with it only methods
//! that may be repeated, and bodies that are still known whole. Tries that a server has seen are bounded by
//! the budget of the backend, over all workers. Refuses: to send again once the answer has begun.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There was no connection: nothing was sent.
    NotConnected,
    /// It was sent on a connection that had served others before, and that closed without a byte of
    /// an answer: most likely the server had closed it already.
    StaleConnection,
    /// The server closed the connection before there was a whole head.
    Empty,
    /// It did not answer in time.
    Timeout,
    /// What it answered is no head.
    Junk,
    /// It answered with this status.
    Status(u16),
    /// Anything else, or later.
    Other,
}

/// What is known of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its method may be repeated.
    pub idempotent: bool,
    /// What its client has sent of it so far is still there.
    pub replayable: bool,
    /// Tries after the first.
    pub retries: u32,
}

/// When a backend tries again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Tries after the first.
    pub most: u32,
    /// No connection came about.
    pub conn_failure: bool,
    /// See [`Failure::Empty`].
    pub empty_response: bool,
    /// See [`Failure::Timeout`].
    pub response_timeout: bool,
    /// See [`Failure::Junk`].
    pub junk_response: bool,
    /// These statuses.
    pub statuses: Vec<u16>,
}

/// How many requests that servers have seen may be sent again: so many of a hundred, and some that are saved
/// up. Without it, a backend that is slow for being busy would get more to do for being slow.
#[derive(Debug)]
pub struct Budget {
    percent: u64,
    /// Hundredths of a retry.
    saved: AtomicU64,
}

impl Policy {
    /// Takes one of HAProxy's words for `retry-on`. The error says what is expected.
    pub fn add(&mut self, word: &str) -> Result<(), &'static str> {
        match word {
            "none" => {}
            "conn-failure" => self.conn_failure = true,
            "empty-response" => self.empty_response = true,
            "response-timeout" => self.response_timeout = true,
            "junk-response" => self.junk_response = true,
            "all-retryable-errors" => {
                let every = ["conn-failure", "empty-response", "junk-response", "response-timeout"];
                let statuses = ["500", "502", "503", "504"];
                every.iter().chain(&statuses).try_for_each(|word| self.add(word))?;
            }
            status => match status.parse() {
                Ok(status) if STATUSES.contains(&status) => self.statuses.push(status),
                _ => return Err(EXPECTED),
            },
        }
        Ok(())
    }

    /// Whether to try again; the word for it, if so.
    pub fn again(&self, failure: Failure, attempt: Attempt, budget: &Budget) -> Option<&'static str> {
        let safe = attempt.idempotent && attempt.replayable;
        let (wanted, word) = match failure {
            Failure::NotConnected => (self.conn_failure, "conn-failure"),
            Failure::StaleConnection => (safe, "stale-connection"),
            Failure::Empty => (safe && self.empty_response, "empty-response"),
            Failure::Timeout => (safe && self.response_timeout, "response-timeout"),
            Failure::Junk => (safe && self.junk_response, "junk-response"),
            Failure::Status(status) => (safe && self.statuses.contains(&status), "status"),
            Failure::Other => (false, ""),
        };
        // A server that was not reached has done nothing.
        let free = matches!(failure, Failure::NotConnected | Failure::StaleConnection);
        let again = wanted && attempt.retries < self.most && (free || budget.spend());
        again.then_some(word)
    }
}

impl Budget {
    /// For so many of a hundred requests; 0: none.
    pub fn new(percent: u32) -> Self {
        let saved = if percent == 0 { 0 } else { SAVED };
        Self { percent: u64::from(percent), saved: AtomicU64::new(saved) }
    }

    /// There is one more request.
    pub fn earn(&self) {
        // Full is what it nearly always is, and then nothing is written.
        let more = |saved: u64| (saved < SAVED).then(|| (saved + self.percent).min(SAVED));
        let _ = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn spend(&self) -> bool {
        let less = |saved: u64| saved.checked_sub(RETRY);
        self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

const EXPECTED: &str = "expected `none`, `conn-failure`, `empty-response`, `response-timeout`, `junk-response`, \
    `all-retryable-errors` or one of 401, 403, 404, 408, 421, 425, 429, 500, 501, 502, 503, 504";
/// Those that HAProxy knows.
const STATUSES: [u16; 12] = [401, 403, 404, 408, 421, 425, 429, 500, 501, 502, 503, 504];
/// What a retry costs: as many hundredths as percent earn it.
const RETRY: u64 = 100;
/// Retries that are saved up at most, and at the start: so many that a backend with little to do may retry
/// all, few enough that a busy one does not notice them.
const SAVED: u64 = 50 * RETRY;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GET: Attempt = Attempt { idempotent: true, replayable: true, retries: 0 };

    fn policy(words: &[&str]) -> Policy {
        let mut policy = Policy { most: 3, ..Policy::default() };
        words.iter().for_each(|word| policy.add(word).expect("it is one"));
        policy
    }

    #[test]
    fn without_words_only_what_can_not_have_had_an_effect_is_sent_again() {
        let (policy, budget) = (policy(&["conn-failure"]), Budget::new(20));
        let again = |failure, attempt| policy.again(failure, attempt, &budget).is_some();
        let post = Attempt { idempotent: false, ..GET };
        let long = Attempt { replayable: false, ..GET };
        assert!(again(Failure::NotConnected, post) && again(Failure::NotConnected, long));
        assert!(again(Failure::StaleConnection, GET));
        assert!(!again(Failure::StaleConnection, post) && !again(Failure::StaleConnection, long));
        for failure in [Failure::Empty, Failure::Timeout, Failure::Junk, Failure::Status(503), Failure::Other]
        {
            assert!(!again(failure, GET), "{failure:?}");
        }
        assert!(!again(Failure::NotConnected, Attempt { retries: 3, ..GET }));
        let none = Policy { most: 3, ..Policy::default() };
        assert_eq!(none.again(Failure::NotConnected, GET, &budget), None);
    }

    #[test]
    fn with_words_what_may_be_repeated_is() {
        let (policy, budget) = (policy(&["empty-response", "503"]), Budget::new(20));
        let again = |failure, attempt| policy.again(failure, attempt, &budget);
        assert_eq!(again(Failure::Empty, GET), Some("empty-response"));
        assert_eq!(again(Failure::Status(503), GET), Some("status"));
        assert_eq!(again(Failure::Status(502), GET), None);
        assert_eq!(again(Failure::Empty, Attempt { idempotent: false, ..GET }), None);
        assert_eq!(again(Failure::Empty, Attempt { replayable: false, ..GET }), None);
        let mut all = Policy::default();
        assert_eq!(all.add("all-retryable-errors"), Ok(()));
        assert!(all.junk_response && all.statuses == [500, 502, 503, 504]);
        assert!(all.add("200").is_err() && all.add("sometimes").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn retries_are_no_more_than_the_budget(
            percent in 0u32..=100,
            steps in proptest::collection::vec(any::<bool>(), 0..2000),
        ) {
            let budget = Budget::new(percent);
            let (mut requests, mut retries) = (0u64, 0u64);
            for request in steps {
                if request {
                    requests += 1;
                    budget.earn();
                } else {
                    retries += u64::from(budget.spend());
                }
                prop_assert!(retries <= 50 + requests * u64::from(percent) / 100);
                prop_assert!(percent > 0 || retries == 0);
            }
        }
    }
}
