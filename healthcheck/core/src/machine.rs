//! One server's check: counts probes into UP and DOWN, and says when to probe.
//!
//! ```text
//!               `fall` failures in a row
//!        ┌───────────────────────────────────────┐
//!   UP ──┤ UP 2/3 ── UP 1/3                      ▼
//!   ▲      any pass: back to UP               DOWN ── DOWN 1/2     any failure: back to DOWN
//!   └───────────────────────────────────────────┘
//!               `rise` passes in a row
//!   maint: from anywhere; no probes.  ready: UP 1/3, one probe at once: its failure is enough for DOWN.
//!   lost: the same as maint, for a server that has no address; found: as ready. It takes both to leave maint.
//!   found elsewhere, from UP or DOWN: UP 1/3, one probe at once. It is never out in between.
//!
//!   interval:  UP, nothing pending: `inter`   in between: `fastinter`   DOWN: `downinter`
//! ```
//!
//! Promises: one probe at a time; each one ends, at the latest when its deadline has passed, and counts once; a
//! result that comes after its probe was given up is ignored. Refuses: to take a server down for what traffic
//! saw (an observation only asks for a probe sooner, and not more often than every [`OBSERVED_GAP`]) unless
//! [`OnError`] says so, or for a probe that this side could not even send, or whose report it was itself too late
//! to read. HAProxy manual 5.2 `rise`, `fall`, `inter`, `fastinter`, `downinter`, `observe`, `on-error`.

use crate::outcome::{CheckStatus, Outcome};
use crate::schedule::Schedule;
use crate::spec::Timing;
use base_core::{Machine, Time};
use std::fmt;
use std::time::Duration;

/// Whether a server gets traffic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// It does.
    Up,
    /// Its probes failed.
    Down,
    /// An operator took it out, or it has no address; it is not probed.
    Maint,
}

impl State {
    /// HAProxy's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "UP",
            Self::Down => "DOWN",
            Self::Maint => "MAINT",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// State and how far it is from changing, as HAProxy's `status` column says it: `UP`, `UP 1/3` (one failure
/// left of three), `DOWN`, `DOWN 1/2` (one pass of two), `MAINT`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Status {
    /// Whether the server gets traffic.
    pub state: State,
    /// While UP: failures left until DOWN. While DOWN: passes in a row so far.
    pub count: u32,
    /// What `count` is out of.
    pub of: u32,
}

impl Status {
    /// Whether the last probes point to another state than the one held.
    pub const fn in_transition(&self) -> bool {
        match self.state {
            State::Up => self.count < self.of,
            State::Down => self.count > 0,
            State::Maint => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.in_transition() {
            write!(f, "{} {}/{}", self.state, self.count, self.of)
        } else {
            self.state.fmt(f)
        }
    }
}

/// Why a server changed its state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The probe that tipped it.
    Probe(Outcome),
    /// An operator's command.
    Operator,
    /// Its address is no longer known, or known again.
    Resolution,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probe(outcome) => outcome.fmt(f),
            Self::Operator => f.write_str("operator"),
            Self::Resolution => f.write_str("resolution"),
        }
    }
}

/// What a row of failing requests does to a server that is UP (HAProxy manual, `on-error`). All of them ask for
/// a probe soon.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum OnError {
    /// Nothing else.
    #[default]
    Fastinter,
    /// It counts as one failed probe.
    FailCheck,
    /// It counts as many, so that one failed probe more is enough for DOWN.
    SuddenDeath,
    /// It is DOWN.
    MarkDown,
}

/// What has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The deadline has passed.
    Tick,
    /// The probe with this number has ended.
    Probed {
        /// The number that [`Action::StartProbe`] gave it.
        probe: u64,
        /// What it found.
        outcome: Outcome,
    },
    /// Real traffic failed on this server, for example its connection was refused.
    Observed,
    /// So many requests in a row have failed on it that this is what becomes of it.
    Failing(OnError),
    /// An operator takes the server out.
    Maint,
    /// An operator puts the server back.
    Ready,
    /// It is not known any more where the server is.
    Lost,
    /// It is known where the server is: for the first time, again, or somewhere else.
    Found,
}

/// What the shell shall do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Probe the server; report the end with [`Event::Probed`] by `deadline`.
    StartProbe {
        /// Its number.
        probe: u64,
        /// When it has failed if it has not ended.
        deadline: Time,
    },
    /// The probe is given up: end it, its result is not wanted any more.
    StopProbe {
        /// Its number.
        probe: u64,
    },
    /// A probe was counted: what it found, and where the server stands now.
    Counted {
        /// What the probe found.
        outcome: Outcome,
        /// Where the server stands now.
        status: Status,
    },
    /// The server's state is now another one.
    Changed {
        /// Where the server stands now.
        status: Status,
        /// Why.
        reason: Reason,
    },
}

