mod claims;
mod fleet;
mod leaving;
mod orders;

use super::order::Kind;
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::Ipv4Addr;

const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
const PACE: Pace = Pace {
    fall: Fall { fall: 2, window: 5 },
    interval: Duration::from_millis(200),
    timeout: Duration::from_millis(200),
};
const PROBED: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 2));
const ON_LO: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 3));

/// A gate and the clock that it is driven by: time goes on only here, deadline by deadline.
struct Rig {
    gate: Gate,
    now: Time,
    /// How each VIP stands.
    stands: BTreeMap<IpAddr, (Standing, Reason)>,
    /// When the standing of a VIP last changed.
    changed: BTreeMap<IpAddr, Time>,
    /// Streams asked for and not given up.
    open: Vec<u64>,
    probes: usize,
    orders: BTreeMap<IpAddr, Option<Order>>,
    /// What became of drains, by number.
    drains: BTreeMap<u64, Outcome>,
}

impl Rig {
    fn new(vips: &[IpAddr]) -> Self {
        Self::soaking(vips, soak::Settings { soak: Duration::ZERO, hold_down: None })
    }

    /// Its gateway has not said who else there is.
    fn unasked(vips: &[IpAddr]) -> Self {
        Self::build(vips, soak::Settings { soak: Duration::ZERO, hold_down: None }, 0)
    }

    fn soaking(vips: &[IpAddr], soak: soak::Settings) -> Self {
        Self::with(vips, soak, 0)
    }

    /// Ready, with a gate of the node.
    fn gated(vips: &[IpAddr]) -> Self {
        let mut rig = Self::with(vips, soak::Settings { soak: Duration::ZERO, hold_down: None }, 1);
        rig.feed(Event::Opened { stream: rig.open[0] });
        rig.say(Reading::Ready);
        rig
    }

    /// There are no others.
    fn with(vips: &[IpAddr], soak: soak::Settings, gates: usize) -> Self {
        let mut rig = Self::build(vips, soak, gates);
        rig.feed(Event::Fleet(None));
        rig
    }

    fn build(vips: &[IpAddr], soak: soak::Settings, gates: usize) -> Self {
        let only = |vip| vips.iter().copied().filter(|one| *one == vip).collect();
        let settings = Settings {
            dead_after: Duration::from_millis(300),
            worsen_for: Duration::from_secs(1),
            settle: Duration::ZERO,
            keep_last: Some(Duration::from_secs(60)),
            soak,
            vips: vips.iter().copied().collect(),
            probed: only(PROBED),
            loopback: only(ON_LO),
            worsened: only(ON_LO),
            gates,
            pace: PACE,
            seed: 1,
        };
        let mut rig = Self {
            gate: Gate::new(settings),
            now: Time::ZERO,
            stands: BTreeMap::new(),
            changed: BTreeMap::new(),
            open: vec![],
            probes: 0,
            orders: BTreeMap::new(),
            drains: BTreeMap::new(),
        };
        rig.feed(Event::Start);
        rig.feed(Event::Reached([true; 2]));
        rig
    }

    fn ready(vips: &[IpAddr]) -> Self {
        let mut rig = Self::new(vips);
        rig.say(Reading::Ready);
        rig
    }

    /// Ready, and what is asked through the VIP that has a probe fails.
    fn unwell(vips: &[IpAddr]) -> Self {
        let mut rig = Self::ready(vips);
        for _ in 0..2 {
            rig.feed(Event::Probed { subject: Subject::Vip(PROBED), served: Some(false) });
        }
        rig
    }

    fn feed(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.gate.on(event, self.now, &mut actions);
        self.gate.check_invariants();
        for action in actions {
            match action {
                Action::Open { stream } => self.open.push(stream),
                Action::Close { stream } => self.open.retain(|open| *open != stream),
                Action::Probe { .. } => self.probes += 1,
                Action::Ordered { vip, order } => drop(self.orders.insert(vip, order)),
                Action::Drain { number, outcome } => drop(self.drains.insert(number, outcome)),
                Action::Decide { vip, standing, reason } => {
                    self.stands.insert(vip, (standing, reason));
                    self.changed.insert(vip, self.now);
                }
            }
        }
        assert!(self.open.len() <= 2, "two streams at most");
    }

