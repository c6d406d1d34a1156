//! The gateway's decisions, in the order in which a request meets them. Nothing here opens a socket,
//! reads a clock or logs; the shell in the crate `gateway` asks and obeys.
//!
//! [`proxy_protocol`] (for whom is this connection?) → [`client_hello`] (for which server, unopened?) → [`h2`] (does it send more than it may?) → [`strict`] (is this one request?) → [`client`] (who asks?) → [`limits`] on a [`table`] (may it?) →
//! [`normalize`] (which path is that?) → [`scanners`] (who asks for that?) → [`rules`] (what shall become
//! of it?) with what they [`track`] → [`route`] (which backend?) → [`sticky`], [`cookie`], [`balance`], [`breaker`], [`on_error`], [`eject`] and [`queue`], which
//! [`dispatch`] puts together (which server, and when?) → [`retry`] (again?) → [`failure`] and [`record`]
//! (what is told about it).

pub mod balance;
pub mod breaker;
pub mod capture;
pub mod certificates;
pub mod client;
pub mod client_hello;
pub mod config;
pub mod cookie;
pub mod dispatch;
pub mod drain;
pub mod eject;
pub mod failure;
pub mod h2;
pub mod identity;
pub mod limits;
pub mod lists;
pub mod names;
pub mod normalize;
pub mod observe;
pub mod on_error;
pub mod peers;
pub mod persist;
pub mod pool;
pub mod proxy_protocol;
pub mod queue;
pub mod record;
pub mod request_id;
pub mod resolve;
pub mod retry;
pub mod route;
pub mod rules;
pub mod runtime_api;
pub mod scanners;
pub mod sticky;
pub mod strict;
pub mod syslog;
pub mod table;
pub mod tickets;
pub mod trace;
pub mod track;

pub use config::Config;
