//! Several nodes: the last that has a VIP keeps it, and no two drain one together.

use super::*;
use healthcheck_core::fleet::Node;
use std::collections::VecDeque;

const NAMES: [&str; 3] = ["gw1", "gw2", "gw3"];
/// How often each node says something, and hears the others.
pub(super) const EXCHANGE: u64 = 200;

/// Three nodes in one time, with a network between them.
pub(super) struct Cluster {
    pub(super) nodes: Vec<Rig>,
    /// What each has said, the newest last, with when.
    said: Vec<VecDeque<(u64, Vec<Row>)>>,
    /// Links that are cut, by the two ends, since when.
    pub(super) cut: BTreeMap<(usize, usize), u64>,
    /// Nodes whose gateways say nothing on the health stream, and go on exchanging.
    mute: BTreeSet<usize>,
    /// How old what is heard is.
    delay: u64,
    pub(super) now: u64,
}

impl Cluster {
    pub(super) fn new(delay: u64) -> Self {
        let mut cluster = Self {
            nodes: NAMES.iter().map(|_| Rig::ready(&[VIP, PROBED])).collect(),
            said: NAMES.iter().map(|_| VecDeque::new()).collect(),
            cut: BTreeMap::new(),
            mute: BTreeSet::new(),
            delay,
            now: 0,
        };
        (0..3).for_each(|node| cluster.probe(node, true));
        cluster.run(2000);
        cluster
    }

    /// The requests through the VIP are answered from now on, or are not.
    fn probe(&mut self, node: usize, served: bool) {
        for _ in 0..5 {
            self.nodes[node].feed(Event::Probed { subject: Subject::Vip(PROBED), served: Some(served) });
        }
    }

    pub(super) fn run(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.now += 10;
            for node in 0..3 {
                self.nodes[node].wait(10);
                let turn = self.now + 70 * node as u64;
                if turn.is_multiple_of(100) && !self.mute.contains(&node) && !self.nodes[node].open.is_empty()
                {
                    self.nodes[node].say(Reading::Ready);
                }
                if turn.is_multiple_of(EXCHANGE) {
                    let fleet = self.heard_by(node);
                    self.nodes[node].feed(Event::Fleet(Some(fleet)));
                }
                let rows = self.nodes[node].gate.rows();
                let said = &mut self.said[node];
                if said.back().is_none_or(|(_, last)| *last != rows) {
                    said.push_back((self.now, rows));
                }
                said.drain(..said.len().saturating_sub(200));
            }
            self.check();
        }
    }

    fn heard_by(&self, node: usize) -> Fleet {
        let peers = (0..3).filter(|other| *other != node).map(|other| {
            let cut = self.cut.get(&(node.min(other), node.max(other)));
            // What was said before the cut is still believed, until the silence is noticed.
            let until = cut.map_or(self.now, |since| (*since).min(self.now)).saturating_sub(self.delay);
            let heard = cut.is_none_or(|since| self.now < since + 1500);
            let said = self.said[other].iter().rev().find(|(at, _)| *at <= until);
            let vips = said.filter(|_| heard).map(|(_, rows)| rows.clone()).unwrap_or_default();
            Node { name: NAMES[other].to_owned(), heard, vips }
        });
        Fleet { node: NAMES[node].to_owned(), peers: peers.collect() }
    }

    pub(super) fn drain(&mut self, node: usize, number: u64, forced: bool) {
        self.nodes[node].feed(Event::Operator(Command::Order {
            kind: Kind::Drain,
            vips: vec![VIP],
            lasts: Duration::from_secs(30),
            reason: "".into(),
            forced,
            number,
        }));
    }

    /// The gateway dies at once and not for long, or a new one is there.
    pub(super) fn gateway(&mut self, node: usize, lives: bool) {
        if lives {
            self.mute.remove(&node);
        } else if self.mute.insert(node)
            && let Some(stream) = self.nodes[node].open.first().copied()
        {
            self.nodes[node].close(stream);
        }
    }

    pub(super) fn release(&mut self, node: usize) {
        self.nodes[node].feed(Event::Operator(Command::Release { vips: vec![VIP] }));
    }

    pub(super) fn drains(&self, node: usize) -> bool {
        let order = self.nodes[node].orders.get(&VIP).and_then(Option::as_ref);
        order.is_some_and(|order| order.kind == Kind::Drain && !order.forced)
    }

    fn check(&self) {
        let drain: Vec<_> = (0..3).filter(|node| self.drains(*node)).collect();
        assert!(drain.len() <= 1, "at {} ms: {drain:?} drain together", self.now);
    }

    pub(super) fn announced(&self, vip: IpAddr) -> usize {
        self.nodes.iter().filter(|rig| rig.stands(vip).0 != Standing::Withdrawn).count()
    }
}

