//! What the health stream says, and which streams to hold: one, or two while the gateway is replaced.

use super::{Action, Reason};
use crate::fsm::backoff::Backoff;
use base_core::Time;
use std::time::Duration;

/// What one line of the stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The gateway serves.
    Ready,
    /// It cannot.
    NotReady,
    /// It serves, and will stop.
    Draining,
    /// A successor takes over; it answers on a new stream.
    Moved,
}

impl Reading {
    /// By the word of the stream's `state`.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "ready" => Some(Self::Ready),
            "not_ready" => Some(Self::NotReady),
            "draining" => Some(Self::Draining),
            "moved" => Some(Self::Moved),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Feed {
    dead_after: Duration,
    backoff: Backoff,
    /// The stream that is believed.
    current: Option<Stream>,
    /// While `current` said `moved`: the successor's.
    moving: Option<Moving>,
    /// When to open a stream again.
    reopen: Option<Time>,
    next_number: u64,
    reason: Reason,
}

#[derive(Debug)]
struct Stream {
    number: u64,
    /// The last line; before the first, when the stream was asked for.
    heard: Time,
    lines: u64,
    /// Silence was declared; the stream is kept for a while in case the gateway goes on.
    silent: bool,
}

#[derive(Debug)]
struct Moving {
    until: Time,
    successor: Option<Stream>,
}

impl Feed {
    pub(super) fn new(dead_after: Duration, seed: u64) -> Self {
        let backoff = Backoff::new(REOPEN_MIN, REOPEN_MAX, seed);
        Self {
            dead_after,
            backoff,
            current: None,
            moving: None,
            reopen: None,
            next_number: 0,
            reason: Reason::Starting,
        }
    }

    /// What the gateway can do, in one word.
    pub(super) const fn reason(&self) -> Reason {
        self.reason
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let silence =
            self.current.as_ref().filter(|_| self.moving.is_none()).map(|stream| {
                stream.heard + if stream.silent { self.give_up_after() } else { self.dead_after }
            });
        let moving = self.moving.as_ref().map(|moving| moving.until);
        [silence, moving, self.reopen].into_iter().flatten().min()
    }

    pub(super) fn start(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.current.is_none() {
            self.current = Some(self.open(now, actions));
        }
    }

    pub(super) fn opened(&mut self, number: u64, now: Time) {
        // Only the gateway's own words count as life; this is noted so that a slow connection is not
        // blamed on a stream that has just begun.
        if let Some(stream) = self.stream(number).filter(|stream| stream.lines == 0 && !stream.silent) {
            stream.heard = now;
        }
    }

    pub(super) fn line(&mut self, number: u64, reading: Reading, now: Time, actions: &mut Vec<Action>) {
        let Some(stream) = self.stream(number) else { return };
        stream.heard = now;
        stream.lines += 1;
        stream.silent = false;
        self.backoff.reset();
        match (&mut self.moving, self.current.as_ref().is_some_and(|stream| stream.number == number)) {
            (Some(_), true) => {}
            (Some(moving), false) => {
                if reading == Reading::Ready {
                    let old = std::mem::replace(&mut self.current, moving.successor.take());
                    self.moving = None;
                    self.reopen = None;
                    self.reason = Reason::Ready;
                    actions.extend(old.map(|old| Action::Close { stream: old.number }));
                }
            }
            (None, _) => match reading {
                Reading::Ready => self.reason = Reason::Ready,
                Reading::NotReady => self.reason = Reason::NotReady,
                Reading::Draining => self.reason = Reason::Draining,
                Reading::Moved => {
                    let successor = Some(self.open(now, actions));
                    self.moving = Some(Moving { until: now + MOVE_TIMEOUT, successor });
                }
            },
        }
    }

    pub(super) fn closed(&mut self, number: u64, now: Time) {
        if let Some(moving) = &mut self.moving {
            // The old process said goodbye before; a successor that is not there yet is asked again.
            if moving.successor.as_ref().is_some_and(|stream| stream.number == number) {
                moving.successor = None;
                self.reopen = Some(now + self.backoff.pause());
            }
            return;
        }
        if let Some(stream) = self.current.take_if(|stream| stream.number == number) {
            let spoke = stream.lines > 0 || !matches!(self.reason, Reason::Starting | Reason::Unreachable);
            self.reason = if spoke { Reason::Closed } else { Reason::Unreachable };
            self.reopen = Some(now + self.backoff.pause());
        }
    }

    pub(super) fn tick(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.moving.as_ref().is_some_and(|moving| moving.until <= now) {
            self.give_up_moving(now, actions);
        }
        if self.moving.is_none() {
            self.check_silence(now, actions);
        }
        if self.reopen.is_some_and(|at| at <= now) {
            self.reopen = None;
            let stream = self.open(now, actions);
            match &mut self.moving {
                Some(moving) => moving.successor = Some(stream),
                None => self.current = Some(stream),
            }
        }
    }

    pub(super) fn check_invariants(&self) {
        let ways = [self.current.is_some(), self.reopen.is_some(), self.moving.is_some()];
        let started = self.next_number > 0;
        assert!(!started || ways.contains(&true), "nothing is heard and nothing is tried");
        assert!(self.next_deadline().is_some() || !started, "waits for ever");
    }

    fn give_up_moving(&mut self, now: Time, actions: &mut Vec<Action>) {
        let successor = self.moving.take().and_then(|moving| moving.successor);
        let streams = [self.current.take(), successor].into_iter().flatten();
        actions.extend(streams.map(|stream| Action::Close { stream: stream.number }));
        self.reason = Reason::MoveFailed;
        self.reopen = Some(now + self.backoff.pause());
    }

    fn check_silence(&mut self, now: Time, actions: &mut Vec<Action>) {
        let give_up_after = self.give_up_after();
        let Some(stream) = &mut self.current else { return };
        let silence = now.since(stream.heard);
        if silence >= self.dead_after && !stream.silent {
            stream.silent = true;
            // A stream that never spoke tells no more than the state before it did.
            let known = !matches!(self.reason, Reason::Starting | Reason::Unreachable | Reason::Closed);
            self.reason = if known || stream.lines > 0 { Reason::Silent } else { Reason::Unreachable };
        }
        if stream.silent && silence >= give_up_after {
            actions.push(Action::Close { stream: stream.number });
            self.current = None;
            self.reopen = Some(now + self.backoff.pause());
        }
    }

    fn give_up_after(&self) -> Duration {
        GIVE_UP_AFTER.max(self.dead_after * 2)
    }

    fn open(&mut self, now: Time, actions: &mut Vec<Action>) -> Stream {
        self.next_number += 1;
        actions.push(Action::Open { stream: self.next_number });
        Stream { number: self.next_number, heard: now, lines: 0, silent: false }
    }

    fn stream(&mut self, number: u64) -> Option<&mut Stream> {
        let successor = self.moving.as_mut().and_then(|moving| moving.successor.as_mut());
        [self.current.as_mut(), successor].into_iter().flatten().find(|stream| stream.number == number)
    }
}

/// Shortest pause before a lost stream is opened again.
const REOPEN_MIN: Duration = Duration::from_millis(50);
/// Longest pause: a gateway that is back is announced within this.
const REOPEN_MAX: Duration = Duration::from_millis(100);
/// How long a successor may take to show up; longer counts as a hang.
const MOVE_TIMEOUT: Duration = Duration::from_secs(2);
/// A silent stream is dropped for a new one after this: the connection itself may be dead.
const GIVE_UP_AFTER: Duration = Duration::from_secs(2);
