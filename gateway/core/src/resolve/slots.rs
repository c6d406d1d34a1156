//! Which server gets which address: what stays keeps its server, what is new gets the first that is free.

use super::Endpoint;
use base_core::Time;
use std::time::Duration;

/// The servers of one name.
#[derive(Clone, Debug)]
pub(super) struct Slots(Vec<Option<Slot>>);

#[derive(Clone, Copy, Debug)]
struct Slot {
    endpoint: Endpoint,
    /// Since when no answer has it.
    gone: Option<Time>,
}

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        Self(vec![None; count])
    }

    pub(super) fn at(&self, slot: usize) -> Option<Endpoint> {
        self.0.get(slot).copied().flatten().map(|slot| slot.endpoint)
    }

    pub(super) fn any(&self) -> bool {
        self.0.iter().any(Option::is_some)
    }

    pub(super) fn are_distinct(&self) -> bool {
        let addresses = || self.0.iter().flatten().map(|slot| slot.endpoint.address);
        addresses().enumerate().all(|(place, one)| addresses().skip(place + 1).all(|other| other != one))
    }

    /// Takes an answer; `moved` hears of each server that is elsewhere, or weighs something else, now. Returns how
    /// many addresses have no server.
    pub(super) fn answered(
        &mut self,
        found: &[Endpoint],
        obsolete: Duration,
        now: Time,
        mut moved: impl FnMut(usize, Option<Endpoint>),
    ) -> usize {
        // Nodes that begin with the same answer in another order begin with the same servers.
        let mut found = found.to_vec();
        found.sort_unstable();
        found.dedup_by_key(|endpoint| endpoint.address);
        for (place, slot) in self.0.iter_mut().enumerate() {
            let Some(slot) = slot else { continue };
            match found.iter().position(|endpoint| endpoint.address == slot.endpoint.address) {
                Some(which) => {
                    let endpoint = found.remove(which);
                    if endpoint != slot.endpoint {
                        moved(place, Some(endpoint));
                    }
                    *slot = Slot { endpoint, gone: None };
                }
                None => slot.gone = slot.gone.or(Some(now)),
            }
        }
        // What goes now makes room, and who takes its place moves there at once.
        let mut found = found.into_iter();
        for (place, slot) in self.0.iter_mut().enumerate() {
            let is_over = |slot: Slot| slot.gone.is_some_and(|gone| now.since(gone) >= obsolete);
            if !slot.is_none_or(is_over) {
                continue;
            }
            let next = found.next();
            if next.is_some() || slot.is_some() {
                moved(place, next);
            }
            *slot = next.map(|endpoint| Slot { endpoint, gone: None });
        }
        found.len()
    }

    /// Lets go of those that have been gone for as long as they are held.
    pub(super) fn expire(
        &mut self,
        obsolete: Duration,
        now: Time,
        mut moved: impl FnMut(usize, Option<Endpoint>),
    ) {
        for (place, slot) in self.0.iter_mut().enumerate() {
            if slot.is_some_and(|slot| slot.gone.is_some_and(|gone| now.since(gone) >= obsolete)) {
                *slot = None;
                moved(place, None);
            }
        }
    }

    pub(super) fn next_expiry(&self, obsolete: Duration) -> Option<Time> {
        self.0.iter().flatten().filter_map(|slot| slot.gone).min().map(|gone| gone + obsolete)
    }

    pub(super) fn clear(&mut self, mut moved: impl FnMut(usize, Option<Endpoint>)) {
        for (place, slot) in self.0.iter_mut().enumerate() {
            if slot.take().is_some() {
                moved(place, None);
            }
        }
    }
}
