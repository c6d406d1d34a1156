use super::*;
use crate::balance::{Algorithm, HashType, Member};
use crate::queue::Dynamic;
use proptest::prelude::*;

fn up() -> Candidate {
    Candidate { weight: 1, usable: true, ..Candidate::default() }
}

fn dispatcher(algorithm: Algorithm, limits: Limits) -> Dispatcher<u32> {
    let members = vec![Member { name: "s", weight: 1 }; limits.servers.len()];
    let balancer = Balancer::new(&algorithm, HashType::Modulo, &members, 0);
    Dispatcher::new(balancer, limits, Backups::First)
}

fn call(stuck: Option<usize>) -> Call<'static> {
    Call { key: None, stuck, tried: &[], avoid: &|_| false }
}

#[test]
fn without_limits_nobody_waits() {
    let limits = Limits { servers: vec![None; 2], backend: None, waiting: 0, ..Limits::default() };
    let mut dispatcher = dispatcher(Algorithm::RoundRobin, limits);
    for turn in 0..10 {
        assert_eq!(dispatcher.ask(call(None), |_| up(), || 0), Decision::Go(turn % 2));
    }
    assert_eq!(dispatcher.ask(call(Some(1)), |_| up(), || 0), Decision::Go(1));
}

#[test]
fn a_place_that_is_given_back_goes_to_the_first_who_can_use_it() {
    let limits = Limits { servers: vec![Some(1), Some(1)], backend: None, waiting: 3, ..Limits::default() };
    let mut dispatcher = dispatcher(Algorithm::RoundRobin, limits);
    let mut ask = |stuck, name| dispatcher.ask(call(stuck), |_| up(), || name);
    assert_eq!([ask(None, 0), ask(None, 0)], [Decision::Go(0), Decision::Go(1)]);
    assert!(matches!(ask(Some(1), 1), Decision::Wait(Ticket { position: 1, .. })));
    assert!(matches!(ask(None, 2), Decision::Wait(Ticket { position: 1, .. })));
    assert!(matches!(ask(None, 3), Decision::Wait(Ticket { position: 2, .. })));
    assert_eq!(ask(None, 4), Decision::Full(Wish::Any));
    let mut woken = Vec::new();
    for place in [0, 1, 1] {
        dispatcher.release(place, |_| up(), |_| false, |waiter, place| woken.push((waiter, place)));
    }
    assert_eq!(woken, [(2, 0), (1, 1), (3, 1)]);
}

#[test]
fn limits_grow_with_the_load_as_in_haproxy() {
    let dynamic = Some(Dynamic { minconn: vec![Some(10), None], fullconn: 1000 });
    let limits = Limits { servers: vec![Some(100), Some(50)], dynamic, ..Limits::default() };
    let most = |load| (limits.most(0, load), limits.most(1, load));
    for (load, first) in [(0, 10), (100, 10), (119, 11), (500, 50), (999, 99), (1000, 100), (9000, 100)] {
        assert_eq!(most(load), (Some(first), Some(50)), "{load}");
    }
}

#[test]
fn who_comes_lets_go_who_waited_for_the_load_to_rise() {
    let dynamic = Some(Dynamic { minconn: vec![Some(1)], fullconn: 8 });
    let limits = Limits { servers: vec![Some(4)], dynamic, waiting: 9, ..Limits::default() };
    let mut dispatcher = dispatcher(Algorithm::RoundRobin, limits);
    let mut went = Vec::new();
    for name in 1..=10 {
        if let Decision::Go(_) = dispatcher.ask(call(None), |_| up(), || name) {
            went.push((name, name));
        }
        dispatcher.has_come(|_| up(), |_| false, |waiter, _| went.push((name, waiter)));
    }
    assert_eq!(
        went,
        [(1, 1), (4, 2), (6, 3), (8, 4)],
        "with the 4th of 8 half may run, and the first in line goes"
    );
}

#[test]
fn who_comes_to_a_full_line_overtakes_nobody() {
    let dynamic = Some(Dynamic { minconn: vec![Some(1)], fullconn: 8 });
    let limits = Limits { servers: vec![Some(4)], dynamic, waiting: 3, ..Limits::default() };
    let mut dispatcher = dispatcher(Algorithm::RoundRobin, limits);
    let mut went = Vec::new();
    for name in 1..=8 {
        if let Decision::Go(_) = dispatcher.ask(call(None), |_| up(), || name) {
            went.push((name, name));
        }
        dispatcher.has_come(|_| up(), |_| false, |waiter, _| went.push((name, waiter)));
        assert!(dispatcher.waiting() <= 3);
    }
    assert_eq!(
        went,
        [(1, 1), (4, 2), (6, 3)],
        "the 6th lets the 3rd go, the line is full again, and the 7th goes away"
    );
}

