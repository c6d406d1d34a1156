//! The BGP speaker of a Headgate node: announces the node's VIPs to BGP routers while, and only while,
//! the gateway of the node serves.
//!
//! All decisions are made in [`bgp_core`]; here are the sockets, the timers and the tasks. One task for each
//! neighbor, one for the gate, one thread for all of them: a decision of the gate reaches the wire without
//! a lock and without a thread being woken. BFD alone has a thread of its own, ahead of everything else.
//!
//! ```text
//!  health stream ──► gate task ──watch──► neighbor task ──TCP──► router     (one for each neighbor)
//!  probes ─────────►   │                       └──► status, metrics, log: after the bytes
//!  BFD thread ────────changes, bounded────────► neighbor task
//! ```

mod bfd;
mod board;
mod control;
mod disable;
mod end;
mod fleet;
mod gate;
mod handover;
mod journal;
mod link;
mod listener;
mod loopback;
mod metrics;
mod neighbor;
mod notify;
mod probe;
mod renew;
pub mod run;
mod socket;
mod sockets;
mod status;
mod stream;
mod sys;
mod tasks;
mod text_api;
mod traffic;

pub use journal::text as event_text;
