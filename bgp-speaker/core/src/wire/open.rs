//! OPEN and its capabilities (RFC 4271 section 4.2, RFC 5492, RFC 6793, RFC 9072).
//!
//! Decoding only gives shape; whether the neighbor is who it should be is for [`crate::fsm`].

use super::notification::{self, Notification};
use super::prefix::{Family, SAFI_UNICAST};
use super::reader::Reader;
use super::{OPEN, message};
use std::net::Ipv4Addr;

/// An OPEN message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The two-byte AS field; [`AS_TRANS`] stands for one that needs four.
    pub my_as: u16,
    /// Seconds that the neighbor asks for.
    pub hold_time: u16,
    /// The BGP identifier.
    pub identifier: Ipv4Addr,
    /// In the order of the message.
    pub capabilities: Vec<Capability>,
}

/// What a speaker can do (RFC 5492).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// RFC 4760: routes of this family.
    Multiprotocol(Family),
    /// RFC 2918.
    RouteRefresh,
    /// RFC 6793: AS numbers of four bytes; this is the speaker's own.
    FourOctetAs(u32),
    /// RFC 8950: IPv4 routes may have an IPv6 next hop.
    ExtendedNextHop,
    /// RFC 4724: routes outlive a session for a while.
    GracefulRestart(GracefulRestart),
    /// Any other, or one of the above in a shape that its RFC does not give it.
    Unknown {
        /// Its code.
        code: u8,
        /// Its value.
        value: Vec<u8>,
    },
}

/// What a speaker says of its restarts (RFC 4724 section 3, RFC 8538 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracefulRestart {
    /// It has just restarted.
    pub restarting: bool,
    /// A NOTIFICATION other than a Hard Reset is no reason to forget its routes.
    pub notification: bool,
    /// Seconds within which it means to be back; at most 4095.
    pub seconds: u16,
    /// By [`Family::index`]: is the family kept, and if so, did forwarding go on?
    pub families: [Option<bool>; 2],
}

impl Open {
    /// What we say: both families, route refresh, AS numbers of four bytes.
    pub fn ours(asn: u32, hold_time: u16, identifier: Ipv4Addr) -> Self {
        let capabilities = vec![
            Capability::Multiprotocol(Family::Ipv4),
            Capability::Multiprotocol(Family::Ipv6),
            Capability::RouteRefresh,
            Capability::FourOctetAs(asn),
        ];
        Self { my_as: u16::try_from(asn).unwrap_or(AS_TRANS), hold_time, identifier, capabilities }
    }

    /// The AS number that counts: the capability's, else the header's (RFC 6793 section 4.1).
    pub fn asn(&self) -> u32 {
        self.four_octet_as().unwrap_or_else(|| self.my_as.into())
    }

    /// The value of capability 65.
    pub fn four_octet_as(&self) -> Option<u32> {
        self.capabilities.iter().find_map(|capability| match capability {
            Capability::FourOctetAs(asn) => Some(*asn),
            _ => None,
        })
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, Notification> {
        let malformed = || Notification::new(notification::MALFORMED_OPEN);
        let mut reader = Reader::new(body);
        if reader.u8().ok_or_else(malformed)? != VERSION {
            let ours = u16::from(VERSION).to_be_bytes();
            return Err(Notification::new(notification::UNSUPPORTED_VERSION).data(&ours));
        }
        let my_as = reader.u16().ok_or_else(malformed)?;
        let hold_time = reader.u16().ok_or_else(malformed)?;
        let identifier = reader.array::<4>().ok_or_else(malformed)?.into();
        let capabilities = decode_parameters(reader).ok_or_else(malformed)??;
        Ok(Self { my_as, hold_time, identifier, capabilities })
    }

    /// The whole message. Ours always fit the short form of the parameters.
    pub fn encode(&self) -> Vec<u8> {
        let mut capabilities = Vec::new();
        for capability in &self.capabilities {
            capability.encode(&mut capabilities);
        }
        message(OPEN, |out| {
            out.push(VERSION);
            out.extend(self.my_as.to_be_bytes());
            out.extend(self.hold_time.to_be_bytes());
            out.extend(self.identifier.octets());
            match (capabilities.len(), u8::try_from(capabilities.len() + 2)) {
                (0, _) => out.push(0),
                (length, Ok(total)) if total < EXTENDED => out.extend([total, CAPABILITIES, length as u8]),
                (length, _) => {
                    let length = u16::try_from(length).unwrap_or(u16::MAX);
                    out.extend([EXTENDED, EXTENDED]);
                    out.extend((length + 3).to_be_bytes());
                    out.push(CAPABILITIES);
                    out.extend(length.to_be_bytes());
                }
            }
            out.extend(&capabilities);
        })
    }
}

impl Capability {
    fn from_wire(code: u8, value: &[u8]) -> Self {
        let known = match (code, value) {
            (1, &[high, low, _, safi]) => {
                Family::from_wire(u16::from_be_bytes([high, low]), safi).map(Self::Multiprotocol)
            }
            (2, []) => Some(Self::RouteRefresh),
            (65, &[a, b, c, d]) => Some(Self::FourOctetAs(u32::from_be_bytes([a, b, c, d]))),
            (5, tuples) if tuples.len().is_multiple_of(6) => {
                tuples.chunks(6).any(|tuple| tuple == IPV4_OVER_IPV6).then_some(Self::ExtendedNextHop)
            }
            (64, &[high, low, ref tuples @ ..]) if tuples.len().is_multiple_of(4) => {
                Some(Self::GracefulRestart(GracefulRestart::from_wire(high, low, tuples)))
            }
            _ => None,
        };
        known.unwrap_or_else(|| Self::Unknown { code, value: value.to_vec() })
    }

