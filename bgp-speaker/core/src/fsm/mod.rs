//! The session machine of one neighbor (RFC 4271 section 8, with RFC 6286, 6608, 6793, 9003 and 9687).
//!
//! It promises: no event panics it; every wait has a deadline; a session that failed is tried again soon
//! at first, then ever more slowly, never in a tight loop; a NOTIFICATION is never answered. It opens
//! connections and never listens, so that no port is open that a stranger could talk to.

pub mod backoff;
pub mod collision;
pub mod negotiate;
mod state;

pub use state::State;

use crate::wire::notification::{self, Notification};
use crate::wire::prefix::Family;
use crate::wire::validate::{Sender, Summary, validate};
use crate::wire::{self, Message, Open, RouteRefresh};
use backoff::Backoff;
use base_core::{Machine, Time};
use negotiate::{Local, Negotiated, negotiate};
use std::time::Duration;

/// What happens to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A deadline has passed.
    Tick,
    /// The operator wants the session.
    Start,
    /// The operator ends it; the text goes to the neighbor.
    Stop {
        /// Why, for people.
        text: String,
    },
    /// The connection stands.
    Connected,
    /// It could not be made.
    ConnectFailed,
    /// The connection is gone.
    Lost,
    /// A message came.
    Received(Received),
    /// The neighbor takes no more bytes for now.
    Blocked,
    /// All bytes are out again.
    Drained,
    /// BFD lost the way to the neighbor.
    PathLost,
    /// BFD found it.
    PathFound,
}

/// A message after decoding and validation: all that the machine needs of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// OPEN.
    Open(Open),
    /// UPDATE; its routes are already forgotten.
    Update(Summary),
    /// NOTIFICATION.
    Notification(Notification),
    /// KEEPALIVE.
    Keepalive,
    /// ROUTE-REFRESH.
    RouteRefresh(RouteRefresh),
    /// Bytes that deserve this answer.
    Bad(Notification),
}

/// What the shell shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a connection; answer with `Connected` or `ConnectFailed`.
    Connect,
    /// Write these bytes.
    Send(Vec<u8>),
    /// Close the connection, or stop making it; what was written before shall still arrive.
    Close,
    /// The session stands: the neighbor holds nothing yet.
    Up(Negotiated),
    /// The session that stood is gone, and with it all that the neighbor held.
    Down,
    /// The neighbor wants this family again.
    Refresh(Family),
    /// The state changed.
    Changed(Change),
}

/// A change of state, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// What happened.
    pub why: Why,
}

/// Why a state changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A word from a fixed list.
    Word(&'static str),
    /// We ended it with this.
    Sent(Notification),
    /// The neighbor ended it with this.
    Got(Notification),
}

/// What a session is set up with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who we are and whom we expect.
    pub local: Local,
    /// Longest pause between two attempts.
    pub retry_max: Duration,
    /// Most prefixes that the neighbor may have announced and not withdrawn.
    pub max_prefixes: Option<u32>,
    /// Makes this neighbor's pauses differ from those of others.
    pub seed: u64,
}

/// The machine.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    state: State,
    /// Since when the state is what it is.
    since: Time,
    backoff: Backoff,
    negotiated: Option<Negotiated>,
    /// Prefixes that the neighbor announced, less those that it withdrew.
    prefixes: u64,
    /// When to try again, or to give up connecting.
    retry: Option<Time>,
    /// When the neighbor counts as gone.
    hold: Option<Time>,
    /// When to say that we live.
    keepalive: Option<Time>,
    /// When a neighbor that takes no bytes counts as gone (RFC 9687).
    send_hold: Option<Time>,
}

/// Decodes and validates one framed message. `sender` is what [`Session::sender`] says.
pub fn read(message: &[u8], sender: Sender) -> Received {
    match wire::decode(message) {
        Ok(Message::Open(open)) => Received::Open(open),
        Ok(Message::Update(update)) => validate(&update, sender).map_or_else(Received::Bad, Received::Update),
        Ok(Message::Notification(notification)) => Received::Notification(notification),
        Ok(Message::Keepalive) => Received::Keepalive,
        Ok(Message::RouteRefresh(refresh)) => Received::RouteRefresh(refresh),
        Err(notification) => Received::Bad(notification),
    }
}

