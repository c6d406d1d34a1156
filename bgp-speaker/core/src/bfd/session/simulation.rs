//! Two sessions against each other over a link that delays, loses and reorders, in virtual time.

use super::tests::{session, timers};
use super::*;
use std::collections::BTreeMap;

/// What the link does to one packet.
#[derive(Clone, Copy)]
struct Link {
    least_delay: Duration,
    most_delay: Duration,
    /// The part of packets that it loses…
    loss: f64,
    /// … but never so many in a row.
    fewer_in_a_row: u32,
}

struct World {
    sides: [Session; 2],
    link: Link,
    /// Nothing that this side sends arrives.
    cut: [bool; 2],
    lost_in_a_row: [u32; 2],
    flying: BTreeMap<(Time, u64), (usize, Packet)>,
    number: u64,
    random: Random,
    now: Time,
    changes: Vec<(Time, usize, Change)>,
}

impl World {
    fn new(link: Link, interval: u64, seed: u64) -> Self {
        let sides = [session(timers(interval, 3), 2 * seed), session(timers(interval, 3), 2 * seed + 1)];
        Self {
            sides,
            link,
            cut: [false; 2],
            lost_in_a_row: [0; 2],
            flying: BTreeMap::new(),
            number: 0,
            random: Random::new(!seed),
            now: Time::ZERO,
            changes: Vec::new(),
        }
    }

    /// Lets time pass up to `end`; what arrives comes before what is due at the same moment.
    fn run(&mut self, end: Time) {
        loop {
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let due = [0, 1].map(|side: usize| self.sides[side].next_deadline().map(|at| at.max(self.now)));
            let next = [arrival, due[0], due[1]].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = next;
            if arrival == Some(next) {
                let Some((_, (to, packet))) = self.flying.pop_first() else { break };
                self.on(to, Event::Received(packet));
            } else {
                let side = usize::from(due[0] != Some(next));
                self.on(side, Event::Tick);
            }
        }
        self.now = end;
    }

    fn on(&mut self, side: usize, event: Event) {
        let mut actions = Vec::new();
        self.sides[side].on(event, self.now, &mut actions);
        self.sides[side].check_invariants();
        for action in actions {
            match action {
                Action::Transmit(packet) => self.send(side, packet),
                Action::Changed(change) => self.changes.push((self.now, side, change)),
            }
        }
    }

    fn send(&mut self, from: usize, packet: Packet) {
        let lost = self.random.fraction() < self.link.loss;
        if self.cut[from] || lost && self.lost_in_a_row[from] + 1 < self.link.fewer_in_a_row {
            self.lost_in_a_row[from] += 1;
            return;
        }
        self.lost_in_a_row[from] = 0;
        let spread = self.link.most_delay - self.link.least_delay;
        let delay = self.link.least_delay + spread.mul_f64(self.random.fraction());
        self.number += 1;
        self.flying.insert((self.now + delay, self.number), (1 - from, packet));
    }

    fn up(&self) -> bool {
        self.sides.iter().all(|side| side.state() == State::Up)
    }

    fn failures(&self, since: Time) -> usize {
        self.changes.iter().filter(|(at, _, change)| *at >= since && change.failed).count()
    }

    /// When `side` next failed after `since`.
    fn failed(&self, side: usize, since: Time) -> Option<Time> {
        let mine = |(at, who, change): &&(Time, usize, Change)| *at >= since && *who == side && change.failed;
        self.changes.iter().find(mine).map(|(at, ..)| *at)
    }
}

/// Every packet takes as long; up to two in a row are lost, of many.
const STEADY: Link = Link { least_delay: MS, most_delay: MS, loss: 0.4, fewer_in_a_row: 3 };
/// Packets overtake each other; of two in a row one arrives.
const RESTLESS: Link = Link {
    least_delay: Duration::from_micros(100),
    most_delay: Duration::from_millis(12),
    loss: 0.3,
    fewer_in_a_row: 2,
};
const MS: Duration = Duration::from_millis(1);
const SEEDS: u64 = 64;

fn seconds(seconds: u64) -> Time {
    Time::from_millis(seconds * 1000)
}

#[test]
fn sessions_come_up_and_stay_up_while_fewer_packets_than_the_multiplier_are_lost_in_a_row() {
    for seed in 0..SEEDS {
        let mut world = World::new(STEADY, 50, seed);
        world.run(seconds(8));
        assert!(world.up(), "seed {seed}: {:?}", world.changes);
        world.run(seconds(120));
        assert_eq!(world.failures(Time::ZERO), 0, "seed {seed}: {:?}", world.changes);
    }
}

#[test]
fn reordering_and_delay_within_the_jitter_bring_nothing_down() {
    for seed in 0..SEEDS {
        let mut world = World::new(RESTLESS, 50, seed);
        world.run(seconds(10));
        assert!(world.up(), "seed {seed}: {:?}", world.changes);
        world.run(seconds(120));
        assert_eq!(world.failures(seconds(10)), 0, "seed {seed}: {:?}", world.changes);
    }
}

#[test]
fn no_change_of_timers_brings_a_session_down() {
    let wishes = [10, 50, 300, 1000];
    for seed in 0..SEEDS {
        let mut world = World::new(STEADY, 50, seed);
        world.run(seconds(8));
        for turn in 0..40 {
            let wish = wishes[(world.random.fraction() * 4.0) as usize];
            let side = usize::from(world.random.fraction() < 0.5);
            world.on(side, Event::Retime(timers(wish, 3)));
            let pause = Duration::from_millis((world.random.fraction() * 6000.0) as u64);
            world.run(world.now + pause);
            assert_eq!(world.failures(Time::ZERO), 0, "seed {seed} turn {turn}: {:?}", world.changes);
        }
    }
}

#[test]
fn a_cut_is_seen_by_both_sides_within_the_detection_time_and_never_before_it_can_be() {
    let detection = Duration::from_millis(150);
    for seed in 0..SEEDS {
        for cut in [[true, true], [true, false], [false, true]] {
            let mut world = World::new(Link { loss: 0.0, ..STEADY }, 50, seed);
            world.run(seconds(8) + Duration::from_millis(seed * 7));
            let at = world.now;
            world.cut = cut;
            world.run(at + Duration::from_secs(1));
            for side in 0..2 {
                let took = world.failed(side, at).map(|failed| failed - at);
                // The last packet arrives one delay after the cut; a side that hears is told one later.
                let bound = detection + 2 * MS;
                assert!(
                    took.is_some_and(|took| took <= bound && took >= 2 * detection / 3),
                    "{seed} {cut:?} {took:?}"
                );
            }
            world.cut = [false, false];
            world.run(world.now + Duration::from_millis(2100));
            assert!(world.up(), "it comes back: seed {seed} {cut:?}");
        }
    }
}
