//! The speaker's configuration: [`parse`] gives a [`Config`] in which everything that can be checked
//! without a network holds, or a [`Diagnostic`] that points at the line.

mod bfd;
pub mod change;
pub(crate) mod communities;
mod neighbor;
pub mod plan;
mod probe;
mod schema;
mod text_api;
mod url;
mod validate;

pub use probe::{Ask, DEFAULT_INTERVAL};
pub use text_api::{OnExit, Process, TextApi};
pub use url::Url;

use crate::bfd::{Hops, Timers};
use crate::fsm::Mode;
use crate::gate::{Fall, Pace};
use crate::soak::{self, HoldDown};
use base_core::diagnose::{Diagnostic, Source};
use plan::{Place, Plan};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// A valid configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node's name.
    pub node: Option<String>,
    /// While this file is there, every VIP is drained.
    pub disable: Option<PathBuf>,
    /// The speaker itself.
    pub bgp: Bgp,
    /// Where the gateway says how it is.
    pub health: Health,
    /// How a drain goes.
    pub drain: Drain,
    /// How long a VIP is kept as the last choice that should go away and that no other node announces; `None`: not at all.
    pub keep_last: Option<Duration>,
    /// Whether what was withdrawn is gone.
    pub verify: Verify,
    /// How the way back goes.
    pub back: Return,
    /// Who is to have which VIP.
    pub plan: Plan,
    /// When a VIP whose requests fail is bad.
    pub probe: Pace,
    /// Questions about the node: while one has a bad answer, no VIP is well.
    pub gates: Vec<Ask>,
    /// Whom to announce to.
    pub neighbors: Vec<Neighbor>,
    /// What to announce.
    pub vips: Vec<Vip>,
    /// Who else may announce.
    pub text_api: TextApi,
}

/// The speaker itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bgp {
    /// Our AS.
    pub asn: u32,
    /// Our BGP identifier.
    pub router_id: Ipv4Addr,
    /// Seconds of silence after which a session is dead; 0 does without.
    pub hold_time: u16,
    /// Longest pause between two attempts to reach a neighbor.
    pub retry_max: Duration,
    /// Where neighbors may connect; empty: the port of BGP on every address, if one of them may.
    pub listen: Vec<Spanned<SocketAddr>>,
    /// The control socket.
    pub socket: Spanned<PathBuf>,
    /// Where `GET /metrics` is answered.
    pub metrics: Option<Spanned<SocketAddr>>,
}

/// Where the gateway says how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Its health stream.
    pub watch: Url,
    /// Silence that counts as a hang.
    pub dead_after: Duration,
}

/// How a drain goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long VIPs stay as they are first, when the gateway drains.
    pub settle: Duration,
    /// How long VIPs are shown as the last choice before they are withdrawn.
    pub worsen_for: Duration,
    /// When the speaker ends: how long sessions stand after everything is withdrawn.
    pub gone_for: Duration,
}

/// Whether what was withdrawn is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verify {
    /// A route that is still there so long after its withdraw is stuck.
    pub stuck_after: Duration,
    /// Look for connections that are made to a VIP that was withdrawn.
    pub traffic: bool,
}

/// How the way back goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Return {
    /// How long VIPs are the last choice in a session that was lost and is back.
    pub soak: Duration,
    /// How long a VIP is the last choice that this node could not serve and can again.
    pub gate_soak: Duration,
    /// What comes and goes often waits longer.
    pub hold_down: Option<HoldDown>,
}

/// A BGP router to announce to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// Its name in logs, metrics and the status.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// The interface of a link-local address.
    pub interface: Option<String>,
    /// Its TCP port.
    pub port: u16,
    /// Its AS.
    pub asn: u32,
    /// Who opens connections.
    pub mode: Mode,
    /// Our address towards it.
    pub source: Option<IpAddr>,
    /// `source` may be missing on this node.
    pub freebind: bool,
    /// Next hop of IPv4 VIPs; the session's own address if it is IPv4.
    pub next_hop4: Option<Ipv4Addr>,
    /// Next hop of IPv6 VIPs; the session's own address if it is IPv6.
    pub next_hop6: Option<Ipv6Addr>,
    /// IPv4 VIPs may go out with an IPv6 next hop (RFC 8950).
    pub extended_next_hop: bool,
    /// It may keep our routes for so many seconds while we restart (RFC 4724).
    pub graceful_restart: Option<u16>,
    /// Make our AS path longer with each place in a plan.
    pub prepend: bool,
    /// It shows what it has: what it sends of the own VIPs is looked at.
    pub looking_glass: bool,
    /// Most prefixes that it may send; all are dropped anyway.
    pub max_prefixes: Option<u32>,
    /// Only packets that crossed no router are taken (RFC 5082).
    pub ttl_security: bool,
    /// So many links away; `None`: as many as packets of this system go.
    pub multihop: Option<u8>,
    /// The key of TCP MD5 signatures (RFC 2385).
    pub password: Option<Password>,
    /// The key of the TCP Authentication Option (RFC 5925).
    pub tcp_ao: Option<Spanned<TcpAo>>,
    /// BFD beside the session (RFC 5882).
    pub bfd: Option<Bfd>,
}

/// A neighbor's BFD session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bfd {
    /// How often, both ways.
    pub timers: Timers,
    /// How far the neighbor is.
    pub hops: Hops,
}

/// One key of the TCP Authentication Option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpAo {
    /// Its number in what we send.
    pub send_id: u8,
    /// Its number in what we receive.
    pub recv_id: u8,
    /// How segments are signed.
    pub algorithm: AoAlgorithm,
    /// The key.
    pub key: Password,
}

/// The algorithms of RFC 5926.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AoAlgorithm {
    /// HMAC-SHA-1-96.
    #[default]
    HmacSha1,
    /// AES-128-CMAC-96.
    CmacAes128,
}

