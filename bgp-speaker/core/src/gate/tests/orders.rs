//! What operators order, and what no order can do.

use super::*;

#[test]
fn a_drained_vip_is_worsened_then_withdrawn_alone_until_it_is_taken_back_or_expires() {
    let mut rig = Rig::unwell(&[VIP, PROBED, ON_LO]);
    for taken_back in [true, false] {
        rig.order(Kind::Drain, VIP, 60);
        assert_eq!(rig.stands(VIP), (Standing::Worsened, Reason::Drained));
        rig.beat(Reading::Ready, 1000);
        assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Drained));
        rig.beat(Reading::Ready, 58_900);
        assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Drained));
        if taken_back {
            rig.feed(Event::Operator(Command::Release { vips: vec![VIP] }));
        } else {
            rig.beat(Reading::Ready, 100);
        }
        assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Ready));
        assert_eq!(rig.orders[&VIP], None);
    }
}

#[test]
fn a_forced_vip_is_announced_as_long_as_somebody_is_there_to_serve() {
    let mut rig = Rig::unwell(&[PROBED]);
    assert_eq!(rig.stands(PROBED), (Standing::Withdrawn, Reason::ProbeFailed));
    rig.order(Kind::Force, PROBED, 60);
    assert_eq!(rig.stands(PROBED), (Standing::Announced, Reason::Forced));
    rig.say(Reading::NotReady);
    assert_eq!(rig.stands(PROBED), (Standing::Announced, Reason::Forced));
    rig.close(1);
    assert_eq!(rig.stands(PROBED), (Standing::Withdrawn, Reason::Closed), "no order announces the dead");
    rig.wait(100);
    rig.say(Reading::Ready);
    assert_eq!(rig.stands(PROBED), (Standing::Announced, Reason::Forced));
    rig.beat(Reading::Ready, 60_000);
    assert_eq!(rig.stands(PROBED), (Standing::Withdrawn, Reason::ProbeFailed), "it has expired");
}

#[test]
fn a_pinned_vip_stays_as_it_stands_whatever_is_said() {
    let mut rig = Rig::unwell(&[VIP, PROBED]);
    rig.order(Kind::Pin, VIP, 60);
    rig.order(Kind::Pin, PROBED, 60);
    for reading in [Reading::NotReady, Reading::Ready] {
        rig.say(reading);
        rig.feed(Event::Probed { subject: Subject::Vip(PROBED), served: Some(true) });
        assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Pinned));
        assert_eq!(rig.stands(PROBED), (Standing::Withdrawn, Reason::Pinned));
    }
    rig.wait(300);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Silent));
}

#[test]
fn the_disable_file_drains_whatever_an_operator_ordered_and_starts_nothing() {
    let mut rig = Rig::ready(&[VIP]);
    rig.order(Kind::Force, VIP, 60);
    rig.feed(Event::Disabled(true));
    assert_eq!(rig.stands(VIP), (Standing::Worsened, Reason::Disabled));
    rig.beat(Reading::Ready, 1000);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Disabled));
    rig.feed(Event::Disabled(false));
    assert_eq!(rig.stands(VIP), (Standing::Announced, Reason::Forced));
    let mut rig = Rig::new(&[VIP]);
    rig.feed(Event::Disabled(true));
    rig.say(Reading::Ready);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Disabled));
}

#[test]
fn an_order_given_before_anything_is_known_ends_in_time() {
    let mut rig = Rig::new(&[VIP]);
    rig.order(Kind::Drain, VIP, 1);
    rig.wait(5000);
    assert_eq!(rig.orders[&VIP], None);
    assert_eq!(rig.stands(VIP), (Standing::Withdrawn, Reason::Unreachable));
}
