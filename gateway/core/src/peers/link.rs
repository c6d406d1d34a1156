//! The life of the connection to one peer: who dials when, whether the other side still lives, who teaches
//! whom (HAProxy `doc/peers-v2.0.txt`, "peers protocol").
//!
//! ```text
//!            dial_at           200                      silent, fault, closed
//!   Waiting ────────► Dialing ─────► Open ──────────────────────────► Waiting
//!      │                 │ refused    ▲ │ a peer dials in: the new one counts
//!      └─────────────────┴────────────┘ └──► Open
//! ```
//! Both sides dial. The one whose name comes first does so at once, the other a little later, so that two
//! nodes hardly ever meet half-way.

use super::frame::Control;
use super::hello::Status;
use base_core::random::Random;
use base_core::{Machine, Time};
use std::time::Duration;

/// The connection to one peer.
#[derive(Debug)]
pub struct Link {
    state: State,
    /// Whether this side is the one to dial first.
    first: bool,
    /// Whether everything was learnt once from this peer, or it had its time to teach.
    learnt: bool,
    /// Another process of this node talks to this peer now.
    retired: bool,
    random: Random,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// For its time to dial; none once it is retired.
    Waiting {
        dial_at: Option<Time>,
    },
    Dialing {
        until: Time,
    },
    Open(Open),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    /// The last sign of life.
    heard: Time,
    /// When to give one.
    beat_at: Time,
    /// Beats so far.
    beats: u32,
    /// It is another Headgate, which beats more often.
    headgate: bool,
    /// A lesson is to be over by then.
    learning: Option<Time>,
    /// The next process of this node has taken over: the session is closed by then, if it still stands.
    retires: Option<Time>,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The deadline has passed.
    Tick,
    /// The peer is there: it has dialled in, or it has answered 200.
    Opened,
    /// It can't be reached.
    Unreachable,
    /// It has answered something else than 200.
    Refused(Status),
    /// Bytes have come from it.
    Heard,
    /// It is another Headgate.
    IsHeadgate,
    /// It has sent this.
    Control(Control),
    /// Everything has been sent that it asked for.
    Taught,
    /// The connection is gone.
    Closed,
    /// The next process of this node talks to the peer from now on. A session that stands is left to the peer
    /// to close, when the other process has one, so that it hears this node all the time.
    Retire,
    /// That process is gone.
    Resume,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect to it.
    Dial,
    /// Send this.
    Send(Control),
    /// Send everything, then say [`Event::Taught`].
    Teach,
    /// Close the connection, or give up the attempt.
    Close(Reason),
    /// It has not said that it is another Headgate, so it is none: send it the sums.
    IsStock,
    /// It has said so after all.
    IsHeadgate,
    /// It can be heard from now on, or not.
    Live(bool),
}

/// Why a connection is closed from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The peer gives no sign of life.
    Silent,
    /// The peer says that this node has broken the protocol.
    ToldOfError,
    /// The attempt takes too long.
    Unanswered,
    /// The next process of this node talks to the peer.
    Retired,
}

impl Link {
    /// To a peer called `remote`, from `local`; `seed` makes moments differ between nodes.
    pub fn new(local: &str, remote: &str, seed: u64, now: Time) -> Self {
        let mut link = Self {
            state: State::Waiting { dial_at: None },
            first: local < remote,
            learnt: false,
            retired: false,
            random: Random::new(seed),
        };
        link.wait(now, START);
        link
    }

    /// Whether the connection stands.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Whether another process of this node talks to the peer: no session is to be opened.
    pub fn is_retired(&self) -> bool {
        self.retired
    }

    fn open(&mut self, now: Time, actions: &mut Vec<Action>) {
        if !self.is_open() {
            actions.push(Action::Live(true));
        }
        let mut learning = None;
        if !self.learnt {
            learning = Some(now + LESSON_TIMEOUT);
            actions.push(Action::Send(Control::ResyncRequest));
        }
        let beat_at = now + FIRST_BEAT;
        self.state =
            State::Open(Open { heard: now, beat_at, beats: 0, headgate: false, learning, retires: None });
    }

    fn tick(&mut self, now: Time, actions: &mut Vec<Action>) {
        match &mut self.state {
            State::Waiting { dial_at } if dial_at.is_some_and(|dial_at| now >= dial_at) => {
                self.state = State::Dialing { until: now + CONNECT_TIMEOUT };
                actions.push(Action::Dial);
            }
            State::Dialing { until } if now >= *until => {
                actions.push(Action::Close(Reason::Unanswered));
                self.wait(now, AGAIN);
            }
            State::Open(open) if now >= open.dead_at() => {
                actions.extend([Action::Close(Reason::Silent), Action::Live(false)]);
                self.wait(now, LOST);
            }
            State::Open(open) if open.retires.is_some_and(|retires| now >= retires) => {
                actions.extend([Action::Close(Reason::Retired), Action::Live(false)]);
                self.wait(now, LOST);
            }
            State::Open(open) => {
                if now >= open.beat_at {
                    actions.push(Action::Send(Control::Heartbeat));
                    open.beats = open.beats.saturating_add(1);
                    if open.beats == BEATS_OF_STOCK && !open.headgate {
                        actions.push(Action::IsStock);
                    }
                    open.beat_at = now + if open.beats == 1 { SECOND_BEAT } else { BEAT };
                }
                if open.learning.take_if(|until| now >= *until).is_some() {
                    self.learnt = true;
                }
            }
            State::Waiting { .. } | State::Dialing { .. } => {}
        }
    }

