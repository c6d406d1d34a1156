//! The second connection with one neighbor, while both have opened one (RFC 4271 section 6.8, RFC 6286 section 2.3).
//!
//! It is behind the first: it goes up to the exchange of OPENs, and then one of the two is closed with Cease 6/7. When
//! the first ends before that, the second takes its place at once. A connection that comes while the session rests
//! after a failure waits for the end of the pause: so the neighbor does not lose its attempt, and no loop gets tight.

use super::collision::{self, End, Way};
use super::negotiate::{Negotiated, negotiate};
use super::{Action, Event, OPEN_HOLD, Received, Session, State, Why};
use crate::wire::notification::{self, Notification};
use crate::wire::{self, Open};
use base_core::Time;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rival {
    pub(super) way: Way,
    pub(super) stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It came during a pause; nothing was said on it, but perhaps heard.
    Waiting(Option<Open>),
    /// It is being made, for so long.
    Connecting(Time),
    /// Our OPEN is out; the neighbor's is waited for so long.
    OpenSent(Time),
}

impl Rival {
    /// There is nobody at its other end yet.
    pub(super) const fn connecting(&self) -> bool {
        matches!(self.stage, Stage::Connecting(_))
    }

    pub(super) const fn deadline(&self) -> Option<Time> {
        match self.stage {
            Stage::Waiting(_) => None,
            Stage::Connecting(until) | Stage::OpenSent(until) => Some(until),
        }
    }
}

impl Session {
    /// The neighbor has opened a connection.
    pub(super) fn accepted(&mut self, now: Time, actions: &mut Vec<Action>) {
        let resting = self.retry.is_some_and(|retry| retry.since(now) <= self.settings.retry_max);
        let taken = self.way == Way::In && self.state == State::Established;
        let replaces = self.negotiated.as_ref().is_some_and(|negotiated| negotiated.graceful_restart);
        if !self.settings.mode.accepts() || self.state == State::Idle && !resting || taken && !replaces {
            let code = if taken { notification::COLLISION } else { notification::CONNECTION_REJECTED };
            return actions.push(Action::Refuse(Notification::new(code)));
        }
        // A neighbor that connects again has lost its connection before, whatever this side has heard of that.
        if self.rival.as_ref().is_some_and(|rival| rival.way == Way::In) {
            self.end_rival(Some(notification::COLLISION), actions);
        } else if self.way == Way::In && self.state.is_open() {
            actions.push(Action::Close(Way::In));
            self.settle(State::Active, Why::Word("replaced"), now, actions);
        }
        actions.push(Action::Accept);
        match self.state {
            State::Idle => self.rival = Some(Rival { way: Way::In, stage: Stage::Waiting(None) }),
            State::Active => self.speak(Way::In, now, actions),
            State::Connect => {
                let until = self.retry.unwrap_or(now);
                self.speak(Way::In, now, actions);
                self.rival = Some(Rival { way: Way::Out, stage: Stage::Connecting(until) });
            }
            State::OpenSent | State::OpenConfirm | State::Established => {
                self.say_open(Way::In, actions);
                self.rival = Some(Rival { way: Way::In, stage: Stage::OpenSent(now + OPEN_HOLD) });
            }
        }
    }

    /// Something happened to the second connection.
    pub(super) fn on_rival(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        let Some(rival) = &mut self.rival else { return };
        let due = rival.deadline().is_some_and(|deadline| deadline <= now);
        match (&mut rival.stage, event) {
            (Stage::Connecting(_), Event::Connected) => {
                rival.stage = Stage::OpenSent(now + OPEN_HOLD);
                let way = rival.way;
                self.say_open(way, actions);
            }
            (Stage::Waiting(heard @ None), Event::Received(_, Received::Open(open))) => *heard = Some(open),
            (Stage::Connecting(_), Event::ConnectFailed) | (_, Event::Lost(_)) => {
                self.end_rival(None, actions);
            }
            (Stage::OpenSent(_), Event::Received(_, Received::Open(open))) => {
                self.rival_opened(&open, now, actions);
            }
            (_, Event::Received(_, Received::Notification(_))) => self.end_rival(None, actions),
            (_, Event::Received(_, Received::Bad(answer))) => self.refuse_rival(&answer, actions),
            (_, Event::Received(..)) => {
                self.end_rival(Some(notification::UNEXPECTED_IN_OPEN_SENT), actions);
            }
            (_, Event::Tick) if due => self.end_rival(Some(notification::HOLD_TIMER_EXPIRED), actions),
            _ => {}
        }
    }

