//! A client keeps its server (HAProxy manual, "stick on"): the table remembers the server's number,
//! and balancing is asked only when that server can't take the request.

use crate::table::Entry;

/// The place of the server that this client sticks to, if `may_use` allows it. A weight of 0 does not
/// matter here: it turns away new clients only.
pub fn stored(entry: &Entry, may_use: impl FnOnce(usize) -> bool) -> Option<usize> {
    let place = usize::try_from(entry.server_id).ok()?.checked_sub(1)?;
    may_use(place).then_some(place)
}

/// Remembers the server at `place` of its backend.
pub fn store(entry: &mut Entry, place: usize) {
    entry.server_id = u32::try_from(place + 1).unwrap_or(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_keeps_its_server_while_it_may() {
        let mut entry = Entry::default();
        assert_eq!(stored(&entry, |_| true), None);
        store(&mut entry, 0);
        assert_eq!(stored(&entry, |_| true), Some(0));
        assert_eq!(stored(&entry, |place| place != 0), None);
    }
}
