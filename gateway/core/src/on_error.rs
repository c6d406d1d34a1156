//! What failing requests of a server do to its check (HAProxy manual, `observe`, `error-limit`, `on-error`): the
//! errors in a row are counted here, over all workers; what a row of them does is the check's to say
//! ([`healthcheck_core::OnError`]).
//!
//! Promises: a success ends a row; a row that is full is told once, and the next begins. Where nothing fails, a request
//! costs one look at a counter.

use healthcheck_core::OnError;
use std::sync::atomic::{AtomicU32, Ordering};

/// What is observed of a server's requests, and what errors do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What counts as an error.
    pub layer: Layer,
    /// Errors in a row.
    pub error_limit: u32,
    /// What they do.
    pub on_error: OnError,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Connections.
    Four,
    /// Answers, too.
    Seven,
}

impl Layer {
    /// Whether a request was a success or an error; `None`: it says nothing. It has been answered with `status`, or not
    /// at all; `connected`: it was sent.
    pub const fn succeeded(self, status: Option<u16>, connected: bool) -> Option<bool> {
        match (self, status) {
            (_, None) if !connected => Some(false),
            (Self::Four, Some(_)) => Some(true),
            (Self::Four, None) => None,
            (Self::Seven, None) => Some(false),
            (Self::Seven, Some(status)) => Some(status < 500 || matches!(status, 501 | 505)),
        }
    }
}

/// The errors in a row of one server.
#[derive(Debug, Default)]
pub struct Row(AtomicU32);

impl Row {
    /// What has failed says nothing about what comes.
    pub fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// A request has ended: what a full row does, if this has filled it.
    pub fn heard(&self, policy: &Policy, status: Option<u16>, connected: bool) -> Option<OnError> {
        if policy.layer.succeeded(status, connected)? {
            if self.0.load(Ordering::Relaxed) > 0 {
                self.0.store(0, Ordering::Relaxed);
            }
            return None;
        }
        let full = |errors: u32| if errors + 1 < policy.error_limit { errors + 1 } else { 0 };
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |errors| Some(full(errors)));
        before.is_ok_and(|errors| full(errors) == 0).then_some(policy.on_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { layer: Layer::Seven, error_limit: 3, on_error: OnError::MarkDown };

    #[test]
    fn errors_and_successes_are_those_of_haproxy() {
        let (four, seven) = (Layer::Four, Layer::Seven);
        assert_eq!((four.succeeded(None, false), seven.succeeded(None, false)), (Some(false), Some(false)));
        assert_eq!((four.succeeded(None, true), seven.succeeded(None, true)), (None, Some(false)));
        assert_eq!(four.succeeded(Some(500), true), Some(true));
        let errors: Vec<u16> =
            (100..600).filter(|status| seven.succeeded(Some(*status), true) == Some(false)).collect();
        assert!(errors.len() == 98 && errors.starts_with(&[500, 502, 503, 504, 506]), "{errors:?}");
    }

    #[test]
    fn a_full_row_is_told_once_and_a_success_ends_one() {
        let row = Row::default();
        let told = |statuses: &[u16]| {
            statuses.iter().filter(|status| row.heard(&POLICY, Some(**status), true).is_some()).count()
        };
        assert_eq!(told(&[500, 500, 200, 500, 500, 404]), 0);
        assert_eq!(told(&[503, 503, 503]), 1);
        assert_eq!(told(&[503, 503]), 0, "the next row has begun");
        assert_eq!(told(&[503]), 1);
    }

    #[test]
    fn over_workers_no_error_is_lost() {
        let (row, told) = (Row::default(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..750 {
                        let full = row.heard(&POLICY, None, true).is_some();
                        told.fetch_add(u32::from(full), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(told.load(Ordering::Relaxed), 1000);
    }
}
