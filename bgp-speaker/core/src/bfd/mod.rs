//! BFD without IO: finds out within milliseconds that the way to a router is dead (RFC 5880; one hop
//! RFC 5881, several hops RFC 5883; what BGP makes of it RFC 5882).
//!
//! [`packet`] gives bytes a shape, [`demux`] finds whose they are, [`session`] is the machine of one
//! session. Asynchronous mode, both sides active, no authentication, no echo; Demand mode is honoured
//! when the other side asks for it and never asked for.

pub mod demux;
pub mod packet;
pub mod session;

pub use demux::{Arrival, Hops, Identity, accept};
pub use packet::{Discard, Packet};
pub use session::{Action, Change, Event, Saved, Session, Settings, Timers};

/// The state of a session (RFC 5880 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub enum State {
    /// Held down by its operator: says nothing about the path.
    AdminDown,
    /// No contact.
    #[default]
    Down,
    /// The other side is heard, and does not hear us yet.
    Init,
    /// Both hear each other.
    Up,
}

/// Why a session last left Up (RFC 5880 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Diagnostic(pub u8);

impl State {
    /// The two bits on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }

    /// From the two bits on the wire; others are ignored.
    pub const fn from_code(code: u8) -> Self {
        match code & 0b11 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    /// One word, as RFC 5880 writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        }
    }
}

impl Diagnostic {
    /// Nothing has happened yet.
    pub const NONE: Self = Self(0);
    /// Nothing was heard for the detection time.
    pub const EXPIRED: Self = Self(1);
    /// The other side went down first.
    pub const NEIGHBOR_DOWN: Self = Self(3);
    /// The operator holds the session down.
    pub const ADMIN_DOWN: Self = Self(7);

    /// What it says, in the words of RFC 5880.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "no diagnostic",
            1 => "control detection time expired",
            2 => "echo function failed",
            3 => "neighbor signaled session down",
            4 => "forwarding plane reset",
            5 => "path down",
            6 => "concatenated path down",
            7 => "administratively down",
            8 => "reverse concatenated path down",
            _ => "unknown diagnostic",
        }
    }
}
