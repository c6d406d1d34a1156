//! Whose requests a limit counts, and what some of them may have instead.

use super::{Known, MAX_LIMIT, action};
use crate::config::validate::Result;
use crate::config::validate::values::{in_range, resolve};
use crate::config::{BackendId, Table, rule, schema};
use crate::identity::IdentityId;
use crate::limits::{Of, Plan, Tracker, Unit, Whom};
use crate::rules::LEAST_STRING;
use crate::table::{DataType, KeyType};
use base_core::diagnose::Source;
use toml::Spanned;

/// Whose requests.
pub(super) fn whom(
    source: &Source,
    limit: &schema::Limit,
    unit: Unit,
    known: &Known<'_>,
    tables: &[Table],
) -> Result<Whom> {
    let identity = |written: &Spanned<String>| {
        let names = known.identities.iter().map(|identity| &identity.name);
        resolve(source, written, "identity", names).map(IdentityId)
    };
    let backend =
        |written: &Spanned<String>| resolve(source, written, "backend", known.backends.iter()).map(BackendId);
    let context = rule::Context {
        source,
        tables,
        backends: known.backends,
        lists: known.lists,
        tracked: Default::default(),
    };
    let whom = Whom {
        by: limit.by.as_ref().map(identity).transpose()?,
        unless: limit.unless.as_ref().map(identity).transpose()?,
        backends: limit.backend.iter().map(backend).collect::<Result<_>>()?,
        condition: match &limit.when {
            None => None,
            Some(when) => Some(rule::condition(&context, when.get_ref())?),
        },
    };
    if !whom.is_all() && unit == Unit::Connection {
        let error = source.at(limit.table.span(), "a connection is nobody's yet, and goes nowhere");
        return Err(error.help("by, unless, backend and if are for requests"));
    }
    if let (Some(by), Some(_)) = (&limit.by, &limit.unless) {
        let error = source.at(by.span(), "for those who have proven it, or for those who have not?");
        return Err(error.help("keep one of by and unless"));
    }
    Ok(whom)
}

/// Whether a table can have its keys.
pub(super) fn key_fits(source: &Source, limit: &schema::Limit, whom: &Whom, table: &Table) -> Result<()> {
    match (whom.by, table.key) {
        (None, KeyType::Ip | KeyType::Ipv6) => Ok(()),
        (Some(_), KeyType::String(length)) if length >= LEAST_STRING => Ok(()),
        (Some(_), KeyType::String(_)) => {
            let error = source.at(limit.table.span(), "two names could have one key in it");
            Err(error.help(format!("its keys have at least {LEAST_STRING} bytes: type = \"string(64)\"")))
        }
        (None, _) => {
            let error = source.at(limit.table.span(), "its keys are no addresses");
            Err(error.help("a limit counts clients by address: type ip or ipv6"))
        }
        (Some(_), _) => {
            let error = source.at(limit.table.span(), "its keys are no names");
            Err(error.help("a limit by an identity counts by its name: type = \"string(64)\""))
        }
    }
}

/// Limits on one table count the same requests.
pub(super) fn is_the_same(source: &Source, limit: &schema::Limit, one: &Whom, other: &Whom) -> Result<()> {
    if (one.by, one.unless, &one.backends) == (other.by, other.unless, &other.backends)
        && one.condition.is_none()
        && other.condition.is_none()
    {
        return Ok(());
    }
    let error = source.at(limit.table.span(), "another limit counts other requests in it");
    Err(error.help("put both values into one limit, or use a second table"))
}

/// Who has proven nothing must be limited, too.
pub(super) fn address_applies_too(
    source: &Source,
    written: &[Spanned<schema::Limit>],
    trackers: &[Tracker],
) -> Result<()> {
    let proven = written.iter().find_map(|limit| limit.get_ref().by.as_ref());
    match proven.filter(|_| !trackers.iter().any(|tracker| tracker.whom.is_all())) {
        None => Ok(()),
        Some(by) => {
            let error = source.at(by.span(), "who has proven nothing is not limited at all");
            Err(error.help("add a [[frontend.limit]] by address, without by, unless, backend and if"))
        }
    }
}

/// What those of some names and classes may have instead of a value.
pub(super) fn plans(
    source: &Source,
    limit: &schema::Limit,
    data: DataType,
    has_pace: bool,
    table: &Table,
) -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    let classes = limit.plan.iter().map(|(class, plan)| (Of::Class(class.clone()), plan));
    let names = limit.name.iter().map(|(name, plan)| (Of::Name(name.clone()), plan));
    for (of, written) in classes.chain(names) {
        if limit.by.is_none() {
            let error = source.at(written.span(), "whose plan is it?");
            return Err(error.help("a plan is for those who have proven who they are: add by"));
        }
        let stranger = written.get_ref().values().find(|(data, _)| limit.values().all(|(of, _)| of != *data));
        if let Some((data, most)) = stranger {
            let error = source.at(most.span(), format!("the limit says nothing of {data}"));
            return Err(error.help("say there what all others may have"));
        }
        let Some((_, most)) = written.get_ref().values().find(|(of, _)| *of == data) else { continue };
        in_range(source, most, 1..=MAX_LIMIT, "a limit")?;
        let cell = table.cells.saturating_sub(1);
        let gcra = if has_pace { action::pace(source, limit, (data, most), table, cell)? } else { None };
        plans.push(Plan { of, most: *most.get_ref(), gcra });
    }
    if plans.len() > MAX_PLANS {
        let error = source.at(limit.table.span(), "one plan too many");
        return Err(error.help(format!("at most {MAX_PLANS}: give many names a class")));
    }
    Ok(plans)
}

/// Plans are gone through one by one.
const MAX_PLANS: usize = 32;