/// The check of one server.
#[derive(Clone, Debug)]
pub struct Check {
    timing: Timing,
    overdue: CheckStatus,
    state: State,
    /// Whether an operator has taken it out.
    is_out: bool,
    /// Whether it is not known where it is.
    is_lost: bool,
    /// See [`Status::count`].
    count: u32,
    schedule: Schedule,
    running: Option<Running>,
    probes: u64,
    /// Traffic failed since the last probe was started.
    observed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    probe: u64,
    started: Time,
    /// When its report is not waited for any more.
    give_up: Time,
    /// Whether that was put off because the tick itself came late.
    held_up: bool,
}

impl Check {
    /// A check that starts in `state`, usually [`State::Up`]: a gateway that has just started serves at once.
    /// `overdue` is how a probe that never ended is counted ([`crate::Kind::overdue`]); `seed` spreads the
    /// probes of many servers.
    pub fn new(timing: Timing, overdue: CheckStatus, state: State, seed: u64, now: Time) -> Self {
        let timing = timing.in_bounds();
        let mut check = Self {
            schedule: Schedule::start(now, timing.inter, seed),
            timing,
            overdue,
            state,
            is_out: state == State::Maint,
            is_lost: false,
            count: 0,
            running: None,
            probes: 0,
            observed: false,
        };
        check.count = if state == State::Up { check.timing.fall } else { 0 };
        check
    }

    /// Whether the server gets traffic, and how far that is from changing.
    pub const fn status(&self) -> Status {
        let of = if matches!(self.state, State::Up) { self.timing.fall } else { self.timing.rise };
        Status { state: self.state, count: self.count, of }
    }

    /// The interval that holds now.
    pub const fn interval(&self) -> Duration {
        if self.status().in_transition() {
            self.timing.fastinter
        } else if matches!(self.state, State::Down) {
            self.timing.downinter
        } else {
            self.timing.inter
        }
    }

    fn ticked(&mut self, now: Time, actions: &mut Vec<Action>) {
        match self.running {
            _ if self.state == State::Maint => {}
            // Held up ourselves: the report may be there, not read yet.
            Some(running) if now > running.give_up + OVERDUE_GRACE && !running.held_up => {
                let give_up = now + OVERDUE_GRACE;
                self.running = Some(Running { give_up, held_up: true, ..running });
            }
            Some(running) if now >= running.give_up => {
                actions.push(Action::StopProbe { probe: running.probe });
                let duration = now.since(running.started);
                let outcome = Outcome { status: self.overdue, code: None, note: "", duration };
                self.count_probe(outcome, now, actions);
            }
            None if now >= self.schedule.due() => self.start_probe(now, actions),
            _ => {}
        }
    }

    fn start_probe(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.schedule.take(now);
        self.observed = false;
        self.probes += 1;
        let (probe, deadline) = (self.probes, now + self.timing.timeout);
        self.running =
            Some(Running { probe, started: now, give_up: deadline + OVERDUE_GRACE, held_up: false });
        actions.push(Action::StartProbe { probe, deadline });
    }

    fn count_probe(&mut self, outcome: Outcome, now: Time, actions: &mut Vec<Action>) {
        self.running = None;
        let before = self.state;
        self.tally(&outcome);
        self.schedule.plan(now, self.interval());
        if self.observed {
            self.hurry(now);
        }
        self.say(outcome, before, actions);
    }

    fn tally(&mut self, outcome: &Outcome) {
        match (self.state, outcome.passed()) {
            _ if outcome.status.inconclusive() => {}
            (State::Up, true) => self.count = self.timing.fall,
            (State::Up, false) if self.count > 1 => self.count -= 1,
            (State::Up, false) => (self.state, self.count) = (State::Down, 0),
            (State::Down, true) if self.count + 1 < self.timing.rise => self.count += 1,
            (State::Down, true) => (self.state, self.count) = (State::Up, self.timing.fall),
            (State::Down, false) => self.count = 0,
            (State::Maint, _) => {}
        }
    }

    fn say(&self, outcome: Outcome, before: State, actions: &mut Vec<Action>) {
        actions.push(Action::Counted { outcome, status: self.status() });
        if self.state != before {
            actions.push(Action::Changed { status: self.status(), reason: Reason::Probe(outcome) });
        }
    }

