//! Which server gets the next request (HAProxy manual, "balance" and "hash-type").
//!
//! Promises: only servers that may get new work are chosen, and one if there is any; shares follow weights;
//! a choice allocates nothing. What goes by a hash is the same on every node with the same servers.

mod algorithm;
mod hash;
mod slowstart;

#[cfg(test)]
mod tests;

pub use algorithm::{Algorithm, HashType, Uri};
pub use slowstart::{STEPS, ramped};

use base_core::random::mix;
use hash::{Maglev, rendezvous};

/// What a choice needs to know of one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// Its share; 0 is never chosen.
    pub weight: u32,
    /// Whether it may get new work.
    pub usable: bool,
    /// Requests that run on it now.
    pub active: u32,
    /// Whether it only serves when no other can.
    pub backup: bool,
}

impl Candidate {
    /// Whether it may be chosen at all.
    pub fn gets_new_work(self) -> bool {
        self.share() > 0
    }

    fn share(self) -> u32 {
        if self.usable { self.weight } else { 0 }
    }

    /// Compares (active + 1) / weight as whole numbers; the weight is not 0.
    fn load(self) -> u64 {
        (u64::from(self.active) + 1) * LOAD_SCALE / u64::from(self.weight.max(1))
    }
}

/// What the shares of a backend are worked out from before the first request comes.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// By its name a server is the same on every node.
    pub name: &'a str,
    /// Its weight, in the unit of [`Candidate::weight`].
    pub weight: u32,
}

/// Chooses servers of one backend. Its state is what makes turns smooth: share one between workers.
#[derive(Clone, Debug)]
pub struct Balancer {
    way: Way,
    /// Smooth weighted round robin: what each server is owed.
    owed: Vec<i64>,
}

/// How it chooses.
#[derive(Clone, Debug)]
enum Way {
    Turns,
    Least,
    First,
    /// With the state of its dice.
    Random(u64),
    Modulo,
    /// With the hash of each server's name.
    Consistent(Vec<u64>),
    Maglev(Box<Maglev>),
}

impl Balancer {
    /// For a backend with these servers. `seed` is for its dice.
    pub fn new(algorithm: &Algorithm, hash: HashType, members: &[Member<'_>], seed: u64) -> Self {
        let way = match (algorithm, hash) {
            (Algorithm::RoundRobin, _) => Way::Turns,
            (Algorithm::LeastConn, _) => Way::Least,
            (Algorithm::First, _) => Way::First,
            (Algorithm::Random, _) => Way::Random(seed),
            (_, HashType::Modulo) => Way::Modulo,
            (_, HashType::Consistent) => Way::Consistent(hash::names(members)),
            (_, HashType::Maglev) => Way::Maglev(Box::new(Maglev::new(members))),
        };
        Self { way, owed: vec![0; members.len()] }
    }

    /// The place of the server that gets the next request; `None` if none may. `key` is what the request is
    /// hashed by; a request without it gets a turn.
    pub fn pick(&mut self, key: Option<u64>, candidate: impl Fn(usize) -> Candidate) -> Option<usize> {
        let share = |place: usize| candidate(place).share();
        let servers = self.owed.len();
        match (&mut self.way, key) {
            (Way::Turns, _) | (Way::Modulo | Way::Consistent(_) | Way::Maglev(_), None) => {
                self.next_in_turn(|place| i64::from(share(place)))
            }
            (Way::Least, _) => {
                let usable = (0..servers).map(&candidate).filter(|candidate| candidate.gets_new_work());
                let least = usable.map(Candidate::load).min()?;
                self.next_in_turn(|place| match candidate(place) {
                    one if one.gets_new_work() && one.load() == least => i64::from(one.share()),
                    _ => 0,
                })
            }
            (Way::First, _) => (0..servers).find(|place| share(*place) > 0),
            (Way::Random(dice), _) => {
                let mut draw = || {
                    *dice = dice.wrapping_add(1);
                    by_ticket(mix(*dice), servers, share)
                };
                let (one, other) = (draw()?, draw()?);
                Some(if candidate(other).load() < candidate(one).load() { other } else { one })
            }
            (Way::Modulo, Some(key)) => by_ticket(key, servers, share),
            (Way::Consistent(names), Some(key)) => rendezvous(key, names, share),
            (Way::Maglev(table), Some(key)) => table.pick(key, share),
        }
    }

    /// How many servers it chooses from.
    pub fn servers(&self) -> usize {
        self.owed.len()
    }

    /// Whether a request with a key waits for its server rather than take another.
    pub fn is_fixed(&self) -> bool {
        matches!(self.way, Way::Modulo | Way::Consistent(_) | Way::Maglev(_))
    }

    /// Smooth weighted round robin: everyone is owed its share of each turn, and who is owed the most
    /// pays for the whole turn.
    fn next_in_turn(&mut self, share: impl Fn(usize) -> i64) -> Option<usize> {
        let mut total = 0;
        let mut chosen: Option<usize> = None;
        for place in 0..self.owed.len() {
            let share = share(place);
            if share == 0 {
                // Who sits out does not save up.
                self.owed[place] = 0;
                continue;
            }
            total += share;
            self.owed[place] += share;
            if chosen.is_none_or(|best| self.owed[place] > self.owed[best]) {
                chosen = Some(place);
            }
        }
        let chosen = chosen?;
        self.owed[chosen] -= total;
        Some(chosen)
    }
}

/// The server in whose share a number falls.
fn by_ticket(number: u64, servers: usize, share: impl Fn(usize) -> u32) -> Option<usize> {
    let total: u64 = (0..servers).map(|place| u64::from(share(place))).sum();
    let mut ticket = number.checked_rem(total)?;
    (0..servers).find(|place| match ticket.checked_sub(u64::from(share(*place))) {
        None => true,
        Some(rest) => {
            ticket = rest;
            false
        }
    })
}

/// The most that a server may weigh (HAProxy manual, `weight`).
pub const HEAVIEST: u32 = 256;
/// Digits that a load keeps behind the point when it is divided by a weight of up to 256 × [`STEPS`].
const LOAD_SCALE: u64 = 1 << 20;
