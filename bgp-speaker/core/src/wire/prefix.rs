//! Address families and prefixes as UPDATE messages carry them (RFC 4271 section 4.3, RFC 4760 section 5).

use super::reader::Reader;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::fmt;
use std::net::IpAddr;

/// The two families that are spoken here, both unicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// AFI 1, SAFI 1.
    Ipv4,
    /// AFI 2, SAFI 1.
    Ipv6,
}

/// A prefix field that is no prefix: longer than its family allows, or cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPrefix;

/// Walks a field of prefixes; ends after the first bad one.
#[derive(Clone, Copy, Debug)]
pub struct Prefixes<'a> {
    family: Family,
    reader: Reader<'a>,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// `None` for a family that is not spoken here.
    pub const fn from_wire(afi: u16, safi: u8) -> Option<Self> {
        match (afi, safi) {
            (1, SAFI_UNICAST) => Some(Self::Ipv4),
            (2, SAFI_UNICAST) => Some(Self::Ipv6),
            _ => None,
        }
    }

    /// The address family identifier.
    pub const fn afi(self) -> u16 {
        match self {
            Self::Ipv4 => 1,
            Self::Ipv6 => 2,
        }
    }

    /// Index into an array with one element for each family.
    pub const fn index(self) -> usize {
        match self {
            Self::Ipv4 => 0,
            Self::Ipv6 => 1,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Ipv4 => 32,
            Self::Ipv6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        })
    }
}

impl<'a> Prefixes<'a> {
    /// The prefixes of one family in `bytes`.
    pub const fn new(family: Family, bytes: &'a [u8]) -> Self {
        Self { family, reader: Reader::new(bytes) }
    }

    /// How many there are, if all of them are prefixes.
    pub fn count_all(self) -> Result<u32, BadPrefix> {
        let mut count = 0;
        for prefix in self {
            prefix?;
            count += 1;
        }
        Ok(count)
    }

    fn read(&mut self) -> Option<IpNet> {
        let length = self.reader.u8().filter(|length| *length <= self.family.bits())?;
        let bytes = self.reader.take(usize::from(length).div_ceil(8))?;
        let mut octets = [0; 16];
        octets.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let net = match self.family {
            Family::Ipv4 => {
                let [a, b, c, d, ..] = octets;
                Ipv4Net::new([a, b, c, d].into(), length).ok()?.into()
            }
            Family::Ipv6 => Ipv6Net::new(octets.into(), length).ok()?.into(),
        };
        Some(net)
    }
}

impl Iterator for Prefixes<'_> {
    type Item = Result<IpNet, BadPrefix>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let prefix = self.read().ok_or(BadPrefix);
        if prefix.is_err() {
            self.reader.rest();
        }
        Some(prefix)
    }
}

/// Appends one prefix.
pub(super) fn encode(prefix: IpNet, out: &mut Vec<u8>) {
    let length = prefix.prefix_len();
    let bytes = usize::from(length).div_ceil(8);
    out.push(length);
    match prefix.network() {
        IpAddr::V4(address) => out.extend(address.octets().iter().take(bytes)),
        IpAddr::V6(address) => out.extend(address.octets().iter().take(bytes)),
    }
}

/// The subsequent address family of plain forwarding.
pub const SAFI_UNICAST: u8 = 1;
