//! Two connections with one neighbor, and neighbors that connect.

use super::negotiate::Offer;
use super::*;
use crate::wire::decode;
use crate::wire::notification::Code;
use std::net::Ipv4Addr;

const OUR_ID: u8 = 5;

fn session(mode: Mode, offer: Offer) -> Session {
    let local = Local {
        asn: 65010,
        identifier: Ipv4Addr::new(10, 0, 0, OUR_ID),
        hold_time: 9,
        neighbor_asn: 65000,
        offer,
    };
    let retry_max = Duration::from_secs(10);
    let mut session = Session::new(Settings { local, mode, retry_max, max_prefixes: None, seed: 7 });
    feed(&mut session, Event::Start);
    session
}

fn feed_at(session: &mut Session, event: Event, ms: u64) -> Vec<Action> {
    let mut actions = Vec::new();
    session.on(event, Time::from_millis(ms), &mut actions);
    session.check_invariants();
    actions
}

fn feed(session: &mut Session, event: Event) -> Vec<Action> {
    feed_at(session, event, 1)
}

fn open(last: u8) -> Received {
    Received::Open(Open::ours(65000, 90, Ipv4Addr::new(10, 0, 0, last)))
}

fn told(actions: &[Action], on: Way) -> Option<Code> {
    actions.iter().find_map(|action| match action {
        Action::Send(way, bytes) if *way == on => match decode(bytes) {
            Ok(Message::Notification(notification)) => Some(notification.code),
            _ => None,
        },
        _ => None,
    })
}

fn says_open(actions: &[Action], on: Way) -> bool {
    let opens = |action: &Action| matches!(action, Action::Send(way, bytes) if *way == on && matches!(decode(bytes), Ok(Message::Open(_))));
    actions.iter().any(opens)
}

/// Both connections stand, our OPEN is out on both, and the neighbor's came on `first`.
fn collided(first: Way, identifier: u8) -> Session {
    let mut session = session(Mode::Both, Offer::default());
    feed(&mut session, Event::Connected);
    let actions = feed(&mut session, Event::Accepted);
    assert!(actions.contains(&Action::Accept) && says_open(&actions, Way::In));
    feed(&mut session, Event::Received(first, open(identifier)));
    assert_eq!((session.state(), session.way()), (State::OpenConfirm, first));
    session
}

#[test]
fn of_two_connections_the_one_of_the_higher_identifier_stays_whichever_was_first() {
    for first in Way::ALL {
        for (identifier, stays) in [(OUR_ID - 1, Way::Out), (OUR_ID + 1, Way::In)] {
            let mut session = collided(first, identifier);
            let second = if first == Way::Out { Way::In } else { Way::Out };
            let actions = feed(&mut session, Event::Received(second, open(identifier)));
            let goes = if stays == Way::Out { Way::In } else { Way::Out };
            assert_eq!(told(&actions, goes), Some(Code(6, 7)), "{first:?} {identifier}");
            assert!(actions.contains(&Action::Close(goes)) && !actions.contains(&Action::Close(stays)));
            assert_eq!((session.state(), session.way()), (State::OpenConfirm, stays));
            feed(&mut session, Event::Lost(goes));
            let up = feed(&mut session, Event::Received(stays, Received::Keepalive));
            assert!(up.iter().any(|action| matches!(action, Action::Up(_))));
        }
    }
}

#[test]
fn a_connection_that_the_neighbor_gives_up_leaves_the_other_one() {
    let mut session = collided(Way::Out, OUR_ID + 1);
    let cease = Received::Notification(Notification::new(notification::COLLISION));
    feed(&mut session, Event::Received(Way::Out, cease));
    assert_eq!((session.state(), session.way()), (State::OpenSent, Way::In));
    feed(&mut session, Event::Received(Way::In, open(OUR_ID + 1)));
    feed(&mut session, Event::Received(Way::In, Received::Keepalive));
    assert_eq!(session.state(), State::Established);
}

#[test]
fn a_session_that_stands_is_not_given_up_for_a_new_connection() {
    let mut session = collided(Way::Out, OUR_ID + 1);
    feed(&mut session, Event::Received(Way::Out, Received::Keepalive));
    let actions = feed(&mut session, Event::Received(Way::In, open(OUR_ID + 1)));
    assert_eq!(told(&actions, Way::In), Some(Code(6, 7)));
    assert_eq!((session.state(), session.way()), (State::Established, Way::Out));
}

