//! `[trace]` as it is written.

use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Trace {
    pub(in crate::config) make: Option<bool>,
    #[serde(default = "default_sample")]
    pub(in crate::config) sample: Spanned<u32>,
    pub(in crate::config) otlp: Option<Spanned<String>>,
    #[serde(default = "default_service")]
    pub(in crate::config) service: Spanned<String>,
}

fn default_sample() -> Spanned<u32> {
    super::unwritten(100)
}

fn default_service() -> Spanned<String> {
    super::unwritten("headgate".to_owned())
}