impl Session {
    /// A session that waits for `Start`.
    pub fn new(settings: Settings) -> Self {
        let backoff = Backoff::new(FIRST_RETRY, settings.retry_max, settings.seed);
        Self {
            settings,
            state: State::Idle,
            since: Time::ZERO,
            backoff,
            negotiated: None,
            prefixes: 0,
            retry: None,
            hold: None,
            keepalive: None,
            send_hold: None,
        }
    }

    /// Where it stands.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Since when it stands there.
    pub const fn since(&self) -> Time {
        self.since
    }

    /// What both sides agreed on; while the OPENs hold.
    pub const fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// How the neighbor's UPDATEs are to be read.
    pub fn sender(&self) -> Sender {
        let Local { asn, neighbor_asn, .. } = self.settings.local;
        let four_octet = self.negotiated.as_ref().is_none_or(|negotiated| negotiated.four_octet);
        Sender { four_octet, inside: asn == neighbor_asn }
    }

    fn connected(&mut self, now: Time, actions: &mut Vec<Action>) {
        let local = &self.settings.local;
        actions.push(Action::Send(Open::ours(local.asn, local.hold_time, local.identifier).encode()));
        self.retry = None;
        self.hold = Some(now + OPEN_HOLD);
        self.enter(State::OpenSent, Why::Word("connected"), now, actions);
    }

    fn received(&mut self, message: Received, now: Time, actions: &mut Vec<Action>) {
        match (self.state, message) {
            (State::Idle | State::Connect | State::Active, _) => {}
            (_, Received::Notification(notification)) => self.fail(Why::Got(notification), now, actions),
            (_, Received::Bad(notification)) => self.refuse(notification, now, actions),
            (State::OpenSent, Received::Open(open)) => self.opened(&open, now, actions),
            (State::OpenSent, _) => {
                self.refuse(Notification::new(notification::UNEXPECTED_IN_OPEN_SENT), now, actions);
            }
            (State::OpenConfirm, Received::Keepalive) => self.establish(now, actions),
            (State::OpenConfirm, _) => {
                self.refuse(Notification::new(notification::UNEXPECTED_IN_OPEN_CONFIRM), now, actions);
            }
            (State::Established, Received::Open(_)) => {
                self.refuse(Notification::new(notification::UNEXPECTED_IN_ESTABLISHED), now, actions);
            }
            (State::Established, Received::Keepalive) => self.hear(now),
            (State::Established, Received::Update(summary)) => {
                self.hear(now);
                self.count(summary, now, actions);
            }
            (State::Established, Received::RouteRefresh(refresh)) => {
                if let (Some(family), 0) = (refresh.family, refresh.subtype) {
                    actions.push(Action::Refresh(family));
                }
            }
        }
    }

    fn opened(&mut self, open: &Open, now: Time, actions: &mut Vec<Action>) {
        match negotiate(&self.settings.local, open) {
            Ok(negotiated) => {
                actions.push(Action::Send(wire::keepalive()));
                self.negotiated = Some(negotiated);
                self.keepalive = self.keepalive_after(now);
                self.hear(now);
                self.enter(State::OpenConfirm, Why::Word("open"), now, actions);
            }
            Err(notification) => self.refuse(notification, now, actions),
        }
    }

    fn establish(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.prefixes = 0;
        self.hear(now);
        self.enter(State::Established, Why::Word("keepalive"), now, actions);
        if let Some(negotiated) = self.negotiated.clone() {
            actions.push(Action::Up(negotiated));
        }
    }

