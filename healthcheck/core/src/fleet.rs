//! What the nodes of a cluster tell each other of their VIPs: who announces which, and who wants to drain one.
//!
//! A node's speaker tells its gateway (`POST /vips` at the admin listener), the gateway publishes it to its peers and
//! answers with what they have published. Everything in it is what a node says of itself; nobody speaks for another.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// How a node has a VIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Has {
    /// It does not announce it.
    #[default]
    Withdrawn,
    /// It announces it as the last choice, and may be about to withdraw it.
    Last,
    /// It announces it.
    Announced,
}

/// What a node claims of a VIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// Nothing.
    #[default]
    Nothing,
    /// To drain it, once all others agree.
    Wants,
    /// It drains it.
    Holds,
}

/// What a node says of one VIP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Which.
    pub vip: IpAddr,
    /// How it has it.
    pub has: Has,
    /// What it claims.
    #[serde(default)]
    pub claim: Claim,
    /// The number of the claim: each is another one.
    #[serde(default)]
    pub attempt: u32,
    /// The [`ticket`] of another node's claim that it agrees to; 0 is none.
    #[serde(default)]
    pub agrees: u32,
}

/// What a speaker tells its gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// Every VIP of this node.
    pub vips: Vec<Row>,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name among peers.
    pub name: String,
    /// It can be heard. What it said is believed only then.
    pub heard: bool,
    /// What it says; empty if its gateway has no speaker.
    pub vips: Vec<Row>,
}

/// What a gateway answers its speaker: every other node of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    /// This node's name among peers.
    pub node: String,
    /// The others, by name.
    pub peers: Vec<Node>,
}

/// A node's claim as one number that is never 0: who agrees to it agrees to this attempt, and to no later one. FNV-1a; two
/// claims that were alike in it would have to be made at the same time.
pub fn ticket(node: &str, attempt: u32) -> u32 {
    let bytes = node.bytes().chain(attempt.to_be_bytes());
    bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)).max(1)
}

/// The largest number of a claim: 24 bits go to other nodes.
pub const MAX_ATTEMPT: u32 = 0xff_ffff;
/// Most VIPs that a node may speak of: as many as a speaker has.
pub const MAX_VIPS: usize = 4096;
