//! What is told of a neighbor: log, events, metrics, status. All of it after the bytes, and when many VIPs change at once
//! in one line, so that telling holds up nobody.

use super::{Look, Task};
use crate::board::NeighborView;
use crate::journal::Entry;
use base_core::Time;
use bgp_core::fsm::{self, CONNECT_TIMED_OUT, State, Why};
use bgp_core::gate::{Reason, Standing};
use bgp_core::mirror;
use bgp_core::neighbor::Decision;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A neighbor that sends nonsense does not fill the log (RFC 7606 section 8 wants it told).
#[derive(Default)]
pub(super) struct Complaints {
    next: Time,
}

impl Complaints {
    pub(super) fn allow(&mut self, now: Time) -> bool {
        let allowed = now >= self.next;
        if allowed {
            self.next = now + COMPLAIN_EVERY;
        }
        allowed
    }
}

impl Task {
    /// Tells what was written, if anything was.
    pub(super) fn tell(&mut self) {
        let Some(written) = self.written.take() else { return };
        let mut alike: BTreeMap<(Standing, Reason, Time), Vec<IpAddr>> = BTreeMap::new();
        for (vip, Decision { standing, reason, since }) in std::mem::take(&mut self.told) {
            self.metrics.told(written.since(since));
            alike.entry((standing, reason, since)).or_default().push(vip);
        }
        for ((standing, reason, since), vips) in alike {
            let after = written.since(since);
            let (name, micros) = (&self.config.name, after.as_micros());
            let (state, why) = (standing.name(), reason.name());
            if vips.len() > FEW {
                let vips = vips.len();
                tracing::info!(neighbor = %name, vips, state, reason = why, micros, "neighbor told");
                let neighbor = Arc::clone(&self.name);
                self.journal.record(Entry::ToldMany { neighbor, vips, standing, reason, after });
                continue;
            }
            for vip in vips {
                tracing::info!(neighbor = %name, %vip, state, reason = why, micros, "neighbor told");
                let neighbor = Arc::clone(&self.name);
                self.journal.record(Entry::Told { neighbor, vip, standing, reason, after });
            }
        }
    }

    pub(super) fn changed(&mut self, change: &fsm::Change) {
        if change.from == State::Established {
            self.tell();
            self.told.clear();
            self.look(mirror::Event::Lost);
        }
        if change.to == State::Established {
            self.stands();
        }
        self.metrics.state(change.to);
        match &change.why {
            Why::Sent(_) | Why::Got(_) => self.last_error = Some(change.why.to_string()),
            Why::Word(CONNECT_TIMED_OUT) => {
                self.last_error =
                    Some("connect: no answer (to a wrong password there is none, too)".to_owned());
            }
            Why::Word(_) => {}
        }
        let (from, to) = (change.from.name(), change.to.name());
        let ended = matches!(change.to, State::Idle | State::Active);
        let error = self.last_error.as_deref().filter(|_| ended);
        let name = &self.config.name;
        // The first failure is news; its repetitions would push everything else out of the journal.
        if change.to == State::Established || ended && !self.failing {
            self.journal.record(Entry::Session {
                neighbor: Arc::clone(&self.name),
                from,
                to,
                why: change.why.to_string(),
                error: error.map(ToOwned::to_owned),
            });
        }
        // The first failure is news; that it goes on failing is for the status.
        if change.to == State::Established || ended && !self.failing {
            tracing::info!(neighbor = %name, from, to, why = %change.why, error, "session");
        } else {
            tracing::debug!(neighbor = %name, from, to, why = %change.why, error, "session");
        }
        self.failing = if change.to == State::Established { false } else { self.failing || ended };
    }

    /// A session stands, in which our address is known.
    pub(super) fn stands(&mut self) {
        if let Some(look) = &mut self.look {
            look.own.local = self.machine.local();
        }
        self.look(mirror::Event::Up);
    }

    pub(super) fn publish(&mut self) {
        self.reach.tell(self.machine.session());
        let session = self.machine.session();
        let (state, since, held) = (session.state(), session.since(), self.machine.held());
        let (last_error, bfd) = (&self.last_error, self.path_state);
        let news = |look: &mut Look| {
            std::mem::take(&mut look.changed).then(|| look.mirror.shown().collect::<Vec<_>>())
        };
        let shown = self.look.as_mut().and_then(news);
        self.metrics.held(held);
        self.view.send_if_modified(|view| {
            let same = view.state == state
                && view.since == since
                && view.held == held
                && view.bfd == bfd
                && shown.as_ref().is_none_or(|shown| view.shown == *shown);
            if !same {
                let shown = shown.unwrap_or_else(|| std::mem::take(&mut view.shown));
                *view = NeighborView { state, since, held, last_error: last_error.clone(), bfd, shown };
            }
            !same
        });
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// At most one bad UPDATE of a neighbor is logged in this time; all are counted.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// More VIPs than these that change alike are told of in one line, with their number.
const FEW: usize = 16;
