//! A `[[resolvers]]` as it is written.

use base_core::units::Span;
use serde::Deserialize;
use std::net::SocketAddr;
use toml::Spanned;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Resolvers {
    pub(in crate::config) name: Spanned<String>,
    #[serde(default)]
    pub(in crate::config) nameserver: Vec<SocketAddr>,
    #[serde(default)]
    pub(in crate::config) parse_resolv_conf: bool,
    pub(in crate::config) accepted_payload_size: Option<Spanned<u16>>,
    pub(in crate::config) resolve_retries: Option<Spanned<u32>>,
    pub(in crate::config) timeout_resolve: Option<Spanned<Span>>,
    pub(in crate::config) timeout_retry: Option<Spanned<Span>>,
    #[serde(default)]
    pub(in crate::config) hold: Hold,
}

#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Hold {
    pub(in crate::config) valid: Option<Spanned<Span>>,
    pub(in crate::config) obsolete: Option<Spanned<Span>>,
    pub(in crate::config) nx: Option<Spanned<Span>>,
    pub(in crate::config) refused: Option<Spanned<Span>>,
    pub(in crate::config) timeout: Option<Spanned<Span>>,
    pub(in crate::config) other: Option<Spanned<Span>>,
}
