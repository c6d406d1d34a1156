//! A client keeps its server (HAProxy manual, "stick on"): the table remembers the server's number,
//! and balancing is asked only when that server can't take the request.

use crate::table::{DataType, Entry, StickTable};

/// The place of the server that this client sticks to, if `may_use` allows it. A weight of 0 does not
/// matter here: it turns away new clients only.
///
/// The server's name counts, if there is one: other nodes may number theirs otherwise. See [`intern`].
pub fn stored(entry: &Entry<'_>, may_use: impl FnOnce(usize) -> bool) -> Option<usize> {
    let number = match entry.get(DataType::ServerKey) {
        0 => entry.get(DataType::ServerId),
        name => name,
    };
    let place = usize::try_from(number).ok()?.checked_sub(1)?;
    may_use(place).then_some(place)
}

/// Remembers the server at `place` of its backend.
pub fn store(entry: &mut Entry<'_>, place: usize) {
    entry.set(DataType::ServerKey, place as u64 + 1);
    entry.set(DataType::ServerId, place as u64 + 1);
}

/// Makes the names of a backend's servers the first texts of a new table, so that the number of a name is
/// that of its server.
pub fn intern<'a>(table: &StickTable, servers: impl Iterator<Item = &'a str>) {
    for name in servers {
        table.intern(name.as_bytes());
    }
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
        store(&mut entry, 0);
        assert_eq!(stored(&entry, |_| true), Some(0));
        assert_eq!(stored(&entry, |place| place != 0), None);
    }
}
