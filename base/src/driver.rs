//! The driver that serves all machines.

use crate::Clock;
use base_core::Machine;
use tokio::sync::mpsc;

/// Feeds `machine` with what comes from `inbox` and with its own deadlines, and runs its actions in
/// order, until every sender of `inbox` is gone.
///
/// What has already arrived is always taken before a deadline is declared passed: a shell that was
/// itself held up does not blame the other side for its own delay. Actions must not block; what
/// takes time is spawned, and its outcome comes back as an event.
pub async fn drive<M: Machine>(
    machine: &mut M,
    clock: Clock,
    inbox: &mut mpsc::Receiver<M::Event>,
    mut run: impl FnMut(M::Action),
) {
    let mut actions = Vec::new();
    loop {
        let event = match machine.next_deadline() {
            None => inbox.recv().await,
            Some(deadline) => tokio::select! {
                biased;
                event = inbox.recv() => event,
                () = clock.sleep_until(deadline) => Some(M::tick()),
            },
        };
        let Some(event) = event else { return };
        let now = clock.now();
        machine.on(event, now, &mut actions);
        if cfg!(debug_assertions) {
            machine.check_invariants();
        }
        actions.drain(..).for_each(&mut run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_core::Time;
    use std::time::Duration;

    /// Counts events; a deadline 10 ms after the last event says "idle".
    struct Idle {
        deadline: Option<Time>,
    }

    #[derive(Debug, PartialEq)]
    enum Event {
        Tick,
        Data,
    }

    impl Machine for Idle {
        type Event = Event;
        type Action = Event;

        fn tick() -> Event {
            Event::Tick
        }

        fn on(&mut self, event: Event, now: Time, actions: &mut Vec<Event>) {
            self.deadline = (event == Event::Data).then(|| now + Duration::from_millis(10));
            actions.push(event);
        }

        fn next_deadline(&self) -> Option<Time> {
            self.deadline
        }
    }

    #[tokio::test]
    async fn what_has_arrived_comes_before_a_passed_deadline() {
        let (sender, mut inbox) = mpsc::channel(8);
        for _ in 0..3 {
            sender.send(Event::Data).await.expect("the inbox is open");
        }
        drop(sender);
        let mut ran = Vec::new();
        let mut machine = Idle { deadline: Some(Time::ZERO) };
        drive(&mut machine, Clock::start(), &mut inbox, |action| ran.push(action)).await;
        assert_eq!(ran, [Event::Data, Event::Data, Event::Data]);
    }

    #[tokio::test]
    async fn a_deadline_ticks() {
        let (sender, mut inbox) = mpsc::channel(8);
        sender.send(Event::Data).await.expect("the inbox is open");
        let mut ran = Vec::new();
        let mut machine = Idle { deadline: None };
        let drive = drive(&mut machine, Clock::start(), &mut inbox, |action| ran.push(action));
        assert!(tokio::time::timeout(Duration::from_millis(200), drive).await.is_err(), "the sender lives");
        assert_eq!(ran, [Event::Data, Event::Tick]);
    }
}
