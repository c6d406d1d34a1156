//! Pure decisions about health: when to probe ([`schedule`]), what is asked and answered
//! ([`talk`], [`http1`], [`grpc`], [`agent`]), what a row of probes means for a server
//! ([`machine`]), what the servers and the gateway itself mean for who gets traffic and whether this
//! node may announce ([`verdict`]), and what nodes tell each other of what they announce ([`fleet`]).
//!
//! Nothing here opens a socket or reads a clock. The words are HAProxy's (configuration manual 5.2
//! `check`, `rise`, `fall`, `inter`; management guide 9.1 `check_status`).

pub mod agent;
pub mod fleet;
pub mod grpc;
pub mod http1;
pub mod machine;
pub mod outcome;
pub mod schedule;
pub mod spec;
pub mod talk;
pub mod tally;
pub mod verdict;

pub use machine::{Action, Check, Event, OnError, Reason, State, Status};
pub use outcome::{CheckStatus, Outcome};
pub use spec::{CheckSpec, Expect, HttpCheck, Kind, Timing, TlsCheck};
pub use talk::Finding;
