//! One VIP: from what is known about it to how it stands, with what operators ordered and the way back included.

use super::order::{Kind, Order};
use super::{Reason, Standing, saved};
use crate::soak::{Settings, Soak};
use base_core::Time;
use std::time::Duration;

/// How a VIP stands, and why.
pub(super) type Verdict = (Standing, Reason);

#[derive(Debug)]
pub(super) struct Vip {
    soak: Soak,
    /// Nothing was against it when it was last judged.
    good: bool,
    decided: Option<Verdict>,
    order: Option<Order>,
    /// While it is to go away.
    leaves: Option<Leaves>,
    keep: Keep,
}

/// Whether it is kept although it should go away, because no other node has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Keep {
    /// It has been announced: what never was well is not kept.
    had: bool,
    /// It is the last choice, until then.
    until: Option<Time>,
}

/// How a VIP goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// How long it stays as it is, when the gateway drains and lets its clients go.
    pub(super) settle: Duration,
    /// How long it is only worse then.
    pub(super) worsen_for: Duration,
}

/// When it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Leaves {
    worsens: Time,
    withdrawn: Time,
}

impl Vip {
    pub(super) const fn new(soak: Settings) -> Self {
        Self {
            soak: Soak::new(soak),
            good: false,
            decided: None,
            order: None,
            leaves: None,
            keep: Keep { had: false, until: None },
        }
    }

    pub(super) fn save(&self) -> saved::Vip {
        saved::Vip {
            soak: self.soak.save(),
            good: self.good,
            decided: self.decided,
            order: self.order.as_ref().map(Into::into),
            leaves: self.leaves,
            served: false,
            keep: self.keep,
        }
    }

    pub(super) fn resume(settings: Settings, saved: saved::Vip) -> Self {
        let saved::Vip { soak, good, decided, order, leaves, keep, .. } = saved;
        Self { soak: Soak::resume(settings, soak), good, decided, order: order.map(Into::into), leaves, keep }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let kept = self.keep.until.filter(|_| self.is_kept());
        let leaves = self.leaves.filter(|_| !self.is_kept()).and_then(|leaves| match self.standing() {
            Standing::Announced | Standing::Backup => Some(leaves.worsens),
            Standing::Worsened => Some(leaves.withdrawn),
            Standing::Withdrawn => None,
        });
        let order = self.order.as_ref().map(|order| order.until);
        [self.soak.next_deadline(), leaves, order, kept].into_iter().flatten().min()
    }

    /// It has been decided before how it stands.
    pub(super) const fn is_decided(&self) -> bool {
        self.decided.is_some()
    }

    /// How it was last decided to stand.
    pub(super) fn standing(&self) -> Standing {
        self.decided.map_or(Standing::Withdrawn, |(standing, _)| standing)
    }

    /// It goes away, or has gone, by somebody's decision; or will as soon as there is something that could.
    pub(super) fn leaves(&self) -> bool {
        self.leaves.is_some() || self.order.as_ref().is_some_and(|order| order.kind == Kind::Drain)
    }

    fn is_kept(&self) -> bool {
        self.decided.is_some_and(|(_, reason)| reason == Reason::Last)
    }

    pub(super) const fn order(&self) -> Option<&Order> {
        self.order.as_ref()
    }

    /// An operator orders something, or takes it back.
    pub(super) fn obey(&mut self, order: Option<Order>) {
        let stood = if self.standing() == Standing::Backup { Standing::Announced } else { self.standing() };
        self.order = order.map(|order| Order { stood, ..order });
    }

    /// Ends an order whose time has passed; true if there was one.
    pub(super) fn expire(&mut self, now: Time) -> bool {
        self.order.take_if(|order| order.until <= now).is_some()
    }

