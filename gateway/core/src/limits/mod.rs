//! May this client have one more? Limits on what a stick table knows of it.
//!
//! A limit counts what it let through: a client that keeps knocking gets its share, no more and no
//! less, and is not shut out for knocking.

use crate::config::TableId;
use crate::table::Entry;
use base_core::Time;
use std::time::Duration;

/// What one client may have. At least one of them is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The table that counts.
    pub table: TableId,
    /// Most requests at once; in mode tcp, connections.
    pub conn_cur: Option<u32>,
    /// Most requests in the table's period.
    pub http_req_rate: Option<u32>,
    /// Most connections in the table's period.
    pub conn_rate: Option<u32>,
}

/// What a limit says to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is counted and may go on. It holds one of `conn_cur` until [`release`].
    Allow,
    /// It is not counted, and goes no further.
    Deny(Denial),
}

/// Why a request is refused, and when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The reason word, for log and metric.
    pub reason: &'static str,
    /// Whole seconds for the `Retry-After` field, at least 1.
    pub retry_after: u64,
}

impl Limit {
    /// Decides on one request of the client whose entry this is, and counts it if it may go on.
    pub fn admit(&self, entry: &mut Entry, now: Time, period: Duration) -> Verdict {
        if self.conn_cur.is_some_and(|most| entry.conn_cur >= most) {
            return Verdict::Deny(Denial { reason: "conn_cur", retry_after: RETRY_AFTER_CONN_CUR });
        }
        let rates = [
            (self.http_req_rate, "http_req_rate", &mut entry.http_req_rate),
            (self.conn_rate, "conn_rate", &mut entry.conn_rate),
        ];
        // A frontend has one of the two, by its mode.
        for (most, reason, rate) in rates {
            let Some(most) = most else { continue };
            let wait = rate.wait_below(most, now, period);
            if !wait.is_zero() {
                let retry_after = wait.as_millis().div_ceil(1000).max(1) as u64;
                return Verdict::Deny(Denial { reason, retry_after });
            }
            rate.add(now, period);
        }
        entry.conn_cur += 1;
        Verdict::Allow
    }
}

/// Gives back what [`Verdict::Allow`] took of `conn_cur`.
pub fn release(entry: &mut Entry) {
    entry.conn_cur = entry.conn_cur.saturating_sub(1);
}

/// Seconds. Nobody knows when a running request ends; this is the least that the field can say.
const RETRY_AFTER_CONN_CUR: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(10);

    fn limit(conn_cur: Option<u32>, http_req_rate: Option<u32>) -> Limit {
        Limit { table: TableId(0), conn_cur, http_req_rate, conn_rate: None }
    }

    #[test]
    fn concurrent_requests_are_given_back() {
        let mut entry = Entry::default();
        let limit = limit(Some(2), None);
        let admit = |entry: &mut Entry| limit.admit(entry, Time::ZERO, PERIOD) == Verdict::Allow;
        assert_eq!([admit(&mut entry), admit(&mut entry), admit(&mut entry)], [true, true, false]);
        release(&mut entry);
        assert_eq!([admit(&mut entry), admit(&mut entry)], [true, false]);
    }

    #[test]
    fn who_keeps_knocking_gets_its_share() {
        let mut entry = Entry::default();
        let limit = limit(None, Some(100));
        let mut through = [0; 4];
        for ms in 0..40_000u64 {
            let now = Time::from_millis(ms);
            for _ in 0..5 {
                if limit.admit(&mut entry, now, PERIOD) == Verdict::Allow {
                    through[(ms / 10_000) as usize] += 1;
                }
            }
        }
        assert!(through.iter().all(|count| (95..=105).contains(count)), "{through:?}");
    }

    #[test]
    fn a_refusal_says_when_to_come_back_and_counts_nothing() {
        let mut entry = Entry::default();
        let limit = limit(Some(5), Some(1));
        assert_eq!(limit.admit(&mut entry, Time::ZERO, PERIOD), Verdict::Allow);
        let before = entry;
        let Verdict::Deny(denial) = limit.admit(&mut entry, Time::ZERO, PERIOD) else {
            panic!("one in 10 s")
        };
        assert_eq!((denial.reason, denial.retry_after), ("http_req_rate", 11));
        assert_eq!(entry, before);
        let later = Time::ZERO + Duration::from_secs(denial.retry_after);
        assert_eq!(limit.admit(&mut entry, later, PERIOD), Verdict::Allow);
    }
}