    fn observe(&mut self, now: Time) {
        if self.state == State::Up {
            self.observed = true;
            if self.running.is_none() {
                self.hurry(now);
            }
        }
    }

    /// What was sent before a server went down says nothing about how it comes back: only one that is UP is judged.
    fn failing(&mut self, on_error: OnError, now: Time, actions: &mut Vec<Action>) {
        self.observe(now);
        let left = match on_error {
            _ if self.state != State::Up => return,
            OnError::Fastinter => return,
            OnError::FailCheck => self.count,
            OnError::SuddenDeath => self.count.min(2),
            OnError::MarkDown => 1,
        };
        self.count = left;
        let outcome =
            Outcome { status: CheckStatus::Analysis, code: None, note: "", duration: Duration::ZERO };
        self.tally(&outcome);
        if self.state == State::Down {
            // Who passes its probes rests for that long at least: it was they that did not show what is wrong. One that
            // runs already would show it no better.
            self.observed = false;
            self.stop_probe(actions);
            self.schedule.put_off(now + self.timing.fastinter);
        }
        self.say(outcome, State::Up, actions);
    }

    fn hurry(&mut self, now: Time) {
        self.schedule.hurry(now, self.timing.fastinter.min(OBSERVED_GAP));
    }

    fn stop(&mut self, reason: Reason, actions: &mut Vec<Action>) {
        if self.state == State::Maint {
            return;
        }
        self.stop_probe(actions);
        (self.state, self.count) = (State::Maint, 0);
        actions.push(Action::Changed { status: self.status(), reason });
    }

    fn stop_probe(&mut self, actions: &mut Vec<Action>) {
        if let Some(running) = self.running.take() {
            actions.push(Action::StopProbe { probe: running.probe });
        }
    }

    /// Leaves maint, unless something still keeps it there.
    fn ready(&mut self, reason: Reason, now: Time, actions: &mut Vec<Action>) {
        if self.state == State::Maint && !self.is_out && !self.is_lost {
            self.begin(reason, now, actions);
        }
    }

    /// Begins anew: UP, until the first probe fails.
    fn begin(&mut self, reason: Reason, now: Time, actions: &mut Vec<Action>) {
        let was_up = self.state == State::Up;
        (self.state, self.count) = (State::Up, 1);
        if !was_up {
            actions.push(Action::Changed { status: self.status(), reason });
        }
        self.schedule.plan(now, self.interval());
        self.hurry(now);
    }
}

impl Machine for Check {
    type Event = Event;
    type Action = Action;

    fn tick() -> Event {
        Event::Tick
    }

    fn on(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        match event {
            Event::Tick => self.ticked(now, actions),
            Event::Probed { probe, outcome } => {
                if self.running.is_some_and(|running| running.probe == probe) {
                    self.count_probe(outcome, now, actions);
                }
            }
            Event::Observed => self.observe(now),
            Event::Failing(on_error) => self.failing(on_error, now, actions),
            Event::Maint => {
                self.is_out = true;
                self.stop(Reason::Operator, actions);
            }
            Event::Ready => {
                self.is_out = false;
                self.ready(Reason::Operator, now, actions);
            }
            Event::Lost => {
                self.is_lost = true;
                self.stop(Reason::Resolution, actions);
            }
            Event::Found => {
                self.is_lost = false;
                if self.state == State::Maint {
                    return self.ready(Reason::Resolution, now, actions);
                }
                // What was found out about another address is no longer so.
                self.stop_probe(actions);
                self.begin(Reason::Resolution, now, actions);
            }
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        match (self.state, self.running) {
            (State::Maint, _) => None,
            (_, Some(running)) => Some(running.give_up),
            (_, None) => Some(self.schedule.due()),
        }
    }

    fn check_invariants(&self) {
        let holds = match self.state {
            State::Up => (1..=self.timing.fall).contains(&self.count),
            State::Down => self.count < self.timing.rise,
            State::Maint => self.running.is_none() && (self.is_out || self.is_lost),
        };
        assert!(holds, "UP has failures left, DOWN misses passes, maint has no probe: {self:?}");
    }
}

/// How soon after the last probe traffic's failures may ask for the next one: soon enough to matter, and
/// at most five probes a second however much traffic fails.
pub const OBSERVED_GAP: Duration = Duration::from_millis(200);
/// How long after its deadline a probe's own report is still waited for: it says more than "no answer", and
/// timers of the runtime are exact to a millisecond.
pub const OVERDUE_GRACE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
