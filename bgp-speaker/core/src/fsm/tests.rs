use super::negotiate::Offer;
use super::*;
use crate::wire::RouteRefresh;
use crate::wire::notification::Code;
use crate::wire::prefix::Family;
use crate::wire::{Capability, decode};
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn local() -> Local {
    Local {
        asn: 65010,
        identifier: Ipv4Addr::new(10, 0, 0, 2),
        hold_time: 9,
        neighbor_asn: 65000,
        offer: Offer::default(),
    }
}

fn session() -> Session {
    Session::new(Settings {
        local: local(),
        mode: Mode::Both,
        retry_max: Duration::from_secs(10),
        max_prefixes: Some(10),
        seed: 7,
    })
}

fn neighbors_open() -> Open {
    Open::ours(65000, 90, Ipv4Addr::new(10, 0, 0, 1))
}

fn stop() -> Event {
    Event::Stop { code: notification::ADMINISTRATIVE_SHUTDOWN, text: "gw1 ends".to_owned() }
}

fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

fn feed(session: &mut Session, event: Event, ms: u64) -> Vec<Action> {
    let mut actions = Vec::new();
    session.on(event, at(ms), &mut actions);
    session.check_invariants();
    actions
}

fn message(session: &mut Session, received: Received, ms: u64) -> Vec<Action> {
    feed(session, Event::Received(Way::Out, received), ms)
}

fn open_sent() -> Session {
    let mut session = session();
    feed(&mut session, Event::Start, 0);
    feed(&mut session, Event::Connected, 0);
    session
}

fn open_confirm() -> Session {
    let mut session = open_sent();
    message(&mut session, Received::Open(neighbors_open()), 0);
    session
}

fn established() -> Session {
    let mut session = open_confirm();
    message(&mut session, Received::Keepalive, 0);
    assert_eq!(session.state(), State::Established);
    session
}

/// The code of the NOTIFICATION among the actions.
fn notified(actions: &[Action]) -> Option<Code> {
    actions.iter().find_map(|action| match action {
        Action::Send(_, bytes) => match decode(bytes) {
            Ok(Message::Notification(notification)) => Some(notification.code),
            _ => None,
        },
        _ => None,
    })
}

fn sends_keepalive(actions: &[Action]) -> bool {
    actions.contains(&Action::Send(Way::Out, wire::keepalive()))
}

#[test]
fn a_neighbor_that_sends_too_many_prefixes_is_told_and_left_alone_for_five_minutes() {
    let mut session = established();
    let update = |announced, withdrawn| Received::Update(Summary { announced, withdrawn, fault: None });
    assert_eq!(notified(&message(&mut session, update(10, 0), 100)), None);
    assert_eq!(notified(&message(&mut session, update(3, 3), 100)), None, "what is withdrawn makes room");
    assert_eq!(notified(&message(&mut session, update(1, 0), 100)), Some(Code(6, 1)));
    assert_eq!((session.state(), session.next_deadline()), (State::Idle, Some(at(300_100))));
}

#[test]
fn a_session_comes_up_message_by_message() {
    let mut session = session();
    assert!(feed(&mut session, Event::Start, 0).contains(&Action::Connect));
    let sent = feed(&mut session, Event::Connected, 1);
    assert_eq!(sent[0], Action::Send(Way::Out, Open::ours(65010, 9, [10, 0, 0, 2].into()).encode()));
    assert!(sends_keepalive(&message(&mut session, Received::Open(neighbors_open()), 2)));
    assert_eq!(session.state(), State::OpenConfirm);
    let up = message(&mut session, Received::Keepalive, 3);
    assert!(matches!(up[..], [Action::Changed(_), Action::Up(_)]));
    assert_eq!(session.negotiated().unwrap().hold, Duration::from_secs(9), "the smaller of 9 and 90");
}

#[test]
fn a_session_that_fails_is_tried_again_within_a_second_then_ever_more_slowly() {
    let mut session = session();
    let mut now = 0;
    feed(&mut session, Event::Start, now);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        feed(&mut session, Event::ConnectFailed, now);
        assert_eq!(session.state(), State::Active);
        let due = session.next_deadline().unwrap();
        pauses.push(due.since(at(now)));
        now = due.as_millis() + 1;
        assert!(feed(&mut session, Event::Tick, now).contains(&Action::Connect));
    }
    assert!(pauses[0] < Duration::from_secs(1), "{pauses:?}");
    assert!(pauses[11] > Duration::from_secs(7) && pauses[11] <= Duration::from_secs(10), "{pauses:?}");
}

#[test]
fn a_connection_that_does_not_come_is_given_up() {
    let mut session = session();
    feed(&mut session, Event::Start, 0);
    let actions = feed(&mut session, Event::Tick, 3000);
    assert_eq!(actions[0], Action::Close(Way::Out));
    assert_eq!(session.state(), State::Active);
    assert!(feed(&mut session, Event::Connected, 3001).is_empty(), "too late is an echo");
}

