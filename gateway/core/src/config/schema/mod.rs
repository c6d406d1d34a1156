//! What is written in the file, before any name in it means anything.

mod backend;
mod capture;
mod checks;
mod frontend;
mod identity;
mod limit;
mod lists;
mod log;
mod observe;
mod peers;
mod resolvers;
mod server;
mod table;
mod trace;

pub(super) use backend::{Backend, Breaker, Cookie, CookieMode, Eject, HashType, HttpReuse, Observe};
pub(super) use capture::{Capture, Captured};
pub(super) use checks::Agent;
pub(super) use frontend::{
    BlockScanners, ErrorFile, Frontend, Mode, NormalizePath, Route, Tls, UnixBind, Verify,
};
pub(super) use identity::{Identity, Jwt};
pub(super) use limit::{Action, Algorithm, Count, Fallback, Limit, On, Scope};
pub(super) use lists::{List, Match};
pub(super) use log::{Log, LogFormat, Syslog};
pub(super) use observe::Observed;
pub(super) use peers::Peers;
pub(super) use resolvers::{Hold, Resolvers};
pub(super) use table::Table;
pub(super) use trace::Trace;

pub(super) use server::{OnError, OnMarkedDown, Proto, SendProxy, Server, VerifyServer};

use base_core::units::Span;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use toml::Spanned;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) node: Option<Spanned<String>>,
    pub(super) workers: Option<Spanned<usize>>,
    #[serde(default)]
    pub(super) admin: Admin,
    #[serde(default)]
    pub(super) log: Log,
    pub(super) trace: Option<Trace>,
    #[serde(default)]
    pub(super) drain: Drain,
    pub(super) observe: Option<Observed>,
    pub(super) peers: Option<Peers>,
    #[serde(default)]
    pub(super) resolvers: Vec<Resolvers>,
    #[serde(default)]
    pub(super) stick_table: Vec<Table>,
    #[serde(default)]
    pub(super) acl: Vec<List>,
    #[serde(default)]
    pub(super) map: Vec<List>,
    #[serde(default)]
    pub(super) identity: Vec<Identity>,
    #[serde(default)]
    pub(super) frontend: Vec<Frontend>,
    #[serde(default)]
    pub(super) backend: Vec<Backend>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admin {
    pub(super) bind: Option<Spanned<SocketAddr>>,
    pub(super) socket: PathBuf,
    pub(super) handover: Option<PathBuf>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { bind: None, socket: DEFAULT_SOCKET.into(), handover: None }
    }
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Drain {
    pub(super) timeout: Span,
}

impl Default for Drain {
    fn default() -> Self {
        Self { timeout: DEFAULT_DRAIN_TIMEOUT }
    }
}

fn unwritten<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// Where `headgatectl` looks, too.
const DEFAULT_SOCKET: &str = "/run/headgate/gateway.sock";
/// As long as service managers wait by habit before they kill, with room to spare.
const DEFAULT_DRAIN_TIMEOUT: Span = Span::secs(30);
