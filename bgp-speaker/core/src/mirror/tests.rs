use super::*;
use crate::wire::attribute::PathAttributes;
use crate::wire::prefix::Family;
use crate::wire::update;
use crate::wire::validate::Sender;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::Ipv4Addr;

const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3));
const STUCK_AFTER: Duration = Duration::from_secs(5);

struct Rig(Mirror, Time);

impl Rig {
    fn new() -> Self {
        let mut rig = Self(Mirror::new([VIP].into_iter(), STUCK_AFTER), Time::from_millis(1000));
        rig.on(Event::Up);
        rig.stands(true);
        rig
    }

    fn on(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.0.on(event, self.1, &mut actions);
        self.0.check_invariants();
        actions
    }

    fn shows(&mut self, next_hop: Option<IpAddr>) -> Vec<Action> {
        let path = next_hop.map(|next_hop| Path { next_hop, own: next_hop == OWN });
        self.on(Event::Shown { vip: VIP, path })
    }

    fn stands(&mut self, announced: bool) -> Vec<Action> {
        let since = self.1;
        self.on(Event::Stands { vip: VIP, announced, since })
    }

    fn wait(&mut self, ms: u64) -> Vec<Action> {
        self.1 += Duration::from_millis(ms);
        self.on(Event::Tick)
    }
}

#[test]
fn the_time_until_a_withdraw_is_true_is_told_once_by_another_path_or_when_there_is_none_for_long() {
    let withdrawn = || {
        let mut rig = Rig::new();
        assert_eq!((rig.shows(Some(OWN)), rig.stands(false), rig.wait(70)), (vec![], vec![], vec![]));
        rig
    };
    let mut rig = withdrawn();
    let after = Duration::from_millis(70);
    assert_eq!(rig.shows(Some(OTHER)), [Action::Gone { vip: VIP, after, by: Some(OTHER) }]);
    assert_eq!((rig.shows(Some(OTHER)), rig.0.next_deadline()), (vec![], None));
    let mut rig = withdrawn();
    assert_eq!((rig.shows(None), rig.shows(None), rig.wait(4929)), (vec![], vec![], vec![]));
    assert_eq!(rig.wait(1), [Action::Gone { vip: VIP, after, by: None }]);
    assert_eq!((rig.shows(None), rig.0.next_deadline()), (vec![], None));
}

#[test]
fn no_path_may_be_the_own_one_by_this_very_session_and_confirms_nothing_before_another_one_is_shown() {
    let mut rig = Rig::new();
    rig.shows(Some(OWN));
    rig.stands(false);
    rig.wait(20);
    assert_eq!(rig.shows(None), []);
    rig.wait(50);
    let after = Duration::from_millis(70);
    assert_eq!(rig.shows(Some(OTHER)), [Action::Gone { vip: VIP, after, by: Some(OTHER) }]);
    assert_eq!(rig.wait(60_000), []);
    // It comes back, and stays.
    for again in [Event::Lost, Event::Stands { vip: VIP, announced: true, since: Time::ZERO }] {
        let mut rig = Rig::new();
        rig.shows(Some(OWN));
        rig.stands(false);
        rig.shows(None);
        rig.wait(20);
        assert_eq!(rig.shows(Some(OWN)), []);
        assert_eq!(rig.wait(5000), [Action::Stuck { vip: VIP, stuck: true }]);
        rig.on(again);
        assert_eq!((rig.shows(None), rig.wait(60_000)), (vec![], vec![]), "nothing is waited for");
    }
}

#[test]
fn a_reflector_that_shows_nothing_back_confirms_with_another_nodes_path() {
    let mut rig = Rig::new();
    rig.stands(false);
    rig.wait(61);
    let after = Duration::from_millis(61);
    assert_eq!(rig.shows(Some(OTHER)), [Action::Gone { vip: VIP, after, by: Some(OTHER) }]);
    // The second choice goes away unseen: there is nothing to be confirmed.
    let mut rig = Rig::new();
    rig.shows(Some(OTHER));
    rig.stands(false);
    assert_eq!(rig.shows(None), []);
}

#[test]
fn a_route_that_stays_is_stuck_until_it_is_gone_or_announced_again() {
    let mut rig = Rig::new();
    rig.shows(Some(OWN));
    rig.stands(false);
    assert_eq!(rig.0.next_deadline(), Some(rig.1 + STUCK_AFTER));
    assert_eq!(rig.wait(4999), []);
    assert_eq!(rig.wait(1), [Action::Stuck { vip: VIP, stuck: true }]);
    assert_eq!((rig.wait(60_000), rig.0.next_deadline()), (vec![], None));
    assert_eq!(rig.stands(true), [Action::Stuck { vip: VIP, stuck: false }]);
    rig.stands(false);
    rig.wait(5000);
    let [Action::Gone { after, .. }, Action::Stuck { stuck: false, .. }] = rig.shows(None)[..] else {
        panic!()
    };
    assert_eq!(after, STUCK_AFTER);
    // One that comes up out of nowhere, long after.
    rig.wait(1000);
    rig.shows(Some(OWN));
    assert_eq!(rig.wait(5000), [Action::Stuck { vip: VIP, stuck: true }]);
    assert_eq!(rig.on(Event::Lost), [Action::Stuck { vip: VIP, stuck: false }]);
}

