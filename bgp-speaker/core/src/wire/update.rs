//! UPDATE: its three fields, and the messages that announce and withdraw (RFC 4271 section 4.3, RFC 4760).
//!
//! Sent ones follow RFC 7606 section 5.1: one kind of prefixes for each message, MP attributes first.

use super::attribute::{self, Attributes, PathAttributes};
use super::notification::{self, Notification};
use super::prefix::{self, Family, Prefixes};
use super::reader::Reader;
use super::{HEADER, MAX_MESSAGE, UPDATE, message};
use ipnet::IpNet;

/// The three fields of an UPDATE; only their lengths were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// IPv4 prefixes that are gone.
    pub withdrawn: &'a [u8],
    /// Path attributes.
    pub attributes: &'a [u8],
    /// IPv4 prefixes that the attributes belong to.
    pub nlri: &'a [u8],
}

impl<'a> Update<'a> {
    pub(super) fn decode(body: &'a [u8]) -> Result<Self, Notification> {
        let mut reader = Reader::new(body);
        let (Some(withdrawn), Some(attributes)) = (reader.sized_u16(), reader.sized_u16()) else {
            return Err(Notification::new(notification::MALFORMED_ATTRIBUTES));
        };
        Ok(Self { withdrawn, attributes, nlri: reader.rest() })
    }

    /// The withdrawn IPv4 prefixes.
    pub const fn withdrawn(&self) -> Prefixes<'a> {
        Prefixes::new(Family::Ipv4, self.withdrawn)
    }

    /// The announced IPv4 prefixes.
    pub const fn nlri(&self) -> Prefixes<'a> {
        Prefixes::new(Family::Ipv4, self.nlri)
    }

    /// The attributes.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.attributes)
    }
}

/// Messages that announce `prefixes`, all of one family.
pub fn announce(attributes: &PathAttributes, prefixes: &[IpNet], four_octet: bool) -> Vec<Vec<u8>> {
    let Some(family) = prefixes.first().map(|prefix| Family::of(prefix.addr())) else { return Vec::new() };
    // RFC 8950 section 3: with an IPv6 next hop, IPv4 prefixes are in MP_REACH_NLRI, too.
    let plain = attributes.next_hop.is_ipv4();
    debug_assert!(prefixes.iter().all(|prefix| Family::of(prefix.addr()) == family), "one family");
    let mut fixed = Vec::new();
    attributes.encode(family, &[], four_octet, &mut fixed);
    // Two length fields, and the byte by which a long MP_REACH_NLRI's own length grows.
    let room = MAX_MESSAGE.saturating_sub(HEADER + 4 + 1 + fixed.len());
    prefixes
        .chunks((room / longest(family)).max(1))
        .map(|chunk| {
            message(UPDATE, |out| {
                out.extend([0, 0]);
                sized(out, |out| attributes.encode(family, chunk, four_octet, out));
                if plain {
                    chunk.iter().for_each(|prefix| prefix::encode(*prefix, out));
                }
            })
        })
        .collect()
}

/// Messages that withdraw `prefixes` of one `family`.
pub fn withdraw(family: Family, prefixes: &[IpNet]) -> Vec<Vec<u8>> {
    debug_assert!(prefixes.iter().all(|prefix| Family::of(prefix.addr()) == family), "one family");
    prefixes.chunks(MAX_WITHDRAWN / longest(family)).map(|chunk| withdrawal(family, chunk)).collect()
}

/// The message that says: what there is to announce of `family` has been announced (RFC 4724 section 2).
pub fn end_of_rib(family: Family) -> Vec<u8> {
    withdrawal(family, &[])
}

fn withdrawal(family: Family, prefixes: &[IpNet]) -> Vec<u8> {
    message(UPDATE, |out| match family {
        Family::Ipv4 => {
            sized(out, |out| prefixes.iter().for_each(|prefix| prefix::encode(*prefix, out)));
            out.extend([0, 0]);
        }
        Family::Ipv6 => {
            out.extend([0, 0]);
            sized(out, |out| attribute::encode_unreach(prefixes, out));
        }
    })
}

fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut field = Vec::new();
    write(&mut field);
    out.extend(u16::try_from(field.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(field);
}

/// Most bytes that one prefix of `family` takes.
const fn longest(family: Family) -> usize {
    match family {
        Family::Ipv4 => 5,
        Family::Ipv6 => 17,
    }
}

/// Room for withdrawn prefixes: the header, two length fields, and the head of MP_UNREACH_NLRI go off.
const MAX_WITHDRAWN: usize = MAX_MESSAGE - HEADER - 4 - 7;
