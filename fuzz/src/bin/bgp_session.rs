//! A neighbor to which anything happens at any time: messages made of any bytes, connections, the gate, BFD, the clock.
#![no_main]

use base_core::{Machine, Time};
use bgp_core::fsm::{self, State, Way};
use bgp_core::gate::{Reason, Standing};
use bgp_core::neighbor::{Action, Decision, Event, Neighbor};
use bgp_core::wire::notification::ADMINISTRATIVE_SHUTDOWN;
use bgp_core::{bfd, wire};
use fuzz::{Input, bgp};
use std::sync::Arc;
use std::time::Duration;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let (mut machine, mut now, mut actions) = (bgp::neighbor(), Time::from_millis(1), Vec::new());
    while !input.is_empty() {
        now = now + Duration::from_millis(u64::from(input.byte()) * 50);
        let event = event(&mut input, &machine, now);
        let ticked = matches!(event, Event::Session(fsm::Event::Tick));
        machine.on(event, now, &mut actions);
        machine.check_invariants();
        if ticked {
            assert!(machine.next_deadline().is_none_or(|deadline| deadline > now), "a busy loop");
        }
        for action in actions.drain(..) {
            if let Action::Send(_, bytes) | Action::Refuse(bytes) = action {
                assert!(matches!(wire::frame(&bytes), Ok(Some(_))), "not a message: {bytes:x?}");
            }
        }
        assert!(machine.held() <= 2, "holds more than there is");
        assert!(machine.session().state() == State::Established || machine.held() == 0);
    }
});

fn event(input: &mut Input<'_>, machine: &Neighbor, now: Time) -> Event {
    let choice = input.byte();
    let way = if choice & 0x80 == 0 { Way::Out } else { Way::In };
    let session = match choice % 16 {
        0 => fsm::Event::Start,
        1 => return Event::Connected { way, local: [10, 0, 0, 2].into() },
        2 => fsm::Event::ConnectFailed,
        3 => fsm::Event::Lost(way),
        4 => fsm::Event::Blocked(way),
        5 => fsm::Event::Drained(way),
        6 => fsm::Event::Stop { code: ADMINISTRATIVE_SHUTDOWN, text: "end".to_owned() },
        7 => return decided(input.byte(), now),
        8 => return path(input.byte()),
        9 => received(machine, way, &wire::Open::ours(65000, 9, [10, 0, 0, 1].into()).encode()),
        10 => received(machine, way, &wire::keepalive()),
        11..14 => {
            let kind = input.byte() % 6;
            received(machine, way, &fuzz::message(kind, input.bytes(200)))
        }
        _ => fsm::Event::Tick,
    };
    Event::Session(session)
}

fn received(machine: &Neighbor, way: Way, message: &[u8]) -> fsm::Event {
    fsm::Event::Received(way, machine.read(message))
}

fn decided(bits: u8, now: Time) -> Event {
    let standings = [Standing::Announced, Standing::Backup, Standing::Worsened, Standing::Withdrawn];
    let decision = |index: u8| Decision {
        standing: standings[usize::from(index % 4)],
        reason: Reason::Ready,
        since: now,
    };
    let vips = [([203, 0, 113, 1], bits), ([203, 0, 113, 2], bits / 4)];
    Event::Decided(Arc::new(vips.into_iter().map(|(vip, bits)| (vip.into(), decision(bits))).collect()))
}

fn path(bits: u8) -> Event {
    let states = [bfd::State::AdminDown, bfd::State::Down, bfd::State::Init, bfd::State::Up];
    let state = |index: u8| states[usize::from(index % 4)];
    Event::Bfd(bfd::Change {
        from: state(bits),
        to: state(bits / 4),
        diagnostic: bfd::Diagnostic::EXPIRED,
        remote: state(bits / 16),
        failed: bits & 0x80 != 0,
    })
}
