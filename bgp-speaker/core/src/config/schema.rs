//! The shape of the file, as serde reads it. Values that can be wrong keep their place in the text.

use super::{AoAlgorithm, OnDown};
use crate::fsm::Mode;
use base_core::units::Span;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use toml::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) node: Option<String>,
    pub(super) disable: Option<Spanned<PathBuf>>,
    pub(super) bgp: Bgp,
    #[serde(default)]
    pub(super) health: Health,
    #[serde(default)]
    pub(super) drain: Drain,
    #[serde(default)]
    pub(super) keep_last: KeepLast,
    #[serde(default)]
    pub(super) verify: Verify,
    #[serde(default, rename = "return")]
    pub(super) back: Return,
    #[serde(default)]
    pub(super) plan: BTreeMap<String, Spanned<Vec<String>>>,
    #[serde(default)]
    pub(super) probe: Probe,
    #[serde(default)]
    pub(super) gate: Vec<Spanned<toml::Value>>,
    #[serde(default)]
    pub(super) template: Vec<Spanned<Neighbor>>,
    #[serde(default)]
    pub(super) neighbor: Vec<Spanned<Neighbor>>,
    #[serde(default)]
    pub(super) vip: Vec<Spanned<Vip>>,
    #[serde(default)]
    pub(super) text_api: TextApi,
    #[serde(default)]
    pub(super) process: Vec<Process>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TextApi {
    pub(super) socket: Option<Spanned<PathBuf>>,
    pub(super) max_routes: Option<Spanned<usize>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Process {
    pub(super) name: Spanned<String>,
    pub(super) run: Spanned<Vec<String>>,
    #[serde(default)]
    pub(super) on_exit: super::OnExit,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bgp {
    pub(super) asn: Spanned<u32>,
    pub(super) router_id: Spanned<Ipv4Addr>,
    pub(super) hold_time: Option<Spanned<Span>>,
    pub(super) retry_max: Option<Spanned<Span>>,
    #[serde(default)]
    pub(super) listen: Vec<Spanned<SocketAddr>>,
    #[serde(default)]
    pub(super) no_llgr: bool,
    pub(super) socket: Option<Spanned<PathBuf>>,
    pub(super) metrics: Option<Spanned<SocketAddr>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {
    pub(super) watch: Option<Spanned<String>>,
    pub(super) dead_after: Option<Spanned<Span>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Drain {
    pub(super) settle: Option<Spanned<Span>>,
    pub(super) worsen_for: Option<Span>,
    pub(super) gone_for: Option<Spanned<Span>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeepLast {
    pub(super) enabled: Option<bool>,
    #[serde(rename = "for")]
    pub(super) time: Option<Spanned<Span>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Verify {
    pub(super) stuck_after: Option<Spanned<Span>>,
    pub(super) traffic: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Return {
    pub(super) soak: Option<Spanned<Span>>,
    pub(super) gate_soak: Option<Spanned<Span>>,
    pub(super) hold_down: Option<HoldDown>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Probe {
    pub(super) fall: Option<Spanned<u32>>,
    pub(super) window: Option<Spanned<u32>>,
    pub(super) interval: Option<Spanned<Span>>,
    pub(super) timeout: Option<Spanned<Span>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HoldDown {
    pub(super) changes: Spanned<u8>,
    pub(super) within: Spanned<Span>,
    pub(super) wait: Spanned<Span>,
}

/// A neighbor, or a template of some.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Neighbor {
    pub(super) name: Option<Spanned<String>>,
    #[serde(rename = "use")]
    pub(super) template: Option<Spanned<String>>,
    pub(super) address: Option<Spanned<String>>,
    pub(super) interface: Option<Spanned<String>>,
    pub(super) port: Option<Spanned<u16>>,
    pub(super) asn: Option<Spanned<u32>>,
    pub(super) mode: Option<Mode>,
    pub(super) source: Option<Spanned<IpAddr>>,
    pub(super) freebind: Option<bool>,
    pub(super) next_hop4: Option<Spanned<Ipv4Addr>>,
    pub(super) next_hop6: Option<Spanned<Ipv6Addr>>,
    pub(super) extended_next_hop: Option<bool>,
    pub(super) graceful_restart: Option<Spanned<Span>>,
    pub(super) prepend: Option<bool>,
    pub(super) looking_glass: Option<bool>,
    pub(super) max_prefixes: Option<u32>,
    pub(super) ttl_security: Option<bool>,
    pub(super) multihop: Option<Spanned<u8>>,
    pub(super) password: Option<Spanned<String>>,
    pub(super) tcp_ao: Option<Spanned<TcpAo>>,
    pub(super) bfd: Option<Spanned<Bfd>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TcpAo {
    pub(super) send_id: u8,
    pub(super) recv_id: u8,
    #[serde(default)]
    pub(super) algorithm: AoAlgorithm,
    pub(super) key: Spanned<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bfd {
    pub(super) interval: Option<Spanned<Span>>,
    pub(super) multiplier: Option<Spanned<u8>>,
    #[serde(default)]
    pub(super) multihop: bool,
    pub(super) min_ttl: Option<Spanned<u8>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vip {
    pub(super) address: Spanned<IpAddr>,
    pub(super) med: Option<Spanned<u32>>,
    pub(super) backup_med: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) loopback: bool,
    pub(super) probe: Option<Spanned<toml::Value>>,
    #[serde(default)]
    pub(super) on_down: OnDown,
    #[serde(default)]
    pub(super) communities: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) large_communities: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) extended_communities: Vec<Spanned<String>>,
}
