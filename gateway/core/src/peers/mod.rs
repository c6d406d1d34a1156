//! Peers: tables that a cluster has in common, over HAProxy's peers protocol 2.1, so that a node of either kind
//! can join the other's cluster (HAProxy manual, "peers"; `doc/peers-v2.0.txt`).
//!
//! ```text
//!  hello ─► link (who dials, who lives, who teaches) ─► outgoing, incoming (what is sent and taken) ─► cluster (whose it is)
//!          handover (the same between two processes of a node)
//!                                                        frame, definition, varint (bytes)
//! ```
//! Nothing that a peer sends is trusted further than its name: lengths, numbers and types are checked, what is
//! unknown is skipped, what is broken ends the session.

pub mod aggregate;
mod cluster;
mod definition;
pub mod frame;
pub mod handover;
mod hello;
mod incoming;
mod link;
mod mirror;
mod outgoing;
mod renew;
mod varint;
pub mod vips;

#[cfg(test)]
mod tests;

pub use cluster::{Cluster, Role, Shared, With};
pub use definition::{Definition, Texts};
pub use frame::{Control, Fault, Frame};
pub use hello::{Hello, Status};
pub use incoming::Incoming;
pub use link::{Action, Event, Link, Reason};
pub use mirror::Mirror;
pub use outgoing::{Outgoing, Progress};
pub use renew::Renewal;
