use super::*;
use proptest::prelude::*;

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn slots_do_not_drift_however_long_probes_take(
        seed: u64,
        inter_ms in 10_u64..5_000,
        took in prop::collection::vec(0.0..0.9_f64, 1..50),
    ) {
        let inter = Duration::from_millis(inter_ms);
        let mut schedule = Schedule::start(Time::from_millis(7), inter, seed);
        let first = schedule.due();
        prop_assert!(first.since(Time::from_millis(7)) < inter, "the first falls in the first interval");
        for (at, part) in took.iter().enumerate() {
            let started = schedule.due();
            let slot = first + inter * u32::try_from(at).expect("a short row");
            prop_assert!(started >= slot && (started - slot) * JITTER_PART <= inter, "{started:?} {slot:?}");
            schedule.take(started);
            schedule.plan(started + inter.mul_f64(*part), inter);
        }
    }

    #[test]
    fn slots_that_pass_while_a_probe_runs_are_skipped(seed: u64, late_ms in 0_u64..100_000) {
        let inter = Duration::from_millis(100);
        let mut schedule = Schedule::start(Time::ZERO, inter, seed);
        let slot = schedule.due();
        schedule.take(slot);
        let now = slot + Duration::from_millis(late_ms);
        schedule.plan(now, inter);
        prop_assert!(schedule.due() >= now, "never in the past, so nothing piles up");
        prop_assert!(schedule.due() < now + inter + inter / JITTER_PART);
        prop_assert_eq!((schedule.next - slot).as_nanos() % inter.as_nanos(), 0);
    }

    #[test]
    fn hurry_never_puts_off_and_keeps_its_gap(seed: u64, after_ms in 0_u64..2_000, gap_ms in 0_u64..3_000) {
        let mut schedule = Schedule::start(Time::ZERO, Duration::from_secs(1), seed);
        let started = schedule.due();
        schedule.take(started);
        schedule.plan(started, Duration::from_secs(1));
        let (before, now) = (schedule.due(), started + Duration::from_millis(after_ms));
        let gap = Duration::from_millis(gap_ms);
        schedule.hurry(now, gap);
        prop_assert!(schedule.due() <= before);
        prop_assert!(schedule.due() == before || schedule.due() >= started + gap);
    }

    #[test]
    fn any_numbers_are_survived(seed: u64, now: u64, later: u64, interval: u64, gap: u64) {
        let interval = Duration::from_nanos(interval);
        let mut schedule = Schedule::start(Time::from_nanos(now), interval, seed);
        schedule.take(Time::from_nanos(now));
        schedule.plan(Time::from_nanos(later), interval);
        schedule.hurry(Time::from_nanos(later), Duration::from_nanos(gap));
        schedule.plan(Time::from_nanos(later), Duration::MAX);
    }
}

#[test]
fn servers_with_other_seeds_do_not_probe_in_step() {
    let inter = Duration::from_secs(1);
    let mut quarters = [0_u32; 4];
    for seed in 0..100 {
        let due = Schedule::start(Time::ZERO, inter, seed).due();
        quarters[usize::try_from(due.as_millis() / 250).expect("within a second")] += 1;
    }
    assert!(quarters.iter().all(|servers| *servers >= 10), "{quarters:?}");
}
