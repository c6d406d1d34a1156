//! A neighbor that is a looking glass: what it shows of the own VIPs, told as log, event, metric and status. All of it waits until
//! what the gate decided is written and told.

use super::Task;
use crate::journal::Entry;
use base_core::Machine;
use bgp_core::gate::Standing;
use bgp_core::mirror::{self, Action, Event, Mirror, Own};
use bgp_core::neighbor::Standings;
use bgp_core::wire::validate::Sender;
use std::sync::Arc;

/// What is looked for, and by what the own paths are recognised.
pub(crate) struct Look {
    pub(crate) mirror: Mirror,
    pub(crate) own: Own,
    /// What the gate decided and is not compared yet with what is shown.
    pub(crate) decided: Option<Arc<Standings>>,
    /// What is shown may be other than what was published.
    pub(crate) changed: bool,
}

impl Look {
    /// What the message shows.
    pub(super) fn read(&self, message: &[u8], sender: Sender, shown: &mut Vec<Event>) {
        let wanted = |vip| self.mirror.knows(vip);
        mirror::read(message, sender, &self.own, wanted, |vip, path| shown.push(Event::Shown { vip, path }));
    }
}

impl Task {
    /// The gate decided; nothing of this is urgent.
    pub(super) fn look_later(&mut self, standings: Arc<Standings>) {
        if let Some(look) = &mut self.look {
            look.decided = Some(standings);
        }
    }

    pub(super) fn look(&mut self, event: Event) {
        self.look_at([event]);
    }

    /// What the gate decided comes before what is shown of it.
    pub(super) fn look_at(&mut self, events: impl IntoIterator<Item = Event>) {
        let Some(look) = &mut self.look else { return };
        let (mut actions, now) = (Vec::new(), self.clock.now());
        let decided = look.decided.take();
        let stands =
            decided.iter().flat_map(|standings| standings.iter()).map(|(vip, decision)| Event::Stands {
                vip: *vip,
                announced: decision.standing != Standing::Withdrawn,
                since: decision.since,
            });
        for event in stands.chain(events) {
            look.changed |= !matches!(event, Event::Tick);
            look.mirror.on(event, now, &mut actions);
        }
        look.changed |= !actions.is_empty();
        if cfg!(debug_assertions) {
            look.mirror.check_invariants();
        }
        let name = &self.config.name;
        for action in actions {
            let neighbor = Arc::clone(&self.name);
            match action {
                Action::Gone { vip, after, by } => {
                    self.metrics.gone(after);
                    tracing::info!(neighbor = %name, %vip, micros = after.as_micros(), ?by, "a withdraw is true");
                    self.journal.record(Entry::Gone { neighbor, vip, after, by });
                }
                Action::Stuck { vip, stuck } => {
                    self.metrics.stuck(stuck);
                    if stuck {
                        tracing::warn!(neighbor = %name, %vip, "a route that was withdrawn is still there");
                    } else {
                        tracing::info!(neighbor = %name, %vip, "no stuck route any more");
                    }
                    self.journal.record(Entry::Stuck { neighbor, vip, stuck });
                }
            }
        }
        self.publish();
    }
}
