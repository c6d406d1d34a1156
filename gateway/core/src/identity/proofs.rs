//! What has been proven already, by the hash of its credential: a bounded number, of which the older half goes when there
//! is no room.

use super::Who;
use std::collections::HashMap;

/// The hash of a credential: of 256 bits, so that no other has it.
pub type Hash = [u8; 32];

/// Proofs with their ends, in whatever unit who asks has for time.
#[derive(Debug)]
pub struct Proofs {
    young: HashMap<Hash, (Who, u64)>,
    old: HashMap<Hash, (Who, u64)>,
    half: usize,
}

impl Proofs {
    /// At most about so many.
    pub fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (most / 2).max(1) }
    }

    /// Whom the credential is of, unless that has ended.
    pub fn get(&mut self, hash: &Hash, now: u64) -> Option<Who> {
        if let Some((who, until)) = self.young.get(hash) {
            return (now < *until).then(|| who.clone());
        }
        let (who, until) = self.old.remove(hash).filter(|(_, until)| now < *until)?;
        self.put(*hash, who.clone(), until);
        Some(who)
    }

    /// Keeps a proof.
    pub fn put(&mut self, hash: Hash, who: Who, until: u64) {
        if self.young.len() >= self.half && !self.young.contains_key(&hash) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, (who, until));
    }

    /// Forgets one.
    pub fn forget(&mut self, hash: &Hash) {
        self.young.remove(hash);
        self.old.remove(hash);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u64) -> Hash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        hash
    }

    #[test]
    fn there_are_never_more_than_may_be_and_what_is_used_stays() {
        let mut proofs = Proofs::new(100);
        let who = |number: u64| Who::new(&number.to_string(), None).expect("a name");
        for number in 0..10_000 {
            proofs.put(hash(number), who(number), 10);
            assert!(proofs.len() <= 101, "{}", proofs.len());
            assert_eq!(proofs.get(&hash(0), 9), Some(who(0)));
        }
        assert_eq!(proofs.get(&hash(1), 9), None);
        assert_eq!(proofs.get(&hash(0), 10), None, "it has ended");
        proofs.forget(&hash(9_999));
        assert_eq!(proofs.get(&hash(9_999), 9), None);
    }
}