    /// A neighbor that sends more than it should is told so, and left alone for a while (RFC 4486 section 4). Nothing is
    /// kept of what it sends, so a prefix that is announced twice counts twice.
    fn count(&mut self, summary: Summary, now: Time, actions: &mut Vec<Action>) {
        let announced = self.prefixes.saturating_add(summary.announced.into());
        self.prefixes = announced.saturating_sub(summary.withdrawn.into());
        if self.settings.max_prefixes.is_some_and(|most| self.prefixes > most.into()) {
            self.refuse(Notification::new(notification::MAX_PREFIXES), now, actions);
            self.retry = Some(now + MAX_PREFIXES_IDLE);
        }
    }

    /// A sign of life: the hold timer starts again.
    fn hear(&mut self, now: Time) {
        self.hold = self.hold_time().map(|hold| now + hold);
    }

    /// `None`: agreed to do without (RFC 4271 section 4.2: a hold time of zero).
    fn hold_time(&self) -> Option<Duration> {
        self.negotiated.as_ref().map(|negotiated| negotiated.hold).filter(|hold| !hold.is_zero())
    }

    fn keepalive_after(&self, now: Time) -> Option<Time> {
        self.hold_time().map(|hold| now + hold / 3)
    }

    fn tick(&mut self, now: Time, actions: &mut Vec<Action>) {
        let due = |deadline: Option<Time>| deadline.is_some_and(|deadline| deadline <= now);
        if due(self.hold) {
            return self.refuse(Notification::new(notification::HOLD_TIMER_EXPIRED), now, actions);
        }
        if due(self.send_hold) {
            return self.refuse(Notification::new(notification::SEND_HOLD_EXPIRED), now, actions);
        }
        if due(self.keepalive) {
            self.keepalive = self.keepalive_after(now);
            // While bytes wait, one more KEEPALIVE behind them tells the neighbor nothing.
            if self.send_hold.is_none() {
                actions.push(Action::Send(wire::keepalive()));
            }
        }
        if due(self.retry) {
            match self.state {
                State::Idle | State::Active => self.connect(now, actions),
                State::Connect => {
                    actions.push(Action::Close);
                    self.wait(State::Active, Why::Word(CONNECT_TIMED_OUT), now, actions);
                }
                State::OpenSent | State::OpenConfirm | State::Established => self.retry = None,
            }
        }
    }

    fn connect(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.retry = Some(now + CONNECT_TIMEOUT);
        self.enter(State::Connect, Why::Word("start"), now, actions);
        actions.push(Action::Connect);
    }

    fn stop(&mut self, text: &str, now: Time, actions: &mut Vec<Action>) {
        let cease = Notification::cease(notification::ADMINISTRATIVE_SHUTDOWN, text);
        if matches!(self.state, State::OpenSent | State::OpenConfirm | State::Established) {
            actions.push(Action::Send(cease.encode()));
        }
        if !matches!(self.state, State::Idle | State::Active) {
            actions.push(Action::Close);
        }
        self.leave(State::Idle, Why::Sent(cease), now, actions);
        self.retry = None;
    }

    /// Ends the session with an answer.
    fn refuse(&mut self, notification: Notification, now: Time, actions: &mut Vec<Action>) {
        actions.push(Action::Send(notification.encode()));
        self.fail(Why::Sent(notification), now, actions);
    }

    /// Ends the session without a word, and waits.
    fn fail(&mut self, why: Why, now: Time, actions: &mut Vec<Action>) {
        actions.push(Action::Close);
        self.wait(State::Idle, why, now, actions);
    }

    fn wait(&mut self, state: State, why: Why, now: Time, actions: &mut Vec<Action>) {
        if self.state == State::Established && now.since(self.since) >= STABLE_AFTER {
            self.backoff.reset();
        }
        self.leave(state, why, now, actions);
        self.retry = Some(now + self.backoff.pause());
    }

    fn leave(&mut self, state: State, why: Why, now: Time, actions: &mut Vec<Action>) {
        let stood = self.state == State::Established;
        self.negotiated = None;
        self.hold = None;
        self.keepalive = None;
        self.send_hold = None;
        self.enter(state, why, now, actions);
        if stood {
            actions.push(Action::Down);
        }
    }

