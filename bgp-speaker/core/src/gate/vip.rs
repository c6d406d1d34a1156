//! One VIP: from what is known about it to how it stands, the way back included.

use super::{Reason, Standing};
use crate::soak::{Settings, Soak};
use base_core::Time;

/// How a VIP stands, and why.
pub(super) type Verdict = (Standing, Reason);

#[derive(Debug)]
pub(super) struct Vip {
    soak: Soak,
    /// Nothing was against it when it was last judged.
    good: bool,
    decided: Option<Verdict>,
}

impl Vip {
    pub(super) const fn new(soak: Settings) -> Self {
        Self { soak: Soak::new(soak), good: false, decided: None }
    }

    pub(super) const fn next_deadline(&self) -> Option<Time> {
        self.soak.next_deadline()
    }

    /// How it was last decided to stand.
    pub(super) fn standing(&self) -> Standing {
        self.decided.map_or(Standing::Withdrawn, |(standing, _)| standing)
    }

    /// What follows from `verdict`, if that changes how it stands. The way down is never delayed.
    pub(super) fn judge(&mut self, verdict: Verdict, now: Time) -> Option<Verdict> {
        self.soak.pass(now);
        let good = verdict.0 != Standing::Withdrawn && matches!(verdict.1, Reason::Ready | Reason::Draining);
        let was_good = std::mem::replace(&mut self.good, good);
        match (was_good, good) {
            (true, false) => self.soak.lost(now),
            (false, true) => self.soak.back(now),
            _ => {}
        }
        let decision = match (verdict.0, self.soak.reason()) {
            (Standing::Announced, Some(reason)) => (Standing::Backup, reason),
            _ => verdict,
        };
        (self.decided.replace(decision) != Some(decision)).then_some(decision)
    }
}
