//! `[[acl]]` and `[[map]]` as they are written.

use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct List {
    pub(in crate::config) name: Spanned<String>,
    pub(in crate::config) file: Spanned<PathBuf>,
    #[serde(default, rename = "match")]
    pub(in crate::config) matching: Match,
    #[serde(default)]
    pub(in crate::config) ignore_case: bool,
}

#[derive(Clone, Copy, Deserialize, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Match {
    #[default]
    Str,
    Beg,
    End,
    Dom,
    Ip,
    Reg,
}
