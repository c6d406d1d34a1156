//! Limits of a frontend: what each needs is stored in its table, and those on one table share a tracker.

mod action;
mod whom;

use super::Result;
use super::values::{duration, in_range, resolve};
use crate::config::{Table, TableId, schema};
use crate::identity::Identity;
use crate::limits::{Action, Count, Fallback, Limit, MAX_LIMITS, MAX_TRACKERS, Scope, Tracker, Unit, Whom};
use crate::lists::ListFile;
use crate::table::{DataType, Kind, Stored};
use base_core::diagnose::Source;
use toml::Spanned;

/// What limits may refer to.
pub(super) struct Known<'a> {
    pub(super) backends: &'a [String],
    pub(super) lists: &'a [ListFile],
    pub(super) identities: &'a [Identity],
}

pub(super) fn trackers(
    source: &Source,
    written: &[Spanned<schema::Limit>],
    unit: Unit,
    known: &Known<'_>,
    tables: &mut [Table],
) -> Result<Vec<Tracker>> {
    let mut trackers = Vec::<Tracker>::new();
    for written in written {
        let limit = written.get_ref();
        let names = tables.iter().map(|table| &table.name);
        let table = TableId(resolve(source, &limit.table, "stick table", names)?);
        let unit = self::unit(source, limit, unit)?;
        let whom = whom::whom(source, limit, unit, known, tables)?;
        let limits = limits(source, written, (unit, &whom), &mut tables[table.0])?;
        let count = limit.count.as_ref().map(|count| match count.get_ref() {
            schema::Count::Admitted => Count::Admitted,
            schema::Count::All => Count::All,
        });
        let tracker = match trackers.iter_mut().find(|tracker| tracker.table == table) {
            Some(tracker) => {
                if let Some(written) = limit.count.as_ref().filter(|_| count != Some(tracker.count)) {
                    let error = source.at(written.span(), "another limit on this table counts otherwise");
                    return Err(error.help("a table counts in one way; use a second table"));
                }
                if tracker.unit != unit {
                    let error = source.at(limit.table.span(), "another limit counts something else in it");
                    return Err(error.help("a table counts requests or connections; use a second table"));
                }
                whom::is_the_same(source, limit, &tracker.whom, &whom)?;
                tracker
            }
            None => {
                let count = count.unwrap_or_default();
                trackers.push(Tracker { table, unit, count, whom, limits: Vec::new() });
                let last = trackers.len() - 1;
                &mut trackers[last]
            }
        };
        tracker.limits.extend(limits);
        let admits_only = |limit: &Limit| limit.gcra.is_some() || matches!(limit.action, Action::Queue(_));
        if tracker.count == Count::All && tracker.limits.iter().any(admits_only) {
            let error = source.at(written.span(), "gcra and queue count what they let through");
            return Err(error.help("with count = \"all\" who keeps knocking would never be let in again"));
        }
        if tracker.limits.len() > MAX_LIMITS {
            let error = source.at(written.span(), "one limit too many");
            return Err(error.help(format!("at most {MAX_LIMITS} values on one table")));
        }
        if trackers.len() > MAX_TRACKERS {
            let error = source.at(written.span(), "one table too many");
            return Err(error.help(format!("a frontend's limits use at most {MAX_TRACKERS} tables")));
        }
    }
    whom::address_applies_too(source, written, &trackers)?;
    let queues = |tracker: &&Tracker| tracker.patience().is_some();
    if let (true, Some(last)) = (trackers.iter().filter(queues).count() > 1, written.last()) {
        let error = source.at(last.span(), "there are lines in two tables");
        return Err(error.help("a request waits for its turn once: use one table for limits that queue"));
    }
    Ok(trackers)
}

/// What a limit counts, where its frontend counts `unit`.
fn unit(source: &Source, limit: &schema::Limit, unit: Unit) -> Result<Unit> {
    let counted = match limit.on.as_ref().map(|on| (on, on.get_ref())) {
        None => unit,
        Some((_, schema::On::Connection)) => Unit::Connection,
        Some((_, schema::On::Request)) if unit == Unit::Request => Unit::Request,
        Some((on, schema::On::Request)) => {
            return Err(source.at(on.span(), "there are no requests in mode tcp").help("take it out"));
        }
    };
    let is_of_the_other = |data: &DataType| match counted {
        Unit::Request => matches!(data, DataType::ConnCnt | DataType::ConnRate),
        // A connection's bytes and answers are those of its requests.
        Unit::Connection => {
            let is = |kind: &str| data.name().starts_with(kind);
            is("http_") || is(if unit == Unit::Request { "bytes_" } else { "glitch_" })
        }
    };
    let Some((data, most)) = limit.values().find(|(data, _)| is_of_the_other(data)) else {
        return Ok(counted);
    };
    Err(match counted {
        Unit::Request => source
            .at(most.span(), format!("{data} is for connections, not for requests"))
            .help("add on = \"connection\" or mode = \"tcp\", or take it out"),
        Unit::Connection => source
            .at(most.span(), format!("{data} is for requests, not for connections"))
            .help("take it out, or let another limit count requests"),
    })
}

