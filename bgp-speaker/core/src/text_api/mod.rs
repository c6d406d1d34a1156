//! ExaBGP's text API, in the form of its version 4: `announce route 203.0.113.1/32 next-hop self med 100`.
//!
//! Who comes from ExaBGP has scripts that write such lines. [`parse`] reads a line, [`Table`] holds what was announced,
//! by neighbor. It promises: a line does all that it says or nothing; what a source announced can be taken back
//! whole; there are never more routes than the bound. It refuses what this speaker does not do (FlowSpec, VPN, add-path,
//! labels, watchdogs, splitting), and prefixes that are VIPs of this node: those are the gate's, and nobody else's.

mod parse;
pub mod table;

pub use parse::parse;
pub use table::{Known, Owner, Table};

use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// From now on, these routes.
    Announce {
        /// To whom.
        to: Vec<Selector>,
        /// What.
        routes: Vec<(IpNet, Route)>,
    },
    /// No longer, these prefixes.
    Withdraw {
        /// From whom.
        to: Vec<Selector>,
        /// What.
        prefixes: Vec<IpNet>,
    },
}

/// Which neighbors a line is for: those that fit one of its selectors; all if it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Its address; `None` is `*`.
    pub address: Option<IpAddr>,
    /// Our address towards it.
    pub local_ip: Option<IpAddr>,
    /// Our AS.
    pub local_as: Option<u32>,
    /// Its AS.
    pub peer_as: Option<u32>,
    /// Our identifier.
    pub router_id: Option<Ipv4Addr>,
}

/// With what a prefix is announced.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Route {
    /// `None`: ours in the session, `self`.
    pub next_hop: Option<IpAddr>,
    /// The metric.
    pub med: Option<u32>,
    /// Said inside the own AS only.
    pub local_pref: Option<u32>,
    /// The whole path; `None`: our AS towards others, nothing inside.
    pub as_path: Option<Vec<u32>>,
    /// RFC 1997 communities.
    pub communities: Vec<u32>,
    /// RFC 8092 communities.
    pub large_communities: Vec<[u32; 3]>,
    /// RFC 4360 communities.
    pub extended_communities: Vec<[u8; 8]>,
}

/// What one neighbor shall hold of it.
pub type Injected = BTreeMap<IpNet, Route>;

/// The answer to a line that was done.
pub const DONE: &str = "done";
/// The answer to a line that was not.
pub const ERROR: &str = "error";
/// Longest line in bytes.
pub const MAX_LINE: usize = 16 * 1024;

#[cfg(test)]
mod tests;