/// The other node cannot be heard.
fn alone() -> Fleet {
    Fleet { node: "gw1".into(), peers: vec![Node { name: "gw2".into(), heard: false, vips: vec![] }] }
}

#[test]
fn the_last_node_that_has_a_vip_keeps_it_as_the_last_choice_until_another_has_it_again() {
    let mut cluster = Cluster::new(20);
    cluster.probe(0, false);
    assert_eq!(cluster.nodes[0].stands(PROBED), (Standing::Withdrawn, Reason::ProbeFailed), "others have it");
    cluster.probe(1, false);
    cluster.run(1000);
    assert_eq!(cluster.nodes[1].stands(PROBED), (Standing::Withdrawn, Reason::ProbeFailed));
    cluster.probe(2, false);
    assert_eq!(
        cluster.nodes[2].stands(PROBED),
        (Standing::Worsened, Reason::Last),
        "at once: it is never gone"
    );
    cluster.run(1000);
    let stand: Vec<_> = cluster.nodes.iter().map(|rig| rig.stands(PROBED)).collect();
    assert_eq!(stand, [(Standing::Worsened, Reason::Last); 3], "who has lost it to the others helps");
    cluster.probe(0, true);
    cluster.run(1000);
    assert_eq!(cluster.nodes[0].stands(PROBED), (Standing::Announced, Reason::Ready));
    assert_eq!(cluster.nodes[2].stands(PROBED), (Standing::Withdrawn, Reason::ProbeFailed));
}

#[test]
fn what_no_router_hears_of_is_not_announced_for_the_others() {
    let mut cluster = Cluster::new(20);
    let has = |cluster: &Cluster| cluster.nodes[1].gate.rows().iter().map(|row| row.has).collect::<Vec<_>>();
    assert_eq!(has(&cluster), [Has::Announced; 2]);
    // gw2 has lost its routers, gw3 has failed: gw1 is the last whom clients can reach.
    cluster.nodes[1].feed(Event::Reached([false, true]));
    assert_eq!(has(&cluster), [Has::Withdrawn; 2], "both are of IPv4");
    cluster.probe(2, false);
    cluster.run(1000);
    cluster.probe(0, false);
    assert_eq!(cluster.nodes[0].stands(PROBED), (Standing::Worsened, Reason::Last));
    assert_eq!(cluster.nodes[1].stands(PROBED), (Standing::Announced, Reason::Ready), "it goes on trying");
    cluster.nodes[1].feed(Event::Reached([true, true]));
    cluster.run(1000);
    assert_eq!(cluster.nodes[0].stands(PROBED), (Standing::Withdrawn, Reason::ProbeFailed));
}

#[test]
fn all_nodes_that_fail_in_the_same_moment_have_it_again_within_two_exchanges() {
    let mut cluster = Cluster::new(20);
    (0..3).for_each(|node| cluster.probe(node, false));
    assert_eq!(cluster.announced(PROBED), 0, "each thinks that the others have it");
    cluster.run(2 * EXCHANGE + 40);
    assert_eq!(cluster.announced(PROBED), 3);
}

#[test]
fn what_is_kept_ends_with_its_gateway_and_after_its_time() {
    let mut cluster = Cluster::new(20);
    (0..3).for_each(|node| cluster.probe(node, false));
    cluster.run(1000);
    let stream = cluster.nodes[0].open[0];
    cluster.nodes[0].close(stream);
    assert_eq!(cluster.nodes[0].stands(PROBED), (Standing::Withdrawn, Reason::Closed));
    cluster.run(58_000);
    assert_eq!(cluster.nodes[1].stands(PROBED), (Standing::Worsened, Reason::Last));
    cluster.run(2_000);
    assert_eq!(cluster.nodes[1].stands(PROBED), (Standing::Withdrawn, Reason::ProbeFailed));
}

#[test]
fn what_never_was_well_is_not_kept_and_without_others_nothing_is() {
    let mut rig = Rig::unwell(&[PROBED]);
    rig.feed(Event::Fleet(Some(alone())));
    assert_eq!(rig.stands(PROBED), (Standing::Withdrawn, Reason::ProbeFailed));
    let mut rig = Rig::ready(&[VIP]);
    rig.feed(Event::Fleet(None));
    rig.feed(Event::Disabled(true));
    rig.beat(Reading::Ready, 2000);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Disabled));
}

#[test]
fn a_gateway_that_cannot_serve_is_not_kept_whoever_sends_its_node_away() {
    let mut rig = Rig::ready(&[VIP]);
    rig.feed(Event::Fleet(Some(alone())));
    rig.say(Reading::NotReady);
    rig.feed(Event::Disabled(true));
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Disabled));
    rig.say(Reading::Ready);
    assert_eq!(rig.stands(VIP), (Standing::Worsened, Reason::Last));
    rig.say(Reading::NotReady);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Disabled));
}

