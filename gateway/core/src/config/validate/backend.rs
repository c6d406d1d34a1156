//! A `[[backend]]` and its servers: every name resolved, every value in range.

use super::Result;
use super::checks;
use super::values::{duration, in_range, name, optional, resolve, unique};
use super::{cookie, server};
use crate::balance::{Algorithm, HashType};
use crate::config::{Backend, Check, Resolvers, Server, Table, TableId, schema};
use crate::dispatch::Backups;
use crate::on_error::Layer;
use crate::retry::Policy;
use crate::table::{DataType, Stored};
use crate::{breaker, eject};
use base_core::diagnose::Source;
use std::time::Duration;
use toml::Spanned;

pub(super) fn all(
    source: &Source,
    written: Vec<schema::Backend>,
    tables: &mut [Table],
    resolvers: &[Resolvers],
) -> Result<Vec<Backend>> {
    let mut backends = Vec::<Backend>::new();
    let mut wishes = Vec::new();
    for backend in written {
        name(source, &backend.name)?;
        unique(source, &backend.name, "backend", backends.iter().map(|backend| &backend.name))?;
        let (mut servers, named) = server::all(source, &backend, resolvers)?;
        wishes.extend(checks::wishes(backends.len(), &backend.server));
        let (balance, hash_type) = balance(source, &backend)?;
        let cookie = backend.cookie.as_ref().map(|written| cookie::policy(source, written, &mut servers));
        let cookie = cookie.transpose()?;
        let http_send_name_header = backend.http_send_name_header.as_ref();
        let http_send_name_header = http_send_name_header
            .map(|written| cookie::token(source, written, "a field's name"))
            .transpose()?;
        let stick = match &backend.stick {
            None => None,
            Some(stick) => Some(stick_table(source, stick, tables, &backends, &servers)?),
        };
        let retry = retry(source, &backend)?;
        let retry_budget = backend.retry_budget.unwrap_or_else(|| Spanned::new(0..0, DEFAULT_RETRY_BUDGET));
        in_range(source, &retry_budget, 0..=100, "retry_budget")?;
        let maxconn = self::maxconn(source, backend.maxconn.as_ref())?;
        let fullconn = fullconn(source, backend.fullconn.as_ref(), &servers)?;
        in_range(source, &backend.max_queue, 0..=MAX_QUEUE, "max_queue")?;
        let connect_timeout = duration(source, &backend.connect_timeout, "connect_timeout")?;
        let queue_timeout = optional(source, backend.queue_timeout.as_ref(), "queue_timeout")?;
        backends.push(Backend {
            name: backend.name.into_inner(),
            balance,
            hash_type,
            backups: match servers.iter().any(|server| server.backup) {
                false => Backups::None,
                true if backend.allbackups => Backups::All,
                true => Backups::First,
            },
            retry,
            retry_budget: retry_budget.into_inner(),
            stick,
            cookie,
            http_send_name_header,
            check: backend.check.map(|check| {
                let origin = source.at(check.span(), "");
                Check { spec: check.into_inner(), origin }
            }),
            breaker: backend.breaker.as_ref().map(|written| breaker(source, written)).transpose()?,
            eject: eject(source, &backend.eject)?,
            maxconn,
            fullconn,
            max_queue: backend.max_queue.into_inner(),
            // HAProxy's default.
            queue_timeout: queue_timeout.unwrap_or(connect_timeout),
            connect_timeout,
            server_timeout: duration(source, &backend.server_timeout, "server_timeout")?,
            tunnel_timeout: optional(source, backend.tunnel_timeout.as_ref(), "tunnel_timeout")?,
            server_fin_timeout: optional(source, backend.server_fin_timeout.as_ref(), "server_fin_timeout")?,
            abortonclose: backend.abortonclose.unwrap_or(true),
            pool_purge_delay: optional(source, backend.pool_purge_delay.as_ref(), "pool_purge_delay")?
                .unwrap_or(DEFAULT_POOL_PURGE_DELAY),
            reuses: backend.http_reuse == schema::HttpReuse::Always,
            servers,
            named,
        });
    }
    checks::track(source, &mut backends, wishes)?;
    Ok(backends)
}

/// What the servers are chosen by.
fn balance(source: &Source, written: &schema::Backend) -> Result<(Algorithm, HashType)> {
    let algorithm = match &written.balance {
        None => Algorithm::default(),
        Some(text) => Algorithm::parse(text.get_ref()).map_err(|expected| {
            source.at(text.span(), format!("there is no balance `{}`", text.get_ref())).help(expected)
        })?,
    };
    let hashed = matches!(algorithm, Algorithm::Source | Algorithm::Uri(_) | Algorithm::Header(_));
    let hash_type = match &written.hash_type {
        Some(hash_type) if !hashed => {
            let error = source.at(hash_type.span(), "nothing is hashed");
            return Err(error.help("hash_type goes with balance `source`, `uri` or `hdr(name)`"));
        }
        written => match written.as_ref().map(|written| *written.get_ref()).unwrap_or_default() {
            schema::HashType::Modulo => HashType::Modulo,
            schema::HashType::Consistent => HashType::Consistent,
            schema::HashType::Maglev => HashType::Maglev,
        },
    };
    Ok((algorithm, hash_type))
}