#[test]
fn what_nobody_shows_is_waited_for_while_the_session_stands_and_not_for_ever() {
    // Nothing is shown, and nothing comes.
    let mut rig = Rig::new();
    rig.stands(false);
    rig.wait(5000);
    assert_eq!(rig.0.next_deadline(), None);
    rig.wait(60_000);
    assert_eq!(rig.shows(Some(OTHER)), [], "another path, a minute later, says nothing about the withdraw");
    // Withdrawn while nobody shows anything: the next session says nothing about when it was true.
    let mut rig = Rig::new();
    rig.on(Event::Lost);
    rig.stands(false);
    rig.wait(100);
    rig.on(Event::Up);
    assert_eq!(rig.shows(Some(OTHER)), []);
    // Read before the session was lost, and told after.
    rig.on(Event::Lost);
    assert_eq!(rig.shows(Some(OWN)), []);
    assert_eq!((rig.0.shown().count(), rig.wait(60_000)), (0, vec![]));
}

#[test]
fn an_update_is_read_for_the_own_vips_alone_whatever_its_as_path_says() {
    let vips: Vec<IpAddr> = ["203.0.113.1", "2001:db8::1"].map(|vip| vip.parse().unwrap()).into();
    let next_hops = [OWN].into();
    let local = Some("fd00::2".parse().unwrap());
    let own = Own { next_hops, local, identifier: Some([10, 9, 9, 9].into()) };
    let read = |message: &[u8]| {
        let mut seen = Vec::new();
        let sender = Sender { four_octet: true, inside: true };
        super::read(message, sender, &own, |vip| vips.contains(&vip), |vip, path| seen.push((vip, path)));
        seen
    };
    let route = |next_hop: IpAddr| PathAttributes {
        as_path: vec![65000, 65010],
        next_hop,
        med: None,
        local_pref: Some(100),
        communities: vec![],
        large_communities: vec![],
        extended_communities: vec![],
    };
    let nets = ["198.51.100.1/32", "203.0.113.1/32", "203.0.113.0/24"].map(|net| net.parse().unwrap());
    let shown = |next_hop, own| Some(Path { next_hop, own });
    assert_eq!(read(&update::announce(&route(OWN), &nets, true)[0]), [(vips[0], shown(OWN, true))]);
    let message = update::announce(&route(OTHER), &nets, true).remove(0);
    assert_eq!(read(&message), [(vips[0], shown(OTHER, false))]);
    let six = ["2001:db8::1/128".parse().unwrap()];
    let hop = "fd00::2".parse().unwrap();
    assert_eq!(read(&update::announce(&route(hop), &six, true)[0]), [(vips[1], shown(hop, true))]);
    assert_eq!(read(&update::withdraw(Family::Ipv4, &nets)[0]), [(vips[0], None)]);
    assert_eq!(read(&update::withdraw(Family::Ipv6, &six)[0]), [(vips[1], None)]);
    // A reflector says whose path it was first: optional, type 9.
    let mut reflected = message;
    let at = 19 + 2 + 2;
    reflected.splice(at..at, [0x80, 9, 4, 10, 9, 9, 9]);
    for place in [16, 21] {
        let length = u16::from_be_bytes([reflected[place], reflected[place + 1]]) + 7;
        reflected[place..place + 2].copy_from_slice(&length.to_be_bytes());
    }
    assert_eq!(read(&reflected), [(vips[0], shown(OTHER, true))]);
    assert_eq!(read(&crate::wire::keepalive()), []);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_events_keep_the_promises(steps in vec((0..7_u8, 0..4000_u64), 1..80)) {
        let mut rig = Rig::new();
        let (mut told, mut may_go) = (0, false);
        for (what, pause) in steps {
            let passed = rig.wait(pause);
            let happened = match what {
                0 => rig.shows(Some(OWN)),
                1 => rig.shows(Some(OTHER)),
                2 => rig.shows(None),
                3 => rig.on(Event::Lost),
                6 => rig.on(Event::Up),
                _ => rig.stands(what == 4),
            };
            for (actions, withdrawn_or_shown) in [(passed, false), (happened, what == 0 || what == 5)] {
                may_go |= withdrawn_or_shown;
                for action in actions {
                    match action {
                        Action::Gone { .. } => prop_assert!(std::mem::take(&mut may_go), "once for each"),
                        Action::Stuck { stuck, .. } => told += if stuck { 1 } else { -1 },
                    }
                }
                prop_assert!((0..=1).contains(&told), "once, and once that it is over");
            }
        }
    }
}
