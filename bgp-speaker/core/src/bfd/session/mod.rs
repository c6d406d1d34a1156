//! The machine of one session (RFC 5880 section 6.8), in Asynchronous mode.
//!
//! ```text
//!              heard Down                     heard Init
//!      ┌────────────────────► Init ─────┐  ┌───────────────┐
//!      │                       │        │  │               │
//!    Down ◄────────────────────┘        ▼  ▼               │
//!      ▲  ▲    expired, heard AdminDown  Up ───────────────┘ Init, Up heard: stays
//!      │  └──────────────────────────────┘
//!      │       expired, heard Down or AdminDown              a Down that hears Init is Up at once
//! ```
//!
//! It promises: nothing is sent later than its deadline says, and silence is declared at the first tick
//! after the detection time, never before; a change of intervals never makes the other side's detection
//! time shorter than what is sent to it (section 6.8.3); it says more than once a second only to who is
//! Up, in answer to a poll, or when what it has to say has changed.

mod pace;
mod saved;

pub use saved::Saved;

use super::packet::Packet;
use super::{Diagnostic, State};
use base_core::random::Random;
use base_core::{Machine, Time};
use pace::Pace;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

/// How often to send, how often to be sent to, and how much silence is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// We send no more often while Up. Not zero.
    pub desired_min_tx: Duration,
    /// We can take packets this often; zero for none at all.
    pub required_min_rx: Duration,
    /// So many intervals of our silence tell the other side that we are gone.
    pub multiplier: NonZeroU8,
}

/// What a session is set up with.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Our number of the session; no other session of this system has it.
    pub discriminator: NonZeroU32,
    /// Its timers.
    pub timers: Timers,
    /// Makes its jitter differ from that of others.
    pub seed: u64,
}

/// What happens to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A deadline has passed.
    Tick,
    /// A packet came that is of this session and passed its TTL check.
    Received(Packet),
    /// The operator holds the session down.
    Disable,
    /// The operator lets it go again.
    Enable,
    /// The operator wants other timers.
    Retime(Timers),
}

/// What the shell shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this packet.
    Transmit(Packet),
    /// Tell: the state changed.
    Changed(Change),
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// Why, as far as it is a failure.
    pub diagnostic: Diagnostic,
    /// What the other side last said of itself.
    pub remote: State,
    /// Contact was lost, and not by the will of an operator: whoever relies on the path has lost it
    /// (RFC 5882 section 3.2: AdminDown is no failure).
    pub failed: bool,
}

/// The machine. It starts Down, with a packet that is due at once.
#[derive(Clone, Debug)]
pub struct Session {
    settings: Settings,
    state: State,
    diagnostic: Diagnostic,
    remote: Remote,
    pace: Pace,
    poll: Poll,
    /// What was last sent, to know when there is news.
    said: Option<Packet>,
    /// When it was last sent, other than in answer to a poll.
    sent: Option<Time>,
    /// When to send next.
    due: Option<Time>,
    random: Random,
}

/// What the other side said last (RFC 5880 section 6.8.1, bfd.Remote…).
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
struct Remote {
    discriminator: u32,
    state: State,
    demand: bool,
    multiplier: u8,
    desired_min_tx: Duration,
    required_min_rx: Duration,
    /// When; `None` if that was a detection time ago.
    heard: Option<Time>,
}

/// A Poll Sequence (RFC 5880 section 6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Poll {
    Rest,
    Running,
    /// What it is about has changed since: the next Final may answer the old, one more is needed.
    Overtaken,
}

impl Session {
    /// A session that nobody has heard of yet.
    pub fn new(settings: Settings) -> Self {
        let timers = settings.timers;
        Self {
            settings,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            remote: Remote::unheard(),
            pace: Pace::new(slow(timers.desired_min_tx), timers.required_min_rx),
            poll: Poll::Rest,
            said: None,
            sent: None,
            due: Some(Time::ZERO),
            random: Random::new(settings.seed),
        }
    }

    /// Where it stands.
    pub const fn state(&self) -> State {
        self.state
    }

    /// What the other side last said of itself.
    pub const fn remote_state(&self) -> State {
        self.remote.state
    }

    /// When the next packet is to be sent.
    pub const fn transmit_due(&self) -> Option<Time> {
        self.due
    }

