//! Drains that ask the other nodes: who waits for whom, and who is refused.

use super::fleet::{Cluster, EXCHANGE};
use super::*;
use healthcheck_core::fleet::{Claim, Node, ticket};

#[test]
fn who_has_just_come_may_have_a_vip_that_is_not_told_yet() {
    let mut rig = Rig::ready(&[VIP, PROBED]);
    let row = |vip, claim| Row { vip, has: Has::Announced, claim, attempt: 1, agrees: 0 };
    let tell = |rig: &mut Rig, vips: Vec<Row>| {
        let node = Node { name: "gw2".into(), heard: true, vips };
        rig.feed(Event::Fleet(Some(Fleet { node: "gw1".into(), peers: vec![node] })));
    };
    tell(&mut rig, vec![row(PROBED, Claim::Nothing)]);
    rig.order(Kind::Drain, VIP, 60);
    assert!(rig.drains.is_empty(), "the rest may be on its way");
    rig.beat(Reading::Ready, 200);
    tell(&mut rig, vec![row(VIP, Claim::Holds), row(PROBED, Claim::Nothing)]);
    assert_eq!(rig.drains[&0], Outcome::Refused(Refusal::Holds(VIP, "gw2".into())));
    // One that does not have it at all.
    rig.drains.clear();
    tell(&mut rig, vec![row(PROBED, Claim::Nothing)]);
    rig.order(Kind::Drain, VIP, 60);
    rig.beat(Reading::Ready, 700);
    assert!(rig.drains.is_empty());
    rig.beat(Reading::Ready, 200);
    assert_eq!(rig.drains[&0], Outcome::Granted(vec!["gw2".into()]));
    // The own gateway was away: it hears everything anew, and not all at once.
    rig.drains.clear();
    rig.feed(Event::Operator(Command::Release { vips: vec![VIP] }));
    rig.beat(Reading::Ready, 2000);
    tell(&mut rig, vec![row(PROBED, Claim::Nothing)]);
    rig.order(Kind::Drain, VIP, 60);
    assert!(rig.drains.is_empty(), "the rest may be on its way");
}

#[test]
fn a_drain_begins_when_all_others_agree_and_hinders_theirs_until_it_is_over() {
    let mut cluster = Cluster::new(20);
    cluster.drain(1, 1, false);
    assert!(!cluster.drains(1), "not before it is claimed");
    cluster.run(3 * EXCHANGE);
    assert_eq!(cluster.nodes[1].drains[&1], Outcome::Granted(vec!["gw1".into(), "gw3".into()]));
    cluster.run(2 * EXCHANGE);
    cluster.drain(0, 2, false);
    assert_eq!(cluster.nodes[0].drains[&2], Outcome::Refused(Refusal::Holds(VIP, "gw2".into())));
    cluster.run(2000);
    assert_eq!(cluster.nodes[1].stands(VIP), (Standing::Withdrawn, Reason::Drained));
    cluster.release(1);
    cluster.run(3 * EXCHANGE);
    cluster.drain(0, 3, false);
    cluster.run(3 * EXCHANGE);
    assert!(matches!(cluster.nodes[0].drains[&3], Outcome::Granted(_)));
}

#[test]
fn a_drain_of_what_is_not_announced_hinders_the_others_as_well() {
    let mut cluster = Cluster::new(20);
    // It may come back at any moment, and is drained then.
    cluster.gateway(1, false);
    cluster.drain(1, 1, false);
    cluster.run(3 * EXCHANGE);
    assert!(matches!(cluster.nodes[1].drains[&1], Outcome::Granted(_)));
    cluster.run(2 * EXCHANGE);
    cluster.drain(0, 2, false);
    assert_eq!(cluster.nodes[0].drains[&2], Outcome::Refused(Refusal::Holds(VIP, "gw2".into())));
    cluster.gateway(1, true);
    cluster.run(2000);
    assert_eq!(cluster.nodes[1].stands(VIP), (Standing::Withdrawn, Reason::Drained));
    assert_eq!(cluster.announced(VIP), 2);
}

#[test]
fn another_word_of_the_operator_takes_back_a_drain_that_still_waits() {
    for what in 0..4 {
        let mut cluster = Cluster::new(20);
        cluster.drain(0, 1, false);
        assert!(cluster.nodes[0].drains.is_empty(), "it waits");
        match what {
            0 => cluster.release(0),
            1 => cluster.nodes[0].order(Kind::Pin, VIP, 60),
            2 => cluster.nodes[0].order(Kind::Force, VIP, 60),
            _ => cluster.drain(0, 2, true),
        }
        assert_eq!(cluster.nodes[0].drains[&1], Outcome::Refused(Refusal::Replaced));
        let order = cluster.nodes[0].orders.get(&VIP).cloned().flatten();
        cluster.run(5000);
        assert_eq!(cluster.nodes[0].orders.get(&VIP).cloned().flatten(), order, "the last word counts");
    }
    // What is said of another VIP does not concern it.
    let mut cluster = Cluster::new(20);
    cluster.drain(0, 1, false);
    cluster.nodes[0].order(Kind::Pin, PROBED, 60);
    cluster.run(3 * EXCHANGE);
    assert!(matches!(cluster.nodes[0].drains[&1], Outcome::Granted(_)));
}

