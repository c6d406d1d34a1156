//! NOTIFICATION: why a session ends (RFC 4271 sections 4.5 and 6, RFC 4486, 6608, 7313, 8538, 9003, 9384, 9687).

use super::reader::Reader;
use super::{NOTIFICATION, message};
use std::fmt;

/// Code and subcode of a NOTIFICATION.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(pub u8, pub u8);

/// Why a session ends, as it goes over the wire. As the error of a decoder it is the answer to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What was wrong.
    pub code: Code,
    /// More about it; what it means depends on the code.
    pub data: Vec<u8>,
}

impl Notification {
    /// A notification without data.
    pub const fn new(code: Code) -> Self {
        Self { code, data: Vec::new() }
    }

    /// Cease with a text for the people on the other side (RFC 9003), cut to what fits.
    pub fn cease(code: Code, text: &str) -> Self {
        let end = (0..=text.len().min(MAX_TEXT)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let text = text.get(..end).unwrap_or_default();
        let mut data = vec![u8::try_from(text.len()).unwrap_or(0)];
        data.extend(text.as_bytes());
        Self { code, data }
    }

    /// The same as one after which the neighbor keeps nothing, for a session with RFC 8538.
    #[must_use]
    pub fn hard_reset(&self) -> Self {
        let Code(code, subcode) = self.code;
        Self::new(HARD_RESET).data(&[&[code, subcode], &*self.data].concat())
    }

    /// What a Hard Reset stands for; any other notification stands for itself.
    fn meant(&self) -> (Code, &[u8]) {
        match (self.code, &*self.data) {
            (HARD_RESET, [code, subcode, data @ ..]) => (Code(*code, *subcode), data),
            (code, data) => (code, data),
        }
    }

    /// Adds what was wrong, cut to what a message holds.
    #[must_use]
    pub fn data(mut self, data: &[u8]) -> Self {
        self.data = data.get(..MAX_DATA).unwrap_or(data).to_vec();
        self
    }

    /// The text of a shutdown (RFC 9003), if it has one and it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        let (code, data) = self.meant();
        if !matches!(code, ADMINISTRATIVE_SHUTDOWN | ADMINISTRATIVE_RESET) {
            return None;
        }
        let text = Reader::new(data).sized_u8()?;
        std::str::from_utf8(text).ok().filter(|text| !text.is_empty())
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, Self> {
        let mut reader = Reader::new(body);
        let (Some(code), Some(subcode)) = (reader.u8(), reader.u8()) else {
            // A NOTIFICATION is never answered; the session machine only needs to know that one came.
            return Ok(Self::new(Code(0, 0)));
        };
        Ok(Self { code: Code(code, subcode), data: reader.rest().to_vec() })
    }

    /// The whole message.
    pub fn encode(&self) -> Vec<u8> {
        message(NOTIFICATION, |out| {
            out.extend([self.code.0, self.code.1]);
            out.extend(self.data.iter().take(MAX_DATA));
        })
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {}", self.code.0, self.code.1, self.code.name())?;
        match self.text() {
            // It came from outside and goes into logs and terminals.
            Some(text) => write!(f, ": {}", text.escape_debug()),
            None => Ok(()),
        }
    }
}

impl Code {
    /// What it says, in the words of the RFCs.
    pub const fn name(self) -> &'static str {
        match self {
            NOT_SYNCHRONIZED => "connection not synchronized",
            BAD_MESSAGE_LENGTH => "bad message length",
            BAD_MESSAGE_TYPE => "bad message type",
            Self(1, _) => "message header error",
            UNSUPPORTED_VERSION => "unsupported version",
            BAD_PEER_AS => "bad peer AS",
            BAD_IDENTIFIER => "bad BGP identifier",
            UNSUPPORTED_PARAMETER => "unsupported optional parameter",
            UNACCEPTABLE_HOLD_TIME => "unacceptable hold time",
            UNSUPPORTED_CAPABILITY => "unsupported capability",
            Self(2, _) => "OPEN message error",
            MALFORMED_ATTRIBUTES => "malformed attribute list",
            OPTIONAL_ATTRIBUTE => "optional attribute error",
            INVALID_NETWORK => "invalid network field",
            Self(3, _) => "UPDATE message error",
            HOLD_TIMER_EXPIRED => "hold timer expired",
            UNEXPECTED_IN_OPEN_SENT => "unexpected message in OpenSent",
            UNEXPECTED_IN_OPEN_CONFIRM => "unexpected message in OpenConfirm",
            UNEXPECTED_IN_ESTABLISHED => "unexpected message in Established",
            Self(5, _) => "finite state machine error",
            MAX_PREFIXES => "maximum number of prefixes reached",
            ADMINISTRATIVE_SHUTDOWN => "administrative shutdown",
            DECONFIGURED => "neighbor de-configured",
            ADMINISTRATIVE_RESET => "administrative reset",
            CONNECTION_REJECTED => "connection rejected",
            CONFIGURATION_CHANGE => "other configuration change",
            COLLISION => "connection collision resolution",
            Self(6, 8) => "out of resources",
            HARD_RESET => "hard reset",
            BFD_DOWN => "BFD down",
            Self(6, _) => "cease",
            Self(7, _) => "ROUTE-REFRESH message error",
            SEND_HOLD_EXPIRED => "send hold timer expired",
            _ => "unknown error",
        }
    }
}