    fn rival_opened(&mut self, open: &Open, now: Time, actions: &mut Vec<Action>) {
        let negotiated = match negotiate(&self.settings.local, open, self.plain) {
            Ok(negotiated) => negotiated,
            Err(answer) => return self.refuse_rival(&answer, actions),
        };
        let Some(way) = self.rival.as_ref().map(|rival| rival.way) else { return };
        let graceful = self.negotiated.as_ref().is_some_and(|negotiated| negotiated.graceful_restart);
        match self.state {
            // The first has no OPEN yet: now it is the one that is behind.
            State::OpenSent => {
                let behind = self.hold.map(|hold| Rival { way: self.way, stage: Stage::OpenSent(hold) });
                self.rival = behind;
                self.confirm(way, negotiated, now, actions);
            }
            State::OpenConfirm if self.keeps(&negotiated) == way => {
                actions.push(Action::Send(self.way, Notification::new(notification::COLLISION).encode()));
                actions.push(Action::Close(self.way));
                self.rival = None;
                self.confirm(way, negotiated, now, actions);
            }
            // RFC 4724 section 4.2: the neighbor has restarted; its old connection is gone.
            State::Established if graceful => {
                actions.push(Action::Close(self.way));
                self.rival = None;
                self.settle(State::OpenSent, Why::Word("replaced"), now, actions);
                self.confirm(way, negotiated, now, actions);
            }
            _ => self.end_rival(Some(notification::COLLISION), actions),
        }
    }

    /// Which connection stays.
    fn keeps(&self, negotiated: &Negotiated) -> Way {
        let local = &self.settings.local;
        let ours = End { identifier: local.identifier, asn: local.asn };
        collision::resolve(ours, End { identifier: negotiated.identifier, asn: local.neighbor_asn })
    }

    fn confirm(&mut self, way: Way, negotiated: Negotiated, now: Time, actions: &mut Vec<Action>) {
        self.way = way;
        actions.push(Action::Send(way, wire::keepalive()));
        self.agree(negotiated, now, actions);
    }

    /// Ends the second connection, with a word if there is one to say.
    pub(super) fn end_rival(&mut self, code: Option<notification::Code>, actions: &mut Vec<Action>) {
        let Some(rival) = self.rival.take() else { return };
        if let Some(code) = code.filter(|_| !rival.connecting()) {
            actions.push(Action::Send(rival.way, Notification::new(code).encode()));
        }
        actions.push(Action::Close(rival.way));
    }

    fn refuse_rival(&mut self, answer: &Notification, actions: &mut Vec<Action>) {
        if let Some(rival) = self.rival.take() {
            actions.push(Action::Send(rival.way, answer.encode()));
            actions.push(Action::Close(rival.way));
        }
    }

    /// The first connection has ended: the second takes its place. False if there is none.
    pub(super) fn promote(&mut self, why: &Why, now: Time, actions: &mut Vec<Action>) -> bool {
        let Some(rival) = self.rival.take() else { return false };
        self.way = rival.way;
        match rival.stage {
            Stage::Waiting(heard) => {
                self.speak(rival.way, now, actions);
                if let Some(open) = heard {
                    self.opened(&open, now, actions);
                }
            }
            Stage::Connecting(until) => {
                self.settle(State::Connect, why.clone(), now, actions);
                self.retry = Some(until);
            }
            Stage::OpenSent(hold) => {
                self.settle(State::OpenSent, why.clone(), now, actions);
                self.hold = Some(hold);
            }
        }
        true
    }

    pub(super) fn check_rival(&self) {
        let Some(rival) = &self.rival else { return };
        match rival.stage {
            Stage::Waiting(_) => {
                assert!(self.state == State::Idle && self.retry.is_some(), "waits for a pause");
            }
            Stage::Connecting(_) | Stage::OpenSent(_) => {
                assert!(self.state.is_open(), "the second is behind a first, not in {:?}", self.state);
                assert_ne!(rival.way, self.way, "one connection of each way");
            }
        }
    }

    /// Does this happen to the second connection?
    pub(super) fn is_rivals(&self, event: &Event) -> bool {
        let Some(rival) = &self.rival else { return false };
        match event {
            Event::Connected | Event::ConnectFailed => rival.way == Way::Out,
            Event::Lost(way) | Event::Received(way, _) | Event::Blocked(way) | Event::Drained(way) => {
                rival.way == *way
            }
            _ => false,
        }
    }
}

/// Whether the shell's word is about a connection that the machine does not have any more.
pub(super) fn is_echo(session: &Session, event: &Event) -> bool {
    let open = session.state.is_open();
    match event {
        Event::Lost(way) | Event::Received(way, _) | Event::Blocked(way) | Event::Drained(way) => {
            !open || session.way != *way
        }
        _ => false,
    }
}
