//! When a rule is asked, and what it does to stick tables: from what is written to what is meant.

use super::{Context, Result, condition, schema};
use crate::config::{Table, TableId, validate::values};
use crate::rules::{Act, Comparison, Condition, Counter, Effects, End, Format, Key, Lookup, Moment, Rule};
use crate::table::{DataType, Layout};
use crate::track::{SLOTS, place};
use schema::{Count, Words};
use std::ops::Range;
use toml::Spanned;

/// Tables of which entries are tracked, by number.
#[derive(Default)]
pub(in crate::config) struct Tracked(Vec<(u8, TableId)>);

impl Tracked {
    /// By these rules, all of one frontend.
    pub(super) fn by(context: &Context<'_>, rules: &[Spanned<schema::Rule>]) -> Result<Self> {
        let mut all = Vec::new();
        for track in rules.iter().filter_map(|rule| rule.get_ref().track.as_ref()) {
            let track = track.get_ref();
            all.push((slot(context, &track.sc)?, table(context, &track.table)?));
        }
        Ok(Self(all))
    }

    /// The tables that are tracked under a number.
    fn tables(&self, slot: u8) -> impl Iterator<Item = TableId> {
        self.0.iter().filter(move |(tracked, _)| *tracked == slot).map(|(_, table)| *table)
    }
}

/// When a rule is asked.
pub(super) fn moment(rule: &schema::Rule) -> Moment {
    match rule.on {
        None | Some(schema::On::Request) => Moment::Request,
        Some(schema::On::Connection) => Moment::Connection,
        Some(schema::On::Session) => Moment::Session,
        Some(schema::On::Response) => Moment::Response,
    }
}

/// Refuses what can't be asked, or done, at that moment.
pub(super) fn fits(context: &Context<'_>, written: &Spanned<schema::Rule>, rule: &Rule) -> Result<()> {
    let moment = moment(written.get_ref());
    let error = |message, help| Err(context.error(written.span(), message, help));
    let keys = rule.acts.iter().filter_map(|act| match act {
        Act::Track { key, .. } => Some(key.known()),
        Act::IncGpc { .. } | Act::SetGpt { .. } => None,
    });
    if keys.chain([rule.condition.known()]).any(|known| known > moment) {
        return error("it asks for what is not known yet", "let it be asked later, by `on`");
    }
    let for_requests = !rule.request.is_empty()
        || rule.path.is_some()
        || rule.effects != Effects::default()
        || rule.end.as_ref().is_some_and(|end| !matches!(end, End::SilentDrop { .. } | End::Reject { .. }));
    let for_connections = matches!(rule.end, Some(End::Reject { .. }));
    match moment {
        Moment::Connection | Moment::Session if for_requests || !rule.response.is_empty() => error(
            "there is no request yet",
            "track, sc_inc_gpc, sc_set_gpt, reject and silent_drop can be done",
        ),
        Moment::Request | Moment::Response if for_connections => {
            error("reject ends a connection before it has requests", "use deny, or on = \"connection\"")
        }
        Moment::Response if for_requests || rule.end.is_some() => error(
            "the request has been served",
            "track, sc_inc_gpc, sc_set_gpt and response headers can be done",
        ),
        _ => Ok(()),
    }
}

/// What it does to stick tables.
pub(super) fn acts(context: &Context<'_>, rule: &schema::Rule) -> Result<Vec<Act>> {
    let mut acts = Vec::new();
    if let Some(track) = &rule.track {
        let track = track.get_ref();
        let table = table(context, &track.table)?;
        let key = key(context, track.key.as_ref(), track.table.span(), table)?;
        acts.push(Act::Track { slot: slot(context, &track.sc)?, table, key });
    }
    if let Some(written) = &rule.sc_inc_gpc {
        let schema::IncGpc { sc, gpc, by } = written.get_ref();
        let slot = tracked(context, sc, DataType::Gpc, *gpc, written.span())?;
        acts.push(Act::IncGpc { slot, index: *gpc, by: *by });
    }
    if let Some(written) = &rule.sc_set_gpt {
        let schema::SetGpt { sc, gpt, value } = written.get_ref();
        let slot = tracked(context, sc, DataType::Gpt, *gpt, written.span())?;
        acts.push(Act::SetGpt { slot, index: *gpt, value: *value });
    }
    Ok(acts)
}

