//! A neighbor that is a looking glass: what it shows of the own VIPs, told as log, event, metric and status.

use super::Task;
use crate::journal::Entry;
use base_core::Machine;
use bgp_core::gate::Standing;
use bgp_core::mirror::{self, Action, Event, Mirror, Own};
use bgp_core::neighbor::Standings;
use bgp_core::wire::validate::Sender;
use std::net::IpAddr;
use std::sync::Arc;

/// What is looked for, and by what the own paths are recognised.
pub(crate) struct Look {
    pub(crate) mirror: Mirror,
    pub(crate) own: Own,
}

impl Look {
    /// What the message shows.
    pub(super) fn read(&self, message: &[u8], sender: Sender, local: Option<IpAddr>) -> Vec<Event> {
        let mut own = self.own.clone();
        own.next_hops.extend(local);
        let mut events = Vec::new();
        let wanted = |vip| self.mirror.knows(vip);
        mirror::read(message, sender, &own, wanted, |vip, path| events.push(Event::Shown { vip, path }));
        events
    }
}

impl Task {
    pub(super) fn look_at(&mut self, standings: &Standings) {
        let stands = standings.iter().map(|(vip, decision)| Event::Stands {
            vip: *vip,
            announced: decision.standing != Standing::Withdrawn,
            since: decision.since,
        });
        stands.collect::<Vec<_>>().into_iter().for_each(|event| self.look(event));
    }

    pub(super) fn look(&mut self, event: Event) {
        let Some(look) = &mut self.look else { return };
        let (mut actions, now) = (Vec::new(), self.clock.now());
        look.mirror.on(event, now, &mut actions);
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
