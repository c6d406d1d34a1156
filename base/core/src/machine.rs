//! The one shape of every state machine, and therefore the one driver that serves them all.

use crate::Time;

/// A state machine without IO: events in, actions out, time as an argument.
///
/// `on` is total. It never fails and never panics on what came from outside: bad input is an event,
/// the answer to it an action. A shell feeds events, runs the actions in the order they were pushed,
/// and calls again with [`Machine::tick`] when [`Machine::next_deadline`] has passed.
pub trait Machine {
    /// What has happened: a past fact.
    type Event;
    /// What the shell shall do: an imperative.
    type Action;

    /// The event that says: the deadline has passed.
    fn tick() -> Self::Event;

    /// Takes one event at `now`; pushes what is to be done, in order.
    fn on(&mut self, event: Self::Event, now: Time, actions: &mut Vec<Self::Action>);

    /// When to call with [`Machine::tick`], if nothing happens before; `None` is never.
    fn next_deadline(&self) -> Option<Time>;

    /// Panics if a promise that the machine makes about its own state is broken. Tests call it
    /// after every event; the driver does so in debug builds.
    fn check_invariants(&self) {}
}