    /// Its code on the wire.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Multiprotocol(_) => 1,
            Self::RouteRefresh => 2,
            Self::FourOctetAs(_) => 65,
            Self::ExtendedNextHop => 5,
            Self::GracefulRestart(_) => 64,
            Self::Unknown { code, .. } => *code,
        }
    }

    /// Appends code, length and value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.code());
        match self {
            Self::Multiprotocol(family) => {
                out.push(4);
                out.extend(family.afi().to_be_bytes());
                out.extend([0, SAFI_UNICAST]);
            }
            Self::RouteRefresh => out.push(0),
            Self::FourOctetAs(asn) => {
                out.push(4);
                out.extend(asn.to_be_bytes());
            }
            Self::ExtendedNextHop => {
                out.push(6);
                out.extend(IPV4_OVER_IPV6);
            }
            Self::GracefulRestart(restart) => restart.encode(out),
            Self::Unknown { value, .. } => {
                out.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
                out.extend(value.iter().take(usize::from(u8::MAX)));
            }
        }
    }
}

impl GracefulRestart {
    fn from_wire(high: u8, low: u8, tuples: &[u8]) -> Self {
        let mut families = [None; 2];
        for tuple in tuples.chunks(4) {
            let [afi_high, afi_low, safi, flags] = *tuple else { continue };
            if let Some(family) = Family::from_wire(u16::from_be_bytes([afi_high, afi_low]), safi) {
                families[family.index()] = Some(flags & FORWARDING != 0);
            }
        }
        Self {
            restarting: high & RESTARTING != 0,
            notification: high & NOTIFICATION != 0,
            seconds: u16::from_be_bytes([high & 0x0f, low]),
            families,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let [high, low] = self.seconds.min(MAX_RESTART).to_be_bytes();
        let flag = |set, flag| if set { flag } else { 0 };
        let listed = self.families.iter().flatten().count();
        out.push(u8::try_from(2 + 4 * listed).unwrap_or(u8::MAX));
        out.extend([high | flag(self.restarting, RESTARTING) | flag(self.notification, NOTIFICATION), low]);
        for family in Family::ALL {
            if let Some(forwarding) = self.families[family.index()] {
                out.extend(family.afi().to_be_bytes());
                out.extend([SAFI_UNICAST, flag(forwarding, FORWARDING)]);
            }
        }
    }
}

/// `None`: the lengths do not add up. RFC 9072 section 2: a first parameter of type 255 means that
/// lengths have two bytes, whatever the one-byte length before it says.
fn decode_parameters(mut reader: Reader<'_>) -> Option<Result<Vec<Capability>, Notification>> {
    let short = reader.u8()?;
    let extended = short != 0 && reader.peek().first() == Some(&EXTENDED);
    let parameters = if extended {
        reader.u8()?;
        reader.sized_u16()?
    } else {
        reader.take(short.into())?
    };
    if !reader.is_empty() {
        return None;
    }
    let mut parameters = Reader::new(parameters);
    let mut capabilities = Vec::new();
    while !parameters.is_empty() {
        let kind = parameters.u8()?;
        let value = if extended { parameters.sized_u16()? } else { parameters.sized_u8()? };
        if kind != CAPABILITIES {
            return Some(Err(Notification::new(notification::UNSUPPORTED_PARAMETER)));
        }
        let mut value = Reader::new(value);
        while !value.is_empty() {
            let code = value.u8()?;
            capabilities.push(Capability::from_wire(code, value.sized_u8()?));
        }
    }
    Some(Ok(capabilities))
}

/// The version of BGP that this is.
pub const VERSION: u8 = 4;
/// Stands in two-byte fields for an AS number that needs four (RFC 6793).
pub const AS_TRANS: u16 = 23456;
/// Longest restart time in seconds: twelve bits (RFC 4724 section 3).
pub const MAX_RESTART: u16 = 4095;
/// The tuple of IPv4 unicast routes with an IPv6 next hop (RFC 8950 section 4).
const IPV4_OVER_IPV6: [u8; 6] = [0, 1, 0, 1, 0, 2];
/// RFC 4724 section 3: the speaker has restarted.
const RESTARTING: u8 = 0x80;
/// RFC 8538 section 2: it follows that RFC.
const NOTIFICATION: u8 = 0x40;
/// RFC 4724 section 3: forwarding of the family went on.
const FORWARDING: u8 = 0x80;
/// Parameter type of capabilities (RFC 5492).
const CAPABILITIES: u8 = 2;
/// Marks the long form of the parameters (RFC 9072).
const EXTENDED: u8 = 255;
