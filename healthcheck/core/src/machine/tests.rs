use super::*;
use proptest::prelude::*;

const TIMING: Timing = Timing {
    inter: Duration::from_millis(1000),
    fastinter: Duration::from_millis(200),
    downinter: Duration::from_millis(500),
    timeout: Duration::from_millis(300),
    rise: 2,
    fall: 3,
};

/// A check, its time, and what its shell would know.
struct Sim {
    check: Check,
    now: Time,
    running: Option<u64>,
    starts: Vec<Time>,
    /// What was said, in order.
    said: Vec<String>,
}

impl Sim {
    fn new(timing: Timing) -> Self {
        let check = Check::new(timing, CheckStatus::L7Timeout, State::Up, 1, Time::ZERO);
        Self { check, now: Time::ZERO, running: None, starts: Vec::new(), said: Vec::new() }
    }

    fn on(&mut self, event: Event) {
        if let Event::Probed { probe, .. } = event
            && self.running == Some(probe)
        {
            self.running = None;
        }
        let mut actions = Vec::new();
        self.check.on(event, self.now, &mut actions);
        self.check.check_invariants();
        for action in actions {
            match action {
                Action::StartProbe { probe, deadline } => {
                    assert_eq!(self.running, None, "two probes at once");
                    assert!(deadline > self.now);
                    self.running = Some(probe);
                    self.starts.push(self.now);
                }
                Action::StopProbe { probe } => {
                    assert_eq!(self.running.take(), Some(probe), "stops what does not run");
                }
                Action::Counted { outcome, status } => self.said.push(format!("{outcome}: {status}")),
                Action::Changed { status, reason } => self.said.push(format!("{} by {reason}", status.state)),
            }
        }
    }

    /// Goes on to the next deadline.
    fn tick(&mut self) {
        self.now = self.check.next_deadline().expect("probing is on").max(self.now);
        self.on(Event::Tick);
    }

    /// Goes on until a probe runs, and ends it.
    fn probe(&mut self, status: CheckStatus, code: Option<u16>) {
        while self.running.is_none() {
            self.tick();
        }
        self.end(status, code);
    }

    fn end(&mut self, status: CheckStatus, code: Option<u16>) {
        let probe = self.running.expect("a probe runs");
        self.on(Event::Probed {
            probe,
            outcome: Outcome { status, code, note: "", duration: Duration::ZERO },
        });
    }

    fn pass(&mut self) {
        self.probe(CheckStatus::L7Ok, Some(200));
    }

    fn fail(&mut self) {
        self.probe(CheckStatus::L7Status, Some(503));
    }

    /// From the slot of the last probe to that of the next, without jitter.
    fn step(&self) -> Duration {
        let step = self.check.next_deadline().expect("probing is on") - *self.starts.last().expect("one ran");
        Duration::from_millis(u64::try_from((step.as_millis() + 50) / 100 * 100).expect("short"))
    }
}

#[test]
fn rise_and_fall_count_in_a_row_and_say_so_in_haproxys_words() {
    let mut sim = Sim::new(TIMING);
    assert_eq!(sim.check.status().to_string(), "UP");
    sim.fail();
    sim.pass();
    sim.fail();
    sim.fail();
    sim.fail();
    sim.pass();
    sim.fail();
    sim.pass();
    sim.pass();
    let expected = [
        "L7STS 503: UP 2/3",
        "L7OK 200: UP",
        "L7STS 503: UP 2/3",
        "L7STS 503: UP 1/3",
        "L7STS 503: DOWN",
        "DOWN by L7STS 503",
        "L7OK 200: DOWN 1/2",
        "L7STS 503: DOWN",
        "L7OK 200: DOWN 1/2",
        "L7OK 200: UP",
        "UP by L7OK 200",
    ];
    assert_eq!(sim.said, expected);
}

/// What `show stat` of HAProxy 2.6.12 said after each probe (`inter 300ms rise 2 fall 3`), recorded.
#[test]
fn a_recorded_row_of_probes_reads_as_in_haproxy() {
    let recorded = [
        (true, "UP"),
        (true, "UP"),
        (false, "UP 2/3"),
        (true, "UP"),
        (false, "UP 2/3"),
        (false, "UP 1/3"),
        (false, "DOWN"),
        (false, "DOWN"),
        (true, "DOWN 1/2"),
        (false, "DOWN"),
        (true, "DOWN 1/2"),
        (true, "UP"),
        (false, "UP 2/3"),
        (false, "UP 1/3"),
        (true, "UP"),
    ];
    let mut sim = Sim::new(TIMING);
    for (at, (passes, status)) in recorded.into_iter().enumerate() {
        sim.probe(if passes { CheckStatus::L7Ok } else { CheckStatus::L7Status }, None);
        assert_eq!(sim.check.status().to_string(), status, "probe {at}");
    }
}