fn limits(
    source: &Source,
    written: &Spanned<schema::Limit>,
    (unit, whom): (Unit, &Whom),
    table: &mut Table,
) -> Result<Vec<Limit>> {
    let limit = written.get_ref();
    whom::key_fits(source, limit, whom, table)?;
    let scope = scope(source, limit, table)?;
    let action = action::action(source, limit, unit)?;
    let mut limits = Vec::new();
    let mut has_rate = false;
    for (data, most) in limit.values() {
        in_range(source, most, 1..=MAX_LIMIT, "a limit")?;
        has_rate |= data.kind() == Kind::Rate;
        store(source, limit, data, most, table)?;
        let gcra = action::gcra(source, limit, (data, most), table)?;
        limits.push(Limit {
            scope,
            dry_run: limit.dry_run,
            exempt: limit.exempt.clone(),
            gcra,
            action,
            plans: whom::plans(source, limit, data, gcra.is_some(), table)?,
            ..Limit::new(data, *most.get_ref())
        });
    }
    if limits.is_empty() {
        let error = source.at(written.span(), "this limits nothing");
        return Err(error.help("add conn_cur, http_req_rate or another value"));
    }
    match &limit.period {
        Some(period) if !has_rate => {
            Err(source.at(period.span(), "a period without a rate").help("add http_req_rate or another rate"))
        }
        _ => Ok(limits),
    }
}

/// Sees to it that the table stores what is limited.
fn store(
    source: &Source,
    limit: &schema::Limit,
    data: DataType,
    most: &Spanned<u32>,
    table: &mut Table,
) -> Result<()> {
    let found = table.stored.iter().find(|stored| stored.data == data).copied();
    let stored = match (data.kind() == Kind::Rate, &limit.period, found) {
        (false, _, _) => Stored::one(data),
        (true, None, Some(found)) => found,
        (true, None, None) => {
            let error = source.at(most.span(), format!("{data} has no period"));
            return Err(error.help("add period, such as \"10s\""));
        }
        (true, Some(period), found) => {
            let wanted = duration(source, period, "period")?;
            if let Some(found) = found.filter(|found| found.period != wanted) {
                let message = format!("table `{}` already counts over {:?}", table.name, found.period);
                let help = "a table has one period for each rate; use a second table";
                return Err(source.at(period.span(), message).help(help));
            }
            Stored::rate(data, wanted)
        }
    };
    if found.is_none() {
        table.stored.push(stored);
    }
    Ok(())
}

fn scope(source: &Source, limit: &schema::Limit, table: &mut Table) -> Result<Scope> {
    let fallback = limit.fallback.as_ref();
    let Some(written) = limit.scope.as_ref().filter(|scope| *scope.get_ref() == schema::Scope::Cluster)
    else {
        return match fallback {
            Some(written) => {
                let error = source.at(written.span(), "there is nothing to fall back from");
                Err(error.help("add scope = \"cluster\""))
            }
            None => Ok(Scope::Node),
        };
    };
    if table.peers_name.is_none() {
        let message = format!("no peer sees table `{}`", table.name);
        return Err(source.at(written.span(), message).help("add peers to its [[stick_table]]"));
    }
    if table.stored.iter().any(|stored| matches!(stored.data, DataType::ServerId | DataType::ServerKey)) {
        let message = format!("table `{}` also remembers servers, which all nodes write", table.name);
        return Err(source.at(written.span(), message).help("use a second table"));
    }
    if table.persist.is_some() {
        let message = format!("table `{}` survives restarts, by persist", table.name);
        let help =
            "what the cluster counts is kept by its other nodes: leave persist out, or use a second table";
        return Err(source.at(written.span(), message).help(help));
    }
    table.sums = true;
    Ok(Scope::Cluster(match fallback.map(Spanned::get_ref) {
        Some(schema::Fallback::Share) => Fallback::Share,
        Some(schema::Fallback::Own) | None => Fallback::Own,
    }))
}

/// Requests, bytes, or either in a period.
const MAX_LIMIT: u32 = 1_000_000_000;
