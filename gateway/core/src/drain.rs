//! The life of a gateway from ready to gone: an operator's drain, which can be taken back, and the
//! stop that SIGTERM asks for, which can't.
//!
//! ```text
//!            Drain               Terminate          quiet, or too long       idle, or too long
//!  Serving ────────► Draining ──────────► Stopping ───────────────► Closing ─────────────────► Gone
//!     ◄──────────────    │                    ▲
//!          Undrain       └────────────────────┘
//! ```
//! From `Draining` on the gateway says that it is not ready, so that its routes move away, and ends
//! connections after the answer that they wait for; but it refuses nothing. Listeners close only when
//! nothing has come through them for a while, or after the drain's time-out.

use base_core::{Machine, Time};
use std::time::Duration;

/// Where in its life a gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Takes whatever comes.
    Serving,
    /// An operator wants it empty.
    Draining,
    /// It will end; listeners are still open.
    Stopping,
    /// It takes no more connections and finishes what is in flight.
    Closing,
    /// Nothing is left to do.
    Gone,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// An operator asked for a drain.
    Drain,
    /// An operator took it back.
    Undrain,
    /// SIGTERM.
    Terminate,
    /// What the gateway has to do: `in_flight` requests run now, `started` have begun in its life.
    /// Probes do not count.
    Load {
        /// Requests that run now.
        in_flight: u64,
        /// Requests begun since the start.
        started: u64,
    },
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The state is now this; tell whoever watches.
    Enter(State),
    /// Close the listeners.
    CloseListeners,
    /// End the process.
    Exit,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    state: State,
    timeout: Duration,
    in_flight: u64,
    started: u64,
    /// When the last request was seen to start or to run.
    busy_at: Time,
    /// When waiting any longer is of no use.
    give_up_at: Time,
}

impl Lifecycle {
    /// A gateway that serves. `timeout` bounds the wait in `Stopping` and again in `Closing`.
    pub fn new(timeout: Duration, now: Time) -> Self {
        Self { state: State::Serving, timeout, in_flight: 0, started: 0, busy_at: now, give_up_at: now }
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }

    fn enter(&mut self, state: State, actions: &mut Vec<Action>) {
        self.state = state;
        actions.push(Action::Enter(state));
    }

    fn proceed(&mut self, now: Time, actions: &mut Vec<Action>) {
        let quiet = self.in_flight == 0 && now >= self.busy_at + QUIET;
        if self.state == State::Stopping && (quiet || now >= self.give_up_at) {
            self.enter(State::Closing, actions);
            actions.push(Action::CloseListeners);
            self.give_up_at = now + self.timeout;
        }
        if self.state == State::Closing && (self.in_flight == 0 || now >= self.give_up_at) {
            self.enter(State::Gone, actions);
            actions.push(Action::Exit);
        }
    }
}

impl Machine for Lifecycle {
    type Event = Event;
    type Action = Action;

    fn tick() -> Event {
        Event::Tick
    }

    fn on(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        match (event, self.state) {
            (Event::Drain, State::Serving) => self.enter(State::Draining, actions),
            (Event::Undrain, State::Draining) => self.enter(State::Serving, actions),
            (Event::Terminate, State::Serving | State::Draining) => {
                self.busy_at = now;
                self.give_up_at = now + self.timeout;
                self.enter(State::Stopping, actions);
            }
            (Event::Load { in_flight, started }, _) => {
                if in_flight > 0 || started != self.started {
                    self.busy_at = now;
                }
                (self.in_flight, self.started) = (in_flight, started);
            }
            _ => {}
        }
        self.proceed(now, actions);
    }

    fn next_deadline(&self) -> Option<Time> {
        match self.state {
            State::Serving | State::Draining | State::Gone => None,
            State::Stopping if self.in_flight == 0 => Some((self.busy_at + QUIET).min(self.give_up_at)),
            State::Stopping | State::Closing => Some(self.give_up_at),
        }
    }
}

/// No request for so long means that traffic goes elsewhere. It is longer than the second for which the
/// speaker announces worse before it withdraws, with time for a slow router to follow.
const QUIET: Duration = Duration::from_millis(1_500);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feed(machine: &mut Lifecycle, ms: u64, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        machine.on(event, Time::from_millis(ms), &mut actions);
        actions
    }

    fn load(in_flight: u64, started: u64) -> Event {
        Event::Load { in_flight, started }
    }

    fn machine() -> Lifecycle {
        Lifecycle::new(Duration::from_secs(30), Time::ZERO)
    }

    #[test]
    fn a_drain_can_be_taken_back() {
        let mut gateway = machine();
        assert_eq!(feed(&mut gateway, 0, Event::Drain), [Action::Enter(State::Draining)]);
        assert_eq!(feed(&mut gateway, 60_000, Event::Tick), []);
        assert_eq!(feed(&mut gateway, 60_000, Event::Undrain), [Action::Enter(State::Serving)]);
    }

    #[test]
    fn sigterm_waits_for_quiet_then_for_the_last_request() {
        let mut gateway = machine();
        feed(&mut gateway, 0, load(1, 1));
        assert_eq!(feed(&mut gateway, 0, Event::Terminate), [Action::Enter(State::Stopping)]);
        assert_eq!(feed(&mut gateway, 5_000, load(1, 1)), []);
        assert_eq!(feed(&mut gateway, 5_500, load(0, 2)), [], "one more came");
        assert_eq!(gateway.next_deadline(), Some(Time::from_millis(7_000)));
        assert_eq!(
            feed(&mut gateway, 7_000, Event::Tick),
            [Action::Enter(State::Closing), Action::CloseListeners, Action::Enter(State::Gone), Action::Exit]
        );
    }

    #[test]
    fn traffic_that_does_not_stop_is_cut_off_at_the_time_out_but_what_runs_is_finished() {
        let mut gateway = machine();
        feed(&mut gateway, 0, Event::Terminate);
        for second in 1..30 {
            assert_eq!(feed(&mut gateway, second * 1_000, load(3, second)), []);
        }
        assert_eq!(
            feed(&mut gateway, 30_000, load(3, 30)),
            [Action::Enter(State::Closing), Action::CloseListeners]
        );
        assert_eq!(feed(&mut gateway, 31_000, load(1, 30)), []);
        assert_eq!(feed(&mut gateway, 32_000, load(0, 30)), [Action::Enter(State::Gone), Action::Exit]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn after_sigterm_it_ends_once_within_its_bounds(
            events in proptest::collection::vec((0u64..2_000, 0u8..5, 0u64..3, 0u64..2), 0..200),
        ) {
            let mut gateway = machine();
            let mut actions = feed(&mut gateway, 0, Event::Terminate);
            let (mut ms, mut total) = (0, 0);
            for (gap, kind, in_flight, started) in events {
                ms += gap;
                total += started;
                let event = match kind {
                    0 => Event::Terminate,
                    1 => Event::Drain,
                    2 => Event::Undrain,
                    _ => load(in_flight, total),
                };
                actions.extend(feed(&mut gateway, ms, event));
            }
            while let Some(deadline) = gateway.next_deadline() {
                gateway.on(Event::Tick, deadline, &mut actions);
                prop_assert!(deadline <= Time::from_millis(ms.max(60_000)) + Duration::from_secs(60));
            }
            prop_assert_eq!(gateway.state(), State::Gone);
            prop_assert_eq!(actions.iter().filter(|action| **action == Action::Exit).count(), 1);
            let closes = actions.iter().position(|action| *action == Action::CloseListeners);
            let exits = actions.iter().position(|action| *action == Action::Exit);
            prop_assert!(closes < exits, "listeners close before the end");
        }
    }
}
