//! From what is written to what is meant: names resolved, values in range, nothing left to doubt.

mod backend;
mod bind;
mod capture;
mod checks;
mod cookie;
mod frontend;
mod identity;
mod limit;
mod lists;
mod log;
mod observe;
mod peers;
mod resolvers;
mod server;
mod sockets;
mod table;
mod tcp;
mod tls;
mod trace;
pub(super) mod values;

use super::{Admin, Config, Frontend, LogFormat, LogTarget, schema};
use base_core::diagnose::{Diagnostic, Source};
use toml::Spanned;
use values::{in_range, name};

type Result<T> = std::result::Result<T, Diagnostic>;

pub(super) fn validate(source: &Source, file: schema::File) -> Result<Config> {
    if let Some(node) = &file.node {
        name(source, node)?;
    }
    if let Some(workers) = &file.workers {
        in_range(source, workers, MIN_WORKERS..=MAX_WORKERS, "workers")?;
    }
    let node = file.node.as_ref().map(Spanned::get_ref);
    let peers = file.peers.map(|peers| self::peers::peers(source, peers, node)).transpose()?;
    let mut tables = table::all(source, &file.stick_table, peers.as_ref())?;
    let resolvers = resolvers::all(source, file.resolvers)?;
    let backends = backend::all(source, file.backend, &mut tables, &resolvers)?;
    let lists = lists::all(source, file.acl, file.map)?;
    let identities = identity::all(source, file.identity, &lists, &backends)?;
    let known = frontend::Known { backends: &backends, lists: &lists, identities: &identities };
    let frontends = frontend::all(source, file.frontend, &known, &mut tables)?;
    let trackers: Vec<_> = frontends.iter().flat_map(Frontend::trackers).collect();
    table::limits_remember(source, &file.stick_table, &trackers, &mut tables)?;
    let observe = file
        .observe
        .map(|observe| self::observe::observe(source, observe, &frontends, peers.as_ref(), &mut tables));
    let observe = observe.transpose()?;
    server::tls_fits_modes(&frontends, &backends)?;
    table::agg_has_sums(source, &file.stick_table, &tables)?;
    let admin = admin(source, file.admin);
    tables.iter_mut().for_each(|table| table.handed_over = admin.handover.is_some());
    if frontends.is_empty() {
        return Err(source
            .at(0..0, "there is no frontend")
            .help("add a [[frontend]] with a name and a bind"));
    }
    let others = admin.bind.iter().chain(peers.as_ref().map(|peers| &peers.bind));
    bind::are_distinct(&frontends, others)?;
    Ok(Config {
        node: file.node.map(Spanned::into_inner),
        workers: file.workers.map(Spanned::into_inner),
        admin,
        log: match file.log.to.as_str() {
            "stdout" => LogTarget::Stdout,
            "none" => LogTarget::None,
            path => LogTarget::File(path.into()),
        },
        tracing: trace::tracing(source, file.trace)?,
        syslog: log::syslog(source, file.log.syslog)?,
        log_format: match file.log.format {
            schema::LogFormat::HttpLog => LogFormat::HttpLog,
            schema::LogFormat::Json => LogFormat::Json,
        },
        drain_timeout: file.drain.timeout.0,
        tables,
        peers,
        resolvers,
        lists,
        identities,
        observe,
        frontends,
        backends,
    })
}

fn admin(source: &Source, admin: schema::Admin) -> Admin {
    let schema::Admin { bind, socket, handover } = admin;
    Admin { bind: bind.map(|bind| bind::bind(source, bind)), socket, handover }
}

const MIN_WORKERS: usize = 1;
/// More threads than any machine that this was measured on.
const MAX_WORKERS: usize = 256;
