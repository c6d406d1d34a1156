use super::super::frames::{
    CONTINUATION, DATA, Frame, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use super::{Glitches, Policy};
use base_core::Time;
use proptest::prelude::*;
use std::time::Duration;

const POLICY: Policy = Policy { threshold: 1000, rate: 100 };
const PUSH_PROMISE: u8 = 5;

fn frame(kind: u8, length: u32) -> Frame {
    Frame { kind, flags: 0, stream: 1, length }
}

fn at(millis: u64) -> Time {
    Time::from_nanos(1) + Duration::from_millis(millis)
}

/// How many of them are taken at once.
fn taken(glitches: &mut Glitches, frame: Frame, now: Time) -> (u32, &'static str) {
    let mut taken = 0;
    loop {
        match glitches.received(frame, now) {
            Ok(()) => taken += 1,
            Err(reason) => return (taken, reason),
        }
        assert!(taken < 100_000, "nothing bounds {frame:?}");
    }
}

#[test]
fn each_kind_of_flood_has_its_bound_and_its_word() {
    for (kind, most, reason) in [
        (DATA, 1000, "h2_empty_data_flood"),
        (PRIORITY, 1000, "h2_priority_flood"),
        (RST_STREAM, 1000, "h2_reset_flood"),
        (SETTINGS, 100, "h2_settings_flood"),
        (PING, 100, "h2_ping_flood"),
        (WINDOW_UPDATE, 1000, "h2_window_update_flood"),
        (CONTINUATION, 1000, "h2_continuation_flood"),
        (PUSH_PROMISE, 1000, "h2_unknown_frame_flood"),
        (0xfe, 1000, "h2_unknown_frame_flood"),
    ] {
        let mut glitches = Glitches::new(POLICY);
        assert_eq!(taken(&mut glitches, frame(kind, 0), at(0)), (most, reason));
    }
}

#[test]
fn requests_and_their_bodies_are_not_counted() {
    let mut glitches = Glitches::new(POLICY);
    let last = Frame { flags: 1, ..frame(DATA, 0) };
    for frame in [frame(HEADERS, 20), frame(DATA, 1), last, frame(GOAWAY, 8)] {
        for _ in 0..10_000 {
            assert_eq!(glitches.received(frame, at(0)), Ok(()));
        }
    }
}

#[test]
fn time_forgives_at_the_rate_and_no_more_than_the_threshold() {
    let mut glitches = Glitches::new(POLICY);
    taken(&mut glitches, frame(PRIORITY, 5), at(0));
    assert_eq!(taken(&mut glitches, frame(PRIORITY, 5), at(500)).0, 50);
    assert_eq!(taken(&mut glitches, frame(PRIORITY, 5), at(600)).0, 10);
    assert_eq!(taken(&mut glitches, frame(PRIORITY, 5), at(3_600_000)).0, 1000);
}

#[test]
fn a_client_that_pings_ten_times_a_second_is_never_cut() {
    let mut glitches = Glitches::new(POLICY);
    for number in 0..100_000 {
        assert_eq!(glitches.received(frame(PING, 8), at(number * 100)), Ok(()));
    }
}

#[test]
fn a_client_that_opens_windows_for_all_that_it_gets_is_never_cut() {
    let mut glitches = Glitches::new(POLICY);
    for _ in 0..100_000 {
        glitches.sent(frame(DATA, 1000));
        for (kind, times) in [(WINDOW_UPDATE, 4), (PING, 1), (PRIORITY, 2), (RST_STREAM, 1)] {
            for _ in 0..times {
                assert_eq!(glitches.received(frame(kind, 4), at(0)), Ok(()));
            }
        }
    }
}

#[test]
fn data_byte_by_byte_earns_nothing_and_settings_earn_nothing_at_all() {
    let mut glitches = Glitches::new(POLICY);
    let mut most = 0;
    while glitches.received(frame(WINDOW_UPDATE, 4), at(0)).is_ok() {
        glitches.sent(frame(DATA, 1));
        most += 1;
    }
    assert_eq!(most, 1000);
    let mut most = 0;
    while glitches.received(frame(SETTINGS, 0), at(0)).is_ok() {
        glitches.sent(frame(HEADERS, 10));
        most += 1;
    }
    assert_eq!(most, 100);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever else is sent and when: of one kind never more than the threshold, the rate and the work explain.
    #[test]
    fn no_order_of_frames_gets_more_through_than_the_bounds_say(
        threshold in 10u32..200,
        rate in 1u32..200,
        frames in proptest::collection::vec((0u8..12, 0u32..64, 0u64..20, any::<bool>()), 0..600),
    ) {
        let mut glitches = Glitches::new(Policy { threshold, rate });
        let (mut now, mut work) = (0, 0u64);
        let mut windows = 0u64;
        for (kind, length, passed, from_client) in frames {
            now += passed;
            let frame = frame(kind, length);
            if from_client {
                let taken = glitches.received(frame, at(now)).is_ok();
                windows += u64::from(kind == WINDOW_UPDATE && taken);
            } else {
                glitches.sent(frame);
                work += u64::from(kind == HEADERS || kind == DATA);
            }
        }
        prop_assert!(windows <= u64::from(threshold) + now * u64::from(rate) / 1000 + 4 * work);
    }
}
