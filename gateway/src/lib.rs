//! The gateway's IO: it asks `gateway-core` at each step and does as it is told.
//!
//! ```text
//! client → accept → identify → guard → route → pick → forward → account → access_log
//!          accept/  proxy      guard   proxy   upstream/ pingora  account   access_log
//! ```
//! Each worker is a thread with a runtime of its own, its own listening sockets and its own
//! connections to servers ([`worker`]). What all workers share is in [`state`]. One more thread, the
//! control thread, runs the health checks, the admin listener and the life of the process ([`run`]).

mod accept;
mod access_log;
mod account;
mod admin;
mod answer;
mod answers;
pub mod capture;
mod certificates;
pub mod cookie;
mod early;
mod error_pages;
mod exchange;
mod facts;
mod forwarded;
mod guard;
mod health;
pub mod identity;
pub mod lists;
pub mod load;
mod metrics;
mod observe;
pub mod peers;
mod persist;
mod pick;
mod proxy;
mod proxy_out;
mod replace;
mod request;
mod request_id;
mod rules;
pub mod run;
mod scratch;
mod state;
mod sys;
mod tarpit;
mod tcp;
pub mod tls;
mod to_server;
mod trace;
mod tracks;
mod tries;
mod tunnel;
mod upgrade;
mod upstream;
mod worker;
