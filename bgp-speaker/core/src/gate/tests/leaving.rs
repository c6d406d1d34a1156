//! How VIPs go away, and how another process goes on with them.

use super::*;

fn drain(rig: &mut Rig, ms: u64) {
    for _ in 0..ms / 100 {
        rig.say(Reading::Draining);
        rig.wait(100);
    }
}

#[test]
fn a_gateway_that_drains_may_let_its_clients_go_before_anything_is_moved() {
    let mut rig = Rig::ready(&[VIP]);
    rig.gate.settings.settle = Duration::from_secs(1);
    drain(&mut rig, 900);
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Draining));
    drain(&mut rig, 1000);
    assert_eq!(rig.stands(VIP), (Standing::Worsened, Reason::Draining));
    assert_eq!(rig.changed[&VIP], Time::from_millis(1000));
    drain(&mut rig, 200);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Draining));
    assert_eq!(rig.changed[&VIP], Time::from_millis(2000));
}

#[test]
fn who_must_go_now_does_not_wait_for_clients_that_a_draining_gateway_lets_go() {
    let order = |rig: &mut Rig| rig.order(Kind::Drain, VIP, 60);
    let ways: [&dyn Fn(&mut Rig); 3] =
        [&|rig| rig.feed(Event::Stopping), &|rig| rig.feed(Event::Disabled(true)), &order];
    for way in ways {
        let mut rig = Rig::ready(&[VIP]);
        rig.gate.settings.settle = Duration::from_secs(20);
        drain(&mut rig, 500);
        assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Draining));
        way(&mut rig);
        assert_eq!((rig.stands(VIP).0, rig.now), (Standing::Worsened, Time::from_millis(500)));
        drain(&mut rig, 1100);
        assert_eq!((rig.stands(VIP).0, rig.changed[&VIP]), (Standing::Withdrawn, Time::from_millis(1500)));
    }
    // One that is worse already has its time, and no more.
    let mut rig = Rig::ready(&[VIP]);
    drain(&mut rig, 500);
    rig.feed(Event::Stopping);
    drain(&mut rig, 600);
    assert_eq!((rig.stands(VIP).0, rig.changed[&VIP]), (Standing::Withdrawn, Time::from_millis(1000)));
}

#[test]
fn another_process_leaves_everything_as_it_is_until_the_gateway_has_spoken_or_has_not_in_time() {
    for speaks in [true, false] {
        let mut rig = Rig::ready(&[VIP]);
        let (saved, settings) = (rig.gate.save(), rig.gate.settings.clone());
        rig.gate = Gate::resume(settings, saved, rig.now);
        rig.open.clear();
        rig.feed(Event::Start);
        rig.wait(200);
        assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready), "nothing was decided");
        if speaks {
            rig.say(Reading::NotReady);
            assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::NotReady));
        } else {
            rig.wait(200);
            assert_eq!(rig.stands(VIP).0, Standing::Withdrawn);
        }
    }
}

#[test]
fn a_drain_goes_on_in_another_process_where_it_was() {
    let mut rig = Rig::ready(&[VIP]);
    drain(&mut rig, 500);
    let (saved, settings) = (rig.gate.save(), rig.gate.settings.clone());
    rig.gate = Gate::resume(settings, saved, rig.now);
    rig.open.clear();
    rig.feed(Event::Start);
    drain(&mut rig, 400);
    assert_eq!(rig.stands(VIP), (Standing::Worsened, Reason::Draining));
    drain(&mut rig, 200);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Draining));
    assert_eq!(rig.changed[&VIP], Time::from_millis(1000));
}
