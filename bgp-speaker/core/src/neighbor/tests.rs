use super::*;
use crate::config::{self, plan::Place};
use crate::fsm::negotiate::Local;
use crate::wire::attribute::Value;
use crate::wire::prefix::Family;
use crate::wire::validate::Summary;
use crate::wire::{Message, Notification, Open, RouteRefresh, decode};
use base_core::diagnose::Source;
use std::time::Duration;

const CONFIG: &str = r#"
    [bgp]
    asn = 65010
    router_id = "10.0.0.2"
    [[neighbor]]
    address = "10.0.0.1"
    asn = 65000
    [[vip]]
    address = "203.0.113.1"
    med = 100
    communities = ["65010:7"]
    [[vip]]
    address = "203.0.113.2"
    med = 200
"#;

struct Rig {
    machine: Neighbor,
    now: Time,
    actions: Vec<Action>,
}

impl Rig {
    fn new(neighbor_asn: u32) -> Self {
        let mut config = config::parse(&Source::new("bgp.toml", CONFIG)).unwrap();
        config.neighbors[0].asn = neighbor_asn;
        let local = Local {
            asn: 65010,
            identifier: config.bgp.router_id,
            hold_time: 9,
            neighbor_asn,
            offer: Default::default(),
        };
        let settings = Settings {
            local,
            mode: fsm::Mode::Active,
            retry_max: Duration::from_secs(10),
            max_prefixes: None,
            seed: 1,
        };
        let soak = config.back.session();
        let machine = Neighbor::new(config.neighbors[0].clone(), config.vips.into(), settings, soak);
        Self { machine, now: Time::from_millis(300), actions: Vec::new() }
    }

    fn established(neighbor_asn: u32) -> Self {
        let mut rig = Self::new(neighbor_asn);
        rig.establish(neighbor_asn);
        rig
    }

    fn establish(&mut self, asn: u32) {
        self.establish_with(Open::ours(asn, 9, [10, 0, 0, 1].into()));
    }

    fn establish_with(&mut self, open: Open) {
        self.session(fsm::Event::Start);
        self.session(fsm::Event::Tick);
        self.feed(Event::Connected { way: Way::Out, local: [10, 0, 0, 2].into() });
        self.session(fsm::Event::Received(Way::Out, Received::Open(open)));
        self.session(fsm::Event::Received(Way::Out, Received::Keepalive));
    }

    fn session(&mut self, event: fsm::Event) {
        self.feed(Event::Session(event));
    }

    fn feed(&mut self, event: Event) {
        self.machine.on(event, self.now, &mut self.actions);
        self.machine.check_invariants();
    }

    /// Goes to the next deadline.
    fn wait(&mut self) {
        self.now = self.machine.next_deadline().unwrap().max(self.now);
        self.session(fsm::Event::Tick);
    }

    fn decide(&mut self, one: Standing, two: Standing) {
        let decision = |standing| Decision { standing, reason: Reason::Ready, since: Time::ZERO };
        let standings = [("203.0.113.1", one), ("203.0.113.2", two)];
        let standings = standings.map(|(vip, standing)| (vip.parse().unwrap(), decision(standing)));
        self.feed(Event::Decided(Arc::new(standings.into())));
    }

    /// One word for each message since the last call.
    fn sent(&mut self) -> Vec<String> {
        let actions = std::mem::take(&mut self.actions);
        let bytes = actions.into_iter().filter_map(|action| match action {
            Action::Send(_, bytes) => Some(bytes),
            _ => None,
        });
        bytes.map(|bytes| describe(&bytes)).collect()
    }
}

fn describe(bytes: &[u8]) -> String {
    let update = match decode(bytes).unwrap() {
        Message::Update(update) => update,
        Message::Notification(notification) => return notification.to_string(),
        Message::Open(_) => return "open".to_owned(),
        Message::Keepalive => return "keepalive".to_owned(),
        Message::RouteRefresh(_) => return "refresh".to_owned(),
    };
    let mut words = Vec::new();
    words.extend(update.withdrawn().map(|net| format!("-{}", net.unwrap().addr())));
    words.extend(update.nlri().map(|net| format!("+{}", net.unwrap().addr())));
    for attribute in update.attributes() {
        match attribute.unwrap().value(true).unwrap() {
            Value::Med(med) => words.push(format!("med {med}")),
            Value::LocalPref(local_pref) => words.push(format!("pref {local_pref}")),
            Value::Communities(bytes) => words.push(format!("communities {bytes:02x?}")),
            Value::AsPath(path) => words.push(format!("path {:?}", path.numbers())),
            Value::NextHop(hop) => words.push(format!("via {hop}")),
            Value::MpUnreach(_) => words.push("end of IPv6".to_owned()),
            _ => {}
        }
    }
    words.join(" ")
}

