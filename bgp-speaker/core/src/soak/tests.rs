use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

const SOAK: Duration = Duration::from_secs(1);
const HOLD_DOWN: HoldDown =
    HoldDown { changes: 3, within: Duration::from_secs(60), wait: Duration::from_secs(30) };

fn soak(hold_down: Option<HoldDown>) -> Soak {
    Soak::new(Settings { soak: SOAK, hold_down })
}

#[test]
fn what_was_never_lost_never_waits() {
    let mut soak = soak(Some(HOLD_DOWN));
    soak.back(Time::ZERO);
    assert_eq!((soak.reason(), soak.next_deadline()), (None, None));
    soak.ended();
    soak.back(Time::ZERO);
    assert_eq!(soak.reason(), None, "an end in good order is no loss");
}

#[test]
fn what_was_lost_waits_for_exactly_the_soak() {
    let mut soak = soak(None);
    soak.lost(Time::ZERO);
    assert_eq!(soak.reason(), None, "what is not there is nobody's last choice");
    soak.back(Time::from_millis(5000));
    assert_eq!(soak.reason(), Some(Reason::Soak));
    assert!(!soak.pass(Time::from_millis(5999)));
    assert!(soak.pass(Time::from_millis(6000)));
    assert_eq!((soak.reason(), soak.next_deadline()), (None, None));
}

#[test]
fn what_ends_while_it_waits_waits_again() {
    let mut soak = soak(None);
    soak.lost(Time::ZERO);
    soak.back(Time::ZERO);
    soak.ended();
    soak.back(Time::from_millis(900));
    assert_eq!(soak.next_deadline(), Some(Time::from_millis(1900)));
}

#[test]
fn without_a_soak_it_is_back_at_once() {
    let mut soak = Soak::new(Settings { soak: Duration::ZERO, hold_down: None });
    soak.lost(Time::ZERO);
    soak.back(Time::ZERO);
    assert_eq!(soak.reason(), None);
}

#[test]
fn three_losses_in_a_minute_wait_longer_and_a_calm_minute_is_forgiven() {
    let mut soak = soak(Some(HOLD_DOWN));
    let mut flap = |at: u64| {
        soak.lost(Time::from_millis(at));
        soak.back(Time::from_millis(at + 100));
        soak.reason()
    };
    assert_eq!(flap(0), Some(Reason::Soak));
    assert_eq!(flap(10_000), Some(Reason::Soak));
    assert_eq!(flap(20_000), Some(Reason::HoldDown));
    assert_eq!(flap(100_000), Some(Reason::Soak), "only two in the last minute and a half");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_wait_is_longer_than_configured_and_none_is_forgotten(
        steps in vec((0..4_u8, 0..40_000_u64), 1..100),
    ) {
        let mut soak = soak(Some(HOLD_DOWN));
        let mut now = Time::ZERO;
        for (step, pause) in steps {
            now += Duration::from_millis(pause);
            match step {
                0 => soak.lost(now),
                1 => soak.back(now),
                2 => soak.ended(),
                _ => { soak.pass(now); }
            }
            prop_assert!(soak.losses.len() <= HOLD_DOWN.changes);
            prop_assert_eq!(soak.reason().is_some(), soak.next_deadline().is_some());
        }
        soak.back(now);
        if let Some(until) = soak.next_deadline() {
            prop_assert!(until.since(now) <= HOLD_DOWN.wait);
            prop_assert!(soak.pass(until));
        }
        prop_assert_eq!(soak.reason(), None);
    }
}
