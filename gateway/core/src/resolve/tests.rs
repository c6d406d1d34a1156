use super::*;
use proptest::prelude::*;

const POLICY: Policy = Policy {
    resolve: Duration::from_secs(1),
    patience: Duration::from_secs(4),
    hold: Hold {
        valid: Duration::from_secs(10),
        obsolete: Duration::ZERO,
        nx: Duration::from_secs(30),
        refused: None,
        timeout: None,
        other: Some(Duration::from_secs(60)),
    },
};

/// A machine with the time at which it is.
struct Run {
    machine: Resolution,
    now: Time,
}

impl Run {
    fn new(policy: Policy, slots: usize) -> Self {
        Self { machine: Resolution::new(policy, slots, &[], Time::ZERO), now: Time::ZERO }
    }

    fn on(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.machine.on(event, self.now, &mut actions);
        self.machine.check_invariants();
        actions
    }

    /// Goes on to its next deadline.
    fn tick(&mut self) -> Vec<Action> {
        self.now = self.now.max(self.machine.next_deadline().expect("it never ends"));
        self.on(Event::Tick)
    }

    /// Goes on until it asks: the number of the question.
    fn ask(&mut self) -> u64 {
        loop {
            for action in self.tick() {
                if let Action::Ask { question, .. } = action {
                    return question;
                }
            }
        }
    }

    /// Goes on until it asks, and answers.
    fn answer(&mut self, answer: Answer) -> Vec<Action> {
        let question = self.ask();
        self.on(Event::Answered { question, answer })
    }

    fn addresses(&self, slots: usize) -> Vec<Option<u8>> {
        let last = |endpoint: Endpoint| match endpoint.address {
            SocketAddr::V4(address) => address.ip().octets()[3],
            SocketAddr::V6(_) => 0,
        };
        (0..slots).map(|slot| self.machine.at(slot).map(last)).collect()
    }
}

fn at(last: u8) -> Endpoint {
    Endpoint { address: SocketAddr::from(([10, 0, 0, last], 80)), weight: None }
}

fn valid(last: &[u8]) -> Answer {
    Ok(last.iter().map(|last| at(*last)).collect())
}

#[test]
fn an_address_that_stays_keeps_its_server_and_a_new_one_gets_the_first_that_is_free() {
    let mut run = Run::new(POLICY, 3);
    run.answer(valid(&[3, 1, 2]));
    assert_eq!(run.addresses(3), [Some(1), Some(2), Some(3)]);
    let actions = run.answer(valid(&[4, 3, 1]));
    assert_eq!(run.addresses(3), [Some(1), Some(4), Some(3)]);
    assert_eq!(
        actions,
        [Action::Heard { result: VALID, left_over: 0 }, Action::Move { slot: 1, to: Some(at(4)) }]
    );
    run.answer(valid(&[3]));
    assert_eq!(run.addresses(3), [None, None, Some(3)]);
}

#[test]
fn more_addresses_than_servers_are_counted_and_wait_for_room() {
    let mut run = Run::new(POLICY, 2);
    let actions = run.answer(valid(&[1, 2, 3, 4]));
    assert_eq!(actions[0], Action::Heard { result: VALID, left_over: 2 });
    assert_eq!(run.addresses(2), [Some(1), Some(2)]);
    run.answer(valid(&[2, 3, 4]));
    assert_eq!(run.addresses(2), [Some(3), Some(2)]);
}

#[test]
fn a_silent_resolver_takes_nothing_away() {
    let mut run = Run::new(POLICY, 1);
    run.answer(valid(&[1]));
    for _ in 0..1000 {
        run.answer(Err(Failure::Timeout));
        run.answer(Err(Failure::Refused));
    }
    assert_eq!(run.addresses(1), [Some(1)]);
}

#[test]
fn addresses_go_when_their_hold_is_over_counted_from_the_last_valid_answer() {
    for (failure, hold) in [(Failure::Nx, 30), (Failure::Other, 60)] {
        let mut run = Run::new(POLICY, 1);
        run.answer(valid(&[1]));
        let heard = run.now;
        while run.addresses(1)[0].is_some() {
            run.answer(Err(failure));
        }
        assert_eq!(run.now.since(heard).as_secs(), hold, "{failure:?}");
    }
}

