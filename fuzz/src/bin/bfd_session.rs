//! A BFD session to which anything happens at any time.
#![no_main]

use base_core::{Machine, Time};
use bgp_core::bfd::packet::Packet;
use bgp_core::bfd::session::{Event, Session, Settings, Timers};
use fuzz::Input;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let settings = Settings { discriminator: NonZeroU32::MIN, timers: timers(&mut input), seed: 1 };
    let (mut session, mut now, mut actions) = (Session::new(settings), Time::ZERO, Vec::new());
    while !input.is_empty() {
        now = now + Duration::from_millis(input.byte().into());
        let event = match input.byte() % 8 {
            0 => Event::Disable,
            1 => Event::Enable,
            2 => Event::Retime(timers(&mut input)),
            3..6 => match Packet::decode(input.bytes(24)) {
                Ok(packet) => Event::Received(packet),
                Err(_) => continue,
            },
            _ => Event::Tick,
        };
        let ticked = event == Event::Tick;
        session.on(event, now, &mut actions);
        session.check_invariants();
        assert!(actions.len() <= 4, "a burst: {actions:?}");
        actions.clear();
        if ticked {
            assert!(session.next_deadline().is_none_or(|deadline| deadline > now), "a busy loop");
        }
    }
});

fn timers(input: &mut Input<'_>) -> Timers {
    Timers {
        desired_min_tx: Duration::from_millis(u64::from(input.byte()) + 10),
        required_min_rx: Duration::from_millis(input.byte().into()),
        multiplier: NonZeroU8::new(input.byte()).unwrap_or(NonZeroU8::MIN),
    }
}
