//! The way back, slowly: what was lost and is there again is the last choice first, and the first choice only
//! when it has stood for a while.
//!
//! A link that was cut and comes back carries the session sooner than anything else; what stands behind the node may
//! still be looking for its own way. It promises: nothing here ever delays the way down; what waits is announced, as
//! the last choice, so that nodes that all wait at once still serve; what was never lost never waits; no wait is
//! longer than configured, however often something comes and goes.

use crate::gate::Reason;
use base_core::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// How long the way back takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long what is back stays the last choice; zero is not at all.
    pub soak: Duration,
    /// What comes and goes often waits longer.
    pub hold_down: Option<HoldDown>,
}

/// When something comes and goes too often, and how long it waits then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldDown {
    /// So many losses,
    pub changes: usize,
    /// within this time,
    pub within: Duration,
    /// make the way back take this long.
    pub wait: Duration,
}

/// The way back of one thing.
#[derive(Debug)]
pub struct Soak {
    settings: Settings,
    /// The latest losses, as many as hold-down asks for.
    losses: VecDeque<Time>,
    phase: Phase,
}

/// What another process goes on with.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Saved {
    losses: VecDeque<Time>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    /// Nothing is held against it.
    Trusted,
    /// It is gone, and its way back will be slow.
    Lost,
    /// It is back, and waits.
    Soaking { until: Time, reason: Reason },
}

impl Soak {
    /// Something that was never lost.
    pub const fn new(settings: Settings) -> Self {
        Self { settings, losses: VecDeque::new(), phase: Phase::Trusted }
    }

    /// What another process goes on with.
    pub fn save(&self) -> Saved {
        Saved { losses: self.losses.clone(), phase: self.phase }
    }

    /// Goes on with what another process saved.
    pub fn resume(settings: Settings, saved: Saved) -> Self {
        let most = settings.hold_down.map_or(0, |hold_down| hold_down.changes);
        let mut losses = saved.losses;
        losses.drain(..losses.len().saturating_sub(most));
        Self { settings, losses, phase: saved.phase }
    }

    /// Why it is the last choice for now; `None` if it is not.
    pub const fn reason(&self) -> Option<Reason> {
        match self.phase {
            Phase::Soaking { reason, .. } => Some(reason),
            Phase::Trusted | Phase::Lost => None,
        }
    }

    /// When to call [`Soak::pass`].
    pub const fn next_deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Soaking { until, .. } => Some(until),
            Phase::Trusted | Phase::Lost => None,
        }
    }

    /// It failed.
    pub fn lost(&mut self, now: Time) {
        self.phase = Phase::Lost;
        if let Some(hold_down) = self.settings.hold_down {
            self.losses.push_back(now);
            let extra = self.losses.len().saturating_sub(hold_down.changes);
            self.losses.drain(..extra);
        }
    }

    /// It ended without having failed: what was trusted stays so, what waited will wait again.
    pub fn ended(&mut self) {
        if self.phase != Phase::Trusted {
            self.phase = Phase::Lost;
        }
    }

    /// It is there.
    pub fn back(&mut self, now: Time) {
        if self.phase != Phase::Lost {
            return;
        }
        let often = self.settings.hold_down.filter(|hold_down| {
            let first = self.losses.front().filter(|_| self.losses.len() >= hold_down.changes);
            first.is_some_and(|first| now.since(*first) <= hold_down.within)
        });
        let (wait, reason) = match often.filter(|hold_down| hold_down.wait > self.settings.soak) {
            Some(hold_down) => (hold_down.wait, Reason::HoldDown),
            None => (self.settings.soak, Reason::Soak),
        };
        self.phase = Phase::Soaking { until: now + wait, reason };
        self.pass(now);
    }

    /// Time has passed. True if a wait ended by it.
    pub fn pass(&mut self, now: Time) -> bool {
        let over = matches!(self.phase, Phase::Soaking { until, .. } if until <= now);
        if over {
            self.phase = Phase::Trusted;
        }
        over
    }
}

#[cfg(test)]
mod tests;
