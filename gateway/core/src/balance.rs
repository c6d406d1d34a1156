//! Which server gets the next request (HAProxy manual, "balance").

use std::net::IpAddr;

/// How a backend spreads its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// In turn, smoothly by weight.
    RoundRobin,
    /// Where the fewest requests run, by weight; in turn among equals.
    LeastConn,
    /// By the client's address: the same client gets the same server, on every node, as long as the
    /// same servers are up.
    Source,
}

/// What a choice needs to know of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its share; 0 is never chosen.
    pub weight: u32,
    /// Whether it may get new work.
    pub usable: bool,
    /// Requests that run on it now.
    pub active: u32,
}

impl Candidate {
    /// Whether it may be chosen at all.
    pub fn gets_new_work(self) -> bool {
        self.usable && self.weight > 0
    }
}

/// Chooses servers of one backend. Its state is what makes turns smooth: share one between workers.
#[derive(Clone, Debug)]
pub struct Balancer {
    algorithm: Algorithm,
    /// Smooth weighted round robin: what each server is owed.
    owed: Vec<i64>,
}

impl Balancer {
    /// For a backend with `servers` servers.
    pub fn new(algorithm: Algorithm, servers: usize) -> Self {
        Self { algorithm, owed: vec![0; servers] }
    }

    /// The place of the server that gets the next request of `client`; `None` if none may.
    pub fn pick(&mut self, client: IpAddr, candidate: impl Fn(usize) -> Candidate) -> Option<usize> {
        match self.algorithm {
            Algorithm::RoundRobin => self.next_in_turn(|place| Self::share(candidate(place))),
            Algorithm::LeastConn => {
                let load = |candidate: Candidate| {
                    // Compares (active + 1) / weight as whole numbers.
                    (u64::from(candidate.active) + 1) * LOAD_SCALE / u64::from(candidate.weight)
                };
                let usable =
                    (0..self.owed.len()).map(&candidate).filter(|candidate| Self::share(*candidate) > 0);
                let least = usable.map(load).min()?;
                self.next_in_turn(|place| match candidate(place) {
                    one if Self::share(one) > 0 && load(one) == least => Self::share(one),
                    _ => 0,
                })
            }
            Algorithm::Source => {
                let share = |place| Self::share(candidate(place)) as u64;
                let total: u64 = (0..self.owed.len()).map(share).sum();
                let mut ticket = hash(client).checked_rem(total)?;
                (0..self.owed.len()).find(|place| match ticket.checked_sub(share(*place)) {
                    None => true,
                    Some(rest) => {
                        ticket = rest;
                        false
                    }
                })
            }
        }
    }

    /// How many servers it chooses from.
    pub fn servers(&self) -> usize {
        self.owed.len()
    }

    /// Whether the request alone decides, so that it waits for its server rather than take another.
    pub fn is_fixed(&self) -> bool {
        self.algorithm == Algorithm::Source
    }

    fn share(candidate: Candidate) -> i64 {
        if candidate.usable { i64::from(candidate.weight) } else { 0 }
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

/// The same on every node and in every version, so not the standard library's. Clients do choose
/// their address, but not so as to gain by it: each only ever has one server.
fn hash(client: IpAddr) -> u64 {
    let bits = match client {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    mix(bits as u64 ^ mix((bits >> 64) as u64))
}

/// Spreads every bit of the input over all of the output (the finaliser of SplitMix64).
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Digits that a load keeps behind the point when it is divided by a weight of up to 256.
const LOAD_SCALE: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn up(weight: u32) -> Candidate {
        Candidate { weight, usable: true, active: 0 }
    }

    fn run(algorithm: Algorithm, servers: &[Candidate], turns: usize) -> Vec<usize> {
        let mut balancer = Balancer::new(algorithm, servers.len());
        (0..turns).filter_map(|_| balancer.pick(CLIENT, |place| servers[place])).collect()
    }

    #[test]
    fn turns_are_smooth_by_weight() {
        let servers = [up(3), up(1), up(0)];
        assert_eq!(run(Algorithm::RoundRobin, &servers, 8), [0, 0, 1, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn the_least_busy_gets_it_and_equals_take_turns() {
        let busy = |active| Candidate { active, ..up(100) };
        assert_eq!(run(Algorithm::LeastConn, &[busy(2), busy(1), busy(1)], 4), [1, 2, 1, 2]);
        assert_eq!(run(Algorithm::LeastConn, &[busy(5), up(50)], 1), [1]);
    }

    #[test]
    fn a_client_keeps_its_server_while_all_are_up() {
        let servers = [up(100), up(100), up(100)];
        let picks = run(Algorithm::Source, &servers, 5);
        assert!(picks.iter().all(|pick| *pick == picks[0]));
        let mut spread = [0; 3];
        let mut balancer = Balancer::new(Algorithm::Source, 3);
        for client in 0..3000u32 {
            let client = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + client));
            spread[balancer.pick(client, |place| servers[place]).expect("one is up")] += 1;
        }
        assert!(spread.iter().all(|count| (900..1100).contains(count)), "{spread:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn only_usable_servers_are_chosen_and_one_if_there_is_any(
            servers in proptest::collection::vec((0u32..=256, any::<bool>(), any::<u32>()), 0..12),
            client in any::<u32>(),
        ) {
            let servers: Vec<_> =
                servers.into_iter().map(|(weight, usable, active)| Candidate { weight, usable, active }).collect();
            let any_usable = servers.iter().any(|server| server.usable && server.weight > 0);
            for algorithm in [Algorithm::RoundRobin, Algorithm::LeastConn, Algorithm::Source] {
                let mut balancer = Balancer::new(algorithm, servers.len());
                for turn in 0..20u32 {
                    let client = IpAddr::V4(Ipv4Addr::from_bits(client.wrapping_add(turn)));
                    let pick = balancer.pick(client, |place| servers[place]);
                    prop_assert_eq!(pick.is_some(), any_usable);
                    prop_assert!(pick.is_none_or(|place| servers[place].usable && servers[place].weight > 0));
                }
            }
        }

        #[test]
        fn shares_follow_weights(weights in proptest::collection::vec(1u32..20, 1..6)) {
            let servers: Vec<_> = weights.iter().map(|weight| up(*weight)).collect();
            let total: u32 = weights.iter().sum();
            let picks = run(Algorithm::RoundRobin, &servers, total as usize);
            for (place, weight) in weights.iter().enumerate() {
                prop_assert_eq!(picks.iter().filter(|pick| **pick == place).count(), *weight as usize);
            }
        }
    }
}
