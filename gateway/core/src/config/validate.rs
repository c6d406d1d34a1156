//! From what is written to what is meant: names resolved, values in range, nothing left to doubt.

mod backend;

use super::{
    Admin, Alpn, Backend, BackendId, Bind, CertificateFiles, Config, Frontend, LogFormat, LogTarget, Table,
    TableId, Tls, rule, schema,
};
use crate::limits::Limit;
use crate::route;
use crate::route::{Route, Routes};
use crate::{normalize, scanners};
use base_core::diagnose::{Diagnostic, Source};
use base_core::units::Span;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

type Result<T> = std::result::Result<T, Diagnostic>;

pub(super) fn validate(source: &Source, file: schema::File) -> Result<Config> {
    if let Some(node) = &file.node {
        name(source, node)?;
    }
    if let Some(workers) = &file.workers {
        in_range(source, workers, MIN_WORKERS..=MAX_WORKERS, "workers")?;
    }
    let mut tables = tables(source, &file.stick_table)?;
    let backends = backend::all(source, file.backend, &tables)?;
    let frontends = frontends(source, file.frontend, &backends, &mut tables)?;
    let admin = admin(source, file.admin);
    if frontends.is_empty() {
        return Err(source
            .at(0..0, "there is no frontend")
            .help("add a [[frontend]] with a name and a bind"));
    }
    binds_are_distinct(&frontends, admin.bind.as_ref())?;
    Ok(Config {
        node: file.node.map(Spanned::into_inner),
        workers: file.workers.map(Spanned::into_inner),
        admin,
        log: match file.log.to.as_str() {
            "stdout" => LogTarget::Stdout,
            "none" => LogTarget::None,
            path => LogTarget::File(path.into()),
        },
        log_format: match file.log.format {
            schema::LogFormat::HttpLog => LogFormat::HttpLog,
            schema::LogFormat::Json => LogFormat::Json,
        },
        drain_timeout: file.drain.timeout.0,
        tables,
        frontends,
        backends,
    })
}

fn admin(source: &Source, admin: schema::Admin) -> Admin {
    Admin { bind: admin.bind.map(|bind| self::bind(source, bind)), socket: admin.socket }
}

fn tables(source: &Source, written: &[schema::Table]) -> Result<Vec<Table>> {
    let mut tables = Vec::<Table>::new();
    for table in written {
        name(source, &table.name)?;
        unique(source, &table.name, "stick table", tables.iter().map(|table| &table.name))?;
        in_range(source, &table.size, 1..=MAX_TABLE_SIZE, "size")?;
        tables.push(Table {
            name: table.name.get_ref().clone(),
            size: *table.size.get_ref(),
            expire: duration(source, &table.expire, "expire")?,
            period: Duration::ZERO,
        });
    }
    Ok(tables)
}

fn frontends(
    source: &Source,
    written: Vec<schema::Frontend>,
    backends: &[Backend],
    tables: &mut [Table],
) -> Result<Vec<Frontend>> {
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
        if let Some(extra) = frontend.limit.get(MAX_LIMITS) {
            return Err(source
                .at(extra.span(), "one limit too many")
                .help(format!("at most {MAX_LIMITS} each")));
        }
        let limits = frontend.limit.iter().map(|written| limit(source, written, tables));
        let limits = limits.collect::<Result<Vec<_>>>()?;
        let context = rule::Context { source, tables, backends: &names };
        in_range(source, &frontend.tarpit_max, 0..=MAX_TARPITS, "tarpit_max")?;
        frontends.push(Frontend {
            limits,
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
            rules: rule::rules(&context, &frontend.rule)?,
            tarpit_max: *frontend.tarpit_max.get_ref(),
            routes: Routes::new(routes, frontend.default_backend.as_ref().map(backend_named).transpose()?),
            name: frontend.name.into_inner(),
            binds: frontend.bind.into_inner().into_iter().map(|bind| self::bind(source, bind)).collect(),
            monitor_uri: frontend.monitor_uri.map(Spanned::into_inner),
            trusted_proxies: frontend.trusted_proxies,
            accept_proxy: frontend.accept_proxy,
            alpn: alpn(source, frontend.alpn, frontend.tls.is_some())?,
            h2c: h2c(source, frontend.h2c, frontend.tls.is_some())?,
            h2_max_concurrent_streams: {
                let streams = frontend.h2_max_concurrent_streams;
                in_range(source, &streams, 1..=MAX_STREAMS, "h2_max_concurrent_streams")?;
                streams.into_inner()
            },
            tls: frontend.tls.map(|tls| self::tls(source, tls)).transpose()?,
            keep_alive_timeout: duration(source, &frontend.keep_alive_timeout, "keep_alive_timeout")?,
            handshake_timeout: duration(source, &frontend.handshake_timeout, "handshake_timeout")?,
            http_request_timeout: duration(source, &frontend.http_request_timeout, "http_request_timeout")?,
            client_timeout: duration(source, &frontend.client_timeout, "client_timeout")?,
        });
    }
    Ok(frontends)
}