/// A secret that does not show in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

/// An address that clients know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vip {
    /// The address; announced as a host route.
    pub address: IpAddr,
    /// The metric: the node with the lowest gets the traffic.
    pub med: u32,
    /// The metric while it is back and not trusted yet.
    pub backup_med: u32,
    /// Where this node stands in its plan.
    pub place: Place,
    /// Put it on the loopback interface before it is announced.
    pub loopback: bool,
    /// A request through it that must be answered.
    pub probe: Option<Ask>,
    /// What becomes of it when it fails while the gateway lives.
    pub on_down: OnDown,
    /// RFC 1997 communities.
    pub communities: Vec<u32>,
    /// RFC 8092 communities.
    pub large_communities: Vec<[u32; 3]>,
    /// RFC 4360 communities.
    pub extended_communities: Vec<[u8; 8]>,
}

impl Return {
    /// The way back of a session.
    pub const fn session(&self) -> soak::Settings {
        soak::Settings { soak: self.soak, hold_down: self.hold_down }
    }

    /// The way back of a VIP.
    pub const fn gate(&self) -> soak::Settings {
        soak::Settings { soak: self.gate_soak, hold_down: self.hold_down }
    }
}

/// What becomes of a VIP that fails while the gateway lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDown {
    /// It is withdrawn.
    #[default]
    Withdraw,
    /// It becomes the last choice.
    Worsen,
}

/// Parses and validates.
pub fn parse(source: &Source) -> Result<Config, Diagnostic> {
    validate::validate(source.parse()?, source)
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// Silence of three beats.
pub const DEFAULT_DEAD_AFTER: Duration = Duration::from_millis(300);
/// Three KEEPALIVEs; enough for a router that is busy, short enough to notice a node that is gone.
pub const DEFAULT_HOLD_TIME: Duration = Duration::from_secs(9);
/// A neighbor that was away for long is found again within this; one SYN in ten seconds burdens nobody.
pub const DEFAULT_RETRY_MAX: Duration = Duration::from_secs(10);
/// Longer than routers take to choose another way, with room for slow ones.
pub const DEFAULT_WORSEN_FOR: Duration = Duration::from_secs(1);
/// Time for clients to have their connections ended by a gateway that drains, before its VIPs are moved.
pub const DEFAULT_SETTLE: Duration = Duration::from_secs(1);
/// Longer than routers take from a withdraw to their kernel; slow ones take 60 ms.
pub const DEFAULT_GONE_FOR: Duration = Duration::from_millis(250);
/// Long enough for people to come and see; a VIP that no node serves well for longer helps nobody.
pub const DEFAULT_KEEP_LAST: Duration = Duration::from_secs(3600);
/// Many times what routers take; who takes longer has lost the withdraw.
pub const DEFAULT_STUCK_AFTER: Duration = Duration::from_secs(5);
/// Longest time that a VIP can be kept as the last choice.
pub const MAX_KEEP_LAST: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longer than a gateway takes to find its servers again after its link was cut.
pub const DEFAULT_SOAK: Duration = Duration::from_secs(1);
/// A gateway that says `ready` is: it comes back at once.
pub const DEFAULT_GATE_SOAK: Duration = Duration::ZERO;
/// Longest wait on the way back; who waits longer has rather lost a node.
pub const MAX_SOAK: Duration = Duration::from_secs(3600);
/// Most losses that hold-down can ask for; as many are remembered.
pub const MAX_CHANGES: u8 = 100;
/// Two of five requests, so that a check that fails every second or third time is bad.
pub const DEFAULT_FALL: Fall = Fall { fall: 2, window: 5 };
/// The widest window: one bit for each request.
pub const MAX_WINDOW: u32 = 64;
/// The metric of a VIP that does not name one.
pub const DEFAULT_MED: u32 = 100;
/// The port of BGP.
pub const DEFAULT_PORT: u16 = 179;
/// The least TTL that `ttl_security` takes of a neighbor so many links away is this less their number.
pub const TTL_SECURITY: u16 = 256;
/// Longest restart that a neighbor can be asked to wait for.
pub const MAX_GRACEFUL_RESTART: Duration = Duration::from_secs(4095);
/// Where `headgate-bgp status` asks.
pub const DEFAULT_SOCKET: &str = "/run/headgate/bgp.sock";
/// Where a gateway on this node says how it is.
pub const DEFAULT_WATCH: &str = "http://127.0.0.1:8404/health/watch";
/// With [`DEFAULT_BFD_MULTIPLIER`] a dead path is seen within 900 ms: what every router can hold up under load.
pub const DEFAULT_BFD_INTERVAL: Duration = Duration::from_millis(300);
/// Two packets may be lost in a row.
pub const DEFAULT_BFD_MULTIPLIER: u8 = 3;
/// Any: not every router starts at 255 over several hops (BIRD 2.0 starts at 64), and RFC 5883 asks for nothing.
pub const DEFAULT_BFD_MIN_TTL: u8 = 1;
/// Shortest interval: below, what a busy node adds to it is larger than the interval.
pub const MIN_BFD_INTERVAL: Duration = Duration::from_millis(10);
/// Longest interval: above, the hold timer is the faster one.
pub const MAX_BFD_INTERVAL: Duration = Duration::from_secs(10);
/// Most communities of one kind on a VIP, so that every route fits into one message.
pub const MAX_COMMUNITIES: usize = 64;
/// Most VIPs: what is sent to a neighbor at once stays small.
pub const MAX_VIPS: usize = 4096;
/// Most neighbors: one task and one connection each.
pub const MAX_NEIGHBORS: usize = 256;

#[cfg(test)]
mod tests;
