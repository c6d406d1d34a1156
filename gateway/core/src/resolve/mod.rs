//! Servers whose addresses DNS says: when to ask, what an answer or a failure changes, which server gets which
//! address (HAProxy manual, "resolvers", `server-template`, `resolve-prefer`, `resolve-net`, `hold`).
//!
//! ```text
//!            ask, patience                     a valid answer: again after `hold.valid`
//!   idle ─────────────────► asking ──────────► idle, addresses go to servers
//!    ▲                        │ a failure, or nothing in time: again after `resolve`;
//!    └────────────────────────┘ addresses stay, unless the last valid answer is older than its `hold`
//! ```
//!
//! Promises: one question at a time; an address that stays keeps its server, whatever the order of the answer; an
//! address has one server at most; there are never more than were configured. A resolver that is silent or broken
//! takes nothing away, unless its `hold` says so.
//! Refuses: to look at TTLs and priorities, as HAProxy does; and to say whether a server works: that is for its check.

mod prefer;
mod service;
mod slots;

pub use prefer::{Family, Preference};
pub use service::{Record, weighed};

use base_core::{Machine, Time};
use slots::Slots;
use std::net::SocketAddr;
use std::time::Duration;

/// How a name is asked for, and how long what was found holds (HAProxy manual, "resolvers").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// From a failure to the next question.
    pub resolve: Duration,
    /// Longest that one question may take, with all that it leads to.
    pub patience: Duration,
    /// How long what was found holds.
    pub hold: Hold,
}

/// How long addresses stay after the last valid answer, by what came since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// From a valid answer to the next question.
    pub valid: Duration,
    /// An address that the answer does not have any more.
    pub obsolete: Duration,
    /// There is no such name, or it has no address.
    pub nx: Duration,
    /// The resolver refuses to answer; `None`: for ever.
    pub refused: Option<Duration>,
    /// It says nothing in time.
    pub timeout: Option<Duration>,
    /// Anything else.
    pub other: Option<Duration>,
}

/// Where a server is, by an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Its address.
    pub address: SocketAddr,
    /// Its weight, 1 to 256, where the answer says one.
    pub weight: Option<u32>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no such name, or it has no address.
    Nx,
    /// The resolver refuses to answer.
    Refused,
    /// It says nothing in time.
    Timeout,
    /// Anything else, such as a failure of the resolver's own.
    Other,
}

/// How a question ended.
pub type Answer = Result<Vec<Endpoint>, Failure>;

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The deadline has passed.
    Tick,
    /// The question with this number has ended.
    Answered {
        /// The number that [`Action::Ask`] gave it.
        question: u64,
        /// What was found.
        answer: Answer,
    },
}

/// What the shell shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask for the name; report the end with [`Event::Answered`] by `deadline`.
    Ask {
        /// Its number.
        question: u64,
        /// When it has failed if it has not ended.
        deadline: Time,
    },
    /// The server in this slot is there from now on; `None`: nowhere.
    Move {
        /// Its place among those of this name.
        slot: usize,
        /// Where.
        to: Option<Endpoint>,
    },
    /// A question has ended: how, and how many addresses have no server.
    Heard {
        /// How it ended: [`VALID`], or the word of a [`Failure`].
        result: &'static str,
        /// Addresses for which there is no slot.
        left_over: usize,
    },
}

/// One name, and the servers that are where it says.
#[derive(Clone, Debug)]
pub struct Resolution {
    policy: Policy,
    slots: Slots,
    asking: Option<Asking>,
    /// When to ask next.
    due: Time,
    questions: u64,
    /// When an answer last was valid.
    valid: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
struct Asking {
    question: u64,
    /// When its report is not waited for any more.
    give_up: Time,
}

impl Resolution {
    /// For so many servers, of which the first are where `known` says until there is an answer. Asks at once.
    pub fn new(policy: Policy, slots: usize, known: &[Endpoint], now: Time) -> Self {
        let mut slots = Slots::new(slots);
        slots.answered(known, Duration::ZERO, now, |_, _| {});
        let valid = slots.any().then_some(now);
        Self { policy, slots, asking: None, due: now, questions: 0, valid }
    }

    /// Where the server in this slot is.
    pub fn at(&self, slot: usize) -> Option<Endpoint> {
        self.slots.at(slot)
    }

    fn ask(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.questions += 1;
        let (question, deadline) = (self.questions, now + self.policy.patience);
        self.asking = Some(Asking { question, give_up: deadline + GRACE });
        actions.push(Action::Ask { question, deadline });
    }

    fn answered(&mut self, answer: Answer, now: Time, actions: &mut Vec<Action>) {
        self.asking = None;
        let mut moves = Vec::new();
        let mut moved = |slot, to| moves.push(Action::Move { slot, to });
        let hold = self.policy.hold;
        let (result, left_over) = match answer {
            Ok(found) if !found.is_empty() => {
                self.valid = Some(now);
                self.due = now + hold.valid;
                (VALID, self.slots.answered(&found, hold.obsolete, now, &mut moved))
            }
            failed => {
                let failure = failed.err().unwrap_or(Failure::Nx);
                self.due = now + self.policy.resolve;
                let is_over = |hold: Duration| self.valid.is_none_or(|valid| now.since(valid) >= hold);
                if hold.after(failure).is_some_and(is_over) {
                    self.slots.clear(&mut moved);
                }
                (failure.as_str(), 0)
            }
        };
        actions.push(Action::Heard { result, left_over });
        actions.append(&mut moves);
    }

    fn ticked(&mut self, now: Time, actions: &mut Vec<Action>) {
        match self.asking {
            Some(asking) if now >= asking.give_up => self.answered(Err(Failure::Timeout), now, actions),
            None if now >= self.due => self.ask(now, actions),
            _ => {}
        }
        self.slots.expire(self.policy.hold.obsolete, now, |slot, to| actions.push(Action::Move { slot, to }));
    }
}

impl Machine for Resolution {
    type Event = Event;
    type Action = Action;

    fn tick() -> Event {
        Event::Tick
    }

    fn on(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        match event {
            Event::Tick => self.ticked(now, actions),
            Event::Answered { question, answer } => {
                // One that was given up says nothing any more.
                if self.asking.is_some_and(|asking| asking.question == question) {
                    self.answered(answer, now, actions);
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        let next = self.asking.map_or(self.due, |asking| asking.give_up);
        Some(self.slots.next_expiry(self.policy.hold.obsolete).map_or(next, |expiry| expiry.min(next)))
    }

    fn check_invariants(&self) {
        assert!(self.slots.are_distinct(), "an address has one server: {self:?}");
    }
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Nx, Self::Refused, Self::Timeout, Self::Other];

    /// The word for it, HAProxy's in `hold`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nx => "nx",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Other => "other",
        }
    }
}

impl Hold {
    fn after(&self, failure: Failure) -> Option<Duration> {
        match failure {
            Failure::Nx => Some(self.nx),
            Failure::Refused => self.refused,
            Failure::Timeout => self.timeout,
            Failure::Other => self.other,
        }
    }
}

/// The word for an answer with at least one address.
pub const VALID: &str = "valid";
/// How long after its deadline the report of a question is still waited for: the shell ends it by itself.
const GRACE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
