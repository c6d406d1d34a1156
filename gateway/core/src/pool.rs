//! Which connections to a server are kept for the next request (HAProxy manual, `pool-max-conn`, `max-reuse`): the
//! shells keep them, each worker its own; how many may be kept of all is counted here.
//!
//! Promises: never more rest than `most_idle`, over all workers; none carries more than `max_reuse` requests after its
//! first. A server without such bounds costs nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The bounds of one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Connections that rest; `None`: any number.
    pub most_idle: Option<u32>,
    /// Requests on one after its first; `None`: any number.
    pub max_reuse: Option<u32>,
}

/// Those of one server, for all workers.
#[derive(Debug)]
pub struct Bounds {
    policy: Policy,
    idle: AtomicU32,
}

/// A place for a connection that rests, free again when it is dropped.
#[derive(Debug)]
pub struct Idle(Arc<Bounds>);

impl Policy {
    /// Whether anything is bounded.
    pub const fn any(&self) -> bool {
        self.most_idle.is_some() || self.max_reuse.is_some()
    }
}

impl Bounds {
    /// With nothing that rests.
    pub fn new(policy: Policy) -> Arc<Self> {
        Arc::new(Self { policy, idle: AtomicU32::new(0) })
    }

    /// A place for a connection that has carried so many requests; `None`: it is to be closed.
    pub fn keep(self: &Arc<Self>, requests: u32) -> Option<Idle> {
        if self.policy.max_reuse.is_some_and(|most| requests > most) {
            return None;
        }
        let most = self.policy.most_idle.unwrap_or(u32::MAX);
        let more = |idle: u32| (idle < most).then(|| idle + 1);
        let kept = self.idle.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        kept.is_ok().then(|| Idle(Arc::clone(self)))
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.0.idle.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_rest_than_may_and_a_place_is_free_again_when_it_is_given_back() {
        let bounds = Bounds::new(Policy { most_idle: Some(2), max_reuse: None });
        let kept: Vec<_> = (0..3).filter_map(|_| bounds.keep(1000)).collect();
        assert_eq!(kept.len(), 2);
        drop(kept);
        assert!(bounds.keep(1).is_some());
        let none = Bounds::new(Policy { most_idle: Some(0), max_reuse: None });
        assert!(none.keep(1).is_none());
    }

    #[test]
    fn a_connection_carries_one_request_and_as_many_more_as_it_may() {
        let bounds = |most| Bounds::new(Policy { most_idle: None, max_reuse: Some(most) });
        let carried =
            |most| (1..=10).take_while(|requests| bounds(most).keep(*requests).is_some()).count() + 1;
        assert_eq!([carried(0), carried(1), carried(3)], [1, 2, 4]);
    }

    #[test]
    fn over_workers_never_too_many_rest() {
        let bounds = Bounds::new(Policy { most_idle: Some(3), max_reuse: None });
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let kept = bounds.keep(1);
                        assert!(bounds.idle.load(Ordering::Relaxed) <= 3);
                        drop(kept);
                    }
                });
            }
        });
        assert_eq!(bounds.idle.load(Ordering::Relaxed), 0);
    }
}
