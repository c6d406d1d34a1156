//! A `[[backend.server]]` as it is written.

use super::{Agent, Observe};
use crate::resolve::Family;
use base_core::units::Span;
use ipnet::IpNet;
use serde::Deserialize;
use std::net::IpAddr;
use std::path::PathBuf;
use toml::Spanned;

/// A server, or what holds for all that do not say otherwise.
#[derive(Clone, Deserialize, Debug, Default)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Server {
    pub(in crate::config) name: Option<Spanned<String>>,
    /// Of a template instead: the beginning of its servers' names, and how many there are.
    pub(in crate::config) prefix: Option<Spanned<String>>,
    pub(in crate::config) count: Option<Spanned<u32>>,
    pub(in crate::config) address: Option<Spanned<String>>,
    pub(in crate::config) resolvers: Option<Spanned<String>>,
    pub(in crate::config) resolve_prefer: Option<Spanned<Family>>,
    pub(in crate::config) resolve_net: Option<Spanned<Vec<IpNet>>>,
    pub(in crate::config) init_addr: Option<Spanned<Vec<String>>>,
    pub(in crate::config) weight: Option<Spanned<u32>>,
    pub(in crate::config) maxconn: Option<Spanned<u32>>,
    pub(in crate::config) minconn: Option<Spanned<u32>>,
    pub(in crate::config) pool_max_conn: Option<Spanned<u32>>,
    pub(in crate::config) max_reuse: Option<Spanned<u32>>,
    pub(in crate::config) cookie: Option<Spanned<String>>,
    pub(in crate::config) backup: Option<bool>,
    pub(in crate::config) slowstart: Option<Spanned<Span>>,
    pub(in crate::config) source: Option<IpAddr>,
    pub(in crate::config) send_proxy: Option<SendProxy>,
    pub(in crate::config) check_send_proxy: Option<Spanned<bool>>,
    pub(in crate::config) proto: Option<Spanned<Proto>>,
    pub(in crate::config) on_marked_down: Option<OnMarkedDown>,
    pub(in crate::config) observe: Option<Spanned<Observe>>,
    pub(in crate::config) error_limit: Option<Spanned<u32>>,
    pub(in crate::config) on_error: Option<Spanned<OnError>>,
    pub(in crate::config) ssl: Option<bool>,
    pub(in crate::config) verify: Option<Spanned<VerifyServer>>,
    pub(in crate::config) ca_file: Option<Spanned<PathBuf>>,
    pub(in crate::config) sni: Option<Spanned<String>>,
    pub(in crate::config) verifyhost: Option<Spanned<String>>,
    pub(in crate::config) crt: Option<Spanned<PathBuf>>,
    pub(in crate::config) alpn: Option<Spanned<Vec<String>>>,
    pub(in crate::config) check: Option<Spanned<bool>>,
    pub(in crate::config) check_addr: Option<IpAddr>,
    pub(in crate::config) check_port: Option<Spanned<u16>>,
    pub(in crate::config) track: Option<Spanned<String>>,
    pub(in crate::config) agent: Option<Spanned<Agent>>,
}

/// The form of the PROXY header that a server gets.
#[derive(Clone, Copy, Deserialize, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum SendProxy {
    V1,
    V2,
}

/// What a server speaks without being asked.
#[derive(Clone, Copy, Deserialize, Debug, PartialEq, Eq)]
pub(in crate::config) enum Proto {
    #[serde(rename = "h1")]
    H1,
    #[serde(rename = "h2")]
    H2,
}

#[derive(Clone, Copy, Deserialize, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum VerifyServer {
    None,
    Required,
}

#[derive(Clone, Copy, Deserialize, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum OnMarkedDown {
    None,
    ShutdownSessions,
}

#[derive(Clone, Copy, Deserialize, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum OnError {
    Fastinter,
    FailCheck,
    SuddenDeath,
    MarkDown,
}

impl Server {
    /// With what `default` says where it says nothing itself.
    pub(in crate::config) fn or(self, default: &Self) -> Self {
        Self {
            name: self.name,
            prefix: self.prefix,
            count: self.count,
            address: self.address,
            resolvers: self.resolvers.or_else(|| default.resolvers.clone()),
            resolve_prefer: self.resolve_prefer.or_else(|| default.resolve_prefer.clone()),
            resolve_net: self.resolve_net.or_else(|| default.resolve_net.clone()),
            init_addr: self.init_addr.or_else(|| default.init_addr.clone()),
            weight: self.weight.or_else(|| default.weight.clone()),
            maxconn: self.maxconn.or_else(|| default.maxconn.clone()),
            minconn: self.minconn.or_else(|| default.minconn.clone()),
            pool_max_conn: self.pool_max_conn.or_else(|| default.pool_max_conn.clone()),
            max_reuse: self.max_reuse.or_else(|| default.max_reuse.clone()),
            cookie: self.cookie,
            backup: self.backup.or(default.backup),
            slowstart: self.slowstart.or_else(|| default.slowstart.clone()),
            source: self.source.or(default.source),
            send_proxy: self.send_proxy.or(default.send_proxy),
            check_send_proxy: self.check_send_proxy.or_else(|| default.check_send_proxy.clone()),
            proto: self.proto.or_else(|| default.proto.clone()),
            on_marked_down: self.on_marked_down.or(default.on_marked_down),
            observe: self.observe.or_else(|| default.observe.clone()),
            error_limit: self.error_limit.or_else(|| default.error_limit.clone()),
            on_error: self.on_error.or_else(|| default.on_error.clone()),
            ssl: self.ssl.or(default.ssl),
            verify: self.verify.or_else(|| default.verify.clone()),
            ca_file: self.ca_file.or_else(|| default.ca_file.clone()),
            sni: self.sni.or_else(|| default.sni.clone()),
            verifyhost: self.verifyhost.or_else(|| default.verifyhost.clone()),
            crt: self.crt.or_else(|| default.crt.clone()),
            alpn: self.alpn.or_else(|| default.alpn.clone()),
            check: self.check.or_else(|| default.check.clone()),
            check_addr: self.check_addr.or(default.check_addr),
            check_port: self.check_port.or_else(|| default.check_port.clone()),
            track: self.track,
            agent: self.agent.or_else(|| default.agent.clone()),
        }
    }
}
