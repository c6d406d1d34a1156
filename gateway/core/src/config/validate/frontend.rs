//! Frontends: where clients come in, what is asked of them, and where they are led.

use super::values::{content_type, duration, in_range, name, optional, path, resolve, unique};
use super::{Result, capture, cookie, sockets, tcp, tls};
use crate::config::{Alpn, Backend, BackendId, ErrorFile, Frontend, Mode, Table, rule, schema};
use crate::h2::glitches;
use crate::identity::Identity;
use crate::limits::{Action, Tracker, Unit};
use crate::lists::ListFile;
use crate::route;
use crate::route::{Route, Routes};
use crate::strict::Bounds;
use crate::{normalize, scanners};
use base_core::diagnose::Source;
use base_core::units::Bytes;
use std::path::Path;
use toml::Spanned;

/// What frontends may refer to.
pub(super) struct Known<'a> {
    pub(super) backends: &'a [Backend],
    pub(super) lists: &'a [ListFile],
    pub(super) identities: &'a [Identity],
}

pub(super) fn all(
    source: &Source,
    written: Vec<schema::Frontend>,
    known: &Known<'_>,
    tables: &mut [Table],
) -> Result<Vec<Frontend>> {
    let Known { backends, lists, identities } = *known;
    let names: Vec<String> = backends.iter().map(|backend| backend.name.clone()).collect();
    let mut frontends = Vec::<Frontend>::new();
    for frontend in written {
        name(source, &frontend.name)?;
        unique(source, &frontend.name, "frontend", frontends.iter().map(|frontend| &frontend.name))?;
        if frontend.bind.get_ref().is_empty() {
            return Err(source
                .at(frontend.bind.span(), "no address to listen on")
                .help("such as \"0.0.0.0:80\""));
        }
        tcp::keys_fit(source, &frontend)?;
        if let Some(uri) = &frontend.monitor_uri {
            path(source, uri)?;
        }
        if frontend.route.is_empty() && frontend.rule.is_empty() && frontend.default_backend.is_none() {
            let message = format!("frontend `{}` leads nowhere", frontend.name.get_ref());
            return Err(source
                .at(frontend.name.span(), message)
                .help("add default_backend, a [[frontend.route]] or a [[frontend.rule]]"));
        }
        let backend_named = |wanted: &Spanned<String>| {
            resolve(source, wanted, "backend", backends.iter().map(|backend| &backend.name)).map(BackendId)
        };
        let routes = frontend.route.iter().map(|route| self::route(source, route.get_ref(), backend_named));
        let routes = routes.collect::<Result<Vec<_>>>()?;
        let known = super::limit::Known { backends: &names, lists, identities };
        let limits = super::limit::trackers(source, &frontend.limit, tcp::unit(&frontend), &known, tables)?;
        let mut each = limits.iter().flat_map(|tracker| &tracker.limits);
        let marks = each.any(|limit| limit.action == Action::Mark);
        let is_tcp = frontend.mode == schema::Mode::Tcp;
        let (limits, connection_limits): (Vec<Tracker>, Vec<_>) =
            limits.into_iter().partition(|tracker| is_tcp || tracker.unit == Unit::Request);
        let (limits, routed_limits) = limits.into_iter().partition(|tracker: &Tracker| tracker.whom.is_all());
        let context = rule::Context { source, tables, backends: &names, lists, tracked: Default::default() };
        let reject = frontend.reject.as_ref().map(|whom| rule::source(&context, whom)).transpose()?;
        let rules = rule::rules(context, &frontend.rule)?;
        in_range(source, &frontend.tarpit_max, 0..=MAX_TARPITS, "tarpit_max")?;
        let requests = &frontend.max_keepalive_requests;
        in_range(source, requests, 1..=MAX_KEEPALIVE_REQUESTS, "max_keepalive_requests")?;
        let sockets = sockets::options(source, &frontend)?;
        let unique_id_header = frontend.unique_id_header.as_ref();
        let unique_id_header =
            unique_id_header.map(|written| cookie::token(source, written, "a field's name")).transpose()?;
        frontends.push(Frontend {
            mode: match frontend.mode {
                schema::Mode::Http => Mode::Http,
                schema::Mode::Tcp => Mode::Tcp,
            },
            inspect_delay: tcp::inspect_delay(source, &frontend)?,
            marks,
            limits,
            routed_limits,
            connection_limits,
            normalize_path: match frontend.normalize_path {
                schema::NormalizePath::Off => normalize::Mode::Off,
                schema::NormalizePath::Decode => normalize::Mode::Decode,
                schema::NormalizePath::Reject => normalize::Mode::Reject,
            },
            block_scanners: match frontend.block_scanners {
                schema::BlockScanners::Off => scanners::Mode::Off,
                schema::BlockScanners::Count => scanners::Mode::Count,
                schema::BlockScanners::Deny => scanners::Mode::Deny,
            },
            rules: rules.request,
            connection_rules: rules.connection,
            session_rules: rules.session,
            response_rules: rules.response,
            error_files: error_files(source, frontend.errorfile)?,
            tarpit_max: *frontend.tarpit_max.get_ref(),
            routes: Routes::new(routes, frontend.default_backend.as_ref().map(backend_named).transpose()?),
            name: frontend.name.into_inner(),
            binds: frontend
                .bind
                .get_ref()
                .iter()
                .map(|written| super::bind::listen(source, written))
                .collect::<Result<_>>()?,
            unix_bind: super::bind::unix_bind(source, frontend.unix_bind.as_ref())?,
            monitor_uri: frontend.monitor_uri.map(Spanned::into_inner),
            unique_id_header,
            capture: capture::capture(source, frontend.capture.as_ref())?,
            trusted_proxies: frontend.trusted_proxies,
            trusted_header: frontend.trusted_header.map(Spanned::into_inner).unwrap_or_default(),
            accept_proxy: frontend.accept_proxy,
            reject,
            sockets,
            max_keepalive_requests: *frontend.max_keepalive_requests.get_ref(),
            max_connection_age: duration(source, &frontend.max_connection_age, "max_connection_age")?,
            alpn: alpn(source, frontend.alpn, frontend.tls.is_some(), frontend.mode)?,
            h2c: h2c(source, frontend.h2c, frontend.tls.is_some())?,
            bounds: bounds(source, [&frontend.max_header_size, &frontend.max_uri], &frontend.max_headers)?,
            h2_max_concurrent_streams: {
                let streams = frontend.h2_max_concurrent_streams;
                in_range(source, &streams, 1..=MAX_STREAMS, "h2_max_concurrent_streams")?;
                streams.into_inner()
            },
            h2_glitches: h2_glitches(source, &frontend.h2_glitches_threshold, &frontend.h2_glitches_rate)?,
            tls: frontend.tls.map(|tls| tls::tls(source, tls)).transpose()?,
            keep_alive_timeout: duration(source, &frontend.keep_alive_timeout, "keep_alive_timeout")?,
            handshake_timeout: duration(source, &frontend.handshake_timeout, "handshake_timeout")?,
            http_request_timeout: duration(source, &frontend.http_request_timeout, "http_request_timeout")?,
            client_timeout: duration(source, &frontend.client_timeout, "client_timeout")?,
            client_fin_timeout: optional(source, frontend.client_fin_timeout.as_ref(), "client_fin_timeout")?,
        });
    }
    Ok(frontends)
}