#[test]
fn nothing_is_announced_before_the_gate_has_decided() {
    let mut rig = Rig::established(65000);
    assert_eq!(rig.sent(), ["open", "keepalive"]);
    rig.decide(Standing::Withdrawn, Standing::Withdrawn);
    assert_eq!(rig.sent(), ["", "end of IPv6"], "End-of-RIB, as there is nothing to announce");
    rig.decide(Standing::Announced, Standing::Withdrawn);
    let sent = "+203.0.113.1 path [65010] via 10.0.0.2 med 100 communities [fd, f2, 00, 07]";
    assert_eq!(rig.sent(), [sent]);
}

#[test]
fn a_worsened_vip_has_the_worst_metric_and_graceful_shutdown() {
    let mut rig = Rig::established(65000);
    rig.decide(Standing::Withdrawn, Standing::Announced);
    rig.sent();
    rig.decide(Standing::Withdrawn, Standing::Worsened);
    let sent = "+203.0.113.2 path [65010] via 10.0.0.2 med 4294967294 communities [ff, ff, 00, 00]";
    assert_eq!(rig.sent(), [sent]);
}

#[test]
fn inside_the_own_as_local_preference_goes_along_and_falls_to_zero() {
    let mut rig = Rig::established(65010);
    rig.decide(Standing::Withdrawn, Standing::Announced);
    assert_eq!(rig.sent()[2], "+203.0.113.2 path [] via 10.0.0.2 med 200 pref 100");
    rig.decide(Standing::Withdrawn, Standing::Worsened);
    assert_eq!(
        rig.sent(),
        ["+203.0.113.2 path [] via 10.0.0.2 med 4294967294 pref 0 communities [ff, ff, 00, 00]"]
    );
}

#[test]
fn a_neighbor_that_does_not_read_gets_only_the_last_wish() {
    let mut rig = Rig::established(65000);
    rig.decide(Standing::Announced, Standing::Announced);
    rig.sent();
    rig.session(fsm::Event::Blocked(Way::Out));
    rig.decide(Standing::Worsened, Standing::Withdrawn);
    rig.decide(Standing::Announced, Standing::Announced);
    rig.decide(Standing::Withdrawn, Standing::Announced);
    assert!(rig.sent().is_empty());
    rig.session(fsm::Event::Drained(Way::Out));
    assert_eq!(rig.sent(), ["-203.0.113.1"]);
}

#[test]
fn a_new_session_and_a_refresh_get_everything_again() {
    let mut rig = Rig::established(65000);
    rig.decide(Standing::Announced, Standing::Announced);
    let first = rig.sent();
    assert_eq!(first.len(), 6, "{first:?}");
    rig.session(fsm::Event::Received(
        Way::Out,
        Received::RouteRefresh(RouteRefresh { family: Some(Family::Ipv4), subtype: 0 }),
    ));
    assert_eq!(rig.sent(), first[2..4]);
    rig.session(fsm::Event::Received(
        Way::Out,
        Received::Notification(Notification::cease(notification::ADMINISTRATIVE_RESET, "")),
    ));
    rig.wait();
    rig.establish(65000);
    assert_eq!(rig.sent(), first);
}

