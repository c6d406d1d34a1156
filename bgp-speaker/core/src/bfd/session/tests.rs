use super::super::packet::tests::packets;
use super::*;
use proptest::prelude::*;

pub(super) fn timers(millis: u64, multiplier: u8) -> Timers {
    let interval = Duration::from_millis(millis);
    let multiplier = NonZeroU8::new(multiplier).unwrap();
    Timers { desired_min_tx: interval, required_min_rx: interval, multiplier }
}

pub(super) fn session(timers: Timers, seed: u64) -> Session {
    let discriminator = NonZeroU32::new(7 + seed as u32).unwrap();
    Session::new(Settings { discriminator, timers, seed })
}

/// What a router that has heard us says with 50 ms and a multiplier of 3.
fn heard(state: State) -> Packet {
    let interval = if state == State::Up { Duration::from_millis(50) } else { SLOW };
    Packet {
        diagnostic: Diagnostic::NONE,
        state,
        poll: false,
        finish: false,
        independent: false,
        demand: false,
        multiplier: 3,
        mine: NonZeroU32::MIN,
        yours: 7,
        desired_min_tx: interval,
        required_min_rx: Duration::from_millis(50),
        required_min_echo_rx: Duration::ZERO,
    }
}

/// A session under test, with its actions since the last look.
struct Bench {
    session: Session,
    now: Time,
    actions: Vec<Action>,
}

impl Bench {
    fn new(timers: Timers) -> Self {
        let mut bench =
            Self { session: session(timers, 0), now: Time::from_millis(1000), actions: Vec::new() };
        bench.on(Event::Tick);
        bench
    }

    /// Brought to `state` by ordinary means.
    fn at(state: State) -> Self {
        let mut bench = Self::new(timers(50, 3));
        match state {
            State::AdminDown => bench.on(Event::Disable),
            State::Down => &mut bench,
            State::Init => bench.on(Event::Received(heard(State::Down))),
            State::Up => bench.on(Event::Received(heard(State::Init))),
        };
        assert_eq!(bench.session.state(), state);
        bench.actions.clear();
        bench
    }

    /// Up, and agreed on its intervals.
    fn agreed() -> Self {
        let mut bench = Self::at(State::Up);
        bench.on(Event::Received(Packet { finish: true, ..heard(State::Up) }));
        bench.actions.clear();
        bench
    }

    fn on(&mut self, event: Event) -> &mut Self {
        self.session.on(event, self.now, &mut self.actions);
        self.session.check_invariants();
        self
    }

    fn later(&mut self, millis: u64) -> &mut Self {
        self.now += Duration::from_millis(millis);
        self
    }

    fn sent(&mut self) -> Vec<Packet> {
        let packet = |action| match action {
            Action::Transmit(packet) => Some(packet),
            Action::Changed(_) => None,
        };
        self.actions.drain(..).filter_map(packet).collect()
    }

    fn one(&mut self) -> Packet {
        let sent = self.sent();
        let [packet] = sent[..] else { panic!("one packet: {sent:?}") };
        packet
    }
}

#[test]
fn every_state_does_what_rfc_5880_says_to_every_packet() {
    use State::{AdminDown, Down, Init, Up};
    let table = [
        (AdminDown, AdminDown, AdminDown),
        (AdminDown, Down, AdminDown),
        (AdminDown, Init, AdminDown),
        (AdminDown, Up, AdminDown),
        (Down, AdminDown, Down),
        (Down, Down, Init),
        (Down, Init, Up),
        (Down, Up, Down),
        (Init, AdminDown, Down),
        (Init, Down, Init),
        (Init, Init, Up),
        (Init, Up, Up),
        (Up, AdminDown, Down),
        (Up, Down, Down),
        (Up, Init, Up),
        (Up, Up, Up),
    ];
    for (state, remote, then) in table {
        let mut bench = Bench::at(state);
        bench.on(Event::Received(heard(remote)));
        assert_eq!(bench.session.state(), then, "{state:?} hears {remote:?}");
        let changes = bench.actions.iter().filter(|action| matches!(action, Action::Changed(_))).count();
        assert_eq!(changes, usize::from(state != then), "{state:?} hears {remote:?}");
        if state != then {
            assert_eq!(bench.one().state, then, "news goes out at once");
        }
    }
}

#[test]
fn silence_and_the_operator_move_every_state_as_rfc_5880_says() {
    use State::{AdminDown, Down, Init, Up};
    for (state, silent, disabled, enabled) in [
        (AdminDown, AdminDown, AdminDown, Down),
        (Down, Down, AdminDown, Down),
        (Init, Down, AdminDown, Init),
        (Up, Down, AdminDown, Up),
    ] {
        assert_eq!(Bench::at(state).later(4000).on(Event::Tick).session.state(), silent);
        assert_eq!(Bench::at(state).on(Event::Disable).session.state(), disabled);
        assert_eq!(Bench::at(state).on(Event::Enable).session.state(), enabled);
    }
}

