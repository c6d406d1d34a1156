//! A session between two nodes to which anything happens at any time: bytes of any kind, lost connections, lessons,
//! other processes, the clock. Links always have a next step, and what a node says is understood.
#![no_main]

use base_core::{Machine, Time};
use fuzz::Input;
use fuzz::peers::{cluster, take};
use gateway_core::peers::{
    Action, Cluster, Control, Event, Incoming, Link, Outgoing, Progress, Status, With, handover,
};
use gateway_core::table::DataType;
use std::time::Duration;

struct Session {
    outgoing: Outgoing,
    incoming: Incoming,
}

impl Session {
    fn new(cluster: &Cluster, with: With<'_>, progress: &Progress) -> Self {
        Self { outgoing: Outgoing::new(cluster, with, progress, true), incoming: Incoming::default() }
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let (here, there) = (cluster("a"), cluster("b"));
    let mut now = Time::from_millis(u64::from(input.word()));
    let mut link = Link::new("a", "b", 1, now);
    let mut process = handover::Handover::to_next(now);
    let mut progress = Progress::default();
    let mut session = Session::new(&here, With::Peer("b"), &progress);
    let mut other = Incoming::default();
    let mut live = false;
    while !input.is_empty() {
        now = now + Duration::from_millis(u64::from(input.byte()) * 20);
        let mut actions = Vec::new();
        let event = match input.byte() % 16 {
            0 => Event::Opened,
            1 => Event::Unreachable,
            2 => Event::Refused(Status::Other(300)),
            3 => Event::IsHeadgate,
            4 => Event::Closed,
            5 => Event::Retire,
            6 => Event::Resume,
            7 => Event::Control(control(input.byte())),
            8 => {
                process.on(handover::Event::Control(control(input.byte())), now, &mut Vec::new());
                Event::Heard
            }
            9 => {
                // Frames with a body of any kind, so that few are lost in their heads.
                let (kind, body) = (0x80 | input.byte() % 7, input.bytes(200));
                let frame = [&[10, kind, body.len() as u8][..], body].concat();
                if take(&mut session.incoming, &frame, &here, With::Peer("b")).is_err() {
                    session = Session::new(&here, With::Peer("b"), &progress);
                    other = Incoming::default();
                }
                Event::Heard
            }
            10 => {
                let key = [0, 0, 0, input.byte()];
                here.tables().iter().for_each(|shared| {
                    shared.table.update(key, now, |entry| {
                        entry.add(DataType::ConnCur, 1);
                        entry.set(DataType::ServerId, 1 + u64::from(key[3] % 3));
                    });
                });
                Event::Heard
            }
            11 => {
                here.peer_is_live("b", true);
                here.peer_is_live("b", false);
                here.forget(now);
                Event::Heard
            }
            _ => Event::Tick,
        };
        link.on(event, now, &mut actions);
        link.check_invariants();
        for action in actions {
            match action {
                Action::Live(says) => {
                    assert_ne!(says, live, "live and dead in turn");
                    live = says;
                }
                Action::Teach => session.outgoing.teach(),
                Action::IsStock => session.outgoing.is_stock(),
                Action::IsHeadgate => session.outgoing.is_headgate(),
                _ => {}
            }
        }
        let mut out = Vec::new();
        if session.outgoing.is_teaching() {
            session.outgoing.go_on_teaching(&here, now, &mut out);
        } else {
            session.outgoing.push(&here, now, 10, &mut out);
        }
        take(&mut other, &out, &there, With::Peer("a")).expect("it speaks the protocol");
        let mut acks = Vec::new();
        other.acknowledge(&mut acks);
        if let Ok(Some((gateway_core::peers::Frame::Ack(body), _))) = gateway_core::peers::frame::take(&acks)
        {
            session.outgoing.acknowledged(body, &mut progress);
        }
    }
});

fn control(number: u8) -> Control {
    [
        Control::ResyncRequest,
        Control::ResyncFinished,
        Control::ResyncPartial,
        Control::ResyncConfirm,
        Control::Heartbeat,
        Control::ProtocolError,
        Control::SizeLimit,
    ][usize::from(number % 7)]
}
