//! Path attributes (RFC 4271 section 5, RFC 1997, 4360, 4760, 6793, 8092, 8950), both ways.
//!
//! Walking and reading are apart: [`Attributes`] only follows lengths, [`RawAttribute::value`] reads one.

use super::prefix::{Family, Prefixes, SAFI_UNICAST};
use super::reader::Reader;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One attribute as it stands in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAttribute<'a> {
    /// Optional, transitive, partial, extended length.
    pub flags: u8,
    /// Its type.
    pub code: u8,
    /// Its value.
    pub value: &'a [u8],
}

/// Walks the attributes of an UPDATE; ends after one that is cut off.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(Reader<'a>);

/// What an attribute says.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// 0 IGP, 1 EGP, 2 incomplete.
    Origin(u8),
    /// The path, in segments.
    AsPath(AsPath<'a>),
    /// The next hop of IPv4 routes.
    NextHop(Ipv4Addr),
    /// The metric.
    Med(u32),
    /// Local preference.
    LocalPref(u32),
    /// RFC 1997 communities, four bytes each.
    Communities(&'a [u8]),
    /// RFC 8092 communities, twelve bytes each.
    LargeCommunities(&'a [u8]),
    /// The four-byte path beside a two-byte one (RFC 6793).
    As4Path(AsPath<'a>),
    /// Routes with their next hop, any family.
    MpReach(MpReach<'a>),
    /// Routes that are gone, any family.
    MpUnreach(MpUnreach<'a>),
    /// An attribute that is not looked into.
    Other,
}

/// MP_REACH_NLRI (RFC 4760 section 3).
#[derive(Clone, Copy, Debug)]
pub struct MpReach<'a> {
    /// `None` for a family that is not spoken here.
    pub family: Option<Family>,
    /// The next hop's bytes; IPv6 may add a link-local address (RFC 2545).
    pub next_hop: &'a [u8],
    /// The prefixes, to be read with [`Prefixes`].
    pub nlri: &'a [u8],
}

/// MP_UNREACH_NLRI (RFC 4760 section 4).
#[derive(Clone, Copy, Debug)]
pub struct MpUnreach<'a> {
    /// `None` for a family that is not spoken here.
    pub family: Option<Family>,
    /// The prefixes, to be read with [`Prefixes`].
    pub nlri: &'a [u8],
}

/// The segments of a path whose shape was checked.
#[derive(Clone, Copy, Debug)]
pub struct AsPath<'a> {
    reader: Reader<'a>,
    four_octet: bool,
}

/// The attributes of a route that we announce. Equal ones share an UPDATE.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct PathAttributes {
    /// One AS_SEQUENCE; empty inside the own AS.
    pub as_path: Vec<u32>,
    /// IPv4 only for IPv4 routes; IPv6 for those, too, if the session has RFC 8950.
    pub next_hop: IpAddr,
    /// The metric.
    pub med: Option<u32>,
    /// Local preference, inside the own AS only.
    pub local_pref: Option<u32>,
    /// RFC 1997 communities.
    pub communities: Vec<u32>,
    /// RFC 8092 communities.
    pub large_communities: Vec<[u32; 3]>,
    /// RFC 4360 communities.
    #[serde(default)]
    pub extended_communities: Vec<[u8; 8]>,
}

impl<'a> Attributes<'a> {
    /// The attributes in `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(Reader::new(bytes))
    }

    fn read(&mut self) -> Option<RawAttribute<'a>> {
        let flags = self.0.u8()?;
        let code = self.0.u8()?;
        let value = if flags & EXTENDED_LENGTH == 0 { self.0.sized_u8()? } else { self.0.sized_u16()? };
        Some(RawAttribute { flags, code, value })
    }
}

impl<'a> Iterator for Attributes<'a> {
    /// `None` inside: the attribute is cut off.
    type Item = Option<RawAttribute<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let attribute = self.read();
        if attribute.is_none() {
            self.0.rest();
        }
        Some(attribute)
    }
}

