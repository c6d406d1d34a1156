use super::*;
use crate::balance::{Algorithm, Balancer, Candidate, HashType, Member};
use proptest::prelude::*;

const SILENCE: Silence =
    Silence { unanswered: 4, after: Duration::from_millis(100), retry: Duration::from_secs(1) };

/// Servers that answer after `delays`, in ms; `None` hangs from `hangs_at` to `back_at`.
struct Simulation {
    delays: Vec<u64>,
    hung: Vec<usize>,
    hangs_at: u64,
    back_at: u64,
    /// Milliseconds between two requests.
    gap: u64,
}

/// Requests that each server left unanswered for a second or more, and all that it got.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    failed: Vec<usize>,
    got: Vec<usize>,
}

impl Simulation {
    fn run(&self, until: u64) -> Seen {
        let count = self.delays.len();
        let mut ejector = Ejector::new(SILENCE, count);
        let mut balancer = Balancer::new(
            &Algorithm::RoundRobin,
            HashType::Modulo,
            &vec![Member { name: "", weight: 1 }; count],
            0,
        );
        let mut pending: Vec<(u64, usize)> = Vec::new();
        let mut own = vec![0u64; count];
        let mut seen = Seen { failed: vec![0; count], got: vec![0; count] };
        for ms in 0..until {
            pending.retain(|(due, server)| {
                let answered = *due <= ms;
                own[*server] += u64::from(answered);
                !answered
            });
            if ms % self.gap != 0 {
                continue;
            }
            let now = Time::from_millis(ms);
            let all = own.iter().sum();
            let answers = |place: usize| Answers { own: own[place], all };
            let usable = |place| Candidate {
                weight: 1,
                usable: !ejector.avoids(place, answers(place), now),
                ..Candidate::default()
            };
            let any = |_| Candidate { weight: 1, usable: true, ..Candidate::default() };
            let place = balancer.pick(None, usable).or_else(|| balancer.pick(None, any)).expect("any");
            ejector.sent(place, answers(place), now);
            seen.got[place] += 1;
            let hangs = self.hung.contains(&place) && (self.hangs_at..self.back_at).contains(&ms);
            let due = if hangs { self.back_at } else { ms + self.delays[place] };
            seen.failed[place] += usize::from(due > ms + 1000);
            pending.push((due, place));
        }
        seen
    }
}

#[test]
fn of_300_requests_a_second_a_hung_server_gets_no_more_than_20() {
    let simulation =
        Simulation { delays: vec![5; 3], hung: vec![1], hangs_at: 2000, back_at: u64::MAX, gap: 3 };
    let seen = simulation.run(12_000);
    assert!((5..=20).contains(&seen.failed[1]), "{seen:?}");
    assert_eq!((seen.failed[0], seen.failed[2]), (0, 0));
}

#[test]
fn a_server_that_answers_again_gets_its_share_again() {
    let simulation = Simulation { delays: vec![5; 3], hung: vec![1], hangs_at: 1000, back_at: 6000, gap: 3 };
    let (before, after) = (simulation.run(6500), simulation.run(9500));
    let share = after.got[1] - before.got[1];
    assert!((330..=340).contains(&share), "a third of 1000: {share}");
}

#[test]
fn servers_that_all_hang_are_all_used() {
    let simulation =
        Simulation { delays: vec![5; 3], hung: vec![0, 1, 2], hangs_at: 1000, back_at: 3000, gap: 3 };
    let seen = simulation.run(6000);
    assert!(seen.got.iter().all(|got| (600..730).contains(got)), "{seen:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn servers_that_are_equally_slow_get_equal_shares(delay in 0u64..5000, gap in 1u64..200) {
        let simulation =
            Simulation { delays: vec![delay; 4], hung: vec![], hangs_at: 0, back_at: 0, gap };
        let seen = simulation.run(20_000);
        let most = seen.got.iter().max().copied().unwrap_or(0);
        prop_assert!(seen.got.iter().all(|got| most - got <= 1), "{:?}", seen);
    }

    #[test]
    fn whatever_happens_a_silent_server_is_one_that_did_not_answer(
        events in prop::collection::vec((0usize..3, any::<bool>(), 0u64..60), 1..300),
    ) {
        let mut ejector = Ejector::new(SILENCE, 3);
        let (mut own, mut unanswered, mut ms) = ([0u64; 3], [0u32; 3], 0);
        for (server, is_answer, pause) in events {
            ms += pause;
            let answers = Answers { own: own[server], all: own.iter().sum() };
            if is_answer {
                own[server] += 1;
                unanswered[server] = 0;
            } else {
                ejector.sent(server, answers, Time::from_millis(ms));
                unanswered[server] += 1;
            }
            let all = own.iter().sum();
            for place in 0..3 {
                let answers = Answers { own: own[place], all };
                let silent = ejector.is_silent(place, answers, Time::from_millis(ms));
                prop_assert!(!silent || unanswered[place] >= SILENCE.unanswered);
                prop_assert!(!silent || all > own[place], "others answer");
            }
        }
    }
}