#[test]
fn after_a_lost_session_all_is_the_last_choice_for_a_second_then_as_it_was() {
    let bfd = Received::Bad(Notification::new(notification::BFD_DOWN));
    for lost in [fsm::Event::Lost(Way::Out), fsm::Event::Received(Way::Out, bfd), fsm::Event::Tick] {
        let mut rig = Rig::established(65000);
        rig.decide(Standing::Announced, Standing::Worsened);
        rig.sent();
        rig.now += Duration::from_secs(9);
        rig.session(lost);
        rig.wait();
        rig.sent();
        rig.establish(65000);
        let sent = rig.sent();
        let one = |med: u32| {
            format!("+203.0.113.1 path [65010] via 10.0.0.2 med {med} communities [fd, f2, 00, 07]")
        };
        let two = "+203.0.113.2 path [65010] via 10.0.0.2 med 4294967294 communities [ff, ff, 00, 00]";
        assert_eq!(sent[2..4], [one(u32::MAX - 1), two.to_owned()], "it serves, and without a goodbye");
        rig.decide(Standing::Withdrawn, Standing::Worsened);
        assert_eq!(rig.sent(), ["-203.0.113.1"], "the way down is never slow");
        rig.decide(Standing::Announced, Standing::Worsened);
        assert_eq!(rig.sent(), [one(u32::MAX - 1)]);
        let back = rig.now;
        rig.wait();
        assert_eq!(rig.now.since(back), Duration::from_secs(1));
        assert_eq!(rig.sent(), [one(100)], "and only what changed");
    }
}

#[test]
fn a_lower_place_in_the_plan_is_less_preferred_inside_and_has_a_longer_path_where_asked_for() {
    let place = Place { position: 2, nodes: 3 };
    let sent = |asn, prepend, standing| {
        let mut rig = Rig::new(asn);
        let mut vips = rig.machine.vips.to_vec();
        (vips[1].place, vips[1].med) = (place, place.med());
        rig.machine.vips = vips.into();
        rig.machine.config.prepend = prepend;
        rig.establish(asn);
        rig.decide(Standing::Withdrawn, standing);
        rig.sent()[2].clone()
    };
    assert_eq!(sent(65010, false, Standing::Announced), "+203.0.113.2 path [] via 10.0.0.2 med 300 pref 98");
    assert_eq!(sent(65000, false, Standing::Announced), "+203.0.113.2 path [65010] via 10.0.0.2 med 300");
    let path = "path [65010, 65010, 65010]";
    assert_eq!(sent(65000, true, Standing::Announced), format!("+203.0.113.2 {path} via 10.0.0.2 med 300"));
    let path = "path [65010, 65010, 65010, 65010]";
    let last = format!("+203.0.113.2 {path} via 10.0.0.2 med 4294967294");
    assert_eq!(sent(65000, true, Standing::Backup), last, "behind every place");
}

#[test]
fn inside_the_own_as_a_backup_is_the_last_choice_by_local_preference() {
    let mut rig = Rig::established(65010);
    rig.decide(Standing::Withdrawn, Standing::Backup);
    assert_eq!(rig.sent()[2], "+203.0.113.2 path [] via 10.0.0.2 med 4294967294 pref 0");
}

#[test]
fn each_change_is_told_once_and_a_late_session_is_not_blamed_on_the_speaker() {
    let mut rig = Rig::new(65000);
    rig.decide(Standing::Announced, Standing::Withdrawn);
    rig.establish(65000);
    let told = |rig: &mut Rig| -> Vec<_> {
        let actions = std::mem::take(&mut rig.actions);
        actions.into_iter().filter(|action| matches!(action, Action::Told { .. })).collect()
    };
    let vip = "203.0.113.1".parse().unwrap();
    let since = Time::from_millis(300);
    let decision = Decision { standing: Standing::Announced, reason: Reason::Ready, since };
    assert_eq!(told(&mut rig), [Action::Told { vip, decision }]);
    rig.decide(Standing::Announced, Standing::Withdrawn);
    assert_eq!(told(&mut rig), []);
}

#[test]
fn a_neighbor_is_not_said_to_be_told_what_it_cannot_hear() {
    let mut rig = Rig::new(65000);
    let mut open = Open::ours(65000, 9, [10, 0, 0, 1].into());
    open.capabilities.remove(0);
    rig.establish_with(open);
    rig.decide(Standing::Announced, Standing::Announced);
    rig.decide(Standing::Withdrawn, Standing::Announced);
    assert!(!rig.actions.iter().any(|action| matches!(action, Action::Told { .. })), "it speaks IPv6 only");
    assert_eq!(rig.sent().last().map(String::as_str), Some("end of IPv6"));
}

