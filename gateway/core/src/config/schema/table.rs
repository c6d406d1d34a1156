//! A `[[stick_table]]` as it is written.

use super::unwritten;
use base_core::units::Span;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Table {
    pub(in crate::config) name: Spanned<String>,
    #[serde(rename = "type")]
    pub(in crate::config) key: Option<Spanned<String>>,
    #[serde(default = "default_size")]
    pub(in crate::config) size: Spanned<usize>,
    pub(in crate::config) expire: Option<Spanned<Span>>,
    #[serde(default)]
    pub(in crate::config) nopurge: bool,
    #[serde(default)]
    pub(in crate::config) store: Vec<Spanned<String>>,
    pub(in crate::config) peers: Option<Spanned<String>>,
    pub(in crate::config) peers_name: Option<Spanned<String>>,
    pub(in crate::config) agg: Option<Spanned<bool>>,
    pub(in crate::config) persist: Option<Spanned<PathBuf>>,
    pub(in crate::config) persist_interval: Option<Spanned<Span>>,
}

fn default_size() -> Spanned<usize> {
    unwritten(DEFAULT_SIZE)
}

/// 100,000 clients fit well within 32 MiB.
const DEFAULT_SIZE: usize = 100_000;