/// What a counter of this name, such as `http_err_rate` or `gpc(1)`, must be like.
pub(super) fn counter(context: &Context<'_>, name: &str, written: &Spanned<Count>) -> Result<Condition> {
    let (data, index) = data(name).ok_or_else(|| {
        let all: Vec<_> = DataType::ALL.iter().map(|data| data.name()).collect();
        let help = format!("expected one of {}, of arrays as gpc(1)", all.join(", "));
        context.error(written.span(), format!("`{name}` is no data type"), help)
    })?;
    let count = written.get_ref();
    let from = match (&count.sc, &count.table, &count.key) {
        (Some(sc), None, None) => Lookup::Tracked(tracked(context, sc, data, index, written.span())?),
        (None, Some(name), written_key) => {
            let found = table(context, name)?;
            stores(context, found, data, index, name.span())?;
            Lookup::Table(found, key(context, written_key.as_ref(), name.span(), found)?)
        }
        _ => {
            let help = "expected sc, the number of what is tracked, or table with key";
            return Err(context.error(written.span(), "of which entry?", help));
        }
    };
    let comparisons = [
        (count.eq, Comparison::Eq),
        (count.gt, Comparison::Gt),
        (count.ge, Comparison::Ge),
        (count.lt, Comparison::Lt),
        (count.le, Comparison::Le),
    ];
    let counter = Counter { from, data, index, own: count.scope.is_some() };
    let written_ones = comparisons.iter().filter_map(|(value, comparison)| {
        value.map(|value| Condition::Counter(counter.clone(), *comparison, value))
    });
    let mut all: Vec<_> = written_ones.collect();
    match all.len() {
        0 => Err(context.error(written.span(), "compared with what?", "add eq, gt, ge, lt or le")),
        1 => Ok(all.remove(0)),
        _ => Ok(Condition::All(all)),
    }
}

/// `gpc(1)` as its parts.
fn data(name: &str) -> Option<(DataType, u16)> {
    let (word, index) = match name.split_once('(') {
        Some((word, rest)) => (word, rest.strip_suffix(')')?.parse().ok()?),
        None => (name, 0),
    };
    let data = DataType::named(word)?;
    (data != DataType::ServerKey && (data.is_array() || !name.contains('('))).then_some((data, index))
}

/// The number under which this is tracked.
fn tracked(
    context: &Context<'_>,
    sc: &Spanned<u8>,
    data: DataType,
    index: u16,
    place: Range<usize>,
) -> Result<u8> {
    let slot = slot(context, sc)?;
    let mut tables = context.tracked.tables(slot).peekable();
    if tables.peek().is_none() {
        let help = "add a rule of this frontend with track";
        return Err(context.error(sc.span(), format!("nothing is tracked as {slot}"), help));
    }
    tables.try_for_each(|table| stores(context, table, data, index, place.clone()))?;
    Ok(slot)
}

fn slot(context: &Context<'_>, written: &Spanned<u8>) -> Result<u8> {
    values::in_range(context.source, written, 0..=SLOTS - 1, "sc")?;
    Ok(*written.get_ref())
}

fn table(context: &Context<'_>, written: &Spanned<String>) -> Result<TableId> {
    let names = context.tables.iter().map(|table| &table.name);
    values::resolve(context.source, written, "stick table", names).map(TableId)
}

fn stores(
    context: &Context<'_>,
    TableId(table): TableId,
    data: DataType,
    index: u16,
    span: Range<usize>,
) -> Result<()> {
    let Table { name, stored, .. } = &context.tables[table];
    if place(&Layout::new(stored.iter().copied()), data, index).is_some() {
        return Ok(());
    }
    let what = if data.is_array() { format!("{data}({index})") } else { data.to_string() };
    let help = "add it to `store` of its [[stick_table]]";
    Err(context.error(span, format!("table `{name}` stores no {what}"), help))
}

fn key(
    context: &Context<'_>,
    written: Option<&Spanned<Words>>,
    of: Range<usize>,
    TableId(table): TableId,
) -> Result<Key> {
    let kind = context.tables[table].key;
    let parts = written.map_or_else(|| vec!["src".to_owned()], |written| written.get_ref().0.clone());
    let span = written.map_or(of, Spanned::span);
    let parse = |part: &String| {
        let sample = Format::sample(part, &|name| context.map(name));
        sample.map_err(|error| context.error(span.clone(), "this key is not understood", error))
    };
    let parts = parts.iter().map(parse).collect::<Result<Vec<_>>>()?;
    Key::new(kind, parts).map_err(|error| context.error(span, "it can't be a key of that table", error))
}

/// `404`, `4xx` or `400:499`.
pub(super) fn statuses(context: &Context<'_>, written: &Spanned<schema::Statuses>) -> Result<Condition> {
    let status = |text: &str| text.parse::<u16>().ok().filter(|status| (100..=599).contains(status));
    let range = |text: &String| match (text.split_once(':'), text.strip_suffix("xx")) {
        (Some((first, last)), _) => Some(status(first)?..=status(last)?),
        (None, Some(class)) => {
            let class = status(&format!("{class}00"))?;
            Some(class..=class + 99)
        }
        (None, None) => status(text).map(|status| status..=status),
    };
    let ranges = written.get_ref().0.0.iter().map(|text| {
        let help = "expected a number, a class or a range, such as 404, \"5xx\" or \"400:403\"";
        range(text).ok_or_else(|| context.error(written.span(), format!("`{text}` is no status"), help))
    });
    ranges.collect::<Result<_>>().map(Condition::Status)
}

/// Conditions that stand in a table of their own keys.
pub(super) fn named(
    context: &Context<'_>,
    written: &schema::Condition,
    all: &mut Vec<Condition>,
) -> Result<()> {
    for (name, count) in &written.counter {
        all.push(counter(context, name, count)?);
    }
    if let Some(status) = &written.status {
        all.push(statuses(context, status)?);
    }
    for (name, text) in &written.response_header {
        all.push(Condition::ResponseHeader(
            name.clone(),
            condition::text(context, text.span(), &text.get_ref().0)?,
        ));
    }
    Ok(())
}
