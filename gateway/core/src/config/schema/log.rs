//! `[log]` as it is written.

use crate::syslog::{Facility, Format, Level};
use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Log {
    pub(in crate::config) to: String,
    pub(in crate::config) format: LogFormat,
    pub(in crate::config) syslog: Vec<Syslog>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum LogFormat {
    #[default]
    HttpLog,
    Json,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Syslog {
    pub(in crate::config) address: Spanned<String>,
    #[serde(default)]
    pub(in crate::config) format: Format,
    #[serde(default = "default_facility")]
    pub(in crate::config) facility: Facility,
    #[serde(default = "default_level")]
    pub(in crate::config) level: Level,
    #[serde(default = "default_len")]
    pub(in crate::config) len: Spanned<usize>,
    #[serde(default = "default_tag")]
    pub(in crate::config) tag: Spanned<String>,
}

impl Default for Log {
    fn default() -> Self {
        Self { to: "stdout".to_owned(), format: LogFormat::default(), syslog: Vec::new() }
    }
}

fn default_facility() -> Facility {
    Facility::Local0
}

fn default_level() -> Level {
    Level::Info
}

fn default_len() -> Spanned<usize> {
    super::unwritten(DEFAULT_LEN)
}

fn default_tag() -> Spanned<String> {
    super::unwritten("headgate".to_owned())
}

/// HAProxy's default.
const DEFAULT_LEN: usize = 1024;
