//! What a looking glass shows, from any UPDATE: only what is looked for is told, nothing is told stuck twice, and nothing is
//! gone before its time because nothing is shown.
#![no_main]

use base_core::{Machine, Time};
use bgp_core::mirror::{Action, Event, Mirror, Own, read};
use bgp_core::wire::validate::Sender;
use fuzz::Input;
use std::net::IpAddr;
use std::time::Duration;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let vip = IpAddr::from([203, 0, 113, 1]);
    let own = Own {
        next_hops: [[10, 0, 0, 2].into()].into(),
        local: Some([10, 0, 0, 3].into()),
        identifier: Some([10, 0, 0, 2].into()),
    };
    let mut mirror = Mirror::new([vip].into_iter(), STUCK_AFTER);
    let (mut now, mut actions, mut stuck_now) = (Time::from_millis(1), Vec::new(), false);
    // Nothing that was withdrawn before is waited for since.
    let mut anew = now;
    while !input.is_empty() {
        now = now + Duration::from_millis(u64::from(input.byte()) * 50);
        let mut events = Vec::new();
        match input.byte() % 8 {
            0 => events.push(Event::Tick),
            1 => events.push(Event::Stands { vip, announced: input.byte() % 2 == 0, since: now }),
            2 => events.push(Event::Lost),
            3 => events.push(Event::Up),
            _ => {
                let message = fuzz::message(2, input.bytes(200));
                let sender = Sender { four_octet: input.byte() % 2 == 0, inside: true };
                read(
                    &message,
                    sender,
                    &own,
                    |seen| seen == vip,
                    |seen, path| {
                        assert_eq!(seen, vip);
                        events.push(Event::Shown { vip, path });
                    },
                );
            }
        }
        for event in events {
            let ticked = event == Event::Tick;
            if matches!(event, Event::Lost | Event::Stands { announced: true, .. }) {
                anew = now;
            }
            mirror.on(event, now, &mut actions);
            mirror.check_invariants();
            assert!(!ticked || mirror.next_deadline().is_none_or(|deadline| deadline > now), "a busy loop");
        }
        for action in actions.drain(..) {
            match action {
                Action::Stuck { stuck, .. } => assert_ne!(std::mem::replace(&mut stuck_now, stuck), stuck),
                Action::Gone { by: None, .. } => assert!(now.since(anew) >= STUCK_AFTER, "nothing is no proof yet"),
                Action::Gone { .. } => {}
            }
        }
    }
});

const STUCK_AFTER: Duration = Duration::from_secs(5);