#[test]
fn who_waits_for_a_server_that_goes_down_takes_another() {
    let limits = Limits { servers: vec![Some(1), Some(1)], backend: None, waiting: 9, ..Limits::default() };
    let mut dispatcher = dispatcher(Algorithm::RoundRobin, limits);
    assert_eq!(dispatcher.ask(call(Some(0)), |_| up(), || 0), Decision::Go(0));
    assert!(matches!(dispatcher.ask(call(Some(0)), |_| up(), || 7), Decision::Wait(_)));
    let mut woken = Vec::new();
    let first_is_down = |place| Candidate { usable: place != 0, ..up() };
    dispatcher.changed(0, false, first_is_down, |_| false, |waiter, place| woken.push((waiter, place)));
    assert_eq!(woken, [(7, 1)]);
}

#[test]
fn a_server_to_avoid_is_only_used_when_there_is_no_other() {
    let limits = Limits { servers: vec![None; 2], backend: None, waiting: 0, ..Limits::default() };
    let mut dispatcher = dispatcher(Algorithm::RoundRobin, limits);
    let first = Call { avoid: &|place| place == 0, ..call(Some(0)) };
    assert_eq!(dispatcher.ask(first, |_| up(), || 0), Decision::Go(1));
    let both = Call { avoid: &|_| true, ..call(None) };
    assert!(matches!(dispatcher.ask(both, |_| up(), || 0), Decision::Go(_)));
}

#[test]
fn a_freed_place_is_not_given_on_a_server_to_avoid_while_there_is_another() {
    let limits = Limits { servers: vec![Some(1), Some(1)], backend: None, waiting: 9, ..Limits::default() };
    let mut dispatcher = dispatcher(Algorithm::RoundRobin, limits);
    let first = |place| place == 0;
    let mut ask = |name| dispatcher.ask(Call { avoid: &first, ..call(None) }, |_| up(), || name);
    assert_eq!(ask(0), Decision::Go(1));
    assert!(matches!(ask(1), Decision::Wait(_)), "rather in line than on the silent one");
    let mut woken = Vec::new();
    dispatcher.release(1, |_| up(), first, |waiter, place| woken.push((waiter, place)));
    assert_eq!(woken, [(1, 1)]);
    let ask = Call { avoid: &|_| true, ..call(None) };
    assert_eq!(dispatcher.ask(ask, |_| up(), || 2), Decision::Go(0), "all are to avoid");
}

#[test]
fn backups_serve_when_nobody_else_can() {
    let limits = || Limits { servers: vec![None; 4], backend: None, waiting: 0, ..Limits::default() };
    let servers = |up: [bool; 4]| {
        move |place: usize| Candidate { weight: 1, usable: up[place], active: 0, backup: place > 1 }
    };
    let picks = |dispatcher: &mut Dispatcher<u32>, up| -> Vec<Decision> {
        (0..4).map(|_| dispatcher.ask(call(None), servers(up), || 0)).collect()
    };
    let go = |places: [usize; 4]| places.map(Decision::Go).to_vec();
    let mut first = dispatcher(Algorithm::RoundRobin, limits());
    let mut all = Dispatcher { backups: Backups::All, ..dispatcher(Algorithm::RoundRobin, limits()) };
    assert_eq!(picks(&mut first, [true; 4]), go([0, 1, 0, 1]));
    assert_eq!(picks(&mut first, [false, true, true, true]), go([1; 4]));
    assert_eq!(picks(&mut first, [false, false, true, true]), go([2; 4]));
    assert_eq!(picks(&mut first, [false, false, false, true]), go([3; 4]));
    assert_eq!(picks(&mut all, [false, false, true, true]), go([2, 3, 2, 3]));
    assert_eq!(picks(&mut all, [false; 4]), vec![Decision::Nobody; 4]);
    let stuck = first.ask(call(Some(3)), servers([true; 4]), || 0);
    assert_eq!(stuck, Decision::Go(3), "who sticks to a backup stays there");
}

#[test]
fn with_every_server_down_nobody_waits() {
    let limits = Limits { servers: vec![Some(1)], backend: Some(1), waiting: 9, ..Limits::default() };
    let mut dispatcher = dispatcher(Algorithm::LeastConn, limits);
    let down = |_| Candidate { usable: false, ..up() };
    assert_eq!(dispatcher.ask(call(None), down, || 0), Decision::Nobody);
}

/// What a model of a backend is put through.
#[derive(Clone, Debug)]
enum Step {
    Ask { stuck: Option<usize> },
    End { nth: usize },
    GiveUp { nth: usize },
    Toggle { place: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop::option::weighted(0.3, 0..SERVERS).prop_map(|stuck| Step::Ask { stuck }),
        4 => (0..64usize).prop_map(|nth| Step::End { nth }),
        1 => (0..64usize).prop_map(|nth| Step::GiveUp { nth }),
        1 => (0..SERVERS).prop_map(|place| Step::Toggle { place }),
    ];
    prop::collection::vec(step, 1..200)
}

fn dynamic() -> impl Strategy<Value = Option<Dynamic>> {
    let minconn = prop::collection::vec(prop::option::of(1..4u32), SERVERS);
    prop::option::of((minconn, 1..12u32).prop_map(|(minconn, fullconn)| Dynamic { minconn, fullconn }))
}