#[test]
fn probes_are_fast_in_between_and_have_their_own_interval_when_down() {
    let mut sim = Sim::new(TIMING);
    sim.pass();
    assert_eq!(sim.step(), TIMING.inter);
    sim.fail();
    assert_eq!(sim.step(), TIMING.fastinter);
    sim.fail();
    sim.fail();
    assert_eq!(sim.step(), TIMING.downinter);
    sim.pass();
    assert_eq!(sim.step(), TIMING.fastinter);
    sim.pass();
    assert_eq!(sim.step(), TIMING.inter);
}

#[test]
fn a_probe_that_never_ends_is_stopped_and_counts_as_failed() {
    let mut sim = Sim::new(Timing { fall: 1, ..TIMING });
    sim.tick();
    let started = sim.now;
    sim.tick();
    assert_eq!(sim.now - started, TIMING.timeout + OVERDUE_GRACE);
    assert_eq!(sim.running, None);
    assert_eq!(sim.said, ["L7TOUT: DOWN", "DOWN by L7TOUT"]);
}

#[test]
fn a_report_that_comes_after_its_probe_was_given_up_is_ignored() {
    let mut sim = Sim::new(TIMING);
    sim.tick();
    let late = sim.running.expect("a probe runs");
    sim.tick();
    let said = sim.said.clone();
    let outcome = Outcome { status: CheckStatus::L7Ok, code: Some(200), note: "", duration: Duration::ZERO };
    sim.on(Event::Probed { probe: late, outcome });
    sim.on(Event::Probed { probe: 99, outcome });
    assert_eq!(sim.said, said);
}

#[test]
fn a_process_that_was_held_up_does_not_blame_the_server() {
    let mut sim = Sim::new(Timing { fall: 1, ..TIMING });
    sim.tick();
    sim.now += Duration::from_secs(30);
    sim.on(Event::Tick);
    assert_eq!(sim.said, [""; 0], "the report may be there, not read yet");
    sim.end(CheckStatus::L7Ok, Some(200));
    assert_eq!(sim.said, ["L7OK 200: UP"]);
    sim.tick();
    sim.now += Duration::from_secs(30);
    sim.on(Event::Tick);
    sim.tick();
    assert_eq!(sim.said[1..], ["L7TOUT: DOWN", "DOWN by L7TOUT"], "it is waited for once more, not for ever");
}

#[test]
fn a_probe_that_could_not_be_sent_counts_for_nothing() {
    let mut sim = Sim::new(Timing { fall: 1, rise: 1, ..TIMING });
    sim.probe(CheckStatus::SocketError, None);
    assert_eq!(sim.said, ["SOCKERR: UP"]);
    sim.fail();
    sim.probe(CheckStatus::SocketError, None);
    assert_eq!(sim.check.status().state, State::Down);
}

#[test]
fn what_traffic_saw_asks_for_one_probe_soon() {
    let mut sim = Sim::new(TIMING);
    sim.pass();
    let last = *sim.starts.last().expect("one ran");
    sim.now = last + Duration::from_millis(400);
    sim.on(Event::Observed);
    sim.on(Event::Observed);
    assert_eq!(sim.check.next_deadline(), Some(sim.now), "at once");
    assert_eq!(sim.check.status().state, State::Up, "traffic alone takes nothing down");
    sim.tick();
    sim.on(Event::Observed);
    sim.end(CheckStatus::L7Ok, Some(200));
    let again = sim.check.next_deadline().expect("probing is on");
    assert_eq!(
        again - sim.now,
        OBSERVED_GAP,
        "what failed while the probe ran is looked at, no sooner than this"
    );
    sim.pass();
    assert_eq!(sim.step(), TIMING.inter, "then all is as before");
}

#[test]
fn requests_that_fail_in_a_row_do_to_a_server_what_haproxy_has_them_do() {
    let timing = Timing { fall: 4, ..TIMING };
    let cases: [(OnError, &[&str]); 4] = [
        (OnError::Fastinter, &[]),
        (OnError::FailCheck, &["HANA: UP 3/4"]),
        (OnError::SuddenDeath, &["HANA: UP 1/4"]),
        (OnError::MarkDown, &["HANA: DOWN", "DOWN by HANA"]),
    ];
    for (on_error, said) in cases {
        let mut sim = Sim::new(timing);
        sim.pass();
        sim.now += Duration::from_millis(300);
        sim.on(Event::Failing(on_error));
        assert_eq!(sim.said[1..], *said, "{on_error:?}");
        let wait = if on_error == OnError::MarkDown { TIMING.fastinter } else { Duration::ZERO };
        assert_eq!(sim.check.next_deadline(), Some(sim.now + wait), "{on_error:?}: probed soon");
    }
}

