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

/// Who opened a connection. There is at most one of each with a neighbor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// We did.
    Out,
    /// The neighbor did.
    In,
}

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Out, Self::In];

    /// Index into an array with one element for each way.
    pub const fn index(self) -> usize {
        match self {
            Self::Out => 0,
            Self::In => 1,
        }
    }
}

/// The connection of the end with the higher identifier stays, compared as numbers; of the higher AS
/// where identifiers are the same.
pub fn resolve(ours: End, theirs: End) -> Way {
    let rank = |end: End| (end.identifier.to_bits(), end.asn);
    if rank(ours) > rank(theirs) { Way::Out } else { Way::In }
}

#[cfg(test)]
mod tests {
    use super::{End, Way, resolve};

    #[test]
    fn the_higher_identifier_keeps_its_connection_then_the_higher_as() {
        let end = |identifier: [u8; 4], asn| End { identifier: identifier.into(), asn };
        let small = end([10, 0, 0, 9], 65000);
        let big = end([10, 0, 0, 10], 1);
        assert_eq!(resolve(big, small), Way::Out, "compared as numbers, not as text");
        assert_eq!(resolve(small, big), Way::In);
        let same = end([10, 0, 0, 9], 65001);
        assert_eq!(resolve(same, small), Way::Out);
        assert_eq!(resolve(small, same), Way::In);
    }
}