fn alpn(source: &Source, written: Option<Spanned<Vec<Alpn>>>, tls: bool) -> Result<Vec<Alpn>> {
    match written {
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
    let host = match &route.host {
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

fn limit(source: &Source, written: &Spanned<schema::Limit>, tables: &mut [Table]) -> Result<Limit> {
    let limit = written.get_ref();
    if limit.conn_cur.is_none() && limit.http_req_rate.is_none() {
        return Err(source.at(written.span(), "this limits nothing").help("add conn_cur or http_req_rate"));
    }
    for value in [&limit.conn_cur, &limit.http_req_rate].into_iter().flatten() {
        in_range(source, value, 1..=MAX_LIMIT, "a limit")?;
    }
    let table = resolve(source, &limit.table, "stick table", tables.iter().map(|table| &table.name))?;
    match (&limit.http_req_rate, &limit.period) {
        (None, None) => {}
        (Some(rate), None) => {
            return Err(source
                .at(rate.span(), "http_req_rate has no period")
                .help("add period, such as \"10s\""));
        }
        (None, Some(period)) => {
            return Err(source.at(period.span(), "a period without a rate").help("add http_req_rate"));
        }
        (Some(_), Some(period)) => {
            let wanted = duration(source, period, "period")?;
            let table = &mut tables[table];
            if table.period != Duration::ZERO && table.period != wanted {
                let message = format!("table `{}` already counts over {:?}", table.name, table.period);
                return Err(source
                    .at(period.span(), message)
                    .help("a table has one period; use a second table"));
            }
            table.period = wanted;
        }
    }
    Ok(Limit {
        table: TableId(table),
        conn_cur: limit.conn_cur.as_ref().map(|value| *value.get_ref()),
        http_req_rate: limit.http_req_rate.as_ref().map(|value| *value.get_ref()),
    })
}

fn binds_are_distinct(frontends: &[Frontend], admin: Option<&Bind>) -> Result<()> {
    let binds: Vec<&Bind> = frontends.iter().flat_map(|frontend| &frontend.binds).chain(admin).collect();
    for (index, bind) in binds.iter().enumerate() {
        if let Some(other) =
            binds[..index].iter().find(|other| Config::binds_clash(other.address, bind.address))
        {
            let mut error = bind.origin.clone();
            error.message = format!("{} is taken", bind.address);
            return Err(
                error.help(format!("line {} already listens on {}", other.origin.line, other.address))
            );
        }
    }
    Ok(())
}

fn bind(source: &Source, bind: Spanned<std::net::SocketAddr>) -> Bind {
    let address = *bind.get_ref();
    Bind { address, origin: source.at(bind.span(), format!("can't listen on {address}")) }
}

fn tls(source: &Source, tls: Spanned<schema::Tls>) -> Result<Tls> {
    let span = tls.span();
    let tls = tls.into_inner();
    let at = |path: &Spanned<PathBuf>, what| source.at(path.span(), format!("the {what} does not load"));
    let (files, origin, key_origin) = match (tls.cert, tls.key, tls.crt) {
        (Some(cert), Some(key), None) => {
            let origins = (at(&cert, "certificate"), at(&key, "key"));
            let files = CertificateFiles::Pair { cert: cert.into_inner(), key: key.into_inner() };
            (files, origins.0, origins.1)
        }
        (None, None, Some(crt)) => {
            let origin = at(&crt, "certificate");
            (CertificateFiles::Directory(crt.into_inner()), origin.clone(), origin)
        }
        _ => {
            let error = source.at(span, "it is not clear which certificates to show");
            return Err(
                error.help("expected either cert and key, or crt: a directory with both in each *.pem")
            );
        }
    };
    Ok(Tls { files, origin, key_origin, min_version: tls.ssl_min_ver })
}

fn path(source: &Source, path: &Spanned<String>) -> Result<()> {
    if path.get_ref().starts_with('/') && path.get_ref().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(source
        .at(path.span(), format!("`{}` is not a path", path.get_ref()))
        .help("expected one that begins with /"))
}

/// Names go into logs and metrics as they are.
pub(super) fn name(source: &Source, name: &Spanned<String>) -> Result<()> {
    let text = name.get_ref();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(());
    }
    let help = format!("expected 1 to {MAX_NAME} letters, digits, - _ . or :");
    Err(source.at(name.span(), format!("`{text}` can't be a name")).help(help))
}

fn unique<'a>(
    source: &Source,
    name: &Spanned<String>,
    kind: &str,
    mut others: impl Iterator<Item = &'a String>,
) -> Result<()> {
    if others.any(|other| other == name.get_ref()) {
        let message = format!("there is already a {kind} `{}`", name.get_ref());
        return Err(source.at(name.span(), message).help("give it a name of its own"));
    }
    Ok(())
}

pub(super) fn resolve<'a>(
    source: &Source,
    wanted: &Spanned<String>,
    kind: &str,
    known: impl Iterator<Item = &'a String>,
) -> Result<usize> {
    let known: Vec<&String> = known.collect();
    known.iter().position(|name| *name == wanted.get_ref()).ok_or_else(|| {
        let error = source.at(wanted.span(), format!("there is no {kind} `{}`", wanted.get_ref()));
        if known.is_empty() {
            return error.help(format!("no {kind} is defined"));
        }
        let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        error.help(format!("expected one of {}", names.join(", ")))
    })
}