    fn say(&mut self, reading: Reading) {
        self.say_on(*self.open.first().expect("an open stream"), reading);
    }

    fn say_on(&mut self, stream: u64, reading: Reading) {
        self.feed(Event::Line { stream, reading });
    }

    fn close(&mut self, stream: u64) {
        self.open.retain(|open| *open != stream);
        self.feed(Event::Closed { stream });
    }

    fn wait(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(deadline) = self.gate.next_deadline().filter(|deadline| *deadline <= until) {
            self.now = deadline.max(self.now);
            self.feed(Event::Tick);
            assert!(self.gate.next_deadline().is_none_or(|next| next > self.now), "a busy loop");
        }
        self.now = until;
    }

    /// The gateway says `reading`, beat by beat.
    fn beat(&mut self, reading: Reading, ms: u64) {
        for _ in 0..ms / 100 {
            self.say(reading);
            self.wait(100);
        }
    }

    fn order(&mut self, kind: Kind, vip: IpAddr, secs: u64) {
        let (lasts, reason) = (Duration::from_secs(secs), "test".into());
        let (forced, number) = (false, 0);
        let order = Command::Order { kind, vips: vec![vip], lasts, reason, forced, number };
        self.feed(Event::Operator(order));
    }

    fn stands(&self, vip: IpAddr) -> (Standing, Reason) {
        self.stands[&vip]
    }
}

#[test]
fn nothing_is_decided_before_the_gateway_spoke_or_the_bound_has_passed() {
    let mut rig = Rig::new(&[VIP]);
    rig.wait(299);
    assert!(rig.stands.is_empty());
    rig.wait(1);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Unreachable));
}

#[test]
fn ready_announces_at_once_and_not_ready_withdraws_at_once() {
    let mut rig = Rig::ready(&[VIP]);
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
    rig.wait(100);
    rig.say(Reading::NotReady);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::NotReady));
    assert_eq!(rig.changed[&VIP], rig.now);
    rig.say(Reading::Ready);
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
}

#[test]
fn a_stream_that_ends_withdraws_at_once_and_is_opened_again_within_100_ms() {
    let mut rig = Rig::ready(&[VIP]);
    rig.close(1);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Closed));
    assert!(rig.open.is_empty());
    for stream in 2..50 {
        rig.wait(100);
        assert_eq!(rig.open, [stream]);
        rig.close(stream);
    }
    rig.wait(100);
    rig.say(Reading::Ready);
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
}

#[test]
fn silence_of_300_ms_withdraws_and_a_word_announces_again() {
    let mut rig = Rig::ready(&[VIP]);
    for _ in 0..50 {
        rig.wait(299);
        rig.say(Reading::Ready);
    }
    let last = rig.now;
    rig.wait(1000);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Silent));
    assert_eq!(rig.changed[&VIP].since(last), Duration::from_millis(300));
    rig.say(Reading::Ready);
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
}

#[test]
fn a_stream_that_stays_silent_is_replaced_and_the_reason_stays() {
    let mut rig = Rig::ready(&[VIP]);
    rig.wait(10_000);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Silent));
    assert!(rig.open[0] > 2, "asked again and again: {:?}", rig.open);
    assert_eq!(rig.open.len(), 1);
}

#[test]
fn draining_worsens_then_withdraws_and_ready_takes_it_back_at_any_time() {
    let mut rig = Rig::ready(&[VIP]);
    let drain = |rig: &mut Rig, ms: u64| {
        for _ in 0..ms / 100 {
            rig.say(Reading::Draining);
            rig.wait(100);
        }
    };
    drain(&mut rig, 900);
    assert_eq!(rig.stands(VIP), (Standing::Worsened, Reason::Draining));
    drain(&mut rig, 200);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Draining));
    assert_eq!(rig.changed[&VIP], Time::from_millis(1000), "worse for exactly as long as configured");
    rig.say(Reading::Ready);
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
    drain(&mut rig, 500);
    rig.say(Reading::Ready);
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
    drain(&mut rig, 900);
    assert_eq!(rig.stands(VIP), (Standing::Worsened, Reason::Draining), "a second drain has its whole time");
}

#[test]
fn a_speaker_that_starts_into_a_drain_announces_nothing() {
    let mut rig = Rig::new(&[VIP]);
    rig.say(Reading::Draining);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Draining));
}

