//! `[peers]` as it is written.

use super::unwritten;
use base_core::units::Span;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use toml::Spanned;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Peers {
    pub(in crate::config) name: Spanned<String>,
    pub(in crate::config) local: Option<Spanned<String>>,
    pub(in crate::config) bind: Spanned<SocketAddr>,
    #[serde(default = "default_update_interval")]
    pub(in crate::config) update_interval: Spanned<Span>,
    pub(in crate::config) tls: Option<Spanned<PeersTls>>,
    #[serde(default)]
    pub(in crate::config) peer: Vec<Peer>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct PeersTls {
    pub(in crate::config) cert: Spanned<PathBuf>,
    pub(in crate::config) key: Spanned<PathBuf>,
    pub(in crate::config) ca: Spanned<PathBuf>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Peer {
    pub(in crate::config) name: Spanned<String>,
    pub(in crate::config) address: SocketAddr,
    pub(in crate::config) verifyhost: Option<Spanned<String>>,
}

fn default_update_interval() -> Spanned<Span> {
    unwritten(DEFAULT_UPDATE_INTERVAL)
}

/// At most this often an entry is sent to a peer, however often it changes.
const DEFAULT_UPDATE_INTERVAL: Span = Span::millis(5);
