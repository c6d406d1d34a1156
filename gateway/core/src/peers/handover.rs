//! From one process of a node to the next, as in an upgrade: the new one learns all that the old one knows
//! before it serves, and takes over the talk with other nodes. The old one then goes on telling the new one
//! what it counts, until it exits.
//!
//! ```text
//!  old   Teaching ──────── confirm ─────► Succeeded ── closed ──► Over: it is on its own again
//!  new   Learning ── finished, closed ──► Serving ──── closed ──► (what ran in the old one runs no more)
//! ```
//! The words are those of a lesson between peers; the confirmation says that the new process takes over. Both
//! sides beat: who is silent for [`DEAD`] is done without, as if it had gone.

use super::frame::Control;
use base_core::{Machine, Time};
use std::time::Duration;

/// One side of it.
#[derive(Debug)]
pub struct Handover {
    state: State,
    /// The last sign of life of the other side.
    heard: Time,
    /// When to give one.
    beat_at: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The old one, which teaches the next; that one has taken over by then, or never will.
    Teaching { until: Time },
    /// The old one, once the next has taken over.
    Succeeded,
    /// The new one, which does not serve yet.
    Learning { until: Time },
    /// The new one serves; until then the other nodes count as the old one has heard them.
    Serving { grace: Option<Time> },
    /// The other side is gone.
    Over,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The deadline has passed.
    Tick,
    /// Bytes have come from the other side.
    Heard,
    /// It has sent this.
    Control(Control),
    /// Everything has been sent that it asked for.
    Taught,
    /// The other process is gone.
    Closed,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this.
    Send(Control),
    /// Send everything, then say [`Event::Taught`].
    Teach,
    /// Serve: there is nothing more to be learnt.
    Serve {
        /// All that the process before this one knows has come.
        learnt: bool,
    },
    /// The other nodes have had time to speak for themselves.
    HearOnlyNodes,
    /// The next process has taken over the talk with other nodes.
    Succeeded,
    /// It is gone: this one talks to them again, unless another process has come after that one.
    Resume,
    /// The other process hangs: close the connection. Nothing more will be heard of it.
    Close,
    /// The other process is gone, and what ran there runs no more.
    Forget,
}

impl Handover {
    /// Of the process that serves, when the next one has come.
    pub fn to_next(now: Time) -> Self {
        Self::new(State::Teaching { until: now + TAKEN_OVER }, now)
    }

    /// Of the next process, when it has reached the one that serves.
    pub fn from_previous(now: Time, actions: &mut Vec<Action>) -> Self {
        actions.push(Action::Send(Control::ResyncRequest));
        Self::new(State::Learning { until: now + LESSON }, now)
    }

    fn new(state: State, now: Time) -> Self {
        Self { state, heard: now, beat_at: now + BEAT }
    }

    /// Whether the next process has taken over.
    pub fn is_succeeded(&self) -> bool {
        self.state == State::Succeeded
    }

    fn serve(&mut self, learnt: bool, now: Time, actions: &mut Vec<Action>) {
        actions.extend([Action::Send(Control::ResyncConfirm), Action::Serve { learnt }]);
        self.state = State::Serving { grace: Some(now + GRACE) };
    }

    fn closed(&mut self, actions: &mut Vec<Action>) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Teaching { .. } | State::Serving { .. } => actions.push(Action::Forget),
            State::Succeeded => actions.extend([Action::Forget, Action::Resume]),
            State::Learning { .. } => actions.extend([Action::Forget, Action::Serve { learnt: false }]),
            State::Over => {}
        }
    }

    fn tick(&mut self, now: Time, actions: &mut Vec<Action>) {
        match &mut self.state {
            State::Over => return,
            State::Learning { until } if now >= *until => self.serve(false, now, actions),
            State::Serving { grace } if grace.is_some_and(|grace| now >= grace) => {
                *grace = None;
                actions.push(Action::HearOnlyNodes);
            }
            _ => {}
        }
        let is_late = matches!(self.state, State::Teaching { until } if now >= until);
        if is_late || now >= self.heard + DEAD {
            actions.push(Action::Close);
            self.closed(actions);
        } else if now >= self.beat_at {
            actions.push(Action::Send(Control::Heartbeat));
            self.beat_at = now + BEAT;
        }
    }
}

impl Machine for Handover {
    type Event = Event;
    type Action = Action;

    fn tick() -> Event {
        Event::Tick
    }