impl<'a> RawAttribute<'a> {
    /// Reads the value; `None` if its shape is wrong (RFC 7606 section 7). `four_octet` is whether AS
    /// numbers have four bytes in this session.
    pub fn value(&self, four_octet: bool) -> Option<Value<'a>> {
        let bytes = self.value;
        let number = || bytes.try_into().ok().map(u32::from_be_bytes);
        let whole = |size: usize| !bytes.is_empty() && bytes.len().is_multiple_of(size);
        match self.code {
            ORIGIN => match *bytes {
                [origin @ 0..=2] => Some(Value::Origin(origin)),
                _ => None,
            },
            AS_PATH => AsPath::new(bytes, four_octet).map(Value::AsPath),
            AS4_PATH => AsPath::new(bytes, true).map(Value::As4Path),
            NEXT_HOP => number().map(|bits| Value::NextHop(Ipv4Addr::from_bits(bits))),
            MED => number().map(Value::Med),
            LOCAL_PREF => number().map(Value::LocalPref),
            COMMUNITIES => whole(4).then_some(Value::Communities(bytes)),
            LARGE_COMMUNITIES => whole(12).then_some(Value::LargeCommunities(bytes)),
            MP_REACH => MpReach::new(bytes).map(Value::MpReach),
            MP_UNREACH => MpUnreach::new(bytes).map(Value::MpUnreach),
            ATOMIC_AGGREGATE => bytes.is_empty().then_some(Value::Other),
            AGGREGATOR => (bytes.len() == if four_octet { 8 } else { 6 }).then_some(Value::Other),
            AS4_AGGREGATOR => (bytes.len() == 8).then_some(Value::Other),
            ORIGINATOR_ID | ONLY_TO_CUSTOMER => (bytes.len() == 4).then_some(Value::Other),
            CLUSTER_LIST => whole(4).then_some(Value::Other),
            IPV6_EXTENDED_COMMUNITIES => whole(20).then_some(Value::Other),
            EXTENDED_COMMUNITIES => whole(8).then_some(Value::Other),
            _ => Some(Value::Other),
        }
    }
}

impl<'a> AsPath<'a> {
    fn new(bytes: &'a [u8], four_octet: bool) -> Option<Self> {
        let path = Self { reader: Reader::new(bytes), four_octet };
        let mut walk = path;
        while !walk.reader.is_empty() {
            let (kind, numbers) = walk.segment()?;
            // Types 3 and 4 are confederations (RFC 5065); an empty segment is malformed (RFC 7606 section 7.2).
            if !(1..=4).contains(&kind) || numbers.is_empty() {
                return None;
            }
        }
        Some(path)
    }

    fn segment(&mut self) -> Option<(u8, &'a [u8])> {
        let kind = self.reader.u8()?;
        let count = usize::from(self.reader.u8()?);
        Some((kind, self.reader.take(count * if self.four_octet { 4 } else { 2 })?))
    }

    /// Every AS number of the path, in order.
    pub fn numbers(mut self) -> Vec<u32> {
        let mut numbers = Vec::new();
        while let Some((_, bytes)) = self.segment() {
            let mut reader = Reader::new(bytes);
            let mut next = || if self.four_octet { reader.u32() } else { reader.u16().map(u32::from) };
            numbers.extend(std::iter::from_fn(&mut next));
        }
        numbers
    }
}

impl<'a> MpReach<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let family = Family::from_wire(reader.u16()?, reader.u8()?);
        let next_hop = reader.sized_u8()?;
        reader.u8()?;
        Some(Self { family, next_hop, nlri: reader.rest() })
    }

    /// The prefixes; none of a family that is not spoken here.
    pub fn prefixes(&self) -> Option<Prefixes<'a>> {
        self.family.map(|family| Prefixes::new(family, self.nlri))
    }
}

impl<'a> MpUnreach<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let family = Family::from_wire(reader.u16()?, reader.u8()?);
        Some(Self { family, nlri: reader.rest() })
    }

    /// The prefixes; none of a family that is not spoken here.
    pub fn prefixes(&self) -> Option<Prefixes<'a>> {
        self.family.map(|family| Prefixes::new(family, self.nlri))
    }
}

impl PathAttributes {
    /// Appends all attributes for routes of `family`: MP_REACH_NLRI with `nlri` first for an IPv6 next hop
    /// (RFC 7606 section 5.1), the others by type.
    pub(super) fn encode(&self, family: Family, nlri: &[IpNet], four_octet: bool, out: &mut Vec<u8>) {
        if let IpAddr::V6(next_hop) = self.next_hop {
            put(out, OPTIONAL, MP_REACH, |value| encode_reach(family, next_hop, nlri, value));
        }
        put(out, TRANSITIVE, ORIGIN, |value| value.push(0));
        put(out, TRANSITIVE, AS_PATH, |value| encode_path(&self.as_path, four_octet, value));
        if let IpAddr::V4(next_hop) = self.next_hop {
            put(out, TRANSITIVE, NEXT_HOP, |value| value.extend(next_hop.octets()));
        }
        if let Some(med) = self.med {
            put(out, OPTIONAL, MED, |value| value.extend(med.to_be_bytes()));
        }
        if let Some(local_pref) = self.local_pref {
            put(out, TRANSITIVE, LOCAL_PREF, |value| value.extend(local_pref.to_be_bytes()));
        }
        if !self.communities.is_empty() {
            put(out, OPTIONAL | TRANSITIVE, COMMUNITIES, |value| {
                value.extend(self.communities.iter().flat_map(|community| community.to_be_bytes()));
            });
        }
        if !self.extended_communities.is_empty() {
            put(out, OPTIONAL | TRANSITIVE, EXTENDED_COMMUNITIES, |value| {
                value.extend(self.extended_communities.iter().flatten());
            });
        }
        if !four_octet && self.as_path.iter().any(|asn| u16::try_from(*asn).is_err()) {
            put(out, OPTIONAL | TRANSITIVE, AS4_PATH, |value| encode_path(&self.as_path, true, value));
        }
        if !self.large_communities.is_empty() {
            put(out, OPTIONAL | TRANSITIVE, LARGE_COMMUNITIES, |value| {
                value.extend(self.large_communities.iter().flatten().flat_map(|part| part.to_be_bytes()));
            });
        }
    }
}

