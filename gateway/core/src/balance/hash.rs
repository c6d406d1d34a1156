//! From a hash to a server. The same on every node and in every version, so not the standard library's.
//! Clients do choose what is hashed, but not so as to gain by it: each value only ever has one server.

use super::Member;
use base_core::random::mix;

/// The hash of some bytes (FNV-1a, mixed).
pub(super) fn bytes(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// The hash of each server's name.
pub(super) fn names(members: &[Member<'_>]) -> Vec<u64> {
    members.iter().map(|member| bytes(member.name.as_bytes())).collect()
}

/// Weighted rendezvous hashing: each server draws a number for the key, and the best for its weight wins. So a
/// server that goes, or gets less, only gives away, and one that gets more only takes.
pub(super) fn rendezvous(key: u64, names: &[u64], share: impl Fn(usize) -> u32) -> Option<usize> {
    let mut best: Option<(f64, usize)> = None;
    for (place, name) in names.iter().enumerate() {
        let share = share(place);
        if share == 0 {
            continue;
        }
        // In (0, 1], from as many bits as fit.
        let drawn = ((mix(key ^ name) >> 11) + 1) as f64 / (1u64 << 53) as f64;
        let score = -drawn.ln() / f64::from(share);
        if best.is_none_or(|(least, _)| score < least) {
            best = Some((score, place));
        }
    }
    best.map(|(_, place)| place)
}

/// A table of servers in which each takes its share of places, in an order of its own (Eisenbud et al.,
/// "Maglev", NSDI 2016, §3.4). It is made once: a key whose place belongs to a server that is not there looks
/// at another place, so nobody else's moves, as they would a little with a table made anew.
#[derive(Clone, Debug)]
pub(super) struct Maglev {
    table: Box<[u16]>,
    /// What the table was made with.
    weights: Vec<u32>,
    names: Vec<u64>,
}

impl Maglev {
    pub(super) fn new(members: &[Member<'_>]) -> Self {
        let names = names(members);
        let weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
        let most = weights.iter().copied().max().unwrap_or(0);
        let mut table = vec![NOBODY; PLACES].into_boxed_slice();
        let mut next = vec![0usize; members.len()];
        let mut saved = vec![0u32; members.len()];
        let mut left = if most == 0 { 0 } else { PLACES };
        while left > 0 {
            for server in 0..members.len() {
                saved[server] += weights[server];
                if saved[server] < most || left == 0 {
                    continue;
                }
                saved[server] -= most;
                let place = Self::free_place(&table, names[server], &mut next[server]);
                table[place] = u16::try_from(server).unwrap_or(NOBODY);
                left -= 1;
            }
        }
        Self { table, weights, names }
    }

    /// A server's next free place in its own order of all places.
    fn free_place(table: &[u16], name: u64, next: &mut usize) -> usize {
        let offset = (name % PLACES as u64) as usize;
        let skip = (mix(name) % (PLACES as u64 - 1)) as usize + 1;
        loop {
            let place = (offset + *next * skip) % PLACES;
            *next += 1;
            if table[place] == NOBODY {
                return place;
            }
        }
    }

    pub(super) fn pick(&self, key: u64, share: impl Fn(usize) -> u32) -> Option<usize> {
        let mut draw = key;
        for _ in 0..LOOKS {
            let server = usize::from(self.table[(draw % PLACES as u64) as usize]);
            draw = mix(draw);
            let Some(weight) = self.weights.get(server) else { break };
            // A server that gets less for a time gives away that part of its places.
            if draw % u64::from((*weight).max(1)) < u64::from(share(server)) {
                return Some(server);
            }
        }
        rendezvous(key, &self.names, share)
    }
}

/// A prime, and large against the number of servers: shares are exact to 1 %.
const PLACES: usize = 65_537;
const NOBODY: u16 = u16::MAX;
/// With half of the servers away, one key in 2^32 looks in vain; it is hashed in another way then.
const LOOKS: usize = 32;