#[test]
fn only_a_contact_lost_against_everybodys_will_is_a_failure() {
    let change = |mut bench: Bench, event| {
        bench.on(event);
        bench.actions.iter().find_map(|action| match action {
            Action::Changed(change) => Some((change.failed, change.diagnostic)),
            Action::Transmit(_) => None,
        })
    };
    let up = || Bench::at(State::Up);
    assert_eq!(change(up(), Event::Received(heard(State::Down))), Some((true, Diagnostic::NEIGHBOR_DOWN)));
    assert_eq!(
        change(up(), Event::Received(heard(State::AdminDown))),
        Some((false, Diagnostic::NEIGHBOR_DOWN))
    );
    assert_eq!(change(up(), Event::Disable), Some((false, Diagnostic::ADMIN_DOWN)));
    let mut silent = up();
    silent.later(4000);
    assert_eq!(change(silent, Event::Tick), Some((true, Diagnostic::EXPIRED)));
    let mut never_up = Bench::at(State::Init);
    never_up.later(4000);
    assert_eq!(change(never_up, Event::Tick), Some((false, Diagnostic::EXPIRED)));
}

#[test]
fn a_failure_between_two_changes_told_as_one_stays_a_failure() {
    let change = |from, to, failed| Change { from, to, diagnostic: Diagnostic::NONE, remote: to, failed };
    let merged = change(State::Up, State::Down, true).then(change(State::Down, State::Up, false));
    assert_eq!((merged.from, merged.to, merged.failed), (State::Up, State::Up, true));
}

#[test]
fn nobody_is_in_a_hurry_before_up() {
    let mut bench = Bench::new(timers(50, 3));
    let first = bench.one();
    assert_eq!((first.state, first.yours, first.desired_min_tx), (State::Down, 0, SLOW));
    assert_eq!(first.required_min_rx, Duration::from_millis(50));
    let wait = bench.session.next_deadline().unwrap() - bench.now;
    assert!(wait >= Duration::from_millis(750) && wait <= SLOW, "{wait:?}");
    let up = Bench::at(State::Up).session;
    assert_eq!(up.transmit_interval(), Some(Duration::from_millis(50)));
    assert_eq!(up.detection_time(), 3 * SLOW, "the router still says that it is slow");
}

#[test]
fn the_slower_of_both_wishes_rules_in_each_direction() {
    let mut bench = Bench::at(State::Up);
    let (tx, rx) = (Duration::from_millis(200), Duration::from_millis(400));
    let packet = Packet { desired_min_tx: tx, required_min_rx: rx, multiplier: 5, ..heard(State::Up) };
    bench.on(Event::Received(packet));
    assert_eq!(bench.session.transmit_interval(), Some(rx));
    assert_eq!(bench.session.detection_time(), tx * 5);
    bench.on(Event::Received(Packet { desired_min_tx: Duration::from_millis(10), ..packet }));
    assert_eq!(bench.session.detection_time(), Duration::from_millis(250), "our own wish is 50 ms");
}

#[test]
fn coming_up_polls_until_the_answer_comes() {
    let mut bench = Bench::new(timers(50, 3));
    bench.actions.clear();
    bench.on(Event::Received(heard(State::Init)));
    let packet = bench.one();
    assert!(packet.poll && !packet.finish && packet.state == State::Up);
    assert_eq!(packet.desired_min_tx, Duration::from_millis(50));
    assert!(bench.later(50).on(Event::Tick).one().poll, "again while nobody answers");
    bench.on(Event::Received(Packet { finish: true, ..heard(State::Up) }));
    assert!(!bench.later(50).on(Event::Tick).one().poll);
}

#[test]
fn a_poll_is_answered_at_once_whatever_else_goes_on() {
    for state in [State::Down, State::Init, State::Up] {
        let mut bench = Bench::at(state);
        bench.on(Event::Received(Packet { poll: true, required_min_rx: Duration::ZERO, ..heard(State::Up) }));
        let sent = bench.sent();
        assert!(
            sent.iter().filter(|packet| packet.finish && !packet.poll).count() == 1,
            "{state:?} {sent:?}"
        );
    }
    let mut held = Bench::at(State::AdminDown);
    held.on(Event::Received(Packet { poll: true, ..heard(State::Up) }));
    assert!(held.sent().iter().all(|packet| !packet.finish), "AdminDown discards");
}

#[test]
fn sending_slower_and_expecting_more_wait_for_the_answer() {
    let (fast, slow) = (Duration::from_millis(50), Duration::from_millis(300));
    let mut bench = Bench::agreed();
    bench.on(Event::Retime(timers(300, 3)));
    let packet = bench.one();
    assert!(packet.poll && packet.desired_min_tx == slow && packet.required_min_rx == slow);
    assert_eq!(bench.session.transmit_interval(), Some(fast), "not slower yet");
    assert_eq!(bench.session.detection_time(), 3 * slow, "more patient at once");
    bench.on(Event::Received(Packet { finish: true, ..heard(State::Up) }));
    assert_eq!(bench.session.transmit_interval(), Some(slow));

    bench.actions.clear();
    bench.on(Event::Retime(timers(50, 3)));
    assert_eq!(bench.session.transmit_interval(), Some(fast), "faster at once");
    assert_eq!(bench.session.detection_time(), 3 * slow, "not less patient yet");
    bench.on(Event::Received(Packet { finish: true, ..heard(State::Up) }));
    assert_eq!(bench.session.detection_time(), 3 * fast);
}