fn h2_glitches(source: &Source, threshold: &Spanned<u32>, rate: &Spanned<u32>) -> Result<glitches::Policy> {
    in_range(source, threshold, MIN_GLITCHES..=MAX_GLITCHES, "h2_glitches_threshold")?;
    in_range(source, rate, 1..=MAX_GLITCHES, "h2_glitches_rate")?;
    Ok(glitches::Policy { threshold: *threshold.get_ref(), rate: *rate.get_ref() })
}

/// Never wider than what the whole gateway is built for.
fn bounds(
    source: &Source,
    [head, target]: [&Option<Spanned<Bytes>>; 2],
    fields: &Option<Spanned<usize>>,
) -> Result<Bounds> {
    let widest = Bounds::default();
    let size = |written: &Option<Spanned<Bytes>>, what| match written {
        None => Ok(widest.head),
        Some(size) => {
            let bytes = Spanned::new(size.span(), usize::try_from(size.get_ref().0).unwrap_or(usize::MAX));
            in_range(source, &bytes, MIN_HEAD..=widest.head, what).map(|()| bytes.into_inner())
        }
    };
    if let Some(fields) = fields {
        in_range(source, fields, 1..=widest.fields, "max_headers")?;
    }
    Ok(Bounds {
        head: size(head, "max_header_size")?,
        fields: fields.as_ref().map_or(widest.fields, |fields| *fields.get_ref()),
        target: size(target, "max_uri")?,
    })
}