    /// The longest time between two packets; `None` while none are wanted (RFC 5880 section 6.8.7).
    pub fn transmit_interval(&self) -> Option<Duration> {
        let up = self.state == State::Up && self.remote.state == State::Up;
        let unwanted =
            self.remote.required_min_rx.is_zero() || self.remote.demand && up && self.poll == Poll::Rest;
        (!unwanted).then(|| self.pace.transmit().max(self.remote.required_min_rx))
    }

    /// The silence that counts as a loss of contact (RFC 5880 section 6.8.4).
    pub fn detection_time(&self) -> Duration {
        let interval = self.pace.receive().max(self.remote.desired_min_tx);
        interval.saturating_mul(self.remote.multiplier.into())
    }

    fn expires(&self) -> Option<Time> {
        self.remote.heard.map(|heard| heard + self.detection_time())
    }

    fn received(&mut self, packet: &Packet, now: Time, actions: &mut Vec<Action>) {
        self.remote = Remote::of(packet, now);
        if packet.finish {
            self.finished();
        }
        if self.state == State::AdminDown {
            return;
        }
        if let Some((to, diagnostic)) = next(self.state, packet.state) {
            self.enter(to, diagnostic, actions);
        }
        if packet.poll {
            self.transmit(true, now, actions);
        }
    }

    fn tick(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.expires().is_some_and(|expires| expires <= now) {
            if matches!(self.state, State::Init | State::Up) {
                self.enter(State::Down, Diagnostic::EXPIRED, actions);
            }
            self.remote = Remote::unheard();
            self.poll = Poll::Rest;
        }
        if self.due.is_some_and(|due| due <= now) {
            self.transmit(false, now, actions);
        }
    }

    fn enter(&mut self, to: State, diagnostic: Diagnostic, actions: &mut Vec<Action>) {
        let from = std::mem::replace(&mut self.state, to);
        if to != State::Init {
            self.diagnostic = diagnostic;
        }
        let remote = self.remote.state;
        let failed = from == State::Up && to == State::Down && remote != State::AdminDown;
        actions.push(Action::Changed(Change { from, to, diagnostic: self.diagnostic, remote, failed }));
        self.retime();
    }

    /// Brings what is asked of the other side in line with the state and the operator's wish.
    fn retime(&mut self) {
        let Timers { desired_min_tx, required_min_rx, .. } = self.settings.timers;
        let up = self.state == State::Up;
        let desired_min_tx = if up { desired_min_tx } else { slow(desired_min_tx) };
        if !self.pace.ask(desired_min_tx, required_min_rx) {
            return;
        }
        self.poll = match self.poll {
            Poll::Rest if self.remote.discriminator == 0 => Poll::Rest,
            Poll::Rest => Poll::Running,
            Poll::Running | Poll::Overtaken => Poll::Overtaken,
        };
        if up {
            self.pace.ease();
        } else {
            self.pace.agree();
        }
    }

    fn finished(&mut self) {
        match self.poll {
            Poll::Rest => {}
            Poll::Running => {
                self.poll = Poll::Rest;
                self.pace.agree();
            }
            Poll::Overtaken => self.poll = Poll::Running,
        }
    }

    /// Sends at once what is news (RFC 5880 section 6.8.7, last paragraph but two), and finds out when to
    /// send next.
    fn follow_up(&mut self, interval: Option<Duration>, now: Time, actions: &mut Vec<Action>) {
        let news = |said: Packet| !said.says_the_same(&self.packet(false));
        if self.said.is_some_and(news) {
            self.transmit(false, now, actions);
        } else if interval != self.transmit_interval() {
            self.due = self.after(self.sent.unwrap_or(now));
        }
    }

    fn transmit(&mut self, finish: bool, now: Time, actions: &mut Vec<Action>) {
        let packet = self.packet(finish);
        actions.push(Action::Transmit(packet));
        self.said = Some(packet);
        // An answer comes on top: who polls without end shall not silence our own polls.
        if !finish {
            self.sent = Some(now);
            self.due = self.after(now);
        }
    }

    /// The jittered moment of the packet after one at `sent` (RFC 5880 section 6.8.7).
    fn after(&mut self, sent: Time) -> Option<Time> {
        let interval = self.transmit_interval()?;
        let least = if self.settings.timers.multiplier.get() == 1 { LEAST_JITTER_ALONE } else { 0.0 };
        let shorter = least + (MOST_JITTER - least) * self.random.fraction();
        Some(sent + interval.saturating_sub(interval.mul_f64(shorter)))
    }