fn in_range<T: PartialOrd + std::fmt::Display>(
    source: &Source,
    value: &Spanned<T>,
    range: RangeInclusive<T>,
    what: &str,
) -> Result<()> {
    if range.contains(value.get_ref()) {
        return Ok(());
    }
    let message = format!("{} is out of range for {what}", value.get_ref());
    Err(source.at(value.span(), message).help(format!("expected {} to {}", range.start(), range.end())))
}

fn duration(source: &Source, span: &Spanned<Span>, what: &str) -> Result<Duration> {
    let value = span.get_ref().0;
    if (MIN_DURATION..=MAX_DURATION).contains(&value) {
        return Ok(value);
    }
    let message = format!("{value:?} is out of range for {what}");
    Err(source.at(span.span(), message).help("expected 1ms to 7d"))
}

/// Longest name, in bytes: what still fits a line of `headgatectl status`.
const MAX_NAME: usize = 64;
const MIN_WORKERS: usize = 1;
/// More threads than any machine that this was measured on.
const MAX_WORKERS: usize = 256;
/// Entries of a stick table: about 2 GiB.
const MAX_TABLE_SIZE: usize = 16_000_000;
/// Above that a connection is no longer one client's.
const MAX_STREAMS: u32 = 1000;
/// Limits of a frontend: a request remembers in one word which of them it holds.
const MAX_LIMITS: usize = 64;
/// Requests in a tarpit at once.
const MAX_TARPITS: u32 = 1_000_000;
/// Requests, or requests in a period.
const MAX_LIMIT: u32 = 1_000_000_000;
const MIN_DURATION: Duration = Duration::from_millis(1);
/// Rates are kept in milliseconds of 32 bits, which wrap after 49 days.
const MAX_DURATION: Duration = Duration::from_secs(7 * 86_400);
