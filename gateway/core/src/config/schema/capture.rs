//! `capture` of a `[[frontend]]` as it is written.

use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Capture {
    #[serde(default)]
    pub(in crate::config) request_header: Vec<Spanned<Captured>>,
    #[serde(default)]
    pub(in crate::config) response_header: Vec<Spanned<Captured>>,
    pub(in crate::config) cookie: Option<Spanned<Captured>>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Captured {
    pub(in crate::config) name: Spanned<String>,
    pub(in crate::config) len: Spanned<usize>,
}