    /// What follows from what is `known`, if that changes how it stands. `leaving`: the node is to go away, for
    /// this reason. `last`: is there no other node that has it, so that it may be kept for so long? The way down is never delayed.
    pub(super) fn judge(
        &mut self,
        known: Verdict,
        leaving: Option<Reason>,
        last: impl FnOnce() -> Option<Duration>,
        pace: Pace,
        now: Time,
    ) -> Option<Verdict> {
        self.soak.pass(now);
        let ordered = self.order.as_ref().map(|order| (order.kind, order.stood));
        let drained = ordered.filter(|(kind, _)| *kind == Kind::Drain).map(|_| Reason::Drained);
        let verdict = match (leaving.or(drained), ordered) {
            _ if known.1.is_death() => known,
            (Some(reason), _) => {
                // Only a gateway that drains lets its clients go meanwhile, unless somebody wants it to be quick.
                let settles = reason == Reason::Draining && drained.is_none();
                let settle = if settles { pace.settle } else { Duration::ZERO };
                self.leave(known, reason, Pace { settle, ..pace }, now)
            }
            (None, Some((Kind::Force, _))) => (Standing::Announced, Reason::Forced),
            (None, Some((Kind::Pin, stood))) => (stood, Reason::Pinned),
            (None, _) => known,
        };
        if leaving.or(drained).is_none() {
            self.leaves = None;
        }
        let decision = self.soften(verdict, now);
        // Somebody's decision makes no gateway serve that does not.
        let serves = known.1 != Reason::NotReady;
        let decision = self.keep_up(decision, serves, last, now);
        (self.decided.replace(decision) != Some(decision)).then_some(decision)
    }

    fn leave(&mut self, known: Verdict, reason: Reason, pace: Pace, now: Time) -> Verdict {
        // What nobody uses yet has nothing to be moved gently.
        let used = self.standing() != Standing::Withdrawn;
        let worsens = if used { now + pace.settle } else { now };
        let withdrawn = if used { worsens + pace.worsen_for } else { now };
        let leaves = self.leaves.get_or_insert(Leaves { worsens, withdrawn });
        // Who comes later with less patience hurries what has begun; nobody delays it.
        leaves.worsens = leaves.worsens.min(worsens);
        leaves.withdrawn = leaves.withdrawn.min(withdrawn);
        let leaves = *leaves;
        match known.0 {
            _ if leaves.withdrawn <= now => (Standing::Withdrawn, reason),
            Standing::Announced if leaves.worsens <= now => (Standing::Worsened, reason),
            Standing::Announced if self.standing() == Standing::Announced => (Standing::Announced, reason),
            _ => known,
        }
    }

    /// What nobody else has stays as the last choice, for a while.
    fn keep_up(
        &mut self,
        verdict: Verdict,
        serves: bool,
        last: impl FnOnce() -> Option<Duration>,
        now: Time,
    ) -> Verdict {
        let forced = self.order.as_ref().is_some_and(|order| order.forced);
        let (standing, reason) = verdict;
        match standing {
            Standing::Announced | Standing::Backup => self.keep = Keep { had: true, until: None },
            Standing::Worsened => {}
            Standing::Withdrawn => match last() {
                Some(time) if self.keep.had && serves && reason.may_be_kept() && !forced => {
                    let until = *self.keep.until.get_or_insert(now + time);
                    if now < until {
                        return (Standing::Worsened, Reason::Last);
                    }
                }
                Some(_) => {}
                None => self.keep.until = None,
            },
        }
        verdict
    }

    /// The way back is by the last choice.
    fn soften(&mut self, verdict: Verdict, now: Time) -> Verdict {
        let good = verdict.0 != Standing::Withdrawn && !verdict.1.is_failure();
        match (std::mem::replace(&mut self.good, good), good) {
            (true, false) => self.soak.lost(now),
            (false, true) => self.soak.back(now),
            _ => {}
        }
        match (verdict, self.soak.reason()) {
            ((Standing::Announced, Reason::Ready), Some(reason)) => (Standing::Backup, reason),
            _ => verdict,
        }
    }
}