fn error_files(source: &Source, written: Vec<schema::ErrorFile>) -> Result<Vec<ErrorFile>> {
    let mut seen = Vec::new();
    let mut files = Vec::new();
    for page in written {
        for status in page.status.get_ref() {
            let error =
                |message| Err(source.at(page.status.span(), message).help("each of 400 to 599, once"));
            if !(400..=599).contains(status) {
                return error(format!("{status} is no error"));
            }
            if seen.contains(status) {
                return error(format!("{status} has a page already"));
            }
            seen.push(*status);
        }
        let content_type = match &page.content_type {
            Some(written) => {
                content_type(source, written)?;
                written.get_ref().clone()
            }
            None => content_type_of(page.file.get_ref()).to_owned(),
        };
        files.push(ErrorFile {
            statuses: page.status.into_inner(),
            content_type,
            origin: source.at(page.file.span(), "this page can't be used"),
            file: page.file.into_inner(),
        });
    }
    Ok(files)
}

/// By the end of the file's name.
fn content_type_of(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}

fn alpn(
    source: &Source,
    written: Option<Spanned<Vec<Alpn>>>,
    tls: bool,
    mode: schema::Mode,
) -> Result<Vec<Alpn>> {
    match written {
        // What it is that a server speaks only its operator knows.
        None if mode == schema::Mode::Tcp => Ok(Vec::new()),
        None => Ok(vec![Alpn::H2, Alpn::Http11]),
        Some(alpn) if !tls => {
            let error = source.at(alpn.span(), "there is no handshake to agree in");
            Err(error.help("alpn needs tls; for HTTP/2 without it there is h2c"))
        }
        Some(alpn) if alpn.get_ref().is_empty() => {
            Err(source.at(alpn.span(), "nothing to agree on").help("expected \"h2\", \"http/1.1\" or both"))
        }
        Some(alpn) => Ok(alpn.into_inner()),
    }
}

fn h2c(source: &Source, written: Option<Spanned<bool>>, tls: bool) -> Result<bool> {
    match written {
        Some(h2c) if tls && *h2c.get_ref() => Err(source
            .at(h2c.span(), "h2c is HTTP/2 without TLS")
            .help("with tls the client chooses, among what alpn offers")),
        written => Ok(written.is_some_and(Spanned::into_inner)),
    }
}

fn route(
    source: &Source,
    route: &schema::Route,
    backend_named: impl Fn(&Spanned<String>) -> Result<BackendId>,
) -> Result<Route> {
    if let Some(prefix) = &route.path {
        path(source, prefix)?;
    }
    // What a request says, or what a handshake does: a frontend has one of the two.
    let host = match route.host.as_ref().or(route.sni.as_ref()) {
        None => None,
        Some(host) => Some(route::HostPattern::parse(host.get_ref()).ok_or_else(|| {
            source
                .at(host.span(), format!("`{}` is not a host name", host.get_ref()))
                .help("expected a name without port, such as \"api.example\" or \"*.example\"")
        })?),
    };
    Ok(Route {
        host,
        path: route.path.as_ref().map(|path| path.get_ref().clone()),
        backend: backend_named(&route.backend)?,
    })
}

/// Above that a connection is no longer one client's.
const MAX_STREAMS: u32 = 1000;
/// Frames of control that any client needs: its settings, its answer to ours, a window.
const MIN_GLITCHES: u32 = 50;
/// So many are no bound any more.
const MAX_GLITCHES: u32 = 1_000_000;
/// Bytes of a head that any client needs.
const MIN_HEAD: usize = 256;
/// Requests on one connection.
const MAX_KEEPALIVE_REQUESTS: u32 = 1_000_000_000;
/// Requests in a tarpit at once.
const MAX_TARPITS: u32 = 1_000_000;
