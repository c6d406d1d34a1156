//! Communities as people write them (RFC 1997, 4360, 5668, 8092).

use super::MAX_COMMUNITIES;
use super::validate::Checked;
use base_core::diagnose::Source;
use std::net::Ipv4Addr;
use toml::Spanned;

/// `65010:100`, or the name of a well-known one.
pub(super) fn standard(list: &[Spanned<String>], source: &Source) -> Checked<Vec<u32>> {
    let shape = "65010:100, each from 0 to 65535, or no-export, no-advertise, no-llgr, blackhole";
    each(list, source, shape, standard_one)
}

pub(crate) fn standard_one(text: &str) -> Option<u32> {
    if let Some((_, value)) = WELL_KNOWN.iter().find(|(name, _)| *name == text) {
        return Some(*value);
    }
    let [high, low] = numbers(text)?;
    let part = |number| u16::try_from(number).ok().map(u32::from);
    Some(part(high)? << 16 | part(low)?)
}

/// `65010:1:2`.
pub(super) fn large(list: &[Spanned<String>], source: &Source) -> Checked<Vec<[u32; 3]>> {
    each(list, source, "3 numbers such as 65010:1:2, each from 0 to 4294967295", numbers)
}

/// `rt:65010:100`, `soo:192.0.2.1:7`, or sixteen digits of hex.
pub(super) fn extended(list: &[Spanned<String>], source: &Source) -> Checked<Vec<[u8; 8]>> {
    let shape = "rt:65010:100, soo:192.0.2.1:100, or 0x and 16 digits of hex";
    each(list, source, shape, extended_one)
}

pub(crate) fn extended_one(text: &str) -> Option<[u8; 8]> {
    if let Some(digits) = text.strip_prefix("0x") {
        let whole = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        return u64::from_str_radix(digits, 16).ok().filter(|_| whole).map(u64::to_be_bytes);
    }
    let mut parts = text.split(':');
    let subtype = match parts.next()? {
        "rt" => ROUTE_TARGET,
        "soo" => ROUTE_ORIGIN,
        _ => return None,
    };
    let (administrator, number) = (parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let small = || number.parse::<u16>().ok().map(u16::to_be_bytes);
    let (kind, value) = if let Ok(address) = administrator.parse::<Ipv4Addr>() {
        (IPV4, [address.octets().as_slice(), &small()?].concat())
    } else if let Ok(asn) = administrator.parse::<u16>() {
        (AS2, [asn.to_be_bytes().as_slice(), &number.parse::<u32>().ok()?.to_be_bytes()].concat())
    } else {
        (AS4, [administrator.parse::<u32>().ok()?.to_be_bytes().as_slice(), &small()?].concat())
    };
    [[kind, subtype].as_slice(), &value].concat().try_into().ok()
}

pub(crate) fn numbers<const N: usize>(text: &str) -> Option<[u32; N]> {
    let parts: Option<Vec<u32>> = text.split(':').map(|part| part.parse().ok()).collect();
    parts?.try_into().ok()
}

fn each<T>(
    list: &[Spanned<String>],
    source: &Source,
    shape: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Checked<Vec<T>> {
    if let Some(extra) = list.get(MAX_COMMUNITIES) {
        return Err(source.at(extra.span(), format!("more than {MAX_COMMUNITIES} communities")));
    }
    let one = |text: &Spanned<String>| {
        let wrong = || source.at(text.span(), "not a community").help(shape.to_owned());
        read(text.get_ref()).ok_or_else(wrong)
    };
    list.iter().map(one).collect()
}

/// Never kept beyond the end of a session by a router that keeps routes for long (RFC 9494): a VIP that is gone must go.
pub(super) const NO_LLGR: u32 = 0xffff_0007;
/// By name (IANA, BGP Well-known Communities).
const WELL_KNOWN: [(&str, u32); 6] = [
    ("no-export", 0xffff_ff01),
    ("no-advertise", 0xffff_ff02),
    ("no-export-subconfed", 0xffff_ff03),
    ("no-peer", 0xffff_ff04),
    ("blackhole", 0xffff_029a),
    ("no-llgr", NO_LLGR),
];
/// Types of extended communities by their administrator: an AS of two bytes, an address, an AS of four bytes.
const AS2: u8 = 0x00;
const IPV4: u8 = 0x01;
const AS4: u8 = 0x02;
/// Subtypes (RFC 4360 sections 4 and 5).
const ROUTE_TARGET: u8 = 2;
const ROUTE_ORIGIN: u8 = 3;

#[cfg(test)]
mod tests {
    use super::extended_one;

    #[test]
    fn extended_communities_are_written_by_their_administrator() {
        let cases: [(&str, Option<[u8; 8]>); 7] = [
            ("rt:65010:100", Some([0, 2, 0xfd, 0xf2, 0, 0, 0, 100])),
            ("soo:192.0.2.1:7", Some([1, 3, 192, 0, 2, 1, 0, 7])),
            ("rt:4200000010:7", Some([2, 2, 0xfa, 0x56, 0xea, 0x0a, 0, 7])),
            ("0x4300000000000002", Some([0x43, 0, 0, 0, 0, 0, 0, 2])),
            ("rt:4200000010:65536", None),
            ("rt:1", None),
            ("0x+300000000000002", None),
        ];
        for (text, expected) in cases {
            assert_eq!(extended_one(text), expected, "{text}");
        }
    }
}
