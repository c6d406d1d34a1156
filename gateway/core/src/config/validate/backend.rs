//! A `[[backend]]` and its servers: every name resolved, every value in range.

use super::Result;
use super::values::{duration, in_range, name, resolve, unique};
use crate::config::{Backend, Server, Table, TableId, schema};
use crate::{balance, eject};
use base_core::diagnose::Source;
use toml::Spanned;

pub(super) fn all(source: &Source, written: Vec<schema::Backend>, tables: &[Table]) -> Result<Vec<Backend>> {
    let mut backends = Vec::<Backend>::new();
    for backend in written {
        name(source, &backend.name)?;
        unique(source, &backend.name, "backend", backends.iter().map(|backend| &backend.name))?;
        if backend.server.is_empty() || backend.server.len() > MAX_SERVERS {
            let found = backend.server.len();
            return Err(source
                .at(backend.name.span(), format!("backend `{}` has {found} servers", backend.name.get_ref()))
                .help(format!("give it 1 to {MAX_SERVERS} [[backend.server]]")));
        }
        let servers = servers(source, &backend.server)?;
        let stick = match &backend.stick {
            None => None,
            Some(stick) => Some(stick_table(source, stick, tables, &backends, &servers)?),
        };
        in_range(source, &backend.retries, 0..=MAX_RETRIES, "retries")?;
        let maxconn = self::maxconn(source, backend.maxconn.as_ref())?;
        in_range(source, &backend.max_queue, 0..=MAX_QUEUE, "max_queue")?;
        let connect_timeout = duration(source, &backend.connect_timeout, "connect_timeout")?;
        let queue_timeout = backend.queue_timeout.as_ref();
        let queue_timeout =
            queue_timeout.map(|written| duration(source, written, "queue_timeout")).transpose()?;
        backends.push(Backend {
            name: backend.name.into_inner(),
            balance: match backend.balance {
                schema::Balance::RoundRobin => balance::Algorithm::RoundRobin,
                schema::Balance::LeastConn => balance::Algorithm::LeastConn,
                schema::Balance::Source => balance::Algorithm::Source,
            },
            retries: backend.retries.into_inner(),
            stick,
            check: backend.check,
            eject: eject(source, &backend.eject)?,
            maxconn,
            max_queue: backend.max_queue.into_inner(),
            // HAProxy's default.
            queue_timeout: queue_timeout.unwrap_or(connect_timeout),
            connect_timeout,
            server_timeout: duration(source, &backend.server_timeout, "server_timeout")?,
            servers,
        });
    }
    Ok(backends)
}

fn servers(source: &Source, written: &[schema::Server]) -> Result<Vec<Server>> {
    let mut servers = Vec::<Server>::new();
    for server in written {
        name(source, &server.name)?;
        unique(source, &server.name, "server", servers.iter().map(|server| &server.name))?;
        in_range(source, &server.weight, 0..=MAX_WEIGHT, "weight")?;
        servers.push(Server {
            name: server.name.get_ref().clone(),
            address: server.address,
            weight: *server.weight.get_ref(),
            maxconn: maxconn(source, server.maxconn.as_ref())?,
        });
    }
    Ok(servers)
}

/// A table remembers a server by its number, so backends may share one only if their servers are the
/// same in the same order.
fn stick_table(
    source: &Source,
    stick: &Spanned<String>,
    tables: &[Table],
    before: &[Backend],
    servers: &[Server],
) -> Result<TableId> {
    let id = TableId(resolve(source, stick, "stick table", tables.iter().map(|table| &table.name))?);
    let names = |servers: &[Server]| servers.iter().map(|server| server.name.clone()).collect::<Vec<_>>();
    match before.iter().find(|other| other.stick == Some(id) && names(&other.servers) != names(servers)) {
        None => Ok(id),
        Some(other) => Err(source
            .at(
                stick.span(),
                format!("table `{}` already remembers servers of backend `{}`", stick.get_ref(), other.name),
            )
            .help("share a table only between backends with the same servers in the same order")),
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

fn maxconn(source: &Source, written: Option<&Spanned<u32>>) -> Result<Option<u32>> {
    let Some(written) = written else { return Ok(None) };
    in_range(source, written, 1..=MAX_MAXCONN, "maxconn")?;
    Ok(Some(*written.get_ref()))
}

/// Servers of a backend.
const MAX_SERVERS: usize = 1024;
/// HAProxy's range for weights.
const MAX_WEIGHT: u32 = 256;
/// Each retry is a client that waits.
const MAX_RETRIES: u32 = 16;
/// Requests without an answer.
const MAX_UNANSWERED: u32 = 10_000;
/// Requests at once: more than a process has descriptors for.
const MAX_MAXCONN: u32 = 1_000_000;
/// Requests that wait: about 1 GiB of them.
const MAX_QUEUE: u32 = 100_000;