#[test]
fn the_end_withdraws_everything_before_it_says_goodbye() {
    let mut rig = Rig::established(65000);
    rig.decide(Standing::Announced, Standing::Announced);
    rig.sent();
    rig.session(fsm::Event::Stop {
        code: notification::ADMINISTRATIVE_SHUTDOWN,
        text: "gw1 ends".to_owned(),
    });
    assert_eq!(rig.sent(), ["-203.0.113.1 -203.0.113.2", "6/2 administrative shutdown: gw1 ends"]);
}

fn path(from: bfd::State, to: bfd::State, failed: bool) -> Event {
    let diagnostic = bfd::Diagnostic::EXPIRED;
    Event::Bfd(bfd::Change { from, to, diagnostic, remote: bfd::State::Up, failed })
}

#[test]
fn a_path_that_bfd_lost_ends_the_session_and_everything_is_forgotten() {
    let mut rig = Rig::established(65000);
    rig.feed(path(bfd::State::Init, bfd::State::Up, false));
    rig.decide(Standing::Announced, Standing::Announced);
    rig.sent();
    rig.feed(path(bfd::State::Up, bfd::State::Down, true));
    let closed = rig.actions.iter().any(|action| matches!(action, Action::Close(_)));
    assert!(closed && rig.machine.held() == 0 && rig.machine.session().state() == State::Idle);
    assert_eq!(rig.sent(), ["6/10 BFD down"]);
    rig.feed(path(bfd::State::Init, bfd::State::Up, false));
    let soon = Time::from_millis(300) + fsm::FIRST_RETRY;
    assert!(rig.machine.next_deadline().is_some_and(|deadline| deadline <= soon), "tried again soon");
}

#[test]
fn bfd_that_is_not_up_or_was_taken_down_hinders_no_session() {
    let mut rig = Rig::established(65000);
    rig.feed(path(bfd::State::Down, bfd::State::Init, false));
    rig.feed(path(bfd::State::Init, bfd::State::Down, false));
    rig.feed(path(bfd::State::Up, bfd::State::Down, false));
    assert_eq!(rig.machine.session().state(), State::Established);
}

#[test]
fn another_process_goes_on_with_a_session_and_sends_only_what_is_new() {
    let mut rig = Rig::established(65000);
    rig.decide(Standing::Announced, Standing::Announced);
    let deadline = rig.machine.next_deadline();
    let saved = rig.machine.save().expect("a session that stands");
    let fresh = Rig::new(65000).machine;
    let (settings, soak) =
        (fresh.session.settings().clone(), soak::Settings { soak: Duration::ZERO, hold_down: None });
    rig.machine = fresh.resume(saved, settings, soak);
    assert_eq!(rig.machine.next_deadline(), deadline, "its timers go on");
    rig.actions.clear();
    rig.decide(Standing::Announced, Standing::Announced);
    assert_eq!(rig.sent(), Vec::<String>::new(), "the neighbor has it all");
    rig.decide(Standing::Withdrawn, Standing::Announced);
    assert_eq!(rig.sent(), ["-203.0.113.1"]);
    assert!(Rig::new(65000).machine.save().is_none(), "no session, nothing to go on with");
}

#[test]
fn what_a_neighbor_is_asked_for_again_counts_once() {
    let mut rig = Rig::new(65000);
    let settings = Settings { max_prefixes: Some(100), ..rig.machine.session.settings().clone() };
    let soak = soak::Settings { soak: Duration::ZERO, hold_down: None };
    rig.machine.session = Session::new(settings.clone());
    rig.establish(65000);
    let announce = |rig: &mut Rig| {
        let summary = Summary { announced: 60, withdrawn: 0, fault: None };
        rig.session(fsm::Event::Received(Way::Out, Received::Update(summary)));
    };
    announce(&mut rig);
    let saved = rig.machine.save().expect("a session that stands");
    rig.machine = Rig::new(65000).machine.resume(saved, settings, soak);
    rig.sent();
    rig.feed(Event::AskAgain);
    assert_eq!(rig.sent(), ["refresh"; 2], "of both families");
    announce(&mut rig);
    assert_eq!(rig.machine.session().state(), State::Established);
    announce(&mut rig);
    assert_eq!(rig.machine.session().state(), State::Idle, "unasked for, they count");
}