#[test]
fn a_gateway_that_dies_while_it_drains_is_withdrawn_at_once() {
    let mut rig = Rig::ready(&[VIP]);
    rig.say(Reading::Draining);
    rig.close(1);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Closed));
}

#[test]
fn a_move_to_a_successor_never_withdraws() {
    let mut rig = Rig::ready(&[VIP]);
    rig.say(Reading::Moved);
    assert_eq!(rig.open, [1, 2]);
    rig.wait(500);
    rig.close(1);
    rig.close(2);
    rig.wait(100);
    assert_eq!(rig.open, [3], "a successor that is not there yet is asked again");
    rig.wait(900);
    rig.say_on(3, Reading::NotReady);
    rig.say_on(3, Reading::Ready);
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
    assert_eq!(rig.changed[&VIP], Time::ZERO, "nobody noticed");
    rig.wait(1000);
    assert_eq!(rig.stands(VIP).1, Reason::Silent, "the successor is watched like any gateway");
}

#[test]
fn the_old_stream_is_dropped_when_the_successor_is_ready() {
    let mut rig = Rig::ready(&[VIP]);
    rig.say(Reading::Moved);
    rig.say_on(2, Reading::Ready);
    assert_eq!(rig.open, [2]);
    rig.close(1);
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
}

#[test]
fn a_successor_that_does_not_show_up_counts_as_a_hang() {
    let mut rig = Rig::ready(&[VIP]);
    rig.say(Reading::Moved);
    rig.wait(1999);
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
    rig.wait(1);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::MoveFailed));
    rig.wait(200);
    rig.say(Reading::Ready);
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
}

#[test]
fn two_failed_probes_withdraw_their_vip_alone_and_one_good_one_announces_it() {
    let mut rig = Rig::ready(&[VIP, PROBED]);
    let answer =
        |rig: &mut Rig, good| rig.feed(Event::Probed { subject: Subject::Vip(PROBED), served: Some(good) });
    answer(&mut rig, true);
    assert_eq!(rig.stands(PROBED), (Standing::Announced, Reason::Ready));
    answer(&mut rig, false);
    assert_eq!(rig.stands(PROBED), (Standing::Announced, Reason::Ready));
    rig.feed(Event::Probed { subject: Subject::Vip(PROBED), served: None });
    assert_eq!(rig.stands(PROBED), (Standing::Announced, Reason::Ready), "an unasked question is no answer");
    answer(&mut rig, false);
    assert_eq!(rig.stands(PROBED), (Standing::Withdrawn, Reason::ProbeFailed));
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
    answer(&mut rig, true);
    assert_eq!(rig.stands(PROBED), (Standing::Announced, Reason::Ready));
}

#[test]
fn nothing_is_decided_before_every_probe_has_been_answered_once_unless_the_gateway_says_something_worse() {
    let answer = |rig: &mut Rig, subject, served| rig.feed(Event::Probed { subject, served });
    let subjects = [Subject::Vip(PROBED), Subject::Gate(0)];
    let mut rig = Rig::gated(&[VIP, PROBED]);
    // They were asked before the gateway was ready: that they failed says nothing, and they are asked again.
    subjects.into_iter().for_each(|subject| answer(&mut rig, subject, Some(false)));
    assert_eq!((rig.probes, rig.stands.len()), (4, 0));
    answer(&mut rig, subjects[0], Some(true));
    rig.beat(Reading::Ready, 1000);
    assert!(rig.stands.is_empty(), "a router would drop what it kept, and get it again");
    answer(&mut rig, subjects[1], Some(true));
    assert!(rig.stands.values().all(|stands| *stands == (Standing::Announced, Reason::Ready)));
    // What fails, or could not be asked, is an answer, too.
    for served in [Some(false), None] {
        let mut rig = Rig::gated(&[VIP, PROBED]);
        for _ in 0..2 {
            subjects.into_iter().for_each(|subject| answer(&mut rig, subject, served));
        }
        assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::GateShut));
    }
    let worse = [(Reading::NotReady, Reason::NotReady), (Reading::Draining, Reason::Draining)];
    for (reading, reason) in worse {
        let mut rig = Rig::new(&[VIP, PROBED]);
        rig.say(reading);
        assert_eq!(rig.stands(VIP).1, reason);
    }
}