#[test]
fn a_server_that_requests_took_down_comes_back_by_its_probes() {
    let mut sim = Sim::new(TIMING);
    sim.tick();
    sim.on(Event::Failing(OnError::SuddenDeath));
    sim.on(Event::Failing(OnError::SuddenDeath));
    assert_eq!(sim.running, None, "the probe that ran shows no better than those before");
    assert_eq!(sim.check.next_deadline(), Some(sim.now + TIMING.fastinter), "it rests");
    sim.on(Event::Failing(OnError::MarkDown));
    sim.pass();
    sim.pass();
    let expected = [
        "HANA: UP 1/3",
        "HANA: DOWN",
        "DOWN by HANA",
        "L7OK 200: DOWN 1/2",
        "L7OK 200: UP",
        "UP by L7OK 200",
    ];
    assert_eq!(sim.said, expected, "what failed before it was down counts once, and probes go on");
}

#[test]
fn maint_stops_probing_and_ready_starts_with_one_chance() {
    let mut sim = Sim::new(TIMING);
    sim.tick();
    sim.on(Event::Maint);
    assert_eq!((sim.running, sim.check.next_deadline()), (None, None));
    for event in [Event::Maint, Event::Observed, Event::Tick] {
        sim.on(event);
    }
    sim.now += Duration::from_secs(60);
    sim.on(Event::Ready);
    sim.on(Event::Ready);
    assert_eq!(sim.check.next_deadline(), Some(sim.now), "probed at once");
    assert_eq!(sim.check.status().to_string(), "UP 1/3");
    sim.fail();
    let expected = ["MAINT by operator", "UP by operator", "L7STS 503: DOWN", "DOWN by L7STS 503"];
    assert_eq!(sim.said, expected);
}

#[test]
fn a_server_without_an_address_is_not_probed_and_one_that_moved_begins_anew() {
    let mut sim = Sim::new(TIMING);
    sim.on(Event::Lost);
    assert_eq!(sim.check.next_deadline(), None);
    sim.now += Duration::from_secs(60);
    sim.on(Event::Maint);
    sim.on(Event::Found);
    assert_eq!(sim.check.status().state, State::Maint, "an operator holds it");
    sim.on(Event::Ready);
    assert_eq!(
        (sim.check.status().to_string().as_str(), sim.check.next_deadline()),
        ("UP 1/3", Some(sim.now))
    );
    sim.pass();
    sim.tick();
    sim.on(Event::Found);
    assert_eq!(sim.running, None, "what ran was about another address");
    assert_eq!(sim.check.status().to_string(), "UP 1/3");
    sim.fail();
    sim.on(Event::Found);
    let expected = [
        "MAINT by resolution",
        "UP by operator",
        "L7OK 200: UP",
        "L7STS 503: DOWN",
        "DOWN by L7STS 503",
        "UP by resolution",
    ];
    assert_eq!(sim.said, expected, "it is never out on its way");
}

#[test]
fn a_hung_server_is_down_in_the_time_that_the_manual_gives() {
    let timing = Timing { timeout: Duration::from_millis(500), fall: 2, ..TIMING };
    let mut sim = Sim::new(timing);
    sim.pass();
    let hung = sim.now;
    while sim.check.status().state == State::Up {
        sim.tick();
    }
    let longest = timing.inter + timing.timeout * 2 + timing.fastinter;
    let slack = timing.inter / crate::schedule::JITTER_PART + OVERDUE_GRACE * 2 + Duration::from_millis(10);
    assert!(sim.now - hung <= longest + slack, "{:?}", sim.now - hung);
}

