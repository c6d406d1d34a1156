//! The control packet (RFC 5880 section 4.1), both ways.
//!
//! Decoding promises to refuse what section 6.8.6 says must be discarded as far as the packet alone
//! tells, in the order of that section, each with a word of its own for a counter. It borrows nothing
//! and allocates nothing.

use super::{Diagnostic, State};
use crate::wire::reader::Reader;
use std::num::NonZeroU32;
use std::time::Duration;

/// A control packet that can be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Why its sender last left Up.
    pub diagnostic: Diagnostic,
    /// The state that its sender is in.
    pub state: State,
    /// Its sender wants an answer with `finish`.
    pub poll: bool,
    /// This is the answer.
    pub finish: bool,
    /// Its sender's BFD outlives its control plane.
    pub independent: bool,
    /// Its sender wants no periodic packets while both are Up.
    pub demand: bool,
    /// So many detection intervals of silence mean that its sender is gone.
    pub multiplier: u8,
    /// The number of the session at its sender.
    pub mine: NonZeroU32,
    /// The number of the session here; 0 while its sender has not heard it.
    pub yours: u32,
    /// It would like to send no more often.
    pub desired_min_tx: Duration,
    /// It can take packets this often; zero for none at all.
    pub required_min_rx: Duration,
    /// It can take echo packets this often; zero for none.
    pub required_min_echo_rx: Duration,
}

/// Why a packet is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discard {
    /// It crossed more routers than it may have, or a router at all.
    Ttl,
    /// A version other than 1.
    Version,
    /// Its length field does not fit what it is, or what came.
    Length,
    /// A detection multiplier of zero.
    Multiplier,
    /// The Multipoint bit is set.
    Multipoint,
    /// Its sender gives the session no number.
    MyDiscriminator,
    /// It names no session in a state in which it must.
    YourDiscriminator,
    /// It belongs to no session.
    NoSession,
    /// It is authenticated, and no authentication is in use.
    Authentication,
}

impl Packet {
    /// Decodes the payload of a datagram.
    pub fn decode(payload: &[u8]) -> Result<Self, Discard> {
        let mut reader = Reader::new(payload);
        let [first, flags, multiplier, length] = reader.array().ok_or(Discard::Length)?;
        if first >> 5 != VERSION {
            return Err(Discard::Version);
        }
        let authenticated = flags & AUTHENTICATION != 0;
        let least = if authenticated { LENGTH + 2 } else { LENGTH };
        if usize::from(length) < least || usize::from(length) > payload.len() {
            return Err(Discard::Length);
        }
        if multiplier == 0 {
            return Err(Discard::Multiplier);
        }
        if flags & MULTIPOINT != 0 {
            return Err(Discard::Multipoint);
        }
        let mut word = || reader.u32().ok_or(Discard::Length);
        let mine = NonZeroU32::new(word()?).ok_or(Discard::MyDiscriminator)?;
        let (yours, state) = (word()?, State::from_code(flags >> 6));
        if yours == 0 && matches!(state, State::Init | State::Up) {
            return Err(Discard::YourDiscriminator);
        }
        if authenticated {
            return Err(Discard::Authentication);
        }
        let mut interval = || word().map(|micros| Duration::from_micros(micros.into()));
        Ok(Self {
            diagnostic: Diagnostic(first & 0b1_1111),
            state,
            poll: flags & POLL != 0,
            finish: flags & FINAL != 0,
            independent: flags & INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            multiplier,
            mine,
            yours,
            desired_min_tx: interval()?,
            required_min_rx: interval()?,
            required_min_echo_rx: interval()?,
        })
    }

    /// Is there no news in `other`? Poll and Final are none (RFC 5880 section 6.8.7).
    pub fn says_the_same(&self, other: &Self) -> bool {
        Self { poll: other.poll, finish: other.finish, ..*self } == *other
    }

    /// The payload of a datagram.
    pub fn encode(&self) -> [u8; LENGTH] {
        let flag = |set, bit| if set { bit } else { 0 };
        let flags = self.state.code() << 6
            | flag(self.poll, POLL)
            | flag(self.finish, FINAL)
            | flag(self.independent, INDEPENDENT)
            | flag(self.demand, DEMAND);
        let first = VERSION << 5 | self.diagnostic.0 & 0b1_1111;
        let micros = |interval: Duration| u32::try_from(interval.as_micros()).unwrap_or(u32::MAX);
        let words = [
            u32::from_be_bytes([first, flags, self.multiplier, LENGTH as u8]),
            self.mine.get(),
            self.yours,
            micros(self.desired_min_tx),
            micros(self.required_min_rx),
            micros(self.required_min_echo_rx),
        ];
        let mut out = [0; LENGTH];
        for (place, word) in out.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        out
    }
}

impl Discard {
    /// All of them, in the order of their [`index`](Self::index).
    pub const ALL: [Self; 9] = [
        Self::Ttl,
        Self::Version,
        Self::Length,
        Self::Multiplier,
        Self::Multipoint,
        Self::MyDiscriminator,
        Self::YourDiscriminator,
        Self::NoSession,
        Self::Authentication,
    ];

    /// Its place in [`Discard::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// One word for counters and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ttl => "ttl",
            Self::Version => "version",
            Self::Length => "length",
            Self::Multiplier => "multiplier",
            Self::Multipoint => "multipoint",
            Self::MyDiscriminator => "my_discriminator",
            Self::YourDiscriminator => "your_discriminator",
            Self::NoSession => "no_session",
            Self::Authentication => "authentication",
        }
    }
}

/// Bytes of a packet without authentication.
pub const LENGTH: usize = 24;
const VERSION: u8 = 1;
const POLL: u8 = 0b10_0000;
const FINAL: u8 = 0b1_0000;
const INDEPENDENT: u8 = 0b1000;
const AUTHENTICATION: u8 = 0b100;
const DEMAND: u8 = 0b10;
const MULTIPOINT: u8 = 0b1;

#[cfg(test)]
#[path = "packet_tests.rs"]
pub(crate) mod tests;