#[test]
fn probes_go_out_every_200_ms_one_at_a_time() {
    let mut rig = Rig::ready(&[PROBED]);
    assert_eq!(rig.probes, 1);
    rig.wait(1000);
    assert_eq!(rig.probes, 1, "the last one has not been answered");
    rig.feed(Event::Probed { subject: Subject::Vip(PROBED), served: Some(true) });
    assert_eq!(rig.probes, 2, "overdue, so at once");
    for _ in 0..10 {
        rig.feed(Event::Probed { subject: Subject::Vip(PROBED), served: Some(true) });
        rig.wait(200);
    }
    assert_eq!(rig.probes, 12);
}

#[test]
fn a_gateway_that_is_back_is_probed_at_once() {
    let mut rig = Rig::new(&[PROBED]);
    for _ in 0..2 {
        rig.feed(Event::Probed { subject: Subject::Vip(PROBED), served: Some(false) });
        rig.wait(200);
    }
    rig.feed(Event::Probed { subject: Subject::Vip(PROBED), served: Some(false) });
    let before = rig.probes;
    rig.wait(10);
    rig.say(Reading::Ready);
    assert_eq!(rig.probes, before + 1);
}

#[test]
fn a_vip_that_is_not_on_lo_is_not_announced() {
    let mut rig = Rig::ready(&[VIP, ON_LO]);
    assert_eq!(rig.stands(ON_LO), (Standing::Withdrawn, Reason::NoAddress));
    rig.feed(Event::Address { vip: ON_LO, present: true });
    assert_eq!(rig.stands(ON_LO), (Standing::Announced, Reason::Ready));
    rig.feed(Event::Address { vip: ON_LO, present: false });
    assert_eq!(rig.stands(ON_LO), (Standing::Withdrawn, Reason::NoAddress));
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
}

#[test]
fn with_a_soak_the_first_start_is_at_once_and_each_way_back_is_slow() {
    let second = Duration::from_secs(1);
    let mut rig = Rig::soaking(&[VIP, PROBED], soak::Settings { soak: second, hold_down: None });
    let wait_serving = |rig: &mut Rig, ms: u64| {
        for _ in 0..ms / 100 {
            rig.wait(100);
            rig.say(Reading::Ready);
        }
    };
    rig.wait(5000);
    assert_eq!(rig.stands(VIP).0, Standing::Withdrawn);
    rig.say(Reading::Ready);
    rig.feed(Event::Probed { subject: Subject::Vip(PROBED), served: Some(true) });
    for vip in [VIP, PROBED] {
        assert_eq!(rig.stands(vip), (Standing::Announced, Reason::Ready), "a start is no return");
    }
    rig.say(Reading::NotReady);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::NotReady));
    rig.say(Reading::Ready);
    assert_eq!(rig.stands(VIP), (Standing::Backup, Reason::Soak));
    wait_serving(&mut rig, 900);
    rig.say(Reading::NotReady);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::NotReady), "the way down is never slow");
    rig.say(Reading::Ready);
    wait_serving(&mut rig, 900);
    assert_eq!(rig.stands(VIP), (Standing::Backup, Reason::Soak));
    wait_serving(&mut rig, 100);
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
    rig.say(Reading::Draining);
    assert_eq!(rig.stands(VIP), (Standing::Worsened, Reason::Draining));
    rig.say(Reading::Ready);
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready), "it never was away");
}

#[test]
fn a_vip_may_be_worsened_while_the_gateway_lives_but_never_once_it_is_dead() {
    let mut rig = Rig::new(&[VIP, ON_LO]);
    rig.feed(Event::Address { vip: ON_LO, present: true });
    rig.say(Reading::NotReady);
    assert_eq!(rig.stands(ON_LO), (Standing::Withdrawn, Reason::NotReady), "nothing starts by being bad");
    rig.say(Reading::Ready);
    rig.say(Reading::NotReady);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::NotReady));
    assert_eq!(rig.stands(ON_LO), (Standing::Worsened, Reason::NotReady));
    rig.say(Reading::Ready);
    assert_eq!(rig.stands(ON_LO), (Standing::Announced, Reason::Ready));
    rig.say(Reading::NotReady);
    rig.close(1);
    assert_eq!(rig.stands(ON_LO), (Standing::Withdrawn, Reason::Closed));
    rig.wait(100);
    rig.say(Reading::NotReady);
    assert_eq!(rig.stands(ON_LO), (Standing::Withdrawn, Reason::NotReady), "it was gone");
    rig.say(Reading::Ready);
    rig.feed(Event::Address { vip: ON_LO, present: false });
    assert_eq!(rig.stands(ON_LO), (Standing::Withdrawn, Reason::NoAddress));
}

