//! How a VIP stands, and why: the words that logs, metrics and the status share.

/// How a VIP is shown to the neighbors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// As configured.
    Announced,
    /// As the last choice, because it is back and not trusted yet.
    Backup,
    /// As the last choice, because it goes away or is not well.
    Worsened,
    /// Not at all.
    Withdrawn,
}

/// Why a VIP stands as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The gateway serves.
    Ready,
    /// Nothing is known yet.
    Starting,
    /// The gateway says that it cannot serve.
    NotReady,
    /// The gateway is drained.
    Draining,
    /// The health stream ended without a word: the process is gone.
    Closed,
    /// The health stream says nothing: the process hangs.
    Silent,
    /// The health stream cannot be opened.
    Unreachable,
    /// A successor was promised and did not show up.
    MoveFailed,
    /// Requests through the VIP fail.
    ProbeFailed,
    /// A gate of the node is shut.
    GateShut,
    /// The VIP could not be put on the loopback interface.
    NoAddress,
    /// An operator drains it.
    Drained,
    /// The disable file is there.
    Disabled,
    /// An operator has it announced.
    Forced,
    /// An operator has it stay as it was.
    Pinned,
    /// It is back, and waits for its soak to pass.
    Soak,
    /// It comes and goes, and waits longer.
    HoldDown,
    /// It should go away, and no other node announces it.
    Last,
    /// The speaker ends.
    Stopping,
}

impl Standing {
    /// One word for logs, metrics and the status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Backup => "backup",
            Self::Worsened => "worsened",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl Reason {
    /// One word for logs, metrics and the status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::NotReady => "not_ready",
            Self::Draining => "draining",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Unreachable => "unreachable",
            Self::MoveFailed => "move_failed",
            Self::ProbeFailed => "probe_failed",
            Self::GateShut => "gate_shut",
            Self::NoAddress => "no_address",
            Self::Drained => "drained",
            Self::Disabled => "disabled",
            Self::Forced => "forced",
            Self::Pinned => "pinned",
            Self::Soak => "soak",
            Self::HoldDown => "hold_down",
            Self::Last => "last",
            Self::Stopping => "stopping",
        }
    }

    /// Nobody is there to serve: no order and no mercy announces such a VIP.
    pub(super) const fn is_death(self) -> bool {
        use Reason::{Closed, MoveFailed, NoAddress, Silent, Starting, Unreachable};
        matches!(self, Starting | Closed | Silent | Unreachable | MoveFailed | NoAddress)
    }

    /// This node could serve it, if nobody else does.
    pub(super) const fn may_be_kept(self) -> bool {
        matches!(self, Self::ProbeFailed | Self::GateShut | Self::Draining | Self::Drained | Self::Disabled)
    }

    /// Something is wrong.
    pub(super) const fn is_failure(self) -> bool {
        self.is_death() || matches!(self, Self::NotReady | Self::ProbeFailed | Self::GateShut | Self::Last)
    }
}
