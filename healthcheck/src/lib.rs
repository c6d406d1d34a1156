//! Asks servers how they are: one [`probe`] at a time, or a [`Checker`] that goes on for as long as its server
//! is in a backend. What the answers mean is decided in `healthcheck-core`.

pub mod agent;
pub mod checker;
pub mod probe;
pub mod tls;

pub use checker::{Checker, Slots, Snapshot};
pub use probe::Prober;
