//! A planned end, as far as routers see it: every VIP is the last choice first, then withdrawn, and only when the routers have
//! had time for that does anything else end.
//!
//! A second signal hurries it: what is left is withdrawn at once. Every wait is bounded.

use crate::board::Decisions;
use crate::notify;
use crate::run::Speaker;
use bgp_core::gate::{Event, Standing};
use std::time::Duration;

impl Speaker {
    /// Returns when no neighbor holds a VIP any more, or when it must.
    pub(crate) async fn leave(&mut self, why: &str) {
        notify::stopping();
        let mut decisions = self.control.board.decisions.clone();
        if is_gone(&decisions.borrow()) {
            return;
        }
        tracing::info!(why, "ends: every VIP is the last choice, then withdrawn");
        let drain = self.config.drain.clone();
        let (gate, terminate, interrupt) =
            (&self.control.gate, &mut self.signals.terminate, &mut self.signals.interrupt);
        let leave = async {
            let _ = gate.send(Event::Stopping).await;
            let _ = decisions.wait_for(is_gone).await;
            tokio::time::sleep(drain.gone_for).await;
        };
        let bound = drain.worsen_for.saturating_add(drain.gone_for).saturating_add(MORE);
        tokio::select! {
            outcome = tokio::time::timeout(bound, leave) => {
                if outcome.is_err() {
                    tracing::warn!("not every VIP was withdrawn in time");
                }
            }
            _ = terminate.recv() => tracing::info!("ends at once, as it was told twice"),
            _ = interrupt.recv() => tracing::info!("ends at once, as it was told twice"),
        }
    }
}

fn is_gone(decisions: &Decisions) -> bool {
    let mut standings = decisions.iter().flat_map(|standings| standings.values());
    standings.all(|decision| decision.standing == Standing::Withdrawn)
}

/// What the gate may take beyond the times that are configured.
const MORE: Duration = Duration::from_secs(1);
