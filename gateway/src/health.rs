//! Whether this gateway can serve, kept up to date for whoever asks or watches.

use crate::state::Gateway;
use base_core::Time;
use gateway_core::drain::State;
use healthcheck_core::verdict::{self, GatewayHealth, Lifecycle, Verdict};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Looks at the workers and at the gateway's life, and publishes each new verdict.
pub(crate) async fn run(
    gateway: Arc<Gateway>,
    state: watch::Receiver<State>,
    publish: watch::Sender<Verdict>,
) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut attention = Attention::new(gateway.clock.now());
    let mut lifecycle = state.clone();
    loop {
        tokio::select! {
            _ = look.tick() => {}
            changed = lifecycle.changed() => if changed.is_err() { return },
        }
        let now = gateway.clock.now();
        let seen = verdict(&attention.workers(&gateway, now), *lifecycle.borrow_and_update(), now);
        publish.send_if_modified(|published| {
            let changed = *published != seen;
            if changed {
                tracing::info!(state = seen.state.as_str(), reasons = ?seen.reasons, "health");
                *published = seen;
            }
            changed
        });
    }
}

/// The verdict at the start, before anything has been looked at.
pub(crate) fn first(gateway: &Gateway) -> Verdict {
    verdict(&gateway.turns(), State::Serving, gateway.clock.now())
}

fn verdict(workers: &[Time], state: State, now: Time) -> Verdict {
    let lifecycle = if state == State::Serving { Lifecycle::Serving } else { Lifecycle::Draining };
    // Listeners are bound, and a configuration is in force, before there is anyone to ask.
    verdict::gateway(
        &GatewayHealth { workers, listeners_accept: true, configuration_loaded: true, lifecycle },
        now,
    )
}

/// Since when this thread itself has been looking without a gap. A machine that stops for a moment
/// stops the workers and whoever looks at them alike: they are not to blame for the time in which
/// nobody looked.
struct Attention {
    since: Time,
    last: Time,
}

impl Attention {
    fn new(now: Time) -> Self {
        Self { since: now, last: now }
    }

    /// When each worker last turned, as far as this thread can tell.
    fn workers(&mut self, gateway: &Gateway, now: Time) -> Vec<Time> {
        if now - self.last > GAP {
            self.since = now;
        }
        self.last = now;
        gateway.turns().into_iter().map(|turned| turned.max(self.since)).collect()
    }
}

/// How often workers are looked at: what it adds to the time in which a stuck one is found.
const LOOK: Duration = Duration::from_millis(20);
/// A longer time between two looks than this thread's own work could explain.
const GAP: Duration = Duration::from_millis(100);