    fn on(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        if matches!(event, Event::Heard | Event::Control(_)) {
            self.heard = now;
        }
        match (event, self.state) {
            (Event::Tick, _) => self.tick(now, actions),
            (Event::Control(Control::ResyncRequest), State::Teaching { .. }) => actions.push(Action::Teach),
            (Event::Taught, State::Teaching { .. }) => actions.push(Action::Send(Control::ResyncFinished)),
            (Event::Control(Control::ResyncConfirm), State::Teaching { .. }) => {
                actions.push(Action::Succeeded);
                self.state = State::Succeeded;
            }
            (Event::Control(Control::ResyncFinished), State::Learning { .. }) => {
                self.serve(true, now, actions);
            }
            (Event::Control(Control::ResyncPartial), State::Learning { .. }) => {
                self.serve(false, now, actions);
            }
            (Event::Closed, _) => self.closed(actions),
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        let until = match self.state {
            State::Learning { until } | State::Teaching { until } => Some(until),
            State::Serving { grace } => grace,
            State::Succeeded => None,
            State::Over => return None,
        };
        let soon = self.beat_at.min(self.heard + DEAD);
        Some(until.map_or(soon, |until| until.min(soon)))
    }

    fn check_invariants(&self) {}
}

/// A process that can't teach must not keep the next one from serving. HAProxy's time for a lesson.
const LESSON: Duration = Duration::from_secs(5);
/// A next process that has not confirmed long after its lesson must not keep another from coming.
const TAKEN_OVER: Duration = Duration::from_secs(10);
/// Some of them within the time after which a process counts as gone.
const BEAT: Duration = Duration::from_secs(1);
/// HAProxy's for a peer.
const DEAD: Duration = Duration::from_secs(5);
/// Until the new process has sessions with all nodes that can be reached: as long as the old one keeps its own.
const GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn on(machine: &mut Handover, event: Event, at: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        machine.on(event, Time::from_millis(at), &mut actions);
        actions
    }

    #[test]
    fn the_next_process_serves_when_it_has_learnt_and_speaks_for_itself_soon_after() {
        let mut actions = Vec::new();
        let mut new = Handover::from_previous(Time::ZERO, &mut actions);
        assert_eq!(actions, [Action::Send(Control::ResyncRequest)]);
        let learnt = on(&mut new, Event::Control(Control::ResyncFinished), 10);
        assert_eq!(learnt, [Action::Send(Control::ResyncConfirm), Action::Serve { learnt: true }]);
        assert_eq!(on(&mut new, Event::Tick, 1_000), [Action::Send(Control::Heartbeat)]);
        assert_eq!(new.next_deadline(), Some(Time::from_millis(2_000)));
        assert_eq!(on(&mut new, Event::Tick, 2_000), [Action::Send(Control::Heartbeat)]);
        assert_eq!(new.next_deadline(), Some(Time::from_millis(2_010)));
        assert_eq!(on(&mut new, Event::Tick, 2_010), [Action::HearOnlyNodes]);
        assert_eq!(on(&mut new, Event::Closed, 3_000), [Action::Forget]);
    }

    #[test]
    fn it_serves_even_if_the_one_before_it_hangs_or_dies() {
        let mut new = Handover::from_previous(Time::ZERO, &mut Vec::new());
        assert!(on(&mut new, Event::Tick, 5_000).contains(&Action::Serve { learnt: false }));
        let mut new = Handover::from_previous(Time::ZERO, &mut Vec::new());
        assert_eq!(on(&mut new, Event::Closed, 7), [Action::Forget, Action::Serve { learnt: false }]);
        assert_eq!(new.next_deadline(), None);
        let mut new = Handover::from_previous(Time::ZERO, &mut Vec::new());
        let partly = on(&mut new, Event::Control(Control::ResyncPartial), 7);
        assert!(partly.contains(&Action::Serve { learnt: false }), "it says itself that this was not all");
    }

    #[test]
    fn who_is_silent_is_done_without_and_who_never_takes_over_too() {
        let mut old = Handover::to_next(Time::ZERO);
        on(&mut old, Event::Heard, 4_000);
        assert_eq!(on(&mut old, Event::Tick, 8_999), [Action::Send(Control::Heartbeat)]);
        on(&mut old, Event::Heard, 8_999);
        assert_eq!(on(&mut old, Event::Tick, 10_000), [Action::Close, Action::Forget], "no confirmation");
        assert_eq!(on(&mut old, Event::Closed, 10_000), []);
        let mut old = Handover::to_next(Time::ZERO);
        assert_eq!(on(&mut old, Event::Tick, 5_000), [Action::Close, Action::Forget]);
        let mut old = Handover::to_next(Time::ZERO);
        on(&mut old, Event::Control(Control::ResyncConfirm), 1_000);
        assert_eq!(on(&mut old, Event::Tick, 6_000), [Action::Close, Action::Forget, Action::Resume]);
        let mut new = Handover::from_previous(Time::ZERO, &mut Vec::new());
        on(&mut new, Event::Control(Control::ResyncFinished), 10);
        on(&mut new, Event::Tick, 2_010);
        assert_eq!(on(&mut new, Event::Tick, 5_010), [Action::Close, Action::Forget]);
        assert_eq!(new.next_deadline(), None);
    }

    #[test]
    fn the_old_process_is_succeeded_by_a_confirmation_only_and_resumes_when_its_successor_dies() {
        let mut old = Handover::to_next(Time::ZERO);
        assert_eq!(on(&mut old, Event::Control(Control::ResyncRequest), 1), [Action::Teach]);
        assert_eq!(on(&mut old, Event::Taught, 2), [Action::Send(Control::ResyncFinished)]);
        assert_eq!(on(&mut old, Event::Closed, 3), [Action::Forget], "what it had counted while it learnt");
        let mut old = Handover::to_next(Time::ZERO);
        assert_eq!(on(&mut old, Event::Control(Control::ResyncConfirm), 4), [Action::Succeeded]);
        assert!(old.is_succeeded());
        assert_eq!(on(&mut old, Event::Closed, 5), [Action::Forget, Action::Resume]);
    }
}
