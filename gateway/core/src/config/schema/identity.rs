//! An `[[identity]]` as it is written.

use base_core::units::Span;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Identity {
    pub(in crate::config) name: Spanned<String>,
    pub(in crate::config) header: Option<Spanned<String>>,
    pub(in crate::config) cookie: Option<Spanned<String>>,
    pub(in crate::config) query: Option<Spanned<String>>,
    pub(in crate::config) map: Option<Spanned<String>>,
    pub(in crate::config) jwt: Option<Jwt>,
    pub(in crate::config) answer: Option<Answer>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Jwt {
    pub(in crate::config) keys: Spanned<PathBuf>,
    pub(in crate::config) claim: Spanned<String>,
    pub(in crate::config) class: Option<Spanned<String>>,
    pub(in crate::config) issuer: Option<String>,
    pub(in crate::config) audience: Option<String>,
    pub(in crate::config) leeway: Option<Spanned<Span>>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Answer {
    pub(in crate::config) backend: Spanned<Vec<Spanned<String>>>,
    pub(in crate::config) header: Spanned<String>,
    pub(in crate::config) class: Option<Spanned<String>>,
    pub(in crate::config) learn: Option<Spanned<Span>>,
}