#[test]
fn an_answer_without_addresses_is_as_none() {
    let mut run = Run::new(POLICY, 1);
    assert_eq!(run.answer(Ok(vec![]))[0], Action::Heard { result: "nx", left_over: 0 });
}

#[test]
fn it_asks_again_soon_after_a_failure_and_later_after_an_answer() {
    let mut run = Run::new(POLICY, 1);
    run.answer(valid(&[1]));
    assert_eq!(run.machine.next_deadline(), Some(run.now + Duration::from_secs(10)));
    run.answer(Err(Failure::Timeout));
    assert_eq!(run.machine.next_deadline(), Some(run.now + Duration::from_secs(1)));
}

#[test]
fn a_question_that_never_ends_is_given_up_and_its_late_answer_is_nobodys() {
    let mut run = Run::new(POLICY, 1);
    let Some(Action::Ask { question, .. }) = run.tick().pop() else { panic!("it asks at once") };
    assert_eq!(run.tick(), [Action::Heard { result: "timeout", left_over: 0 }]);
    assert_eq!(run.on(Event::Answered { question, answer: valid(&[1]) }), []);
}

#[test]
fn what_an_answer_leaves_out_stays_while_it_is_held() {
    let hold = Hold { obsolete: Duration::from_secs(25), ..POLICY.hold };
    let mut run = Run::new(Policy { hold, ..POLICY }, 2);
    run.answer(valid(&[1, 2]));
    run.answer(valid(&[2]));
    let gone = run.now;
    assert_eq!(run.addresses(2), [Some(1), Some(2)]);
    run.answer(valid(&[1, 2]));
    run.answer(valid(&[2]));
    assert!(run.now > gone);
    let gone = run.now;
    while run.addresses(2)[0].is_some() {
        run.tick().into_iter().for_each(|action| {
            if let Action::Ask { question, .. } = action {
                run.on(Event::Answered { question, answer: valid(&[2]) });
            }
        });
    }
    assert_eq!(run.now.since(gone).as_secs(), 25);
}

#[test]
fn what_is_known_at_the_start_holds_like_an_answer() {
    let mut machine = Resolution::new(POLICY, 1, &[at(7)], Time::ZERO);
    assert_eq!(machine.at(0), Some(at(7)));
    let mut actions = Vec::new();
    machine.on(Event::Tick, Time::ZERO, &mut actions);
    machine.on(Event::Answered { question: 1, answer: Err(Failure::Nx) }, Time::ZERO, &mut actions);
    assert_eq!(machine.at(0), Some(at(7)));
}

#[test]
fn weights_of_records_stand_in_relation() {
    let record = |weight, last| Record { weight, port: 80, addresses: vec![[10, 0, 0, last].into()] };
    let weights =
        |records: &[Record]| -> Vec<_> { weighed(records).iter().map(|endpoint| endpoint.weight).collect() };
    assert_eq!(weights(&[record(10, 1), record(20, 2)]), [Some(128), Some(256)]);
    assert_eq!(weights(&[record(0, 1), record(65_535, 2)]), [Some(1), Some(256)]);
    assert_eq!(weights(&[record(0, 1), record(0, 2)]), [None, None]);
    assert_eq!(weighed(&[Record { port: 0, ..record(1, 1) }]), []);
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => prop::collection::vec(0_u8..8, 0..10).prop_map(|last| valid(&last)),
        1 => prop::sample::select(Failure::ALL.to_vec()).prop_map(Err),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_stays_never_moves_and_all_are_served_that_fit(
        slots in 1_usize..6,
        obsolete in 0_u64..30,
        answers in prop::collection::vec(answers(), 1..40),
    ) {
        let hold = Hold { obsolete: Duration::from_secs(obsolete), ..POLICY.hold };
        let mut run = Run::new(Policy { hold, ..POLICY }, slots);
        for answer in answers {
            let question = run.ask();
            let before = run.addresses(slots);
            run.on(Event::Answered { question, answer: answer.clone() });
            let after = run.addresses(slots);
            let Ok(found) = answer else { continue };
            for (place, last) in before.iter().enumerate() {
                if last.is_some_and(|last| found.contains(&at(last))) {
                    prop_assert_eq!(after[place], *last);
                }
            }
            if obsolete == 0 && !found.is_empty() {
                let mut distinct = found.clone();
                distinct.sort_unstable();
                distinct.dedup();
                prop_assert_eq!(after.iter().flatten().count(), distinct.len().min(slots));
            }
        }
    }
}
