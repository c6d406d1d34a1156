//! What is observed: a table of its own, and the routes that there are.

use super::Result;
use super::table::MAX_SIZE;
use super::values::{duration, in_range};
use crate::config::{Frontend, Mode, Peers, Table, TableId, schema};
use crate::observe::{CELLS, KEY, Policy};
use crate::table::{DataType, KeyType, Stored};
use base_core::diagnose::Source;
use std::time::Duration;

pub(super) fn observe(
    source: &Source,
    written: schema::Observed,
    frontends: &[Frontend],
    peers: Option<&Peers>,
    tables: &mut Vec<Table>,
) -> Result<Policy> {
    let period = duration(source, &written.period, "period")?;
    in_range(source, &written.size, 1..=MAX_SIZE, "size")?;
    let cluster = written.scope.as_ref().filter(|scope| *scope.get_ref() == schema::Scope::Cluster);
    if let (Some(scope), None) = (cluster, peers) {
        return Err(source.at(scope.span(), "there are no peers").help("add a [peers] section"));
    }
    if tables.iter().any(|table| table.name == TABLE) {
        let error = source.at(written.file.span(), format!("there is already a stick table `{TABLE}`"));
        return Err(error.help("what is observed has a table of that name: rename the other"));
    }
    let is_http = |(_, frontend): &(usize, &Frontend)| frontend.mode == Mode::Http;
    let of = |(place, frontend): (usize, &Frontend)| {
        frontend.backends().map(move |backend| (place, backend)).collect::<Vec<_>>()
    };
    let routes: Vec<_> = frontends.iter().enumerate().filter(is_http).flat_map(of).collect();
    if routes.len() > MAX_ROUTES {
        let error = source.at(written.file.span(), format!("{} routes are too many", routes.len()));
        return Err(error.help(format!("at most {MAX_ROUTES} frontends with a backend can be observed")));
    }
    tables.push(Table {
        name: TABLE.to_owned(),
        key: KeyType::Binary(KEY as u16),
        stored: vec![Stored::one(DataType::ConnCur), Stored::rate(DataType::HttpReqRate, period)],
        size: *written.size.get_ref(),
        expire: EXPIRE.max(period * 2),
        nopurge: false,
        peers_name: cluster.map(|_| TABLE.to_owned()),
        sums: cluster.is_some(),
        cells: CELLS,
        handed_over: false,
        agg: false,
        persist: None,
    });
    Ok(Policy {
        table: TableId(tables.len() - 1),
        file: written.file.into_inner(),
        period,
        peers: cluster.and(peers).map(|peers| peers.name.clone()),
        routes,
    })
}

/// Its table, as `show table` has it.
const TABLE: &str = "observed";
/// A client's peak is that of an hour.
const EXPIRE: Duration = Duration::from_secs(3600);
/// Each takes up to a megabyte of the file, with the hundred highest of each hour of a week.
const MAX_ROUTES: usize = 32;