#[test]
fn a_wrong_neighbor_is_told_why_and_not_asked_again_at_once() {
    let with = |change: fn(&mut Open)| {
        let mut open = neighbors_open();
        change(&mut open);
        open
    };
    let wrong: [(Open, Code); 8] = [
        (with(|open| open.capabilities[3] = Capability::FourOctetAs(65001)), Code(2, 2)),
        (with(|open| open.capabilities[3] = Capability::FourOctetAs(0)), Code(2, 2)),
        (with(|open| (open.my_as, _) = (65001, open.capabilities.pop())), Code(2, 2)),
        (with(|open| open.identifier = Ipv4Addr::UNSPECIFIED), Code(2, 3)),
        (with(|open| open.hold_time = 1), Code(2, 6)),
        (with(|open| open.hold_time = 2), Code(2, 6)),
        (
            with(|open| open.capabilities = vec![Capability::Unknown { code: 1, value: vec![0, 25, 0, 65] }]),
            Code(2, 7),
        ),
        (with(|open| (open.my_as, open.capabilities) = (0, vec![])), Code(2, 2)),
    ];
    for (mut open, code) in wrong {
        if code == Code(2, 7) {
            open.my_as = 65000;
        }
        let mut session = open_sent();
        let actions = message(&mut session, Received::Open(open.clone()), 1);
        assert_eq!(notified(&actions), Some(code), "{open:?}");
        assert!(actions.contains(&Action::Close(Way::Out)));
        assert!(session.next_deadline().unwrap() > at(100), "no tight loop");
    }
}

#[test]
fn the_capability_counts_and_not_the_two_byte_field() {
    let mut open = neighbors_open();
    open.my_as = 23456;
    let mut session = open_sent();
    message(&mut session, Received::Open(open), 1);
    assert_eq!(session.state(), State::OpenConfirm);
}

#[test]
fn inside_one_as_both_ends_have_identifiers_of_their_own() {
    let mut settings = Settings {
        local: local(),
        mode: Mode::Active,
        retry_max: Duration::from_secs(10),
        max_prefixes: None,
        seed: 7,
    };
    settings.local.neighbor_asn = 65010;
    let mut session = Session::new(settings);
    feed(&mut session, Event::Start, 0);
    feed(&mut session, Event::Connected, 0);
    let actions = message(&mut session, Received::Open(Open::ours(65010, 9, local().identifier)), 1);
    assert_eq!(notified(&actions), Some(Code(2, 3)));
}

#[test]
fn a_neighbor_without_capabilities_speaks_ipv4_and_two_bytes() {
    let mut open = neighbors_open();
    open.capabilities.clear();
    let mut session = open_sent();
    message(&mut session, Received::Open(open), 1);
    let negotiated = session.negotiated().unwrap();
    assert_eq!((negotiated.families, negotiated.four_octet), ([true, false], false));
}

#[test]
fn keepalives_go_out_at_a_third_of_the_hold_time() {
    let mut session = established();
    for turn in 1..=2 {
        assert_eq!(session.next_deadline(), Some(at(turn * 3000)));
        assert!(sends_keepalive(&feed(&mut session, Event::Tick, turn * 3000)));
    }
    let actions = feed(&mut session, Event::Tick, 9000);
    assert_eq!(notified(&actions), Some(Code(4, 0)));
    assert!(actions.contains(&Action::Down));
}

#[test]
fn every_update_is_a_sign_of_life() {
    let mut session = established();
    message(&mut session, Received::Update(Summary::default()), 8000);
    assert_eq!(notified(&feed(&mut session, Event::Tick, 9000)), None);
    assert_eq!(notified(&feed(&mut session, Event::Tick, 17_000)), Some(Code(4, 0)));
}

#[test]
fn a_hold_time_of_zero_does_without_keepalives() {
    let mut open = neighbors_open();
    open.hold_time = 0;
    let mut session = open_sent();
    message(&mut session, Received::Open(open), 1);
    message(&mut session, Received::Keepalive, 2);
    assert_eq!(session.state(), State::Established);
    assert_eq!(session.next_deadline(), None);
}

#[test]
fn an_open_is_waited_for_four_minutes() {
    let mut session = open_sent();
    assert_eq!(session.next_deadline(), Some(at(240_000)));
    assert_eq!(notified(&feed(&mut session, Event::Tick, 240_000)), Some(Code(4, 0)));
}

#[test]
fn a_message_out_of_turn_gets_the_answer_of_rfc_6608() {
    let update = || Received::Update(Summary::default());
    let refresh = || Received::RouteRefresh(RouteRefresh { family: Some(Family::Ipv4), subtype: 0 });
    for out_of_turn in [update(), Received::Keepalive, refresh()] {
        assert_eq!(notified(&message(&mut open_sent(), out_of_turn, 1)), Some(Code(5, 1)));
    }
    for out_of_turn in [update(), refresh(), Received::Open(neighbors_open())] {
        assert_eq!(notified(&message(&mut open_confirm(), out_of_turn, 1)), Some(Code(5, 2)));
    }
    assert_eq!(notified(&message(&mut established(), Received::Open(neighbors_open()), 1)), Some(Code(5, 3)));
}