#[test]
fn a_neighbor_that_restarts_gracefully_replaces_its_old_connection() {
    let mut session = session(Mode::Both, Offer { graceful_restart: Some(60), ..Offer::default() });
    let restarts = || {
        let offer = Offer { graceful_restart: Some(60), ..Offer::default() };
        let identifier = Ipv4Addr::new(10, 0, 0, 1);
        let local = Local { asn: 65000, identifier, hold_time: 90, neighbor_asn: 65010, offer };
        Received::Open(local.open(false, true))
    };
    feed(&mut session, Event::Connected);
    feed(&mut session, Event::Received(Way::Out, restarts()));
    feed(&mut session, Event::Received(Way::Out, Received::Keepalive));
    feed(&mut session, Event::Accepted);
    let actions = feed(&mut session, Event::Received(Way::In, restarts()));
    assert!(actions.contains(&Action::Down) && actions.contains(&Action::Close(Way::Out)));
    assert_eq!(told(&actions, Way::Out), None, "RFC 4724 section 4.2: without a NOTIFICATION");
    feed(&mut session, Event::Received(Way::In, Received::Keepalive));
    assert_eq!((session.state(), session.way()), (State::Established, Way::In));
    let cease = feed(&mut session, Event::Stop { code: Code(6, 2), text: "bye".to_owned() });
    let Some(Action::Send(_, bytes)) = cease.first() else { panic!("{cease:?}") };
    let Ok(Message::Notification(hard)) = decode(bytes) else { panic!("{cease:?}") };
    assert_eq!((hard.code, &hard.data[..2], hard.text()), (Code(6, 9), &[6, 2][..], Some("bye")));
}

#[test]
fn who_is_passive_waits_for_ever_and_speaks_as_soon_as_somebody_comes() {
    let mut session = session(Mode::Passive, Offer::default());
    assert_eq!((session.state(), session.next_deadline()), (State::Active, None));
    let actions = feed(&mut session, Event::Accepted);
    assert!(says_open(&actions, Way::In));
    feed(&mut session, Event::Received(Way::In, open(1)));
    feed(&mut session, Event::Received(Way::In, Received::Keepalive));
    assert_eq!(session.state(), State::Established);
}

#[test]
fn who_comes_during_a_pause_is_heard_when_it_is_over() {
    let mut session = session(Mode::Both, Offer::default());
    feed(&mut session, Event::Connected);
    feed(&mut session, Event::Lost(Way::Out));
    assert_eq!(session.state(), State::Idle);
    assert_eq!(feed(&mut session, Event::Accepted), [Action::Accept]);
    assert_eq!(feed(&mut session, Event::Received(Way::In, open(1))), []);
    let actions = feed_at(&mut session, Event::Tick, 300);
    assert!(says_open(&actions, Way::In) && !actions.contains(&Action::Connect));
    assert_eq!((session.state(), session.way()), (State::OpenConfirm, Way::In));
}

#[test]
fn nobody_is_accepted_who_was_not_asked_for() {
    for mut session in [session(Mode::Active, Offer::default()), {
        let mut stopped = session(Mode::Both, Offer::default());
        feed(&mut stopped, Event::Stop { code: Code(6, 2), text: String::new() });
        stopped
    }] {
        assert!(matches!(&feed(&mut session, Event::Accepted)[..], [Action::Refuse(_)]));
    }
}

#[test]
fn a_neighbor_that_knows_no_optional_parameters_gets_an_open_without_any() {
    let mut session = session(Mode::Active, Offer::default());
    feed(&mut session, Event::Connected);
    let unknown = Received::Notification(Notification::new(notification::UNSUPPORTED_PARAMETER));
    feed(&mut session, Event::Received(Way::Out, unknown.clone()));
    feed_at(&mut session, Event::Tick, 300);
    let actions = feed_at(&mut session, Event::Connected, 300);
    let Some(Action::Send(_, bytes)) = actions.first() else { panic!("{actions:?}") };
    let Ok(Message::Open(ours)) = decode(bytes) else { panic!("no OPEN") };
    assert_eq!(ours.capabilities, []);
    feed_at(&mut session, Event::Received(Way::Out, open(1)), 300);
    let negotiated = session.negotiated().unwrap();
    assert_eq!((negotiated.families, negotiated.four_octet), ([true, false], false));
    feed_at(&mut session, Event::Received(Way::Out, unknown), 300);
    feed_at(&mut session, Event::Tick, 1000);
    let actions = feed_at(&mut session, Event::Connected, 1000);
    assert!(matches!(&actions[0], Action::Send(_, bytes) if bytes.len() > 29), "with capabilities again");
}