#[test]
fn a_change_during_a_poll_takes_one_more_poll() {
    let mut bench = Bench::agreed();
    bench.on(Event::Retime(timers(300, 3))).on(Event::Retime(timers(600, 3)));
    let finish = Event::Received(Packet { finish: true, ..heard(State::Up) });
    bench.on(finish);
    assert_eq!(bench.session.transmit_interval(), Some(Duration::from_millis(50)), "the answer to the first");
    bench.on(finish);
    assert_eq!(bench.session.transmit_interval(), Some(Duration::from_millis(600)));
}

#[test]
fn who_takes_no_packets_gets_none() {
    let mut bench = Bench::agreed();
    bench.on(Event::Received(Packet { required_min_rx: Duration::ZERO, ..heard(State::Up) }));
    assert_eq!((bench.session.transmit_due(), bench.session.transmit_interval()), (None, None));
    assert!(bench.later(100).on(Event::Tick).sent().is_empty());
    bench.on(Event::Received(heard(State::Up)));
    assert!(bench.session.transmit_due().is_some(), "and again when it takes them");

    let mut demand = Bench::agreed();
    demand.on(Event::Received(Packet { demand: true, ..heard(State::Up) }));
    assert_eq!(demand.session.transmit_due(), None);
    demand.on(Event::Retime(timers(300, 3)));
    assert!(demand.one().poll && demand.session.transmit_due().is_some(), "a poll is sent all the same");
}

#[test]
fn a_neighbor_that_fell_silent_is_forgotten() {
    let mut bench = Bench::agreed();
    bench.on(Event::Received(heard(State::Up))).later(149).on(Event::Tick);
    assert_eq!(bench.session.state(), State::Up, "not before its time");
    bench.actions.clear();
    bench.later(1).on(Event::Tick);
    let last = bench.sent().pop().unwrap();
    assert_eq!((last.state, last.diagnostic, last.yours), (State::Down, Diagnostic::EXPIRED, 0));
    assert_eq!(last.desired_min_tx, SLOW);
}

#[test]
fn jitter_keeps_to_its_bounds() {
    for (multiplier, most) in [(3, 1.0), (1, 0.9)] {
        let mut bench = Bench::new(timers(50, multiplier));
        bench.on(Event::Received(heard(State::Init)));
        bench.on(Event::Received(Packet { finish: true, multiplier: 255, ..heard(State::Up) }));
        let (mut shortest, mut longest) = (1.0_f64, 0.0_f64);
        for _ in 0..2000 {
            bench.on(Event::Received(Packet { multiplier: 255, ..heard(State::Up) }));
            let due = bench.session.transmit_due().unwrap();
            let part = (due - bench.now).as_secs_f64() / 0.050;
            (shortest, longest) = (shortest.min(part), longest.max(part));
            bench.now = due;
            bench.on(Event::Tick);
        }
        assert!(
            (0.75..0.77).contains(&shortest) && (most - 0.02..=most).contains(&longest),
            "{shortest} {longest}"
        );
    }
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Tick),
        8 => packets().prop_map(Event::Received),
        1 => Just(Event::Disable),
        2 => Just(Event::Enable),
        1 => (10..1000_u64, 1..=5_u8).prop_map(|(millis, multiplier)| Event::Retime(timers(millis, multiplier))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_event_breaks_a_promise(steps in prop::collection::vec((events(), 0..2_000_000_u64), 0..200)) {
        let mut session = session(timers(50, 3), 1);
        let (mut now, mut actions) = (Time::ZERO, Vec::new());
        for (event, micros) in steps {
            now += Duration::from_micros(micros);
            session.on(event, now, &mut actions);
            session.check_invariants();
            session.on(Event::Tick, now, &mut actions);
            session.check_invariants();
            prop_assert!(session.next_deadline().is_none_or(|deadline| deadline > now), "a tick settles what is due");
            prop_assert!(actions.len() <= 6, "an event causes few packets: {actions:?}");
            for action in actions.drain(..) {
                if let Action::Transmit(packet) = action {
                    prop_assert!(!(packet.poll && packet.finish));
                    prop_assert!(packet.state == State::Up || packet.desired_min_tx >= SLOW);
                    prop_assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
                }
            }
        }
    }
}

#[test]
fn another_process_goes_on_as_if_it_had_been_there_all_the_time() {
    let mut bench = Bench::agreed();
    let (deadline, detection) = (bench.session.next_deadline(), bench.session.detection_time());
    bench.session = Session::resume(timers(50, 3), 9, &bench.session.save());
    bench.on(Event::Retime(timers(50, 3)));
    assert_eq!(bench.sent(), [], "there is no news");
    assert_eq!((bench.session.next_deadline(), bench.session.detection_time()), (deadline, detection));
    bench.later(50).on(Event::Tick);
    assert_eq!((bench.one().state, bench.session.state()), (State::Up, State::Up));
    bench.on(Event::Retime(timers(100, 3)));
    assert!(bench.one().poll, "other timers are agreed on");
}
