//! What is written in the file, before any name in it means anything.

mod backend;

pub(super) use backend::{Backend, Balance, Eject, Server};

use super::{Alpn, SslMinVer};
use base_core::units::Span;
use ipnet::IpNet;
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
    #[serde(default)]
    pub(super) drain: Drain,
    #[serde(default)]
    pub(super) stick_table: Vec<Table>,
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
}

impl Default for Admin {
    fn default() -> Self {
        Self { bind: None, socket: DEFAULT_SOCKET.into() }
    }
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) to: String,
    pub(super) format: LogFormat,
}

#[derive(Deserialize, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    #[default]
    HttpLog,
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { to: "stdout".to_owned(), format: LogFormat::default() }
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

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    pub(super) name: Spanned<String>,
    #[serde(default = "default_table_size")]
    pub(super) size: Spanned<usize>,
    #[serde(default = "default_table_expire")]
    pub(super) expire: Spanned<Span>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Frontend {
    pub(super) name: Spanned<String>,
    pub(super) bind: Spanned<Vec<Spanned<SocketAddr>>>,
    pub(super) tls: Option<Spanned<Tls>>,
    pub(super) monitor_uri: Option<Spanned<String>>,
    pub(super) default_backend: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) trusted_proxies: Vec<IpNet>,
    #[serde(default)]
    pub(super) accept_proxy: Vec<IpNet>,
    #[serde(default = "default_keep_alive_timeout")]
    pub(super) keep_alive_timeout: Spanned<Span>,
    #[serde(default = "default_handshake_timeout")]
    pub(super) handshake_timeout: Spanned<Span>,
    #[serde(default = "default_http_request_timeout")]
    pub(super) http_request_timeout: Spanned<Span>,
    #[serde(default = "default_client_timeout")]
    pub(super) client_timeout: Spanned<Span>,
    pub(super) alpn: Option<Spanned<Vec<Alpn>>>,
    pub(super) h2c: Option<Spanned<bool>>,
    #[serde(default = "default_h2_max_concurrent_streams")]
    pub(super) h2_max_concurrent_streams: Spanned<u32>,
    #[serde(default)]
    pub(super) limit: Vec<Spanned<Limit>>,
    #[serde(default)]
    pub(super) normalize_path: NormalizePath,
    #[serde(default)]
    pub(super) block_scanners: BlockScanners,
    #[serde(default)]
    pub(super) rule: Vec<Spanned<super::rule::Written>>,
    #[serde(default = "default_tarpit_max")]
    pub(super) tarpit_max: Spanned<u32>,
    #[serde(default)]
    pub(super) route: Vec<Spanned<Route>>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub(super) enum NormalizePath {
    #[default]
    Off,
    Decode,
    Reject,
}

#[derive(Deserialize, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub(super) enum BlockScanners {
    #[default]
    Off,
    Count,
    Deny,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) cert: Option<Spanned<PathBuf>>,
    pub(super) key: Option<Spanned<PathBuf>>,
    pub(super) crt: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub(super) ssl_min_ver: SslMinVer,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    pub(super) table: Spanned<String>,
    pub(super) conn_cur: Option<Spanned<u32>>,
    pub(super) http_req_rate: Option<Spanned<u32>>,
    pub(super) period: Option<Spanned<Span>>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    pub(super) host: Option<Spanned<String>>,
    pub(super) path: Option<Spanned<String>>,
    pub(super) backend: Spanned<String>,
}

fn unwritten<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

fn default_table_size() -> Spanned<usize> {
    unwritten(DEFAULT_TABLE_SIZE)
}

fn default_table_expire() -> Spanned<Span> {
    unwritten(DEFAULT_TABLE_EXPIRE)
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

fn default_tarpit_max() -> Spanned<u32> {
    unwritten(DEFAULT_TARPIT_MAX)
}

/// Where `headgatectl` looks, too.
const DEFAULT_SOCKET: &str = "/run/headgate/gateway.sock";
/// As long as service managers wait by habit before they kill, with room to spare.
const DEFAULT_DRAIN_TIMEOUT: Span = Span::secs(30);
/// 100,000 clients fit well within 32 MiB.
const DEFAULT_TABLE_SIZE: usize = 100_000;
/// Longer than any usual rate period, short enough to forget who left.
const DEFAULT_TABLE_EXPIRE: Span = Span::secs(300);
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
/// Connections that wait cost little, but each holds a descriptor.
const DEFAULT_TARPIT_MAX: u32 = 1000;
