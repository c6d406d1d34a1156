//! Which of two connections with one neighbor stays (RFC 4271 section 6.8, RFC 6286 section 2.3).

use std::net::Ipv4Addr;

/// One end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Its BGP identifier.
    pub identifier: Ipv4Addr,
    /// Its AS.
    pub asn: u32,
}

/// Which connection stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The one that we opened.
    Ours,
    /// The one that the neighbor opened.
    Theirs,
}

/// The connection of the end with the higher identifier stays, compared as numbers; of the higher AS
/// where identifiers are the same.
pub fn resolve(ours: End, theirs: End) -> Keep {
    let rank = |end: End| (end.identifier.to_bits(), end.asn);
    if rank(ours) > rank(theirs) { Keep::Ours } else { Keep::Theirs }
}

#[cfg(test)]
mod tests {
    use super::{End, Keep, resolve};

    #[test]
    fn the_higher_identifier_keeps_its_connection_then_the_higher_as() {
        let end = |identifier: [u8; 4], asn| End { identifier: identifier.into(), asn };
        let small = end([10, 0, 0, 9], 65000);
        let big = end([10, 0, 0, 10], 1);
        assert_eq!(resolve(big, small), Keep::Ours, "compared as numbers, not as text");
        assert_eq!(resolve(small, big), Keep::Theirs);
        let same = end([10, 0, 0, 9], 65001);
        assert_eq!(resolve(same, small), Keep::Ours);
        assert_eq!(resolve(small, same), Keep::Theirs);
    }
}
