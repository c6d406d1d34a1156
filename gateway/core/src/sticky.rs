//! A client keeps its server (HAProxy manual, "stick on"): the table remembers the server's number,
//! and balancing is asked only when that server can't take the request.

use crate::table::{DataType, Entry};

/// The place of the server that this client sticks to, if `may_use` allows it. A weight of 0 does not
/// matter here: it turns away new clients only.
pub fn stored(entry: &Entry<'_>, may_use: impl FnOnce(usize) -> bool) -> Option<usize> {
    let place = usize::try_from(entry.get(DataType::ServerId)).ok()?.checked_sub(1)?;
    may_use(place).then_some(place)
}

/// Remembers the server at `place` of its backend, whose name has the number `name` in the table.
pub fn store(entry: &mut Entry<'_>, place: usize, name: u32) {
    entry.set(DataType::ServerKey, name.into());
    entry.set(DataType::ServerId, place as u64 + 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Layout, Stored};

    #[test]
    fn a_client_keeps_its_server_while_it_may() {
        let layout = Layout::new([Stored::one(DataType::ServerId)]);
        let mut words = vec![0; layout.words()];
        let mut entry = Entry::new(&layout, &mut words);
        assert_eq!(stored(&entry, |_| true), None);
        store(&mut entry, 0, 1);
        assert_eq!(stored(&entry, |_| true), Some(0));
        assert_eq!(stored(&entry, |place| place != 0), None);
    }
}