    fn control(&mut self, control: Control, now: Time, actions: &mut Vec<Action>) {
        let State::Open(open) = &mut self.state else { return };
        match control {
            Control::ResyncRequest => actions.push(Action::Teach),
            Control::ResyncFinished | Control::ResyncPartial => {
                if open.learning.take().is_some() {
                    self.learnt = true;
                }
                actions.push(Action::Send(Control::ResyncConfirm));
            }
            Control::ProtocolError | Control::SizeLimit => {
                actions.extend([Action::Close(Reason::ToldOfError), Action::Live(false)]);
                self.wait(now, REFUSED);
            }
            Control::ResyncConfirm | Control::Heartbeat => {}
        }
    }

    /// Waits for a moment from this range, and longer if the other side is to dial first.
    fn wait(&mut self, now: Time, (least, most): (u64, u64)) {
        let jitter = self.random.below((most - least).max(1));
        let second = if self.first { 0 } else { SECOND_DIALS_LATER };
        let dial_at = now + Duration::from_millis(least + jitter + second);
        self.state = State::Waiting { dial_at: (!self.retired).then_some(dial_at) };
    }

    fn retire(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.retired = true;
        match &mut self.state {
            State::Open(open) => open.retires = Some(now + RETIRE),
            State::Dialing { .. } => {
                actions.push(Action::Close(Reason::Retired));
                self.wait(now, AGAIN);
            }
            State::Waiting { dial_at } => *dial_at = None,
        }
    }

    fn resume(&mut self, now: Time) {
        self.retired = false;
        match &mut self.state {
            State::Open(open) => open.retires = None,
            State::Waiting { .. } => self.wait(now, LOST),
            State::Dialing { .. } => {}
        }
    }
}

impl Open {
    fn dead_at(&self) -> Time {
        self.heard + if self.headgate { DEAD_HEADGATE } else { DEAD }
    }
}

impl Machine for Link {
    type Event = Event;
    type Action = Action;

    fn tick() -> Event {
        Event::Tick
    }

    fn on(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        if let State::Open(open) = &mut self.state
            && matches!(event, Event::Heard | Event::Control(_))
        {
            open.heard = now;
        }
        match (event, &mut self.state) {
            (Event::Tick, _) => self.tick(now, actions),
            (Event::Retire, _) => self.retire(now, actions),
            (Event::Resume, _) if self.retired => self.resume(now),
            (Event::Opened, _) if !self.retired => self.open(now, actions),
            (Event::Unreachable, State::Dialing { .. }) => self.wait(now, AGAIN),
            (Event::Refused(_), State::Dialing { .. }) => self.wait(now, REFUSED),
            (Event::IsHeadgate, State::Open(open)) if !open.headgate => {
                open.headgate = true;
                if open.beats >= BEATS_OF_STOCK {
                    actions.push(Action::IsHeadgate);
                }
            }
            (Event::Control(control), State::Open(_)) => self.control(control, now, actions),
            (Event::Taught, State::Open(_)) => actions.push(Action::Send(Control::ResyncFinished)),
            (Event::Closed, State::Open(_)) => {
                actions.push(Action::Live(false));
                self.wait(now, LOST);
            }
            (Event::Closed, State::Dialing { .. }) => self.wait(now, AGAIN),
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        match self.state {
            State::Waiting { dial_at } => dial_at,
            State::Dialing { until } => Some(until),
            State::Open(open) => {
                let soon = open.dead_at().min(open.beat_at);
                [open.learning, open.retires].into_iter().flatten().chain([soon]).min()
            }
        }
    }

    fn check_invariants(&self) {
        if let State::Open(Open { learning, .. }) = self.state {
            assert!(learning.is_none() || !self.learnt, "it learns once");
        }
    }
}

/// Milliseconds until a dial, from and to: at the start,
const START: (u64, u64) = (0, 50);
/// when a connection was lost,
const LOST: (u64, u64) = (20, 120);
/// when nobody answers: a node that comes back is found within a second,
const AGAIN: (u64, u64) = (200, 500);
/// when the peer does not want to talk: somebody has to change a file first.
const REFUSED: (u64, u64) = (5_000, 7_000);
/// Milliseconds that the side whose name comes later waits for the other to dial.
const SECOND_DIALS_LATER: u64 = 300;
/// How long a peer hears the process before, until the next one has a session: two dials and more.
const RETIRE: Duration = Duration::from_secs(2);
/// HAProxy's.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// HAProxy's time for a lesson.
const LESSON_TIMEOUT: Duration = Duration::from_secs(5);
/// A HAProxy that has just given up a dial of its own may take this session for dead, until it hears
/// something: so it hears something at once, and again.
const FIRST_BEAT: Duration = Duration::from_millis(10);
const SECOND_BEAT: Duration = Duration::from_millis(240);
/// Who has not said by then that it is a Headgate counts as none, a quarter of a second after the first word.
const BEATS_OF_STOCK: u32 = 2;
/// Three of them within the time after which a Headgate counts as dead.
const BEAT: Duration = Duration::from_millis(500);
/// HAProxy beats after 3 s of silence.
const DEAD: Duration = Duration::from_secs(5);
/// What runs on a dead node must not count for long.
const DEAD_HEADGATE: Duration = Duration::from_millis(1_500);
