//! The loop of the thread.

use super::Command;
use super::metrics::REASONS;
use super::session::Session;
use super::socket::{Listener, Room};
use base::Clock;
use base_core::Time;
use bgp_core::bfd::{Action, accept};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::EventFd;
use nix::sys::time::TimeSpec;
use prometheus::IntCounter;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

pub(super) struct Loop {
    clock: Clock,
    sessions: Vec<Session>,
    listeners: Vec<Listener>,
    commands: Receiver<Command>,
    wake: Arc<EventFd>,
    discarded: [IntCounter; REASONS],
}

impl Loop {
    pub(super) const fn new(
        clock: Clock,
        sessions: Vec<Session>,
        listeners: Vec<Listener>,
        commands: Receiver<Command>,
        wake: Arc<EventFd>,
        discarded: [IntCounter; REASONS],
    ) -> Self {
        Self { clock, sessions, listeners, commands, wake, discarded }
    }

    /// Runs until nobody can give commands any more.
    pub(super) fn run(self) {
        let Self { clock, mut sessions, listeners, commands, wake, discarded } = self;
        let mut room = Room::new();
        let mut actions = Vec::with_capacity(ACTIONS);
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut sources: Vec<_> = listeners.iter().map(|listener| readable(listener.as_fd())).collect();
        sources.push(readable(wake.as_fd()));
        sessions.iter_mut().for_each(|session| session.retime(clock, &mut actions));
        loop {
            let deadline = sessions.iter().filter_map(Session::next_deadline).min();
            // An error is an interruption: nothing is lost by a turn too many.
            let _ = ppoll(&mut sources, deadline.map(|deadline| until(deadline, clock)), None);
            let _ = wake.read();
            loop {
                match commands.try_recv() {
                    Ok(Command::Disable) => {
                        sessions.iter_mut().for_each(|session| session.disable(clock, &mut actions));
                    }
                    Ok(Command::Freeze { reply, gone }) => {
                        let saved = sessions.iter().filter_map(|session| session.save().ok()).collect();
                        if reply.send(saved).is_err() {
                            continue;
                        }
                        if let Ok(ended) = gone.blocking_recv() {
                            let over = sessions.iter_mut().filter(|session| ended.contains(session.key()));
                            over.for_each(|session| session.disable(clock, &mut actions));
                            return;
                        }
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            // What has arrived is taken before silence is declared, whatever woke this thread.
            for listener in &listeners {
                receive(listener, &mut room, &mut sessions, &discarded, clock, &mut actions);
            }
            for session in &mut sessions {
                session.turn(clock, &mut actions);
            }
        }
    }
}

fn receive(
    listener: &Listener,
    room: &mut Room,
    sessions: &mut [Session],
    discarded: &[IntCounter; REASONS],
    clock: Clock,
    actions: &mut Vec<Action>,
) {
    for _ in 0..BATCH {
        let Some((payload, arrival)) = listener.receive(room) else { return };
        match accept(payload, arrival, sessions.iter().map(Session::identity)) {
            Ok((index, packet)) => {
                if let Some(session) = sessions.get_mut(index) {
                    session.received(packet, clock, actions);
                }
            }
            Err(reason) => discarded[reason.index()].inc(),
        }
    }
}

fn until(deadline: Time, clock: Clock) -> TimeSpec {
    TimeSpec::from_duration(deadline - clock.now())
}

/// Most actions of one event, and room to spare.
const ACTIONS: usize = 16;
/// Most datagrams of one socket before deadlines are looked at again: more than the kernel holds of them,
/// so that a packet cannot be overlooked; few enough that a flood holds nothing up for a millisecond.
const BATCH: usize = 512;
