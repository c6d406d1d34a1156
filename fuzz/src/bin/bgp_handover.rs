//! What one process of the speaker hands over to the next, read from any bytes, and from what a process says with some bytes of it
//! changed. What is read is written and read again as the same, and what goes on with it neither panics nor loops.
#![no_main]

use base_core::{Machine, Time};
use bgp_core::bfd::{self, Packet};
use bgp_core::fsm::{self, State, Way};
use bgp_core::gate::{self, Gate, Reading, Reason, Standing};
use bgp_core::neighbor::{self, Action, Decision};
use bgp_core::wire;
use fuzz::{Input, bgp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::num::{NonZeroU8, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let choice = input.byte();
    let now = Time::from_millis(1000);
    match choice % 3 {
        0 => {
            if let Some(saved) = heard(&mut input, choice, || standing().save().expect("it stands")) {
                session(saved, now);
            }
        }
        1 => {
            if let Some(saved) = heard(&mut input, choice, || deciding().save()) {
                decides(saved, now);
            }
        }
        _ => {
            if let Some(saved) = heard(&mut input, choice, || path().save()) {
                goes_on(&saved, now);
            }
        }
    }
});

/// Any bytes, or what `said` says with some of it changed; `None`: it cannot be read.
fn heard<T: Serialize + DeserializeOwned>(
    input: &mut Input<'_>,
    choice: u8,
    said: impl FnOnce() -> T,
) -> Option<T> {
    let json = if choice & 0x80 == 0 {
        input.0.to_vec()
    } else {
        let mut json = serde_json::to_vec(&said()).expect("JSON");
        while !input.is_empty() {
            let place = usize::from(input.word()) % json.len();
            let (count, new) = (usize::from(input.byte() % 8), input.bytes(32));
            let end = (place + count).min(json.len());
            json.splice(place..end, new.iter().copied());
            if json.is_empty() {
                return None;
            }
        }
        json
    };
    let read: T = serde_json::from_slice(&json).ok()?;
    let written = serde_json::to_vec(&read).expect("JSON");
    let again: T = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(serde_json::to_vec(&again).expect("JSON"), written);
    Some(read)
}

/// A neighbor whose session stands, and that holds a VIP.
fn standing() -> neighbor::Neighbor {
    let (mut machine, now, mut actions) = (bgp::neighbor(), Time::from_millis(1), Vec::new());
    let received = |message: &[u8]| {
        let message = bgp::neighbor().read(message);
        neighbor::Event::Session(fsm::Event::Received(Way::Out, message))
    };
    let decision = Decision { standing: Standing::Announced, reason: Reason::Ready, since: now };
    let events = [
        neighbor::Event::Session(fsm::Event::Start),
        neighbor::Event::Connected { way: Way::Out, local: [10, 0, 0, 2].into() },
        received(&wire::Open::ours(65000, 9, [10, 0, 0, 1].into()).encode()),
        received(&wire::keepalive()),
        neighbor::Event::Decided(Arc::new([([203, 0, 113, 1].into(), decision)].into())),
    ];
    events.into_iter().for_each(|event| machine.on(event, now, &mut actions));
    assert_eq!((machine.session().state(), machine.held()), (State::Established, 1));
    machine
}

fn session(saved: neighbor::Saved, mut now: Time) {
    let config = bgp::config();
    let mut machine = bgp::neighbor().resume(saved, bgp::settings(), config.back.session());
    let decision = Decision { standing: Standing::Worsened, reason: Reason::Draining, since: now };
    let decided = [([203, 0, 113, 1].into(), decision), ([203, 0, 113, 2].into(), decision)];
    let way = machine.session().way();
    let mut events = vec![
        neighbor::Event::Session(fsm::Event::Blocked(way)),
        neighbor::Event::Decided(Arc::new(decided.into())),
        neighbor::Event::Session(fsm::Event::Drained(way)),
        neighbor::Event::AskAgain,
        neighbor::Event::Session(fsm::Event::Received(way, machine.read(&wire::keepalive()))),
    ];
    events.extend((0..20).map(|_| neighbor::Neighbor::tick()));
    let mut actions = Vec::new();
    for event in events {
        machine.on(event, now, &mut actions);
        now = now + Duration::from_secs(1);
        for action in actions.drain(..) {
            if let Action::Send(_, bytes) = action {
                assert!(matches!(wire::frame(&bytes), Ok(Some(_))), "not a message: {bytes:x?}");
            }
        }
    }
    let _ = machine.save();
}

fn deciding() -> Gate {
    let mut gate = Gate::new(gate::Settings::new(&bgp::config(), 1));
    let (now, mut actions) = (Time::from_millis(1), Vec::new());
    gate.on(gate::Event::Start, now, &mut actions);
    gate.on(gate::Event::Line { stream: 1, reading: Reading::Ready }, now, &mut actions);
    gate.on(gate::Event::Fleet(None), now, &mut actions);
    gate.on(gate::Event::Line { stream: 1, reading: Reading::Draining }, now, &mut actions);
    gate
}

fn decides(saved: gate::Saved, mut now: Time) {
    let mut gate = Gate::resume(gate::Settings::new(&bgp::config(), 1), saved, now);
    let mut actions = Vec::new();
    gate.on(gate::Event::Start, now, &mut actions);
    for turn in 0..20 {
        let reading = if turn < 10 { Reading::Draining } else { Reading::Ready };
        gate.on(gate::Event::Line { stream: 1, reading }, now, &mut actions);
        gate.on(gate::Event::Tick, now, &mut actions);
        assert!(gate.next_deadline().is_none_or(|deadline| deadline > now), "a busy loop");
        assert_eq!(gate.rows().len(), 2);
        now = now + Duration::from_millis(200);
    }
    let _ = gate.save();
}

fn path() -> bfd::Session {
    let discriminator = NonZeroU32::new(7).expect("not zero");
    let mut session = bfd::Session::new(bfd::Settings { discriminator, timers: TIMERS, seed: 1 });
    let mut actions = Vec::new();
    (1..20).for_each(|turn| session.on(bfd::Event::Tick, Time::from_millis(turn * 100), &mut actions));
    session
}

fn goes_on(saved: &bfd::Saved, mut now: Time) {
    let (mut session, mut actions) = (bfd::Session::resume(TIMERS, 1, saved), Vec::new());
    let mut other = path();
    for _ in 0..50 {
        session.on(bfd::Event::Tick, now, &mut actions);
        assert!(session.next_deadline().is_none_or(|deadline| deadline > now), "a busy loop");
        let packets: Vec<Packet> = actions
            .drain(..)
            .filter_map(|action| match action {
                bfd::Action::Transmit(packet) => Some(packet),
                bfd::Action::Changed(_) => None,
            })
            .collect();
        packets.into_iter().for_each(|packet| other.on(bfd::Event::Received(packet), now, &mut actions));
        other.on(bfd::Event::Tick, now, &mut actions);
        let packets: Vec<_> = actions.drain(..).collect();
        for action in packets {
            if let bfd::Action::Transmit(packet) = action {
                session.on(bfd::Event::Received(packet), now, &mut actions);
            }
        }
        now = now + Duration::from_millis(50);
    }
}

const TIMERS: bfd::Timers = bfd::Timers {
    desired_min_tx: Duration::from_millis(50),
    required_min_rx: Duration::from_millis(50),
    multiplier: NonZeroU8::new(3).expect("not zero"),
};
