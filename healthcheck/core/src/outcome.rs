//! What one probe found, in the words that HAProxy's statistics use for it (management guide 9.1,
//! `check_status`, `check_code`, `check_duration`), so that existing dashboards understand them.

use std::fmt;
use std::time::Duration;

/// How a probe ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CheckStatus {
    /// The connection was accepted, which is all that a TCP check asks for.
    L4Ok,
    /// Nothing answered the connection attempt in time.
    L4Timeout,
    /// The connection was refused, or there is no way there.
    L4Connection,
    /// The answer is what was expected.
    L7Ok,
    /// Connected, but no whole answer in time.
    L7Timeout,
    /// An answer that says that the server is not well: a status that was not expected, an error.
    L7Status,
    /// An answer that is not of this protocol, is too long, ends too early, or lacks what was expected in it.
    L7Response,
    /// The TLS handshake succeeded, which is all that a TLS check asks for.
    L6Ok,
    /// Connected, but no whole handshake in time.
    L6Timeout,
    /// The handshake failed: no TLS, or a certificate that is not believed.
    L6Response,
    /// The command exited with 0.
    ProcOk,
    /// The command exited with something else, or was killed.
    ProcError,
    /// The command did not exit in time, and was killed.
    ProcTimeout,
    /// No probe: a row of requests failed ([`crate::OnError`]).
    Analysis,
    /// This side could not even try: no socket, no port left.
    SocketError,
}

impl CheckStatus {
    /// HAProxy's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L4Ok => "L4OK",
            Self::L4Timeout => "L4TOUT",
            Self::L4Connection => "L4CON",
            Self::L7Ok => "L7OK",
            Self::L7Timeout => "L7TOUT",
            Self::L7Status => "L7STS",
            Self::L7Response => "L7RSP",
            Self::L6Ok => "L6OK",
            Self::L6Timeout => "L6TOUT",
            Self::L6Response => "L6RSP",
            Self::ProcOk => "PROCOK",
            Self::ProcError => "PROCERR",
            Self::ProcTimeout => "PROCTOUT",
            Self::Analysis => "HANA",
            Self::SocketError => "SOCKERR",
        }
    }

    /// Whether the probe passed.
    pub const fn passed(self) -> bool {
        matches!(self, Self::L4Ok | Self::L6Ok | Self::L7Ok | Self::ProcOk)
    }

    /// Whether its time ran out.
    pub const fn is_timeout(self) -> bool {
        matches!(self, Self::L4Timeout | Self::L6Timeout | Self::L7Timeout | Self::ProcTimeout)
    }

    /// Whether it says nothing about the server: HAProxy counts a socket error of its own as the server's
    /// failure, so that a process out of sockets takes all servers down.
    pub const fn inconclusive(self) -> bool {
        matches!(self, Self::SocketError)
    }
}

impl fmt::Display for CheckStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What one probe found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How it ended.
    pub status: CheckStatus,
    /// The number that the server gave, where there was one: a status, an error, an exit code.
    pub code: Option<u16>,
    /// What was wrong, in one word; empty where `status` says all.
    pub note: &'static str,
    /// From the start of the connection attempt to the end.
    pub duration: Duration,
}

impl Outcome {
    /// Whether the probe passed.
    pub const fn passed(&self) -> bool {
        self.status.passed()
    }
}

impl fmt::Display for Outcome {
    /// `L7STS 503`, `L4OK`, `L7STS 1040 too_many_connections`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{} {code}", self.status)?,
            None => self.status.fmt(f)?,
        }
        if self.note.is_empty() { Ok(()) } else { write!(f, " {}", self.note) }
    }
}
