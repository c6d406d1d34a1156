//! BGP-4 without IO: the [`wire`] format, the session machine ([`fsm`]), what each neighbor holds
//! ([`rib_out`]), whether each VIP may be announced ([`gate`]) and with what ([`policy`]); beside it [`bfd`],
//! which says within milliseconds that the way to a neighbor is dead, and [`mirror`], which says whether what was withdrawn is gone.
//!
//! Everything here is a pure function or a [`base_core::Machine`]: bytes and past facts in, bytes and
//! imperatives out, time as an argument. Nothing from a neighbor is ever accepted as a route (RFC 8212);
//! no byte of it can panic, and none makes this crate hold more than the message it came in.

pub mod bfd;
pub mod config;
pub mod fsm;
pub mod gate;
pub mod mirror;
pub mod neighbor;
pub mod policy;
pub mod rib_out;
pub mod soak;
pub mod text_api;
pub mod wire;