#[test]
fn a_notification_is_never_answered() {
    for mut session in [open_sent(), open_confirm(), established()] {
        let actions = message(&mut session, Received::Notification(Notification::new(Code(6, 4))), 1);
        assert!(!actions.iter().any(|action| matches!(action, Action::Send(..))), "{actions:?}");
        assert!(actions.contains(&Action::Close(Way::Out)));
        assert_eq!(session.state(), State::Idle);
    }
}

#[test]
fn a_neighbor_that_takes_no_bytes_is_given_up_after_two_hold_times() {
    let mut session = established();
    feed(&mut session, Event::Blocked(Way::Out), 1000);
    for ms in (2000..19_000).step_by(1000) {
        message(&mut session, Received::Keepalive, ms);
        assert!(!sends_keepalive(&feed(&mut session, Event::Tick, ms)), "nothing behind what waits");
    }
    message(&mut session, Received::Keepalive, 18_999);
    assert_eq!(notified(&feed(&mut session, Event::Tick, 19_000)), Some(Code(8, 0)));
    let mut session = established();
    feed(&mut session, Event::Blocked(Way::Out), 1000);
    feed(&mut session, Event::Drained(Way::Out), 2000);
    message(&mut session, Received::Keepalive, 18_000);
    assert_eq!(notified(&feed(&mut session, Event::Tick, 19_000)), None);
}

#[test]
fn a_stop_says_why_and_stays_stopped() {
    let mut session = established();
    let actions = feed(&mut session, stop(), 1);
    let Action::Send(_, bytes) = &actions[0] else { panic!("{actions:?}") };
    let Ok(Message::Notification(notification)) = decode(bytes) else { panic!("no NOTIFICATION") };
    assert_eq!((notification.code, notification.text()), (Code(6, 2), Some("gw1 ends")));
    assert_eq!((session.state(), session.next_deadline()), (State::Idle, None));
}

#[test]
fn only_a_plain_refresh_of_a_known_family_asks_for_routes() {
    let mut session = established();
    let ask = |family, subtype| Received::RouteRefresh(RouteRefresh { family, subtype });
    assert_eq!(message(&mut session, ask(Some(Family::Ipv6), 0), 1), [Action::Refresh(Family::Ipv6)]);
    assert_eq!(message(&mut session, ask(Some(Family::Ipv6), 1), 1), []);
    assert_eq!(message(&mut session, ask(None, 0), 1), []);
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![Just(Way::Out), Just(Way::In)]
}

fn events() -> impl Strategy<Value = Event> {
    let received = prop_oneof![
        Just(Received::Keepalive),
        Just(Received::Update(Summary::default())),
        Just(Received::Notification(Notification::new(Code(6, 2)))),
        Just(Received::Bad(Notification::new(Code(1, 1)))),
        Just(Received::RouteRefresh(RouteRefresh { family: Some(Family::Ipv4), subtype: 0 })),
        (any::<u16>(), prop_oneof![Just(65000_u32), any::<u32>()])
            .prop_map(|(hold, asn)| Received::Open(Open::ours(asn, hold, [10, 0, 0, 1].into()))),
        Just(Received::Open(neighbors_open())),
        Just(Received::Open(local().open(false, true))),
    ];
    prop_oneof![
        3 => Just(Event::Tick),
        2 => Just(Event::Start),
        1 => Just(stop()),
        3 => Just(Event::Connected),
        1 => Just(Event::ConnectFailed),
        3 => Just(Event::Accepted),
        1 => way().prop_map(Event::Lost),
        8 => (way(), received).prop_map(|(way, received)| Event::Received(way, received)),
        1 => way().prop_map(Event::Blocked),
        1 => way().prop_map(Event::Drained),
        1 => Just(Event::PathLost),
        1 => Just(Event::PathFound),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_events_keep_the_promises(
        mode in prop_oneof![Just(Mode::Active), Just(Mode::Passive), Just(Mode::Both)],
        graceful in any::<bool>(),
        steps in vec((events(), 0..5000_u64), 1..200),
    ) {
        let mut session = session();
        session.settings.mode = mode;
        session.settings.local.offer.graceful_restart = graceful.then_some(60);
        let (mut now, mut up) = (0, false);
        for (event, pause) in steps {
            now += pause;
            let (before, ticked) = (session.state(), event == Event::Tick);
            for action in feed(&mut session, event, now) {
                match action {
                    Action::Up(_) => { prop_assert!(!up); up = true; }
                    Action::Down => { prop_assert!(up); up = false; }
                    Action::Changed(change) => prop_assert_ne!(change.from, change.to),
                    _ => {}
                }
            }
            prop_assert_eq!(up, session.state() == State::Established, "from {:?}", before);
            if ticked {
                prop_assert!(session.next_deadline().is_none_or(|deadline| deadline > at(now)), "a busy loop");
            }
        }
    }
}