#[test]
fn a_request_that_fails_every_second_time_withdraws_once_and_for_all() {
    let mut rig = Rig::ready(&[PROBED]);
    let mut changes = 0;
    for turn in 0..40 {
        let before = rig.stands.get(&PROBED).copied();
        rig.feed(Event::Probed { subject: Subject::Vip(PROBED), served: Some(turn % 2 == 0) });
        rig.say(Reading::Ready);
        rig.wait(200);
        changes += usize::from(rig.stands.get(&PROBED).copied() != before);
    }
    assert_eq!(changes, 2, "announced, withdrawn");
    assert_eq!(rig.stands(PROBED), (Standing::Withdrawn, Reason::ProbeFailed));
}

fn events() -> impl Strategy<Value = Event> {
    let reading = prop::sample::select(
        &[Reading::Ready, Reading::Ready, Reading::NotReady, Reading::Draining, Reading::Moved][..],
    );
    prop_oneof![
        3 => Just(Event::Tick),
        8 => (0..20_u64, reading).prop_map(|(stream, reading)| Event::Line { stream, reading }),
        2 => (0..20_u64).prop_map(|stream| Event::Closed { stream }),
        1 => (0..20_u64).prop_map(|stream| Event::Opened { stream }),
        3 => (prop::sample::select(&[VIP, PROBED][..]), any::<Option<bool>>())
            .prop_map(|(vip, served)| Event::Probed { subject: Subject::Vip(vip), served }),
        1 => (prop::sample::select(&[VIP, ON_LO][..]), any::<bool>())
            .prop_map(|(vip, present)| Event::Address { vip, present }),
        1 => any::<bool>().prop_map(Event::Disabled),
        1 => (prop::sample::select(&[Kind::Drain, Kind::Pin, Kind::Force][..]), 1..5_u64).prop_map(
            |(kind, secs)| Event::Operator(Command::Order {
                kind, vips: vec![VIP, PROBED, ON_LO], lasts: Duration::from_secs(secs), reason: "".into(), forced: false, number: 0,
            })
        ),
        1 => Just(Event::Operator(Command::Release { vips: vec![VIP, PROBED] })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_events_keep_the_promises(steps in vec((events(), 0..400_u64), 1..150)) {
        let mut rig = Rig::new(&[VIP, PROBED, ON_LO]);
        for (event, pause) in steps {
            rig.wait(pause);
            if let Event::Closed { stream } = event {
                rig.open.retain(|open| *open != stream);
            }
            rig.feed(event);
        }
        // Whatever happened: when nothing is heard any more, nothing stays announced.
        rig.wait(10_000);
        prop_assert!(rig.stands.values().all(|(standing, _)| *standing == Standing::Withdrawn), "{:?}", rig.stands);
        // And a gateway that serves is announced, as orders have ended by now.
        rig.feed(Event::Disabled(false));
        if rig.open.is_empty() {
            rig.wait(100);
        }
        let stream = *rig.open.last().expect("always one way to hear of it");
        rig.say_on(stream, Reading::Ready);
        prop_assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
    }
}

#[test]
fn a_shut_gate_of_the_node_withdraws_every_vip_and_an_open_one_brings_them_back() {
    let mut rig = Rig::gated(&[VIP, PROBED]);
    let answer =
        |rig: &mut Rig, served| rig.feed(Event::Probed { subject: Subject::Gate(0), served: Some(served) });
    for _ in 0..2 {
        rig.feed(Event::Probed { subject: Subject::Vip(PROBED), served: Some(false) });
    }
    answer(&mut rig, true);
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
    assert_eq!(rig.stands(PROBED), (Standing::Withdrawn, Reason::ProbeFailed), "it has a probe of its own");
    for _ in 0..2 {
        answer(&mut rig, false);
    }
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::GateShut));
    answer(&mut rig, true);
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
}