#[test]
fn values_out_of_bounds_do_no_harm() {
    let zero = Duration::ZERO;
    let timing = Timing { inter: zero, fastinter: zero, downinter: zero, timeout: zero, rise: 0, fall: 0 };
    let mut sim = Sim::new(timing);
    for _ in 0..100 {
        sim.fail();
        sim.pass();
    }
    assert!(sim.now >= Time::from_millis(1000), "no faster than the shortest interval: {:?}", sim.now);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Deadline,
    Wait(u64),
    End(CheckStatus),
    Stale(u64),
    Send(Event),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let status = prop::sample::select(vec![
        CheckStatus::L7Ok,
        CheckStatus::L7Ok,
        CheckStatus::L7Status,
        CheckStatus::L4Connection,
        CheckStatus::SocketError,
    ]);
    let step = prop_oneof![
        6 => Just(Step::Deadline),
        2 => (0_u64..3_000).prop_map(Step::Wait),
        6 => status.prop_map(Step::End),
        1 => (0_u64..50).prop_map(Step::Stale),
        3 => prop::sample::select(vec![Event::Tick, Event::Observed, Event::Observed]).prop_map(Step::Send),
        1 => prop::sample::select(vec![OnError::Fastinter, OnError::FailCheck])
            .prop_map(|on_error| Step::Send(Event::Failing(on_error))),
        1 => prop::sample::select(vec![Event::Maint, Event::Ready]).prop_map(Step::Send),
        1 => prop::sample::select(vec![Event::Lost, Event::Found]).prop_map(Step::Send),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// `Sim::on` asserts that no two probes run at once and that only what runs is stopped.
    #[test]
    fn whatever_happens_probing_goes_on_and_states_alternate(
        rise in 1_u32..4,
        fall in 1_u32..4,
        steps in steps(),
    ) {
        let mut sim = Sim::new(Timing { rise, fall, ..TIMING });
        // Passes and failures in a row, and how many failures are enough.
        let (mut row, mut enough) = ((0, 0), fall);
        for step in steps {
            let (before, said) = (sim.check.status().state, sim.said.len());
            match step {
                Step::Deadline => {
                    if let Some(deadline) = sim.check.next_deadline() {
                        sim.now = sim.now.max(deadline);
                        sim.on(Event::Tick);
                    }
                }
                Step::Wait(ms) => sim.now += Duration::from_millis(ms),
                Step::End(status) => {
                    if sim.running.is_some() {
                        sim.end(status, None);
                    }
                }
                Step::Stale(back) => {
                    let probe = sim.running.unwrap_or(1_000).saturating_sub(back + 1);
                    let outcome = Outcome { status: CheckStatus::L7Ok, code: None, note: "", duration: Duration::ZERO };
                    sim.on(Event::Probed { probe, outcome });
                    prop_assert_eq!(sim.said.len(), said);
                }
                Step::Send(event) => sim.on(event),
            }
            if matches!(step, Step::Send(Event::Found)) && before != State::Maint {
                (row, enough) = ((0, 0), 1);
            }
            let state = sim.check.status().state;
            for line in &sim.said[said..] {
                match line {
                    line if line.contains("by operator") || line.contains("by resolution") => {
                        (row, enough) = ((0, 0), 1);
                    }
                    line if line.contains(" by ") || line.starts_with("SOCKERR") => {}
                    line if line.starts_with("L7OK") => (row, enough) = ((row.0 + 1, 0), fall),
                    _ => row = (0, row.1 + 1),
                }
            }
            if (before, state) == (State::Up, State::Down) {
                prop_assert!(row.1 >= enough, "{:?}", sim.said);
            }
            let moved = sim.said[said..].iter().any(|line| line == "UP by resolution");
            if (before, state) == (State::Down, State::Up) && !moved {
                prop_assert!(row.0 >= rise, "{:?}", sim.said);
            }
            if state == State::Up {
                prop_assert!(row.1 < enough, "{:?}", sim.said);
            }
            match sim.check.next_deadline() {
                None => prop_assert_eq!(state, State::Maint),
                Some(deadline) => {
                    prop_assert_ne!(state, State::Maint);
                    let furthest = sim.now + TIMING.inter + TIMING.inter / 10;
                    prop_assert!(deadline <= furthest, "{deadline:?} from {:?}", sim.now);
                }
            }
        }
    }

    #[test]
    fn driven_in_time_probes_keep_their_distance(
        ends in prop::collection::vec((any::<bool>(), 0_u64..400, any::<bool>()), 1..60),
    ) {
        let mut sim = Sim::new(TIMING);
        for (passes, took_ms, observed) in ends {
            while sim.running.is_none() {
                sim.tick();
            }
            let gave_up = sim.check.next_deadline().expect("a probe runs");
            sim.now = (sim.now + Duration::from_millis(took_ms)).min(gave_up);
            if observed {
                sim.on(Event::Observed);
            }
            sim.end(if passes { CheckStatus::L7Ok } else { CheckStatus::L7Response }, None);
        }
        let shortest = TIMING.fastinter.min(OBSERVED_GAP) - TIMING.fastinter / crate::schedule::JITTER_PART;
        for pair in sim.starts.windows(2) {
            // A transition from a slow interval counts from the slot, which is up to its jitter before the start.
            let jitter = TIMING.inter / crate::schedule::JITTER_PART;
            prop_assert!(pair[1] - pair[0] + jitter >= shortest, "{pair:?}");
        }
    }
}
