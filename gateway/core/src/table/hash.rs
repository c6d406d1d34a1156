//! A keyed hash for short keys. Clients choose the keys, so the seed is secret and random; it is drawn from
//! the standard library's hasher, so that whoever makes a table need only bring that.
//!
//! Each 16 bytes are mixed with the seed and folded by one multiplication of 64 × 64 bits, as the family of
//! wyhash does: a few nanoseconds, where SipHash takes twenty. It is no hash for proofs, only one that who
//! does not know the seed can't steer.

use std::hash::BuildHasher;

/// The seed of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hasher {
    seed: [u64; 4],
}

impl Hasher {
    pub(super) fn new(random: &impl BuildHasher) -> Self {
        // Odd, so that no multiplication forgets bits.
        Self { seed: [1u64, 2, 3, 4].map(|number| random.hash_one(number) | 1) }
    }

    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        let [a, b, c, d] = self.seed;
        let mut state = a ^ key.len() as u64;
        let (blocks, rest) = key.as_chunks::<16>();
        for block in blocks {
            let (low, high) = halves(block);
            state = fold(low ^ state, high ^ b);
        }
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        let (low, high) = halves(&last);
        fold(fold(low ^ state, high ^ c) ^ d, state ^ b)
    }
}

fn halves(block: &[u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(*block);
    (both as u64, (both >> 64) as u64)
}

fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::RandomState;

    #[test]
    fn near_keys_spread_evenly_and_seeds_differ() {
        let hasher = Hasher::new(&RandomState::new());
        let mut shards = [0u32; 64];
        for number in 0..64_000u32 {
            let mut key = [0; 16];
            key[12..].copy_from_slice(&number.to_be_bytes());
            shards[(hasher.hash(&key) >> 58) as usize] += 1;
        }
        assert!(shards.iter().all(|count| (800..1200).contains(count)), "{shards:?}");
        let other = Hasher::new(&RandomState::new());
        assert_ne!(hasher.hash(b"key"), other.hash(b"key"));
        assert_ne!(hasher.hash(b"a"), hasher.hash(b"a\0"), "length counts");
    }
}
