//! The `check` of a backend as operators write it. A [`CheckSpec`] that exists is valid: what makes no sense
//! (a timeout beyond the interval, a `uri` for a TCP check) is refused when it is read.
//! HAProxy manual 5.2 `check`, 4.2 `option httpchk`, `option mysql-check` and its like, `tcp-check`, `external-check`.

mod http;
mod keys;
mod kind;
mod pattern;

pub use http::{Contains, DEFAULT_EXPECT, DEFAULT_METHOD, DEFAULT_URI, Expect, HttpCheck, Version};
pub use kind::Type;
pub use pattern::{Pattern, Search};

use crate::outcome::CheckStatus;
use crate::schedule::MIN_INTERVAL;
use base_core::units::Span;
use serde::Deserialize;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How the servers of a backend are checked.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "keys::Keys")]
pub struct CheckSpec {
    /// What is asked.
    pub kind: Kind,
    /// TLS, if it is asked over that.
    pub tls: Option<TlsCheck>,
    /// Whether it is asked over TLS as the server itself is: nothing else was said, and it could be.
    pub inherits_tls: bool,
    /// The address to probe, if it is not the server's.
    pub addr: Option<IpAddr>,
    /// The port to probe, if it is not the server's.
    pub port: Option<u16>,
    /// How often, and how many in a row count.
    pub timing: Timing,
}

impl CheckSpec {
    /// A check of this kind with all defaults.
    pub const fn new(kind: Kind) -> Self {
        Self { kind, tls: None, inherits_tls: false, addr: None, port: None, timing: Timing::DEFAULT }
    }

    /// Whether anything is sent anywhere, so that it matters where.
    pub const fn goes_somewhere(&self) -> bool {
        !matches!(self.kind, Kind::Command(_) | Kind::File { .. })
    }

    /// Where to probe a server.
    pub fn target(&self, server: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.addr.unwrap_or_else(|| server.ip()), self.port.unwrap_or_else(|| server.port()))
    }

    /// How a probe that did not end in time is counted.
    pub const fn overdue(&self) -> CheckStatus {
        match (&self.kind, &self.tls) {
            (Kind::Command(_), _) => CheckStatus::ProcTimeout,
            (Kind::Tls, _) | (Kind::Tcp, Some(_)) => CheckStatus::L6Timeout,
            (Kind::Tcp, None) => CheckStatus::L4Timeout,
            _ => CheckStatus::L7Timeout,
        }
    }
}

/// What is asked of a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// To accept a connection.
    Tcp,
    /// To say what is expected to what is sent.
    Steps(Vec<Step>),
    /// To complete a TLS handshake.
    Tls,
    /// To answer a request.
    Http(HttpCheck),
    /// To call a service of it healthy (`grpc.health.v1`).
    Grpc {
        /// The service; empty: the server as a whole.
        service: String,
    },
    /// To greet, and more where asked.
    Mysql(MysqlLogin),
    /// To ask who is there.
    Postgres {
        /// Who is said to be.
        user: String,
        /// The database; the server takes the user's name when absent.
        database: Option<String>,
    },
    /// To answer PING.
    Redis {
        /// Who logs in; `default` when absent.
        user: Option<String>,
        /// What with; nobody logs in when absent.
        password: Option<Secret>,
    },
    /// To greet as an AMQP 0-9-1 broker.
    Amqp,
    /// To greet and take a hello.
    Smtp {
        /// The name in the hello.
        hello: String,
    },
    /// To accept an anonymous bind.
    Ldap,
    /// To make a command of ours exit with 0.
    Command(CommandCheck),
    /// Nothing: a file on this machine says it.
    File {
        /// The file.
        path: PathBuf,
        /// Whether it must not be there.
        absent: bool,
    },
}

/// One step of a talk that the operator wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Say this.
    Send(Vec<u8>),
    /// Wait for this.
    Expect {
        /// What is looked for.
        pattern: Pattern,
        /// Whether it must not come.
        not: bool,
    },
}

/// How far a MySQL check goes beyond the greeting.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MysqlLogin {
    /// Who logs in; nobody when absent.
    pub user: Option<String>,
    /// What with.
    pub password: Option<Secret>,
    /// Whether Galera must let the node work.
    pub wsrep_ready: bool,
}

/// TLS of a probe.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsCheck {
    /// Whether any certificate will do.
    pub verify_none: bool,
    /// Who is believed; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// The name that is asked for and that the certificate must have; the address when absent.
    pub sni: Option<String>,
    /// A chain and its key that are shown if the server asks.
    pub crt: Option<PathBuf>,
    /// Whether its certificate may be for any name.
    pub any_name: bool,
}

/// A command that checks a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandCheck {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; `None`: those of HAProxy's `external-check`.
    pub arguments: Option<Vec<String>>,
}

/// A password. It does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps what must not show.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The password itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How often a server is probed, and how many probes in a row count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// Between probes of a server that is UP.
    pub inter: Duration,
    /// Between probes while they point to another state than the one held.
    pub fastinter: Duration,
    /// Between probes of a server that is DOWN.
    pub downinter: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// Passes in a row that make a server UP.
    pub rise: u32,
    /// Failures in a row that make a server DOWN.
    pub fall: u32,
}

impl Timing {
    /// HAProxy's defaults.
    pub const DEFAULT: Self = Self {
        inter: DEFAULT_INTER.0,
        fastinter: DEFAULT_INTER.0,
        downinter: DEFAULT_INTER.0,
        timeout: DEFAULT_INTER.0,
        rise: DEFAULT_RISE,
        fall: DEFAULT_FALL,
    };

    /// The same with every value in its bounds, so that a machine needs no care.
    #[must_use]
    pub fn in_bounds(self) -> Self {
        Self {
            inter: self.inter.max(MIN_INTERVAL),
            fastinter: self.fastinter.max(MIN_INTERVAL),
            downinter: self.downinter.max(MIN_INTERVAL),
            timeout: self.timeout.max(MIN_TIMEOUT),
            rise: self.rise.max(1),
            fall: self.fall.max(1),
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Printable ASCII without a space: what may stand in a request line or a header.
fn is_one_word(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Between probes: HAProxy's `inter`. Also what `fastinter`, `downinter` and `timeout` are when not set.
pub const DEFAULT_INTER: Span = Span::secs(2);
/// Passes in a row: HAProxy's `rise`. One pass may be luck.
pub const DEFAULT_RISE: u32 = 2;
/// Failures in a row: HAProxy's `fall`. One or two may be a lost packet or a pause.
pub const DEFAULT_FALL: u32 = 3;
/// The shortest timeout: timers are exact to a millisecond.
pub const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// Longest `uri`, `host` and other text, in bytes: a request line that every server takes.
const MAX_TEXT: usize = 2048;

#[cfg(test)]
mod tests;