/// Appends MP_UNREACH_NLRI for IPv6 `prefixes`; none of them makes the End-of-RIB of RFC 4724.
pub(super) fn encode_unreach(prefixes: &[IpNet], out: &mut Vec<u8>) {
    put(out, OPTIONAL, MP_UNREACH, |value| {
        value.extend(Family::Ipv6.afi().to_be_bytes());
        value.push(SAFI_UNICAST);
        prefixes.iter().for_each(|prefix| super::prefix::encode(*prefix, value));
    });
}

fn encode_reach(family: Family, next_hop: Ipv6Addr, nlri: &[IpNet], value: &mut Vec<u8>) {
    value.extend(family.afi().to_be_bytes());
    value.extend([SAFI_UNICAST, 16]);
    value.extend(next_hop.octets());
    value.push(0);
    nlri.iter().for_each(|prefix| super::prefix::encode(*prefix, value));
}

fn encode_path(path: &[u32], four_octet: bool, value: &mut Vec<u8>) {
    for segment in path.chunks(usize::from(u8::MAX)) {
        value.extend([AS_SEQUENCE, u8::try_from(segment.len()).unwrap_or(u8::MAX)]);
        for asn in segment {
            match (four_octet, u16::try_from(*asn)) {
                (true, _) => value.extend(asn.to_be_bytes()),
                (false, asn) => value.extend(asn.unwrap_or(super::open::AS_TRANS).to_be_bytes()),
            }
        }
    }
}

fn put(out: &mut Vec<u8>, flags: u8, code: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let mut value = Vec::new();
    write(&mut value);
    match u8::try_from(value.len()) {
        Ok(length) => out.extend([flags, code, length]),
        Err(_) => {
            out.extend([flags | EXTENDED_LENGTH, code]);
            out.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    out.extend(value);
}

/// Flag: not every speaker needs to know it.
pub const OPTIONAL: u8 = 0x80;
/// Flag: pass it on even if unknown.
pub const TRANSITIVE: u8 = 0x40;
/// Flag: the length has two bytes.
pub const EXTENDED_LENGTH: u8 = 0x10;

/// Type of ORIGIN.
pub const ORIGIN: u8 = 1;
/// Type of AS_PATH.
pub const AS_PATH: u8 = 2;
/// Type of NEXT_HOP.
pub const NEXT_HOP: u8 = 3;
/// Type of MULTI_EXIT_DISC.
pub const MED: u8 = 4;
/// Type of LOCAL_PREF.
pub const LOCAL_PREF: u8 = 5;
/// Type of ATOMIC_AGGREGATE.
pub const ATOMIC_AGGREGATE: u8 = 6;
/// Type of AGGREGATOR.
pub const AGGREGATOR: u8 = 7;
/// Type of COMMUNITIES (RFC 1997).
pub const COMMUNITIES: u8 = 8;
/// Type of ORIGINATOR_ID (RFC 4456).
pub const ORIGINATOR_ID: u8 = 9;
/// Type of CLUSTER_LIST (RFC 4456).
pub const CLUSTER_LIST: u8 = 10;
/// Type of MP_REACH_NLRI (RFC 4760).
pub const MP_REACH: u8 = 14;
/// Type of MP_UNREACH_NLRI (RFC 4760).
pub const MP_UNREACH: u8 = 15;
/// Type of EXTENDED COMMUNITIES (RFC 4360).
pub const EXTENDED_COMMUNITIES: u8 = 16;
/// Type of AS4_PATH (RFC 6793).
pub const AS4_PATH: u8 = 17;
/// Type of AS4_AGGREGATOR (RFC 6793).
pub const AS4_AGGREGATOR: u8 = 18;
/// Type of the IPv6 EXTENDED COMMUNITIES (RFC 5701).
pub const IPV6_EXTENDED_COMMUNITIES: u8 = 25;
/// Type of LARGE_COMMUNITY (RFC 8092).
pub const LARGE_COMMUNITIES: u8 = 32;
/// Type of ONLY_TO_CUSTOMER (RFC 9234).
pub const ONLY_TO_CUSTOMER: u8 = 35;
/// Segment type: in order.
const AS_SEQUENCE: u8 = 2;
