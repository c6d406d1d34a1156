//! An agent as it is written.

use base_core::units::Span;
use serde::Deserialize;
use std::net::IpAddr;
use toml::Spanned;

#[derive(Clone, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Agent {
    pub(in crate::config) port: Spanned<u16>,
    pub(in crate::config) addr: Option<IpAddr>,
    pub(in crate::config) inter: Option<Spanned<Span>>,
    pub(in crate::config) timeout: Option<Spanned<Span>>,
    pub(in crate::config) send: Option<Spanned<String>>,
}