#[test]
fn a_node_that_hears_nobody_any_more_keeps_what_it_has() {
    let mut cluster = Cluster::new(20);
    cluster.cut = [((0, 1), cluster.now), ((0, 2), cluster.now)].into();
    cluster.run(2000);
    cluster.probe(0, false);
    assert_eq!(cluster.nodes[0].stands(PROBED), (Standing::Worsened, Reason::Last));
    let mut silent = Cluster::new(20);
    for _ in 0..20 {
        // Its gateway answers nothing about the others any more.
        silent.nodes[0].say(Reading::Ready);
        silent.nodes[0].wait(100);
    }
    silent.probe(0, false);
    assert_eq!(silent.nodes[0].stands(PROBED), (Standing::Worsened, Reason::Last));
}

#[test]
fn a_gateway_that_speaks_as_seldom_and_as_slowly_as_it_may_is_believed() {
    let mut rig = Rig::ready(&[VIP]);
    let peer = Node { name: "gw2".into(), heard: true, vips: vec![] };
    let fleet = Fleet { node: "gw1".into(), peers: vec![peer] };
    for _ in 0..5 {
        rig.feed(Event::Fleet(Some(fleet.clone())));
        for _ in 0..13 {
            rig.beat(Reading::Ready, 100);
            rig.order(Kind::Drain, VIP, 60);
            assert_eq!(rig.drains[&0], Outcome::Refused(Refusal::Silent("gw2".into())), "it is heard");
        }
    }
    rig.beat(Reading::Ready, 300);
    rig.order(Kind::Drain, VIP, 60);
    assert_eq!(rig.drains[&0], Outcome::Refused(Refusal::Unheard("gw2".into())));
}

#[test]
fn the_last_one_that_drains_stays_unless_it_was_forced_or_the_speaker_ends() {
    for forced in [false, true] {
        let mut cluster = Cluster::new(20);
        (1..3).for_each(|node| cluster.nodes[node].feed(Event::Disabled(true)));
        cluster.run(3000);
        cluster.nodes[0].feed(Event::Disabled(true));
        cluster.run(3000);
        let stand: Vec<_> = cluster.nodes.iter().map(|rig| rig.stands(VIP)).collect();
        assert_eq!(stand, [(Standing::Worsened, Reason::Last); 3]);
        (0..3).for_each(|node| cluster.nodes[node].feed(Event::Disabled(false)));
        cluster.run(1000);
        (0..3).for_each(|node| cluster.drain(node, 1, forced));
        cluster.run(4000);
        assert_eq!(cluster.announced(VIP), if forced { 0 } else { 2 });
    }
    let mut cluster = Cluster::new(20);
    cluster.nodes[0].feed(Event::Stopping);
    cluster.run(500);
    assert_eq!(cluster.nodes[0].stands(VIP), (Standing::Worsened, Reason::Stopping));
    cluster.run(500);
    assert_eq!(cluster.nodes[0].stands(VIP), (Standing::Withdrawn, Reason::Stopping));
}

#[test]
fn another_process_goes_on_to_keep_what_is_kept() {
    let mut cluster = Cluster::new(20);
    (0..3).for_each(|node| cluster.probe(node, false));
    cluster.run(1000);
    let rig = &mut cluster.nodes[0];
    let (saved, settings) = (rig.gate.save(), rig.gate.settings.clone());
    rig.gate = Gate::resume(settings, saved, rig.now);
    rig.open.clear();
    rig.changed.clear();
    rig.feed(Event::Start);
    rig.say(Reading::Ready);
    assert_eq!((rig.stands(PROBED), rig.changed.len()), ((Standing::Worsened, Reason::Last), 0));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 32, ..ProptestConfig::default() })]

    /// The cluster's check runs after each 10 ms.
    #[test]
    fn whatever_is_cut_and_ordered_no_two_drain_together_and_something_is_left(
        delay in 0..600_u64,
        steps in vec((0..11_usize, 0..3_usize, 0..900_u64), 1..40),
    ) {
        let mut cluster = Cluster::new(delay);
        for (number, (what, node, pause)) in (1..).zip(steps) {
            let link = (node.min((node + 1) % 3), node.max((node + 1) % 3));
            match what {
                0..=3 => cluster.drain(node, number, false),
                4 => cluster.release(node),
                5 => drop(cluster.cut.insert(link, cluster.now)),
                6 => drop(cluster.cut.remove(&link)),
                7 => cluster.nodes[node].feed(Event::Disabled(true)),
                8 => cluster.nodes[node].feed(Event::Disabled(false)),
                _ => cluster.gateway(node, what == 9),
            }
            cluster.run(pause);
        }
        (0..3).for_each(|node| cluster.gateway(node, true));
        cluster.run(delay * 2 + 4000);
        prop_assert!(cluster.announced(VIP) > 0, "every gateway serves, and the VIP is nowhere");
    }
}