fn retry(source: &Source, written: &schema::Backend) -> Result<Policy> {
    in_range(source, &written.retries, 0..=MAX_RETRIES, "retries")?;
    let mut policy = Policy { most: *written.retries.get_ref(), ..Policy::default() };
    let Some(words) = &written.retry_on else {
        // HAProxy's default.
        policy.conn_failure = true;
        return Ok(policy);
    };
    for word in words {
        let unknown = |expected| {
            let message = format!("`{}` is nothing to retry on", word.get_ref());
            source.at(word.span(), message).help(expected)
        };
        policy.add(word.get_ref()).map_err(unknown)?;
    }
    Ok(policy)
}

/// A table remembers a server by its number, so backends may share one only if their servers are the
/// same in the same order.
fn stick_table(
    source: &Source,
    stick: &Spanned<String>,
    tables: &mut [Table],
    before: &[Backend],
    servers: &[Server],
) -> Result<TableId> {
    let id = TableId(resolve(source, stick, "stick table", tables.iter().map(|table| &table.name))?);
    let names = |servers: &[Server]| servers.iter().map(|server| server.name.clone()).collect::<Vec<_>>();
    match before.iter().find(|other| other.stick == Some(id) && names(&other.servers) != names(servers)) {
        None => {
            // As HAProxy does, whose peers expect both.
            for data in [DataType::ServerId, DataType::ServerKey] {
                if !tables[id.0].stores(data) {
                    tables[id.0].stored.push(Stored::one(data));
                }
            }
            Ok(id)
        }
        Some(other) => Err(source
            .at(
                stick.span(),
                format!("table `{}` already remembers servers of backend `{}`", stick.get_ref(), other.name),
            )
            .help("share a table only between backends with the same servers in the same order")),
    }
}

fn breaker(source: &Source, written: &schema::Breaker) -> Result<breaker::Policy> {
    if let Some(limit) = &written.error_limit {
        in_range(source, limit, 1..=MAX_UNANSWERED, "error_limit")?;
    }
    Ok(breaker::Policy {
        error_limit: written.error_limit.as_ref().map_or(DEFAULT_ERROR_LIMIT, |limit| *limit.get_ref()),
        open: optional(source, written.open.as_ref(), "open")?.unwrap_or(DEFAULT_OPEN),
        layer: layer(written.observe),
    })
}

pub(super) fn layer(written: schema::Observe) -> Layer {
    match written {
        schema::Observe::Layer4 => Layer::Four,
        schema::Observe::Layer7 => Layer::Seven,
    }
}

fn eject(source: &Source, written: &schema::Eject) -> Result<Option<eject::Silence>> {
    in_range(source, &written.unanswered, 0..=MAX_UNANSWERED, "unanswered")?;
    let silence = eject::Silence {
        unanswered: *written.unanswered.get_ref(),
        after: duration(source, &written.after, "after")?,
        retry: duration(source, &written.retry, "retry")?,
    };
    Ok((silence.unanswered > 0).then_some(silence))
}

fn fullconn(source: &Source, written: Option<&Spanned<u32>>, servers: &[Server]) -> Result<Option<u32>> {
    let Some(written) = written else { return Ok(None) };
    in_range(source, written, 1..=MAX_MAXCONN, "fullconn")?;
    if servers.iter().all(|server| server.minconn.is_none()) {
        let error = source.at(written.span(), "fullconn, but no server has a minconn");
        return Err(error.help("leave it out: maxconn holds under any load"));
    }
    Ok(Some(*written.get_ref()))
}

pub(super) fn maxconn(source: &Source, written: Option<&Spanned<u32>>) -> Result<Option<u32>> {
    let Some(written) = written else { return Ok(None) };
    in_range(source, written, 1..=MAX_MAXCONN, "maxconn")?;
    Ok(Some(*written.get_ref()))
}

/// Shorter than what servers usually allow, so that it is the gateway that closes.
const DEFAULT_POOL_PURGE_DELAY: Duration = Duration::from_secs(30);
/// Each retry is a client that waits.
const MAX_RETRIES: u32 = 16;
/// HAProxy's default.
pub(super) const DEFAULT_ERROR_LIMIT: u32 = 10;
/// Long enough for a process to start again, short enough that nobody waits for it.
const DEFAULT_OPEN: Duration = Duration::from_secs(5);
/// Of a hundred requests: what a backend that is slow for being busy can bear.
const DEFAULT_RETRY_BUDGET: u32 = 20;
/// Requests without an answer.
pub(super) const MAX_UNANSWERED: u32 = 10_000;
/// Requests at once: more than a process has descriptors for.
const MAX_MAXCONN: u32 = 1_000_000;
/// Requests that wait: about 1 GiB of them.
const MAX_QUEUE: u32 = 100_000;
