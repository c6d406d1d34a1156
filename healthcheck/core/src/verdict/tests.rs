use super::*;
use proptest::prelude::*;

const NOW: Time = Time::from_millis(10_000);
const FRESH: Time = Time::from_millis(9_700);
const STALE: Time = Time::from_millis(9_699);

const fn healthy(workers: &[Time]) -> GatewayHealth<'_> {
    GatewayHealth {
        workers,
        listeners_accept: true,
        configuration_loaded: true,
        lifecycle: Lifecycle::Serving,
    }
}

fn line(health: &GatewayHealth<'_>) -> String {
    serde_json::to_string(&gateway(health, NOW)).expect("plain words")
}

#[test]
fn a_gateway_that_can_serve_is_ready() {
    assert_eq!(line(&healthy(&[FRESH, NOW])), r#"{"state":"ready","reasons":[]}"#);
}

#[test]
fn one_stuck_worker_of_many_is_a_fault_and_stops_the_beat() {
    let workers = [NOW, STALE, NOW];
    assert_eq!(line(&healthy(&workers)), r#"{"state":"not_ready","reasons":["worker_stalled"]}"#);
    assert!(!may_beat(&workers, NOW) && may_beat(&[NOW, FRESH], NOW));
    assert!(!may_beat(&[], NOW), "without workers nothing serves");
    assert!(
        may_beat(&[NOW + Duration::from_secs(1)], NOW),
        "a turn after the reading of the clock is no fault"
    );
}

#[test]
fn each_fault_has_its_word() {
    let health = GatewayHealth { listeners_accept: false, configuration_loaded: false, ..healthy(&[]) };
    let expected = r#"{"state":"not_ready","reasons":["worker_stalled","listener_down","no_configuration"]}"#;
    assert_eq!(line(&health), expected);
}

#[test]
fn a_drain_is_orderly_only_while_the_gateway_serves() {
    let draining = GatewayHealth { lifecycle: Lifecycle::Draining, ..healthy(&[NOW]) };
    assert_eq!(line(&draining), r#"{"state":"draining","reasons":["draining"]}"#);
    let broken = GatewayHealth { listeners_accept: false, ..draining };
    assert_eq!(line(&broken), r#"{"state":"not_ready","reasons":["listener_down","draining"]}"#);
}

#[test]
fn a_process_that_has_moved_says_so_whatever_else() {
    let moved = GatewayHealth { lifecycle: Lifecycle::Moved, listeners_accept: false, ..healthy(&[NOW]) };
    assert_eq!(gateway(&moved, NOW).state, GatewayState::Moved);
}

#[test]
fn words_are_the_same_in_the_stream_and_in_logs() {
    for state in [GatewayState::Ready, GatewayState::NotReady, GatewayState::Draining, GatewayState::Moved] {
        assert_eq!(serde_json::to_string(&state).expect("a word"), format!("{:?}", state.as_str()));
    }
    let reasons = [
        Reason::WorkerStalled,
        Reason::ListenerDown,
        Reason::NoConfiguration,
        Reason::Draining,
        Reason::Moved,
    ];
    for reason in reasons {
        assert_eq!(serde_json::to_string(&reason).expect("a word"), format!("{:?}", reason.as_str()));
    }
}

#[test]
fn backends_and_frontends_have_three_grades() {
    use State::{Down, Maint, Up};
    assert_eq!(backend([Up, Up, Maint]), Service::Whole, "maint is no fault");
    assert_eq!(backend([Up, Down]), Service::Degraded);
    assert_eq!(backend([Down, Maint]), Service::Down);
    assert_eq!(backend([]), Service::Down);
    assert_eq!(frontend([Service::Whole, Service::Whole]), Service::Whole);
    assert_eq!(frontend([Service::Whole, Service::Down]), Service::Degraded);
    assert_eq!(frontend([Service::Down, Service::Down]), Service::Down);
    assert_eq!(frontend([]), Service::Whole);
}

fn states() -> impl Strategy<Value = Vec<State>> {
    prop::collection::vec(prop::sample::select(vec![State::Up, State::Down, State::Maint]), 1..6)
}

fn rank(state: GatewayState) -> u8 {
    match state {
        GatewayState::NotReady => 0,
        GatewayState::Draining => 1,
        GatewayState::Moved | GatewayState::Ready => 2,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_server_that_comes_up_makes_nothing_worse(mut servers in states(), others in states(), which: prop::sample::Index) {
        let before = backend(servers.iter().copied());
        let whole = frontend([before, backend(others.iter().copied())]);
        let which = which.index(servers.len());
        servers[which] = State::Up;
        let after = backend(servers.iter().copied());
        prop_assert!(after >= before && after.usable());
        prop_assert!(frontend([after, backend(others)]) >= whole);
    }

    #[test]
    fn a_fault_more_never_makes_the_verdict_better(
        turned in prop::collection::vec(9_000_u64..11_000, 0..4),
        accept: bool,
        loaded: bool,
        draining: bool,
        fault in 0..4,
    ) {
        let turned: Vec<Time> = turned.into_iter().map(Time::from_millis).collect();
        let lifecycle = if draining { Lifecycle::Draining } else { Lifecycle::Serving };
        let before = GatewayHealth {
            workers: &turned,
            listeners_accept: accept,
            configuration_loaded: loaded,
            lifecycle,
        };
        let mut after = before;
        match fault {
            0 => after.workers = &[],
            1 => after.listeners_accept = false,
            2 => after.configuration_loaded = false,
            _ => after.lifecycle = Lifecycle::Draining,
        }
        let (before, after) = (gateway(&before, NOW), gateway(&after, NOW));
        prop_assert!(rank(after.state) <= rank(before.state));
        prop_assert!(before.reasons.iter().all(|reason| after.reasons.contains(reason)));
        prop_assert_eq!(after.reasons.is_empty(), after.state == GatewayState::Ready);
    }
}
