//! Keys of stick tables, made of parts of a request (HAProxy manual, "track-sc").
//!
//! A key of one part is that part, as the table's type has it. A key of several parts says how long each
//! is, so that no two requests with other parts have one key: `9:192.0.2.7,3:/v2,`. Where that is too long for the
//! table, and in a table of type binary, which has one length for all, its SHA-256 stands for it. Every node
//! makes the same key of the same parts.

use super::condition::{Facts, Moment};
use super::format::Format;
use crate::table::{AddressKey, KeyType};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::net::IpAddr;

/// How a request becomes a key of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    kind: KeyType,
    parts: Parts,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Parts {
    /// The client, by the network that it is in: so many bits of an IPv4 address, and of an IPv6 address.
    Client(u8, u8),
    One(Format),
    Several(Vec<Format>),
}

/// A key, made.
#[derive(Clone, Debug)]
pub enum KeyBytes {
    /// Of an address.
    Address(AddressKey),
    /// Of anything else.
    Bytes(Vec<u8>),
}

impl Key {
    /// The client of a request: one address of IPv4, one network of IPv6.
    pub fn client(kind: KeyType) -> Self {
        Self { kind, parts: Parts::Client(32, CLIENT_V6) }
    }

    /// Of these parts, for a table of this type. The error says why they can't be one.
    pub fn new(kind: KeyType, mut parts: Vec<Format>) -> Result<Self, String> {
        let addresses = matches!(kind, KeyType::Ip | KeyType::Ipv6);
        let parts = match (parts.as_slice(), kind) {
            ([], _) => return Err("expected at least one part".to_owned()),
            ([one], _) => match one.as_client() {
                Some(bits) if addresses => {
                    let (v4, v6) = bits.unwrap_or((32, CLIENT_V6));
                    Parts::Client(v4, v6)
                }
                _ => Parts::One(parts.remove(0)),
            },
            (all, _) if all.len() > MAX_PARTS => return Err(format!("expected at most {MAX_PARTS} parts")),
            (_, KeyType::String(length)) if length >= LEAST_STRING => Parts::Several(parts),
            (_, KeyType::Binary(length)) if length >= LEAST_BINARY => Parts::Several(parts),
            _ => {
                return Err(format!(
                    "a key of several parts needs a table of type string({LEAST_STRING}) or binary({LEAST_BINARY}), or longer"
                ));
            }
        };
        Ok(Self { kind, parts })
    }

    /// When all its parts are known.
    pub fn known(&self) -> Moment {
        match &self.parts {
            Parts::Client(..) => Moment::Connection,
            Parts::One(format) => format.known(),
            Parts::Several(all) => all.iter().map(Format::known).max().unwrap_or(Moment::Connection),
        }
    }

    /// The key of this request; none if it has nothing of what it is made of, or not as the table needs it.
    pub fn of(&self, facts: &impl Facts) -> Option<KeyBytes> {
        match &self.parts {
            Parts::Client(v4, v6) => {
                let client = masked(facts.source(), *v4, *v6)?;
                self.kind.address(client).map(KeyBytes::Address)
            }
            Parts::One(format) => self.one(format.fill(facts)),
            Parts::Several(all) => {
                let mut whole = Vec::new();
                let mut is_empty = true;
                for format in all {
                    let part = format.fill(facts);
                    is_empty &= part.is_empty();
                    // Writing to memory can't fail.
                    let _ = write!(whole, "{}:", part.len());
                    whole.extend_from_slice(&part);
                    whole.push(b',');
                }
                (!is_empty).then(|| KeyBytes::Bytes(self.joined(whole)))
            }
        }
    }

    fn one(&self, mut part: Vec<u8>) -> Option<KeyBytes> {
        if part.is_empty() {
            return None;
        }
        let text = || std::str::from_utf8(&part).ok();
        match self.kind {
            KeyType::Ip | KeyType::Ipv6 => {
                let address = text()?.parse().ok()?;
                self.kind.address(address).map(KeyBytes::Address)
            }
            KeyType::Integer => {
                let number: u32 = text()?.parse().ok()?;
                Some(KeyBytes::Bytes(number.to_be_bytes().to_vec()))
            }
            KeyType::String(length) => {
                part.truncate(length.into());
                Some(KeyBytes::Bytes(part))
            }
            KeyType::Binary(length) => {
                part.resize(length.into(), 0);
                Some(KeyBytes::Bytes(part))
            }
        }
    }

    fn joined(&self, whole: Vec<u8>) -> Vec<u8> {
        let length = self.kind.bytes();
        if matches!(self.kind, KeyType::String(_)) {
            // No length begins as a hash does.
            return hashed_name(&whole, length).unwrap_or(whole);
        }
        let mut key = Sha256::digest(&whole).to_vec();
        key.resize(length, 0);
        key
    }
}

impl AsRef<[u8]> for KeyBytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Address(key) => key.as_ref(),
            Self::Bytes(key) => key,
        }
    }
}

/// What stands for a name in a table of texts of so many bytes: its SHA-256, where it is too long or looks like one,
/// so that no two names have one key. None: the name itself.
pub fn hashed_name(name: &[u8], length: usize) -> Option<Vec<u8>> {
    if name.len() <= length && !name.starts_with(b"#") {
        return None;
    }
    let hex = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut key = format!("#{hex}").into_bytes();
    key.truncate(length);
    Some(key)
}

/// The network of so many bits that an address is in.
pub(super) fn masked(address: IpAddr, v4: u8, v6: u8) -> Option<IpAddr> {
    let address = address.to_canonical();
    let bits = if address.is_ipv4() { v4 } else { v6 };
    ipnet::IpNet::new(address, bits).ok().map(|network| network.network())
}

/// Who has one IPv6 address has all of its /64.
const CLIENT_V6: u8 = 64;
/// Parts of a key.
const MAX_PARTS: usize = 8;
/// Bytes that keep 128 bits of a hash: as hex behind its mark, and as they are.
pub const LEAST_STRING: u16 = 33;
const LEAST_BINARY: u16 = 16;

#[cfg(test)]
mod tests;