fn limits() -> impl Strategy<Value = Limits> {
    let most = || prop::option::weighted(0.8, 1..4u32);
    let all = (prop::collection::vec(most(), SERVERS), most(), 0..20usize, dynamic());
    all.prop_map(|(servers, backend, waiting, dynamic)| {
        // Without any limit there is no line to look at.
        let backend = backend.or_else(|| servers.iter().all(Option::is_none).then_some(2));
        Limits { servers, backend, waiting, dynamic, may_change: false }
    })
}

/// Who waits, as the test sees it.
#[derive(Debug)]
struct Waiting {
    name: u32,
    ticket: Ticket,
    wish: Option<usize>,
}

struct Model {
    limits: Limits,
    up: [bool; SERVERS],
    running: Vec<usize>,
    waiting: Vec<Waiting>,
}

impl Model {
    fn is_free(&self, place: usize) -> bool {
        self.is_free_under(place, self.running.len() + self.waiting.len())
    }

    fn is_free_under(&self, place: usize, load: usize) -> bool {
        let on_it = self.running.iter().filter(|server| **server == place).count();
        self.limits.most(place, load as u64).is_none_or(|most| on_it < most as usize)
            && self.limits.backend.is_none_or(|most| self.running.len() < most as usize)
    }

    fn can_go(&self, waiting: &Waiting) -> bool {
        self.can_go_under(waiting, self.running.len() + self.waiting.len())
    }

    fn can_go_under(&self, waiting: &Waiting, load: usize) -> bool {
        match waiting.wish {
            Some(place) => self.is_free_under(place, load),
            None => (0..SERVERS).any(|place| self.up[place] && self.is_free_under(place, load)),
        }
    }

    /// The one who was woken must have been the oldest who could go.
    fn woken(&mut self, name: u32, place: usize) {
        let first = self.waiting.iter().position(|waiting| self.can_go(waiting)).expect("somebody could go");
        let is_free = self.is_free(place);
        let waiting = self.waiting.remove(first);
        assert_eq!(waiting.name, name, "who came first goes first");
        assert!(is_free && waiting.wish.is_none_or(|wish| wish == place));
        self.running.push(place);
    }

    fn check(&self) {
        for place in 0..SERVERS {
            let on_it = self.running.iter().filter(|server| **server == place).count();
            assert!(self.limits.servers[place].is_none_or(|most| on_it <= most as usize), "maxconn");
        }
        assert!(self.limits.backend.is_none_or(|most| self.running.len() <= most as usize));
        assert!(self.waiting.len() <= self.limits.waiting);
        assert!(!self.waiting.iter().any(|waiting| self.can_go(waiting)), "nobody waits for a free place");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_exceeds_maxconn_nor_overtakes_nor_waits_in_vain(limits in limits(), steps in steps()) {
        let mut dispatcher = dispatcher(Algorithm::LeastConn, limits.clone());
        let mut model = Model { limits, up: [true; SERVERS], running: Vec::new(), waiting: Vec::new() };
        for (name, step) in (0u32..).zip(steps) {
            let up = model.up;
            let servers = |place: usize| Candidate { weight: 1, usable: up[place], ..Candidate::default() };
            let mut woken = Vec::new();
            match step {
                Step::Ask { stuck } => {
                    let stuck = stuck.filter(|place| up[*place]);
                    match dispatcher.ask(call(stuck), servers, || name) {
                        Decision::Go(place) => {
                            let load = model.running.len() + model.waiting.len() + 1;
                            prop_assert!(model.is_free_under(place, load));
                            let overtaken = model.waiting.iter().any(|waiting| model.can_go_under(waiting, load));
                            prop_assert!(!overtaken, "who comes goes before nobody who could");
                            model.running.push(place);
                        }
                        Decision::Wait(ticket) => model.waiting.push(Waiting { name, ticket, wish: stuck }),
                        Decision::Full(_) => prop_assert_eq!(model.waiting.len(), model.limits.waiting),
                        Decision::Nobody => prop_assert!(!up.contains(&true)),
                    }
                    dispatcher.has_come(servers, |_| false, |name, place| woken.push((name, place)));
                }
                Step::End { nth } if !model.running.is_empty() => {
                    let place = model.running.swap_remove(nth % model.running.len());
                    dispatcher.release(place, servers, |_| false, |name, place| woken.push((name, place)));
                }
                Step::GiveUp { nth } if !model.waiting.is_empty() => {
                    let left = model.waiting.remove(nth % model.waiting.len());
                    prop_assert!(dispatcher.leave(left.ticket));
                    prop_assert!(!dispatcher.leave(left.ticket), "only once");
                }
                Step::Toggle { place } => {
                    model.up[place] = !up[place];
                    let up = model.up;
                    let servers = |place: usize| Candidate { weight: 1, usable: up[place], ..Candidate::default() };
                    if !up[place] {
                        let moved = model.waiting.iter_mut().filter(|waiting| waiting.wish == Some(place));
                        moved.for_each(|waiting| waiting.wish = None);
                    }
                    dispatcher.changed(place, up[place], servers, |_| false, |name, place| woken.push((name, place)));
                }
                Step::End { .. } | Step::GiveUp { .. } => {}
            }
            woken.into_iter().for_each(|(name, place)| model.woken(name, place));
            model.check();
        }
    }
}

const SERVERS: usize = 3;