    const fn packet(&self, finish: bool) -> Packet {
        Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: !finish && !matches!(self.poll, Poll::Rest),
            finish,
            independent: false,
            demand: false,
            multiplier: self.settings.timers.multiplier.get(),
            mine: self.settings.discriminator,
            yours: self.remote.discriminator,
            desired_min_tx: self.pace.asked_transmit(),
            required_min_rx: self.pace.asked_receive(),
            required_min_echo_rx: Duration::ZERO,
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
        let interval = self.transmit_interval();
        match event {
            Event::Tick => self.tick(now, actions),
            Event::Received(packet) => self.received(&packet, now, actions),
            Event::Disable if self.state != State::AdminDown => {
                self.enter(State::AdminDown, Diagnostic::ADMIN_DOWN, actions);
            }
            Event::Enable if self.state == State::AdminDown => {
                self.enter(State::Down, self.diagnostic, actions);
            }
            Event::Disable | Event::Enable => {}
            Event::Retime(timers) => {
                self.settings.timers = timers;
                self.retime();
            }
        }
        self.follow_up(interval, now, actions);
    }

    fn next_deadline(&self) -> Option<Time> {
        [self.due, self.expires()].into_iter().flatten().min()
    }

    fn check_invariants(&self) {
        let contact = matches!(self.state, State::Init | State::Up);
        assert!(!contact || self.remote.heard.is_some(), "{:?} ends when silence falls", self.state);
        assert!(!contact || self.remote.discriminator != 0, "{:?} knows whom it talks to", self.state);
        assert!(self.poll == Poll::Rest || self.remote.discriminator != 0, "a poll has an addressee");
        assert_eq!(self.due.is_some(), self.transmit_interval().is_some(), "sends if it may");
        assert!(self.state == State::Up || self.pace.transmit() >= SLOW, "hurries only while Up");
        self.pace.check_invariants();
    }
}

impl Change {
    /// Both changes as one, for who could not be told of them one by one: a failure in between stays.
    #[must_use]
    pub const fn then(self, later: Self) -> Self {
        Self { from: self.from, failed: self.failed || later.failed, ..later }
    }
}

impl Remote {
    const fn unheard() -> Self {
        Self {
            discriminator: 0,
            state: State::Down,
            demand: false,
            multiplier: 0,
            desired_min_tx: Duration::ZERO,
            required_min_rx: Duration::from_micros(1),
            heard: None,
        }
    }

    const fn of(packet: &Packet, now: Time) -> Self {
        Self {
            discriminator: packet.mine.get(),
            state: packet.state,
            demand: packet.demand,
            multiplier: packet.multiplier,
            desired_min_tx: packet.desired_min_tx,
            required_min_rx: packet.required_min_rx,
            heard: Some(now),
        }
    }
}

/// What a packet in state `remote` does to a session in `state` (RFC 5880 section 6.8.6).
const fn next(state: State, remote: State) -> Option<(State, Diagnostic)> {
    match (state, remote) {
        (State::Init | State::Up, State::AdminDown) | (State::Up, State::Down) => {
            Some((State::Down, Diagnostic::NEIGHBOR_DOWN))
        }
        (State::Down, State::Down) => Some((State::Init, Diagnostic::NONE)),
        (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
            Some((State::Up, Diagnostic::NONE))
        }
        (State::AdminDown, _)
        | (State::Down, State::AdminDown | State::Up)
        | (State::Init, State::Down)
        | (State::Up, State::Init | State::Up) => None,
    }
}

/// While not Up nobody is in a hurry (RFC 5880 section 6.8.3).
fn slow(interval: Duration) -> Duration {
    interval.max(SLOW)
}

/// Least interval of a session that is not Up (RFC 5880 section 6.8.3).
pub const SLOW: Duration = Duration::from_secs(1);
/// An interval is shortened by up to this part of it, so that systems do not fall into step
/// (RFC 5880 section 6.8.7).
const MOST_JITTER: f64 = 0.25;
/// And by at least this, if one lost packet is already too much (RFC 5880 section 6.8.7).
const LEAST_JITTER_ALONE: f64 = 0.10;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
