//! Where a session stands.

/// The six states of RFC 4271 section 8.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// At rest, or waiting after a session failed.
    Idle,
    /// Connecting.
    Connect,
    /// Waiting after a connection could not be made.
    Active,
    /// Connected; our OPEN is out.
    OpenSent,
    /// OPENs exchanged; waiting for the first KEEPALIVE.
    OpenConfirm,
    /// Routes may flow.
    Established,
}

impl State {
    /// Is there a connection that counts?
    pub const fn is_open(self) -> bool {
        matches!(self, Self::OpenSent | Self::OpenConfirm | Self::Established)
    }

    /// One word, as RFC 4271 writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Connect => "Connect",
            Self::Active => "Active",
            Self::OpenSent => "OpenSent",
            Self::OpenConfirm => "OpenConfirm",
            Self::Established => "Established",
        }
    }
}