    fn enter(&mut self, to: State, why: Why, now: Time, actions: &mut Vec<Action>) {
        let from = std::mem::replace(&mut self.state, to);
        if from != to {
            self.since = now;
            actions.push(Action::Changed(Change { from, to, why }));
        }
    }
}

impl Machine for Session {
    type Event = Event;
    type Action = Action;

    fn tick() -> Event {
        Event::Tick
    }

    fn on(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        match (self.state, event) {
            (_, Event::Tick) => self.tick(now, actions),
            (State::Idle, Event::Start) => self.connect(now, actions),
            (_, Event::Stop { text }) => self.stop(&text, now, actions),
            (State::Connect, Event::Connected) => self.connected(now, actions),
            (State::Connect, Event::ConnectFailed) => {
                self.wait(State::Active, Why::Word("connect_failed"), now, actions);
            }
            (State::OpenSent | State::OpenConfirm | State::Established, Event::Lost) => {
                self.fail(Why::Word("connection_lost"), now, actions);
            }
            (_, Event::Received(message)) => self.received(message, now, actions),
            (State::OpenConfirm | State::Established, Event::Blocked) if self.send_hold.is_none() => {
                self.send_hold = self.hold_time().map(|hold| now + hold * SEND_HOLD_FACTOR);
            }
            (_, Event::Drained) => self.send_hold = None,
            (State::OpenSent | State::OpenConfirm | State::Established, Event::PathLost) => {
                self.refuse(Notification::new(notification::BFD_DOWN), now, actions);
            }
            (State::Idle | State::Active, Event::PathFound) => {
                // What failed before failed without a path. Soon, and not at once: a path that flaps makes no tight loop.
                self.backoff.reset();
                self.retry = self.retry.map(|retry| retry.min(now + FIRST_RETRY));
            }
            (_, Event::PathLost | Event::PathFound) => {}
            // An echo of a connection that this machine has already given up.
            (_, Event::Connected | Event::ConnectFailed | Event::Lost | Event::Start | Event::Blocked) => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        [self.retry, self.hold, self.keepalive, self.send_hold].into_iter().flatten().min()
    }

    fn check_invariants(&self) {
        let open = matches!(self.state, State::OpenConfirm | State::Established);
        assert_eq!(self.negotiated.is_some(), open, "agreed in {:?}", self.state);
        let talking = open || self.state == State::OpenSent;
        assert!(talking || self.hold.is_none() && self.keepalive.is_none() && self.send_hold.is_none());
        assert!(!talking || self.retry.is_none(), "no retry while connected");
        assert!(self.state != State::OpenSent || self.hold.is_some(), "OpenSent ends");
        assert!(!matches!(self.state, State::Connect | State::Active) || self.retry.is_some(), "no dead end");
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Sent(notification) => write!(f, "sent {notification}"),
            Self::Got(notification) => write!(f, "received {notification}"),
        }
    }
}

/// Pause before the first new attempt: under a second, because every second without a session is a
/// second in which the router lacks one way to the VIPs.
pub const FIRST_RETRY: Duration = Duration::from_millis(250);
/// How long a connection may take to be made; less than the third SYN takes.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The word for a connection that was not made within [`CONNECT_TIMEOUT`].
pub const CONNECT_TIMED_OUT: &str = "connect_timed_out";
/// How long the neighbor may take to say OPEN (RFC 4271 section 8.2.2 suggests four minutes).
pub const OPEN_HOLD: Duration = Duration::from_secs(240);
/// A session that stood this long was a good one: pauses start small again.
pub const STABLE_AFTER: Duration = Duration::from_secs(10);
/// How long a neighbor is left alone that sent too many prefixes: what it sends is mended by people.
pub const MAX_PREFIXES_IDLE: Duration = Duration::from_secs(300);
/// A neighbor that takes no bytes for this many hold times is gone (RFC 9687 section 4).
const SEND_HOLD_FACTOR: u32 = 2;

#[cfg(test)]
mod tests;
