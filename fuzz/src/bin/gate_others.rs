//! A gate that hears anything of other nodes, with orders, probes and the gateway's words between: it keeps its promises, a drain
//! that was asked for is answered once, and only what lives is announced.
#![no_main]

use base_core::diagnose::Source;
use base_core::{Machine, Time};
use bgp_core::config;
use bgp_core::gate::order::{Command, Kind};
use bgp_core::gate::{Action, Event, Gate, Reading, Settings};
use fuzz::Input;
use healthcheck_core::fleet::{Claim, Fleet, Has, Node, Row, ticket};
use std::collections::BTreeSet;
use std::time::Duration;

const CONFIG: &str = "[bgp]\nasn = 65010\nrouter_id = \"10.0.0.2\"\n[[vip]]\naddress = \"203.0.113.1\"\n[[vip]]\naddress = \"203.0.113.2\"\n";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let config = config::parse(&Source::new("bgp.toml", CONFIG)).expect("a good configuration");
    let mut gate = Gate::new(Settings::new(&config, 1));
    let (mut now, mut actions, mut number) = (Time::from_millis(1), Vec::new(), 0);
    let (mut asked, mut answered) = (BTreeSet::new(), BTreeSet::new());
    gate.on(Event::Start, now, &mut actions);
    while !input.is_empty() {
        now = now + Duration::from_millis(u64::from(input.byte()) * 20);
        let event = event(&mut input, &gate, &mut number);
        if let Event::Operator(Command::Order { number, .. }) = &event {
            asked.insert(*number);
        }
        gate.on(event, now, &mut actions);
        gate.check_invariants();
        for action in actions.drain(..) {
            if let Action::Drain { number, .. } = action {
                assert!(asked.contains(&number) && answered.insert(number), "answered twice, or unasked");
            }
        }
        assert_eq!(gate.rows().len(), 2);
    }
    // What still waits is answered in time.
    now = now + Duration::from_secs(10);
    gate.on(Event::Tick, now, &mut actions);
    answered.extend(actions.iter().filter_map(|action| match action {
        Action::Drain { number, .. } => Some(*number),
        _ => None,
    }));
    assert_eq!(asked, answered);
});

fn event(input: &mut Input<'_>, gate: &Gate, number: &mut u64) -> Event {
    let vips = || vec![[203, 0, 113, 1].into(), [203, 0, 113, 2].into()];
    let readings = [Reading::Ready, Reading::Ready, Reading::NotReady, Reading::Draining, Reading::Moved];
    match input.byte() % 9 {
        0 => Event::Tick,
        1 => {
            let reading = readings[usize::from(input.byte()) % readings.len()];
            Event::Line { stream: u64::from(input.byte() % 4), reading }
        }
        2 => Event::Closed { stream: u64::from(input.byte() % 4) },
        3 => Event::Disabled(input.byte() % 2 == 0),
        4 => {
            *number += 1;
            let kind = [Kind::Drain, Kind::Drain, Kind::Pin, Kind::Force][usize::from(input.byte() % 4)];
            let (lasts, forced) = (Duration::from_secs(u64::from(input.byte()) + 1), input.byte() % 8 == 0);
            let reason = "".into();
            Event::Operator(Command::Order { kind, vips: vips(), lasts, reason, forced, number: *number })
        }
        5 => Event::Operator(Command::Release { vips: vips() }),
        6 => Event::Fleet(None),
        7 => Event::Reached([input.byte() % 2 == 0, false]),
        _ => Event::Fleet(Some(fleet(input, gate))),
    }
}

fn fleet(input: &mut Input<'_>, gate: &Gate) -> Fleet {
    let own = gate.rows();
    let nodes = ["gw1", "gw3"].map(|name| {
        let heard = !input.byte().is_multiple_of(4);
        let rows = own.iter().map(|own| {
            let bits = input.byte();
            let has = [Has::Withdrawn, Has::Last, Has::Announced, Has::Announced][usize::from(bits % 4)];
            let claim =
                [Claim::Nothing, Claim::Nothing, Claim::Wants, Claim::Holds][usize::from(bits / 4 % 4)];
            let agrees = if bits & 0x80 == 0 { ticket("gw2", own.attempt) } else { input.byte().into() };
            Row { vip: own.vip, has, claim, attempt: input.byte().into(), agrees }
        });
        Node { name: name.to_owned(), heard, vips: rows.collect() }
    });
    Fleet { node: "gw2".to_owned(), peers: nodes.into() }
}
