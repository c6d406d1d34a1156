//! Which keys of a frontend mean something in its mode.

use super::Result;
use super::values::duration;
use crate::config::schema::{BlockScanners, Frontend, Mode, NormalizePath};
use crate::limits::Unit;
use base_core::diagnose::Source;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;

/// Refuses what would be without effect.
pub(super) fn keys_fit(source: &Source, frontend: &Frontend) -> Result<()> {
    let strangers = match frontend.mode {
        Mode::Http => of_tcp(frontend),
        Mode::Tcp => of_http(frontend),
    };
    let Some((key, span)) = strangers.into_iter().find_map(|(key, span)| Some((key, span?))) else {
        return Ok(());
    };
    let (message, help) = match frontend.mode {
        Mode::Http => {
            (format!("{key} is for connections, not for requests"), "add mode = \"tcp\", or take it out")
        }
        Mode::Tcp => (
            format!("{key} is for requests, not for connections"),
            "mode = \"tcp\" knows no requests: take it out",
        ),
    };
    Err(source.at(span, message).help(help))
}

/// The wait for a client's hello, where one is looked into.
pub(super) fn inspect_delay(source: &Source, frontend: &Frontend) -> Result<Option<Duration>> {
    let looks = frontend.tls.is_none() && frontend.route.iter().any(|route| route.get_ref().sni.is_some());
    match &frontend.inspect_delay {
        Some(delay) if !looks => {
            let error = source.at(delay.span(), "nothing is looked into");
            Err(error.help("inspect_delay needs a [[frontend.route]] with sni, and no tls"))
        }
        Some(delay) => Ok(Some(duration(source, delay, "inspect_delay")?)),
        None => Ok(looks.then_some(DEFAULT_INSPECT_DELAY)),
    }
}

fn of_tcp(frontend: &Frontend) -> Vec<(&'static str, Option<Range<usize>>)> {
    let mut keys = vec![
        ("inspect_delay", span(frontend.inspect_delay.as_ref())),
        ("client_fin_timeout", span(frontend.client_fin_timeout.as_ref())),
    ];
    keys.extend(frontend.route.iter().map(|route| ("sni", span(route.get_ref().sni.as_ref()))));
    keys
}

fn of_http(frontend: &Frontend) -> Vec<(&'static str, Option<Range<usize>>)> {
    let whole = |there: bool| there.then(|| frontend.name.span());
    let mut keys = vec![
        ("monitor_uri", span(frontend.monitor_uri.as_ref())),
        ("unique_id_header", span(frontend.unique_id_header.as_ref())),
        ("capture", span(frontend.capture.as_ref())),
        ("trusted_proxies", whole(!frontend.trusted_proxies.is_empty())),
        ("trusted_header", span(frontend.trusted_header.as_ref())),
        ("keep_alive_timeout", written(&frontend.keep_alive_timeout)),
        ("http_request_timeout", written(&frontend.http_request_timeout)),
        ("max_header_size", span(frontend.max_header_size.as_ref())),
        ("max_headers", span(frontend.max_headers.as_ref())),
        ("max_uri", span(frontend.max_uri.as_ref())),
        ("max_keepalive_requests", written(&frontend.max_keepalive_requests)),
        ("max_connection_age", written(&frontend.max_connection_age)),
        ("h2c", span(frontend.h2c.as_ref())),
        ("h2_max_concurrent_streams", written(&frontend.h2_max_concurrent_streams)),
        ("h2_glitches_threshold", written(&frontend.h2_glitches_threshold)),
        ("h2_glitches_rate", written(&frontend.h2_glitches_rate)),
        ("normalize_path", whole(!matches!(frontend.normalize_path, NormalizePath::Off))),
        ("block_scanners", whole(!matches!(frontend.block_scanners, BlockScanners::Off))),
        ("tarpit_max", written(&frontend.tarpit_max)),
        ("this rule", frontend.rule.iter().find(|rule| !rule.get_ref().is_early()).map(Spanned::span)),
    ];
    for route in frontend.route.iter().map(Spanned::get_ref) {
        keys.extend([("host", span(route.host.as_ref())), ("path", span(route.path.as_ref()))]);
    }
    keys
}

/// What its limits count.
pub(super) fn unit(frontend: &Frontend) -> Unit {
    match frontend.mode {
        Mode::Http => Unit::Request,
        Mode::Tcp => Unit::Connection,
    }
}

fn span<T>(key: Option<&Spanned<T>>) -> Option<Range<usize>> {
    key.map(Spanned::span)
}

/// Defaults have no place in the file.
fn written<T>(key: &Spanned<T>) -> Option<Range<usize>> {
    Some(key.span()).filter(|span| !span.is_empty())
}

/// A hello comes with the first packets, a lost one of which is sent again after a second.
const DEFAULT_INSPECT_DELAY: Duration = Duration::from_secs(5);
