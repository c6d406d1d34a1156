//! `[observe]` as it is written.

use super::{Scope, unwritten};
use base_core::units::Span;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Observed {
    pub(in crate::config) file: Spanned<PathBuf>,
    #[serde(default = "default_period")]
    pub(in crate::config) period: Spanned<Span>,
    #[serde(default = "default_size")]
    pub(in crate::config) size: Spanned<usize>,
    pub(in crate::config) scope: Option<Spanned<Scope>>,
}

fn default_period() -> Spanned<Span> {
    unwritten(DEFAULT_PERIOD)
}

fn default_size() -> Spanned<usize> {
    unwritten(DEFAULT_SIZE)
}

/// As long as the limits of most are counted over.
const DEFAULT_PERIOD: Span = Span::secs(10);
/// As a stick table's.
const DEFAULT_SIZE: usize = 100_000;
