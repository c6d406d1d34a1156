//! By what algorithm a limit counts, and what becomes of what is too much.

use crate::config::validate::Result;
use crate::config::validate::values::{duration, in_range};
use crate::config::{Table, schema};
use crate::limits::{Action, Gcra, Patience, Unit};
use crate::table::DataType;
use base_core::diagnose::Source;
use std::time::Duration;
use toml::Spanned;

/// What becomes of what is too much.
pub(super) fn action(source: &Source, limit: &schema::Limit, unit: Unit) -> Result<Action> {
    let written = limit.action.as_ref();
    let word = written.map(Spanned::get_ref);
    if let Some(written) = written {
        let is_for =
            if *written.get_ref() == schema::Action::Reject { Unit::Connection } else { Unit::Request };
        if is_for != unit {
            let (message, help) = match unit {
                Unit::Request => ("what is rejected is a connection", "add on = \"connection\", or use deny"),
                Unit::Connection => ("a connection can only be rejected", "use reject, or leave it out"),
            };
            return Err(source.at(written.span(), message).help(help));
        }
    }
    let timeout = |default| match &limit.timeout {
        None => Ok(default),
        Some(timeout) if duration(source, timeout, "timeout")? > MAX_TIMEOUT => {
            Err(source.at(timeout.span(), "out of range for a timeout").help("expected 1ms to 60s"))
        }
        Some(timeout) => Ok(timeout.get_ref().0),
    };
    if let (Some(timeout), false) =
        (&limit.timeout, matches!(word, Some(schema::Action::Tarpit | schema::Action::Queue)))
    {
        let error = source.at(timeout.span(), "nothing waits here");
        return Err(error.help("add action = \"queue\" or \"tarpit\""));
    }
    if let (Some(most), false) = (&limit.max_queue, matches!(word, Some(schema::Action::Queue))) {
        return Err(source.at(most.span(), "there is no line").help("add action = \"queue\""));
    }
    Ok(match word {
        None | Some(schema::Action::Deny | schema::Action::Reject) => Action::Deny,
        Some(schema::Action::Tarpit) => Action::Tarpit(timeout(DEFAULT_TARPIT)?),
        Some(schema::Action::SilentDrop) => Action::SilentDrop,
        Some(schema::Action::Mark) => Action::Mark,
        Some(schema::Action::Queue) => {
            let most = match &limit.max_queue {
                None => DEFAULT_MAX_QUEUE,
                Some(most) => {
                    in_range(source, most, 1..=MAX_QUEUE, "max_queue")?;
                    *most.get_ref()
                }
            };
            Action::Queue(Patience { timeout: timeout(DEFAULT_QUEUE)?, most })
        }
    })
}

/// The pace of a value, if its limit goes by one.
pub(super) fn gcra(
    source: &Source,
    limit: &schema::Limit,
    (data, most): (DataType, &Spanned<u32>),
    table: &mut Table,
) -> Result<Option<Gcra>> {
    let written = limit.algorithm.as_ref().filter(|word| *word.get_ref() == schema::Algorithm::Gcra);
    let Some(algorithm) = written else {
        return match &limit.burst {
            Some(burst) => Err(source
                .at(burst.span(), "a sliding window knows no burst")
                .help("add algorithm = \"gcra\"")),
            None => Ok(None),
        };
    };
    if !matches!(data, DataType::HttpReqRate | DataType::ConnRate) {
        let error = source.at(most.span(), format!("gcra keeps no pace of {data}"));
        return Err(error.help("it is for http_req_rate and conn_rate: give others a limit of their own"));
    }
    if let Some(scope) = limit.scope.as_ref().filter(|scope| *scope.get_ref() == schema::Scope::Cluster) {
        let error = source.at(scope.span(), "gcra counts for one node");
        return Err(error.help("its times can't be added up: use the sliding window for the cluster"));
    }
    let Some(burst) = &limit.burst else {
        let error = source.at(algorithm.span(), "how many may come at once?");
        return Err(error.help("add burst, such as 20"));
    };
    in_range(source, burst, 1..=MAX_BURST, "burst")?;
    let gcra = pace(source, limit, (data, most), table, table.cells)?;
    table.cells += 1;
    Ok(gcra)
}

/// A pace of so many, kept in this cell.
pub(super) fn pace(
    source: &Source,
    limit: &schema::Limit,
    (data, most): (DataType, &Spanned<u32>),
    table: &Table,
    cell: u16,
) -> Result<Option<Gcra>> {
    let stored = table.stored.iter().find(|stored| stored.data == data);
    let period = stored.map_or(Duration::ZERO, |stored| stored.period);
    let burst = limit.burst.as_ref().map_or(1, |burst| *burst.get_ref());
    let gcra = Gcra::new(*most.get_ref(), period, burst, cell);
    gcra.map(Some).ok_or_else(|| {
        let error = source.at(most.span(), "gcra keeps no pace as fast as that");
        error.help("at most 1000000 in a second")
    })
}

/// As long as a rule's.
const DEFAULT_TARPIT: Duration = Duration::from_secs(5);
/// Longer than a burst of one page takes to go through, shorter than people give up.
const DEFAULT_QUEUE: Duration = Duration::from_secs(1);
/// Requests of one client that wait: what a browser sends at once, with room to spare.
const DEFAULT_MAX_QUEUE: u32 = 16;
const MAX_QUEUE: u32 = 10_000;
/// Longer than any client waits.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// Requests at once: as many as a limit may be.
const MAX_BURST: u32 = 1_000_000_000;