#[test]
fn a_drain_is_refused_before_the_gateway_has_said_who_else_there_is() {
    let mut rig = Rig::unasked(&[VIP]);
    rig.say(Reading::Ready);
    rig.order(Kind::Drain, VIP, 60);
    assert_eq!(rig.drains[&0], Outcome::Refused(Refusal::Unasked));
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
    // So does another process until it has heard, unless the one before knew.
    for told in [false, true] {
        if told {
            rig.feed(Event::Fleet(None));
        }
        let (saved, settings) = (rig.gate.save(), rig.gate.settings.clone());
        rig.gate = Gate::resume(settings, saved, rig.now);
        rig.open.clear();
        rig.feed(Event::Start);
        rig.say(Reading::Ready);
        rig.order(Kind::Drain, VIP, 60);
        let expected = if told { Outcome::Granted(vec![]) } else { Outcome::Refused(Refusal::Unasked) };
        assert_eq!(rig.drains[&0], expected);
    }
}

#[test]
fn of_two_nodes_that_want_to_drain_at_once_the_lower_name_goes_first() {
    let mut cluster = Cluster::new(20);
    cluster.drain(2, 1, false);
    cluster.drain(0, 2, false);
    cluster.run(1500);
    assert!(matches!(cluster.nodes[0].drains[&2], Outcome::Granted(_)));
    assert_eq!(cluster.nodes[2].drains[&1], Outcome::Refused(Refusal::Wants(VIP, "gw1".into())));
}

#[test]
fn a_node_that_cannot_be_heard_has_drains_refused_unless_they_are_forced() {
    let mut cluster = Cluster::new(20);
    cluster.cut = [((0, 2), cluster.now)].into();
    cluster.run(2000);
    cluster.drain(0, 1, false);
    assert_eq!(cluster.nodes[0].drains[&1], Outcome::Refused(Refusal::Unheard("gw3".into())));
    cluster.drain(0, 2, true);
    assert_eq!(cluster.nodes[0].drains[&2], Outcome::Granted(vec![]));
    cluster.run(3000);
    assert_eq!(cluster.nodes[0].stands(VIP), (Standing::Withdrawn, Reason::Drained));
    // A gateway that has no speaker.
    let mut rig = Rig::ready(&[VIP]);
    let mute = Node { name: "gw2".into(), heard: true, vips: vec![] };
    rig.feed(Event::Fleet(Some(Fleet { node: "gw1".into(), peers: vec![mute] })));
    rig.order(Kind::Drain, VIP, 60);
    assert_eq!(rig.drains[&0], Outcome::Refused(Refusal::Silent("gw2".into())));
}

#[test]
fn who_does_not_answer_has_the_drain_refused_in_time() {
    let mut rig = Rig::ready(&[VIP]);
    let row = |claim, agrees| Row { vip: VIP, has: Has::Announced, claim, attempt: 5, agrees };
    let tell = |rig: &mut Rig, row| {
        let node = Node { name: "gw2".into(), heard: true, vips: vec![row] };
        rig.feed(Event::Fleet(Some(Fleet { node: "gw1".into(), peers: vec![node] })));
    };
    tell(&mut rig, row(Claim::Nothing, 0));
    rig.order(Kind::Drain, VIP, 60);
    let own = rig.gate.rows()[0].clone();
    assert_eq!((own.claim, rig.drains.len()), (Claim::Wants, 0));
    for _ in 0..31 {
        // It agrees to a claim that was made earlier: that is none.
        tell(&mut rig, row(Claim::Nothing, ticket("gw1", own.attempt - 1)));
        rig.beat(Reading::Ready, 100);
    }
    assert_eq!(rig.drains[&0], Outcome::Refused(Refusal::NoAnswer("gw2".into())));
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
    // While another node wants it, this one agrees and wants nothing itself.
    tell(&mut rig, row(Claim::Wants, 0));
    assert_eq!(rig.gate.rows()[0].agrees, ticket("gw2", 5));
    rig.order(Kind::Drain, VIP, 60);
    assert_eq!(rig.drains[&0], Outcome::Refused(Refusal::Wants(VIP, "gw2".into())));
}
