//! A `[[backend]]` as it is written.

use super::{Server, unwritten};
use base_core::units::Span;
use healthcheck_core::CheckSpec;
use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Backend {
    pub(in crate::config) name: Spanned<String>,
    pub(in crate::config) balance: Option<Spanned<String>>,
    pub(in crate::config) hash_type: Option<Spanned<HashType>>,
    #[serde(default)]
    pub(in crate::config) allbackups: bool,
    #[serde(default = "default_retries")]
    pub(in crate::config) retries: Spanned<u32>,
    pub(in crate::config) retry_on: Option<Vec<Spanned<String>>>,
    pub(in crate::config) retry_budget: Option<Spanned<u32>>,
    pub(in crate::config) stick: Option<Spanned<String>>,
    pub(in crate::config) cookie: Option<Spanned<Cookie>>,
    pub(in crate::config) http_send_name_header: Option<Spanned<String>>,
    pub(in crate::config) check: Option<Spanned<CheckSpec>>,
    #[serde(default = "default_connect_timeout")]
    pub(in crate::config) connect_timeout: Spanned<Span>,
    #[serde(default = "default_server_timeout")]
    pub(in crate::config) server_timeout: Spanned<Span>,
    pub(in crate::config) tunnel_timeout: Option<Spanned<Span>>,
    pub(in crate::config) server_fin_timeout: Option<Spanned<Span>>,
    pub(in crate::config) abortonclose: Option<bool>,
    pub(in crate::config) pool_purge_delay: Option<Spanned<Span>>,
    #[serde(default)]
    pub(in crate::config) http_reuse: HttpReuse,
    pub(in crate::config) breaker: Option<Breaker>,
    #[serde(default)]
    pub(in crate::config) eject: Eject,
    pub(in crate::config) maxconn: Option<Spanned<u32>>,
    pub(in crate::config) fullconn: Option<Spanned<u32>>,
    #[serde(default = "default_max_queue")]
    pub(in crate::config) max_queue: Spanned<u32>,
    pub(in crate::config) queue_timeout: Option<Spanned<Span>>,
    pub(in crate::config) default_server: Option<Spanned<Server>>,
    #[serde(default)]
    pub(in crate::config) server: Vec<Spanned<Server>>,
    #[serde(default)]
    pub(in crate::config) server_template: Vec<Spanned<Server>>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Eject {
    pub(in crate::config) unanswered: Spanned<u32>,
    pub(in crate::config) after: Spanned<Span>,
    pub(in crate::config) retry: Spanned<Span>,
}

impl Default for Eject {
    fn default() -> Self {
        Self {
            unanswered: unwritten(DEFAULT_UNANSWERED),
            after: unwritten(DEFAULT_AFTER),
            retry: unwritten(DEFAULT_RETRY),
        }
    }
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Breaker {
    #[serde(default)]
    pub(in crate::config) observe: Observe,
    pub(in crate::config) error_limit: Option<Spanned<u32>>,
    pub(in crate::config) open: Option<Spanned<Span>>,
}

#[derive(Clone, Copy, Deserialize, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Observe {
    Layer4,
    #[default]
    Layer7,
}

#[derive(Clone, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Cookie {
    pub(in crate::config) name: Spanned<String>,
    #[serde(default)]
    pub(in crate::config) mode: CookieMode,
    #[serde(default)]
    pub(in crate::config) indirect: bool,
    #[serde(default)]
    pub(in crate::config) nocache: bool,
    #[serde(default)]
    pub(in crate::config) preserve: bool,
    #[serde(default)]
    pub(in crate::config) httponly: bool,
    #[serde(default)]
    pub(in crate::config) secure: bool,
    pub(in crate::config) domain: Option<Spanned<String>>,
    #[serde(default)]
    pub(in crate::config) attr: Vec<Spanned<String>>,
    #[serde(default)]
    pub(in crate::config) postonly: bool,
    pub(in crate::config) maxidle: Option<Spanned<Span>>,
    pub(in crate::config) maxlife: Option<Spanned<Span>>,
    pub(in crate::config) dynamic_cookie_key: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Deserialize, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum CookieMode {
    #[default]
    Insert,
    Rewrite,
    Prefix,
}

#[derive(Clone, Copy, Deserialize, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum HttpReuse {
    Never,
    #[default]
    Always,
}

#[derive(Clone, Copy, Deserialize, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum HashType {
    #[default]
    Modulo,
    Consistent,
    Maglev,
}

fn default_retries() -> Spanned<u32> {
    unwritten(DEFAULT_RETRIES)
}

fn default_connect_timeout() -> Spanned<Span> {
    unwritten(DEFAULT_CONNECT_TIMEOUT)
}

fn default_server_timeout() -> Spanned<Span> {
    unwritten(DEFAULT_SERVER_TIMEOUT)
}

fn default_max_queue() -> Spanned<u32> {
    unwritten(DEFAULT_MAX_QUEUE)
}

/// HAProxy's default.
const DEFAULT_RETRIES: u32 = 3;
/// A server in the same site answers a SYN within milliseconds; one lost SYN is sent again after 1 s.
const DEFAULT_CONNECT_TIMEOUT: Span = Span::secs(2);
/// The slowest API calls of a cloud take less.
const DEFAULT_SERVER_TIMEOUT: Span = Span::secs(60);
/// Few enough that clients hardly notice, and more than chance would leave without an answer.
const DEFAULT_UNANSWERED: u32 = 4;
/// What an answer may take on a server that has paused for a collection of garbage, say.
const DEFAULT_AFTER: Span = Span::millis(100);
/// Each is a request that may hang.
const DEFAULT_RETRY: Span = Span::secs(1);
/// Who stands further back than this is rarely served in time: a quick 503 lets the client do something else.
const DEFAULT_MAX_QUEUE: u32 = 1024;