/// RFC 4271 section 6.1.
pub const NOT_SYNCHRONIZED: Code = Code(1, 1);
/// RFC 4271 section 6.1; data: the length field.
pub const BAD_MESSAGE_LENGTH: Code = Code(1, 2);
/// RFC 4271 section 6.1; data: the type field.
pub const BAD_MESSAGE_TYPE: Code = Code(1, 3);
/// An OPEN that cannot be parsed (RFC 5492 section 5).
pub const MALFORMED_OPEN: Code = Code(2, 0);
/// RFC 4271 section 6.2; data: the version that we speak, two bytes.
pub const UNSUPPORTED_VERSION: Code = Code(2, 1);
/// RFC 4271 section 6.2.
pub const BAD_PEER_AS: Code = Code(2, 2);
/// RFC 4271 section 6.2, RFC 6286.
pub const BAD_IDENTIFIER: Code = Code(2, 3);
/// RFC 4271 section 6.2.
pub const UNSUPPORTED_PARAMETER: Code = Code(2, 4);
/// RFC 4271 section 6.2.
pub const UNACCEPTABLE_HOLD_TIME: Code = Code(2, 6);
/// RFC 5492 section 3; data: the capability that is missing.
pub const UNSUPPORTED_CAPABILITY: Code = Code(2, 7);
/// RFC 4271 section 6.3.
pub const MALFORMED_ATTRIBUTES: Code = Code(3, 1);
/// RFC 4271 section 6.3; RFC 4760 section 7: an MP attribute whose prefixes cannot be found.
pub const OPTIONAL_ATTRIBUTE: Code = Code(3, 9);
/// RFC 4271 section 6.3.
pub const INVALID_NETWORK: Code = Code(3, 10);
/// RFC 4271 section 6.5.
pub const HOLD_TIMER_EXPIRED: Code = Code(4, 0);
/// RFC 6608.
pub const UNEXPECTED_IN_OPEN_SENT: Code = Code(5, 1);
/// RFC 6608.
pub const UNEXPECTED_IN_OPEN_CONFIRM: Code = Code(5, 2);
/// RFC 6608.
pub const UNEXPECTED_IN_ESTABLISHED: Code = Code(5, 3);
/// RFC 4486.
pub const MAX_PREFIXES: Code = Code(6, 1);
/// RFC 4486, text by RFC 9003.
pub const ADMINISTRATIVE_SHUTDOWN: Code = Code(6, 2);
/// RFC 4486.
pub const DECONFIGURED: Code = Code(6, 3);
/// RFC 4486, text by RFC 9003.
pub const ADMINISTRATIVE_RESET: Code = Code(6, 4);
/// RFC 4486.
pub const CONNECTION_REJECTED: Code = Code(6, 5);
/// RFC 4486.
pub const CONFIGURATION_CHANGE: Code = Code(6, 6);
/// RFC 4486, RFC 4271 section 6.8.
pub const COLLISION: Code = Code(6, 7);
/// RFC 8538 section 3: nothing is to be kept; data: the notification that it stands for.
pub const HARD_RESET: Code = Code(6, 9);
/// RFC 9384.
pub const BFD_DOWN: Code = Code(6, 10);
/// RFC 7313 section 5; data: the whole message.
pub const BAD_REFRESH_LENGTH: Code = Code(7, 1);
/// RFC 9687.
pub const SEND_HOLD_EXPIRED: Code = Code(8, 0);
/// Longest shutdown text in bytes (RFC 9003 section 2).
pub const MAX_TEXT: usize = 255;
/// Most data that a NOTIFICATION holds: 4096 less the header and two bytes of code.
const MAX_DATA: usize = super::MAX_MESSAGE - super::HEADER - 2;
