//! From a hash to a slot: open addressing with linear probing, 8 bytes a place, half of the hash beside the
//! slot's number so that a look at other entries is rare. Deleting moves later ones back: no graves.

/// Where the slots of a shard are, by hash.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Hash in the high half, slot in the low one; `EMPTY` where nothing is. A power of two long.
    places: Vec<u64>,
    used: usize,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// The slot of this hash for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.places.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let place = self.places[at];
            if place == EMPTY {
                return None;
            }
            if (place >> 32) as u32 == hash && is_it(place as u32) {
                return Some(place as u32);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a slot that is not there yet.
    pub(super) fn insert(&mut self, hash: u32, slot: u32) {
        if (self.used + 1) * 8 > self.places.len() * 7 {
            let grown = vec![EMPTY; (self.places.len() * 2).max(LEAST)];
            for place in std::mem::replace(&mut self.places, grown) {
                if place != EMPTY {
                    self.put(place);
                }
            }
        }
        self.put(u64::from(hash) << 32 | u64::from(slot));
        self.used += 1;
    }

    /// Takes a slot out.
    pub(super) fn remove(&mut self, hash: u32, slot: u32) {
        let Some(mask) = self.places.len().checked_sub(1) else { return };
        let wanted = u64::from(hash) << 32 | u64::from(slot);
        let mut hole = hash as usize & mask;
        while self.places[hole] != wanted {
            if self.places[hole] == EMPTY {
                return;
            }
            hole = (hole + 1) & mask;
        }
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let place = self.places[at];
            if place == EMPTY {
                break;
            }
            // It may fill the hole unless its own place lies behind the hole.
            let home = (place >> 32) as usize & mask;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.places[hole] = place;
                hole = at;
            }
        }
        self.places[hole] = EMPTY;
        self.used -= 1;
    }

    fn put(&mut self, place: u64) {
        let mask = self.places.len() - 1;
        let mut at = (place >> 32) as usize & mask;
        while self.places[at] != EMPTY {
            at = (at + 1) & mask;
        }
        self.places[at] = place;
    }
}

/// No slot has this number.
const EMPTY: u64 = u64::MAX;
/// Places to begin with.
const LEAST: usize = 8;
