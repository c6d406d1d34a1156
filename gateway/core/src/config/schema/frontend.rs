//! A `[[frontend]]` as it is written.

use super::{Capture, Limit, unwritten};
use crate::client::Chain;
use crate::config::{Alpn, SslMinVer, rule};
use base_core::units::{Bytes, Span};
use ipnet::IpNet;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Frontend {
    pub(in crate::config) name: Spanned<String>,
    #[serde(default)]
    pub(in crate::config) mode: Mode,
    pub(in crate::config) bind: Spanned<Vec<Spanned<String>>>,
    pub(in crate::config) unix_bind: Option<UnixBind>,
    pub(in crate::config) tls: Option<Spanned<Tls>>,
    pub(in crate::config) monitor_uri: Option<Spanned<String>>,
    pub(in crate::config) capture: Option<Spanned<Capture>>,
    pub(in crate::config) unique_id_header: Option<Spanned<String>>,
    pub(in crate::config) default_backend: Option<Spanned<String>>,
    #[serde(default)]
    pub(in crate::config) trusted_proxies: Vec<IpNet>,
    pub(in crate::config) trusted_header: Option<Spanned<Chain>>,
    #[serde(default)]
    pub(in crate::config) accept_proxy: Vec<IpNet>,
    #[serde(default = "default_keep_alive_timeout")]
    pub(in crate::config) keep_alive_timeout: Spanned<Span>,
    #[serde(default = "default_handshake_timeout")]
    pub(in crate::config) handshake_timeout: Spanned<Span>,
    #[serde(default = "default_http_request_timeout")]
    pub(in crate::config) http_request_timeout: Spanned<Span>,
    #[serde(default = "default_client_timeout")]
    pub(in crate::config) client_timeout: Spanned<Span>,
    pub(in crate::config) client_fin_timeout: Option<Spanned<Span>>,
    pub(in crate::config) reject: Option<Spanned<rule::Networks>>,
    #[serde(default = "default_max_keepalive_requests")]
    pub(in crate::config) max_keepalive_requests: Spanned<u32>,
    #[serde(default = "default_max_connection_age")]
    pub(in crate::config) max_connection_age: Spanned<Span>,
    #[serde(default = "default_backlog")]
    pub(in crate::config) backlog: Spanned<u32>,
    pub(in crate::config) mss: Option<Spanned<u32>>,
    pub(in crate::config) tcp_ut: Option<Spanned<Span>>,
    pub(in crate::config) clitcpka: Option<Spanned<Span>>,
    #[serde(default)]
    pub(in crate::config) v4v6: bool,
    pub(in crate::config) inspect_delay: Option<Spanned<Span>>,
    pub(in crate::config) alpn: Option<Spanned<Vec<Alpn>>>,
    pub(in crate::config) h2c: Option<Spanned<bool>>,
    pub(in crate::config) max_header_size: Option<Spanned<Bytes>>,
    pub(in crate::config) max_headers: Option<Spanned<usize>>,
    pub(in crate::config) max_uri: Option<Spanned<Bytes>>,
    #[serde(default = "default_h2_max_concurrent_streams")]
    pub(in crate::config) h2_max_concurrent_streams: Spanned<u32>,
    #[serde(default = "default_h2_glitches_threshold")]
    pub(in crate::config) h2_glitches_threshold: Spanned<u32>,
    #[serde(default = "default_h2_glitches_rate")]
    pub(in crate::config) h2_glitches_rate: Spanned<u32>,
    #[serde(default)]
    pub(in crate::config) limit: Vec<Spanned<Limit>>,
    #[serde(default)]
    pub(in crate::config) normalize_path: NormalizePath,
    #[serde(default)]
    pub(in crate::config) block_scanners: BlockScanners,
    #[serde(default)]
    pub(in crate::config) rule: Vec<Spanned<rule::Written>>,
    #[serde(default = "default_tarpit_max")]
    pub(in crate::config) tarpit_max: Spanned<u32>,
    #[serde(default)]
    pub(in crate::config) route: Vec<Spanned<Route>>,
    #[serde(default)]
    pub(in crate::config) errorfile: Vec<ErrorFile>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct UnixBind {
    pub(in crate::config) mode: Option<Spanned<String>>,
    pub(in crate::config) user: Option<Spanned<String>>,
    pub(in crate::config) group: Option<Spanned<String>>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ErrorFile {
    pub(in crate::config) status: Spanned<Vec<u16>>,
    pub(in crate::config) file: Spanned<PathBuf>,
    pub(in crate::config) content_type: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Deserialize, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Mode {
    #[default]
    Http,
    Tcp,
}

#[derive(Deserialize, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum NormalizePath {
    #[default]
    Off,
    Decode,
    Reject,
}

#[derive(Deserialize, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum BlockScanners {
    #[default]
    Off,
    Count,
    Deny,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Tls {
    pub(in crate::config) cert: Option<Spanned<PathBuf>>,
    pub(in crate::config) key: Option<Spanned<PathBuf>>,
    pub(in crate::config) crt: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub(in crate::config) ssl_min_ver: SslMinVer,
    pub(in crate::config) verify: Option<Verify>,
    pub(in crate::config) ca_file: Option<Spanned<PathBuf>>,
    pub(in crate::config) crl_file: Option<Spanned<PathBuf>>,
    pub(in crate::config) no_ca_names: Option<Spanned<bool>>,
    pub(in crate::config) ticket_keys: Option<Spanned<PathBuf>>,
    #[serde(default = "default_lifetime")]
    pub(in crate::config) lifetime: Spanned<Span>,
}

#[derive(Clone, Copy, Deserialize, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Verify {
    None,
    Optional,
    Required,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Route {
    pub(in crate::config) host: Option<Spanned<String>>,
    pub(in crate::config) path: Option<Spanned<String>>,
    pub(in crate::config) sni: Option<Spanned<String>>,
    pub(in crate::config) backend: Spanned<String>,
}

fn default_max_keepalive_requests() -> Spanned<u32> {
    unwritten(DEFAULT_MAX_KEEPALIVE_REQUESTS)
}

fn default_max_connection_age() -> Spanned<Span> {
    unwritten(DEFAULT_MAX_CONNECTION_AGE)
}

fn default_backlog() -> Spanned<u32> {
    unwritten(DEFAULT_BACKLOG)
}

fn default_lifetime() -> Spanned<Span> {
    unwritten(DEFAULT_LIFETIME)
}

fn default_keep_alive_timeout() -> Spanned<Span> {
    unwritten(DEFAULT_KEEP_ALIVE_TIMEOUT)
}

fn default_handshake_timeout() -> Spanned<Span> {
    unwritten(DEFAULT_HANDSHAKE_TIMEOUT)
}

fn default_http_request_timeout() -> Spanned<Span> {
    unwritten(DEFAULT_HTTP_REQUEST_TIMEOUT)
}

fn default_client_timeout() -> Spanned<Span> {
    unwritten(DEFAULT_CLIENT_TIMEOUT)
}

fn default_h2_max_concurrent_streams() -> Spanned<u32> {
    unwritten(DEFAULT_H2_MAX_CONCURRENT_STREAMS)
}

fn default_h2_glitches_threshold() -> Spanned<u32> {
    unwritten(DEFAULT_H2_GLITCHES_THRESHOLD)
}

fn default_h2_glitches_rate() -> Spanned<u32> {
    unwritten(DEFAULT_H2_GLITCHES_RATE)
}

fn default_tarpit_max() -> Spanned<u32> {
    unwritten(DEFAULT_TARPIT_MAX)
}

/// Long enough for a client that comes now and then, short enough that its keys need not be kept for days.
const DEFAULT_LIFETIME: Span = Span::secs(3600);
/// No client needs more on one connection, and what a connection gathers goes with it now and then.
const DEFAULT_MAX_KEEPALIVE_REQUESTS: u32 = 1_000_000;
/// So that clients spread anew over nodes that have come back.
const DEFAULT_MAX_CONNECTION_AGE: Span = Span::secs(3600);
/// What net.core.somaxconn allows by default.
const DEFAULT_BACKLOG: u32 = 4096;
/// What the common client libraries use or exceed; an idle connection is cheap.
const DEFAULT_KEEP_ALIVE_TIMEOUT: Span = Span::secs(60);
/// A handshake takes two round trips; this leaves room for the slowest link, and for no one who only
/// holds a connection.
const DEFAULT_HANDSHAKE_TIMEOUT: Span = Span::secs(5);
/// A head is a few packets; this leaves room for some of them to be lost, and for no slowloris.
const DEFAULT_HTTP_REQUEST_TIMEOUT: Span = Span::secs(10);
/// As long as a server may be silent.
const DEFAULT_CLIENT_TIMEOUT: Span = Span::secs(60);
/// HAProxy's default, and the least that RFC 9113 §6.5.2 recommends.
const DEFAULT_H2_MAX_CONCURRENT_STREAMS: u32 = 100;
/// Ten for each stream that may be open: no client needs as many before it gets anything.
const DEFAULT_H2_GLITCHES_THRESHOLD: u32 = 1000;
/// One for each stream that may be open: all may be given up every second. A flood is thousands.
const DEFAULT_H2_GLITCHES_RATE: u32 = 100;
/// Connections that wait cost little, but each holds a descriptor.
const DEFAULT_TARPIT_MAX: u32 = 1000;
