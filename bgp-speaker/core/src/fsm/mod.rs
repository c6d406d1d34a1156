//! The session machine of one neighbor (RFC 4271 section 8, with RFC 4724, 5492, 6286, 6608, 6793, 8538, 9003 and 9687).
//!
//! It promises: no event panics it; every wait has a deadline, but for a neighbor that is to connect; a session that
//! failed is tried again soon at first, then ever more slowly, never in a tight loop; a NOTIFICATION is never answered;
//! of two connections with one neighbor one stays, the same that the neighbor keeps.
//!
//! DelayOpen is not there: the OPEN goes out as soon as a connection stands, whoever opened it.

pub mod backoff;
pub mod collision;
mod event;
pub mod negotiate;
mod rival;
mod saved;
mod state;

pub use collision::Way;
pub use event::{Action, Change, Event, Mode, Received, Settings, Why};
pub use saved::Saved;
pub use state::State;

use crate::wire::notification::{self, Notification};
use crate::wire::validate::{Sender, Summary, validate};
use crate::wire::{self, Message, Open};
use backoff::Backoff;
use base_core::{Machine, Time};
use negotiate::{Local, Negotiated, negotiate};
use rival::Rival;
use std::time::Duration;

/// The machine.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    state: State,
    /// Since when the state is what it is.
    since: Time,
    backoff: Backoff,
    /// Who opened the connection that counts.
    way: Way,
    /// A second one, as long as it is not settled which stays.
    rival: Option<Rival>,
    /// The next OPEN goes without capabilities.
    plain: bool,
    /// A session has stood before, in this process or in the one that it took over from.
    stood: bool,
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
            way: Way::Out,
            rival: None,
            plain: false,
            stood: false,
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

    /// What it was set up with.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Which connection counts; while there is one.
    pub const fn way(&self) -> Way {
        self.way
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

    /// The connection stands that counts from now on.
    fn speak(&mut self, way: Way, now: Time, actions: &mut Vec<Action>) {
        self.way = way;
        self.say_open(way, actions);
        self.retry = None;
        self.hold = Some(now + OPEN_HOLD);
        let why = if way == Way::Out { "connected" } else { "accepted" };
        self.enter(State::OpenSent, Why::Word(why), now, actions);
    }

    fn say_open(&self, way: Way, actions: &mut Vec<Action>) {
        let open = self.settings.local.open(self.plain, !self.stood);
        actions.push(Action::Send(way, open.encode()));
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
        match negotiate(&self.settings.local, open, self.plain) {
            Ok(negotiated) => {
                actions.push(Action::Send(self.way, wire::keepalive()));
                self.agree(negotiated, now, actions);
            }
            Err(notification) => self.refuse(notification, now, actions),
        }
    }

    fn agree(&mut self, negotiated: Negotiated, now: Time, actions: &mut Vec<Action>) {
        self.negotiated = Some(negotiated);
        self.keepalive = self.keepalive_after(now);
        self.hear(now);
        self.enter(State::OpenConfirm, Why::Word("open"), now, actions);
    }

    fn establish(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.prefixes = 0;
        self.stood = true;
        if self.rival.as_ref().is_some_and(Rival::connecting) {
            self.end_rival(None, actions);
        }
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
            self.end_rival(Some(notification::MAX_PREFIXES), actions);
            self.refuse(Notification::new(notification::MAX_PREFIXES), now, actions);
            self.retry = Some(now + MAX_PREFIXES_IDLE);
        }
    }

    /// The neighbor is asked to announce everything once more, which is then counted once more.
    pub const fn ask_again(&mut self) {
        self.prefixes = 0;
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
                actions.push(Action::Send(self.way, wire::keepalive()));
            }
        }
        if due(self.retry) {
            match self.state {
                State::Idle | State::Active => self.begin(now, actions),
                State::Connect => {
                    actions.push(Action::Close(Way::Out));
                    self.wait(State::Active, Why::Word(CONNECT_TIMED_OUT), now, actions);
                }
                State::OpenSent | State::OpenConfirm | State::Established => self.retry = None,
            }
        }
    }

    /// Opens a connection, or waits for one.
    fn begin(&mut self, now: Time, actions: &mut Vec<Action>) {
        // What came during the pause is as good as what would be opened now.
        if self.promote(&Why::Word("accepted"), now, actions) {
            return;
        }
        if !self.settings.mode.connects() {
            self.retry = None;
            return self.enter(State::Active, Why::Word("listens"), now, actions);
        }
        self.way = Way::Out;
        self.retry = Some(now + CONNECT_TIMEOUT);
        self.enter(State::Connect, Why::Word("start"), now, actions);
        actions.push(Action::Connect);
    }

    fn stop(&mut self, code: notification::Code, text: &str, now: Time, actions: &mut Vec<Action>) {
        let mut cease = Notification::new(code);
        if matches!(code, notification::ADMINISTRATIVE_SHUTDOWN | notification::ADMINISTRATIVE_RESET) {
            cease = Notification::cease(code, text);
        }
        // To a neighbor that keeps routes over a NOTIFICATION the end must be said as one.
        if self.negotiated.as_ref().is_some_and(|negotiated| negotiated.graceful_notification) {
            cease = cease.hard_reset();
        }
        self.end_rival(Some(code), actions);
        if self.state.is_open() {
            actions.push(Action::Send(self.way, cease.encode()));
        }
        if self.state.is_open() || self.state == State::Connect {
            actions.push(Action::Close(self.way));
        }
        self.settle(State::Idle, Why::Sent(cease), now, actions);
        self.retry = None;
    }

    /// Ends the session with an answer.
    fn refuse(&mut self, notification: Notification, now: Time, actions: &mut Vec<Action>) {
        actions.push(Action::Send(self.way, notification.encode()));
        self.fail(Why::Sent(notification), now, actions);
    }

    /// Ends the session without a word, and waits, unless there is a second connection.
    fn fail(&mut self, why: Why, now: Time, actions: &mut Vec<Action>) {
        actions.push(Action::Close(self.way));
        // RFC 5492 section 3: a neighbor that knows no optional parameters may do with an OPEN that has none.
        let unknown = matches!(&why, Why::Got(got) if got.code == notification::UNSUPPORTED_PARAMETER);
        self.plain = unknown && !self.plain;
        if !self.promote(&why, now, actions) {
            self.wait(State::Idle, why, now, actions);
        }
    }

    fn wait(&mut self, state: State, why: Why, now: Time, actions: &mut Vec<Action>) {
        if self.state == State::Established && now.since(self.since) >= STABLE_AFTER {
            self.backoff.reset();
        }
        self.settle(state, why, now, actions);
        self.retry = Some(now + self.backoff.pause());
    }

    /// Goes to a state in which nothing is agreed on.
    fn settle(&mut self, state: State, why: Why, now: Time, actions: &mut Vec<Action>) {
        let stood = self.state == State::Established;
        self.negotiated = None;
        self.hold = None;
        self.keepalive = None;
        self.send_hold = None;
        self.retry = None;
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
        if self.is_rivals(&event) {
            return self.on_rival(event, now, actions);
        }
        if rival::is_echo(self, &event) {
            return;
        }
        match (self.state, event) {
            (_, Event::Tick) => {
                self.on_rival(Event::Tick, now, actions);
                self.tick(now, actions);
            }
            (State::Idle, Event::Start) => self.begin(now, actions),
            (_, Event::Stop { code, text }) => self.stop(code, &text, now, actions),
            (_, Event::Accepted) => self.accepted(now, actions),
            (State::Connect, Event::Connected) => self.speak(Way::Out, now, actions),
            (State::Connect, Event::ConnectFailed) => {
                self.wait(State::Active, Why::Word("connect_failed"), now, actions);
            }
            (_, Event::Lost(_)) => self.fail(Why::Word("connection_lost"), now, actions),
            (_, Event::Received(_, message)) => self.received(message, now, actions),
            (State::OpenConfirm | State::Established, Event::Blocked(_)) if self.send_hold.is_none() => {
                self.send_hold = self.hold_time().map(|hold| now + hold.saturating_mul(SEND_HOLD_FACTOR));
            }
            (_, Event::Drained(_)) => self.send_hold = None,
            (State::OpenSent | State::OpenConfirm | State::Established, Event::PathLost) => {
                self.end_rival(Some(notification::BFD_DOWN), actions);
                self.refuse(Notification::new(notification::BFD_DOWN), now, actions);
            }
            (State::Idle | State::Active, Event::PathFound) => {
                // What failed before failed without a path. Soon, and not at once: a path that flaps makes no tight loop.
                self.backoff.reset();
                self.retry = self.retry.map(|retry| retry.min(now + FIRST_RETRY));
            }
            (_, Event::PathLost | Event::PathFound) => {}
            // An echo of a connection that this machine has already given up.
            (_, Event::Connected | Event::ConnectFailed | Event::Start | Event::Blocked(_)) => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        let rival = self.rival.as_ref().and_then(Rival::deadline);
        [self.retry, self.hold, self.keepalive, self.send_hold, rival].into_iter().flatten().min()
    }

    fn check_invariants(&self) {
        let agreed = matches!(self.state, State::OpenConfirm | State::Established);
        assert_eq!(self.negotiated.is_some(), agreed, "agreed in {:?}", self.state);
        let open = self.state.is_open();
        assert!(open || self.hold.is_none() && self.keepalive.is_none() && self.send_hold.is_none());
        assert!(!open || self.retry.is_none(), "no retry while connected");
        assert!(self.state != State::OpenSent || self.hold.is_some(), "OpenSent ends");
        let listens = self.state == State::Active && !self.settings.mode.connects();
        let waits = matches!(self.state, State::Connect | State::Active);
        assert!(!waits || listens || self.retry.is_some(), "no dead end");
        self.check_rival();
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
mod rival_tests;
#[cfg(test)]
mod tests;
