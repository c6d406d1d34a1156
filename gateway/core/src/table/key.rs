//! What entries are found by (HAProxy manual, "stick-table", `type`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a table's keys are. A key is its bytes as they are on the wire: numbers and addresses in network
/// order, all others as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// A number of 32 bits.
    Integer,
    /// An IPv4 address.
    Ip,
    /// An IPv6 address, or an IPv4 address in its IPv4-mapped form: one type holds both.
    Ipv6,
    /// A text of at most so many bytes; what is longer is cut off.
    String(u16),
    /// So many bytes.
    Binary(u16),
}

/// A client's address as the key of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressKey {
    bytes: [u8; 16],
    /// Where the key begins in them: a table of IPv4 addresses takes the last four.
    from: u8,
}

impl KeyType {
    /// Most bytes of a key.
    pub fn bytes(self) -> usize {
        match self {
            Self::Integer | Self::Ip => 4,
            Self::Ipv6 => 16,
            Self::String(len) | Self::Binary(len) => usize::from(len),
        }
    }

    /// Whether these bytes can be a key.
    pub fn fits(self, key: &[u8]) -> bool {
        match self {
            Self::String(_) => key.len() <= self.bytes(),
            _ => key.len() == self.bytes(),
        }
    }

    /// An address as a key; none if this type can't hold it.
    #[inline]
    pub fn address(self, address: IpAddr) -> Option<AddressKey> {
        let v6: Ipv6Addr = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let bytes = v6.octets();
        match self {
            Self::Ipv6 => Some(AddressKey { bytes, from: 0 }),
            Self::Ip => v6.to_ipv4_mapped().map(|_| AddressKey { bytes, from: 12 }),
            Self::Integer | Self::String(_) | Self::Binary(_) => None,
        }
    }

    /// A key from how people write it; none if it is none of this type.
    pub fn parse(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Integer => text.parse::<u32>().ok().map(|number| number.to_be_bytes().to_vec()),
            Self::Ip | Self::Ipv6 => self.address(text.parse().ok()?).map(|key| key.as_ref().to_vec()),
            Self::String(len) => {
                let bytes = text.as_bytes();
                Some(bytes[..bytes.len().min(usize::from(len))].to_vec())
            }
            Self::Binary(len) => {
                let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
                let mut bytes = text.as_bytes().chunks(2).map(pair).collect::<Option<Vec<u8>>>()?;
                bytes.resize(usize::from(len), 0);
                Some(bytes)
            }
        }
    }

    /// HAProxy's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Ip => "ip",
            Self::Ipv6 => "ipv6",
            Self::String(_) => "string",
            Self::Binary(_) => "binary",
        }
    }

    /// A key as people read it.
    pub fn show(self, key: &[u8]) -> String {
        let hex = || key.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
        match (self, key) {
            (Self::Integer, &[a, b, c, d]) => u32::from_be_bytes([a, b, c, d]).to_string(),
            (Self::Ip, &[a, b, c, d]) => Ipv4Addr::new(a, b, c, d).to_string(),
            (Self::Ipv6, key) => {
                <[u8; 16]>::try_from(key).map_or_else(|_| hex(), |octets| Ipv6Addr::from(octets).to_string())
            }
            (Self::String(_), key) => key.iter().map(|byte| escaped(*byte)).collect(),
            _ => hex(),
        }
    }
}

/// One byte of a text, so that no key can look like what stands behind it.
fn escaped(byte: u8) -> String {
    match byte {
        b'\\' | b' ' | b'=' => format!("\\{}", char::from(byte)),
        b'\t' => "\\t".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        0x1b => "\\e".to_owned(),
        byte if byte.is_ascii_graphic() => char::from(byte).to_string(),
        byte => format!("\\x{byte:02X}"),
    }
}

impl AsRef<[u8]> for AddressKey {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(usize::from(self.from)..).unwrap_or(&[])
    }
}
