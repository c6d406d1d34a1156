//! What every pure core shares, so that no core invents it again: [`Time`] as an argument, the
//! shape of a [`Machine`], numbers from a seed ([`random`]), and configuration [`diagnose`] that points at file, line and column.
//!
//! Nothing here reads a clock, opens a socket or logs.

pub mod diagnose;
pub mod machine;
pub mod random;
pub mod time;
pub mod units;

pub use machine::Machine;
pub use time::Time;
