//! Rules from what is written to what is meant.

mod condition;
mod schema;
mod track;

#[cfg(test)]
mod tests;

pub(super) use condition::{condition, source};
pub(super) use schema::{Condition as WrittenCondition, Networks, Rule as Written};

use super::{BackendId, Table, validate::values};
use crate::lists::{ListFile, ListId};
use crate::rules::{Condition, Edit, Effects, End, Format, Moment, Rewrite, Rule, Rules, same_field};
use base_core::diagnose::{Diagnostic, Source};
use base_core::units::Span;
use schema::{Named, Words};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;
use track::Tracked;

type Result<T> = std::result::Result<T, Diagnostic>;

/// What rules may refer to.
pub(super) struct Context<'a> {
    pub(super) source: &'a Source,
    pub(super) tables: &'a [Table],
    pub(super) backends: &'a [String],
    pub(super) lists: &'a [ListFile],
    /// What the frontend's rules track.
    pub(super) tracked: Tracked,
}

/// The rules of a frontend, by when they are asked.
#[derive(Default)]
pub(super) struct RuleSets {
    pub(super) connection: Rules,
    pub(super) session: Rules,
    pub(super) request: Rules,
    pub(super) response: Rules,
}

impl Context<'_> {
    fn error(&self, place: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        self.source.at(place, message).help(help)
    }

    /// A list or map by its name.
    fn list(&self, place: Range<usize>, name: &str) -> Result<ListId> {
        let wanted = Spanned::new(place, name.to_owned());
        let names = self.lists.iter().map(|list| &list.name);
        values::resolve(self.source, &wanted, "list or map", names).map(ListId)
    }

    fn map(&self, name: &str) -> Option<ListId> {
        self.lists.iter().position(|list| list.kind.values && list.name == name).map(ListId)
    }

    fn backend(&self, wanted: &Spanned<String>) -> Result<BackendId> {
        values::resolve(self.source, wanted, "backend", self.backends.iter()).map(BackendId)
    }
}

/// The rules of a frontend.
pub(super) fn rules(mut context: Context<'_>, written: &[Spanned<Written>]) -> Result<RuleSets> {
    if let Some(extra) = written.get(MAX_RULES) {
        return Err(context.error(extra.span(), "one rule too many", format!("at most {MAX_RULES} each")));
    }
    context.tracked = Tracked::by(&context, written)?;
    let mut sets = RuleSets::default();
    for written in written {
        let rule = self::rule(&context, written)?;
        track::fits(&context, written, &rule)?;
        let set = match track::moment(written.get_ref()) {
            Moment::Connection => &mut sets.connection,
            Moment::Session => &mut sets.session,
            Moment::Request => &mut sets.request,
            Moment::Response => &mut sets.response,
        };
        set.push(rule);
    }
    Ok(sets)
}

impl Written {
    /// Whether it is asked before there is a request.
    pub(super) fn is_early(&self) -> bool {
        track::moment(self) < Moment::Request
    }
}

fn rule(context: &Context<'_>, written: &Spanned<Written>) -> Result<Rule> {
    let rule = written.get_ref();
    let mut conditions = Vec::new();
    if let Some(when) = &rule.when {
        conditions.push(condition(context, when)?);
    }
    if let Some(unless) = &rule.unless {
        conditions.push(Condition::Not(Box::new(condition(context, unless)?)));
    }
    let request = edits(context, &rule.set_header, &rule.add_header, rule.del_header.as_ref(), OURS_REQUEST)?;
    let response = edits(
        context,
        &rule.set_response_header,
        &rule.add_response_header,
        rule.del_response_header.as_ref(),
        &[],
    )?;
    let path = rule.rewrite_path.as_ref().map(|written| rewrite(context, written)).transpose()?;
    let effects = effects(context, rule)?;
    let acts = track::acts(context, rule)?;
    let end = end(context, written)?;
    if effects == Effects::default()
        && request.is_empty()
        && response.is_empty()
        && path.is_none()
        && acts.is_empty()
        && end.is_none()
    {
        let help = "add one of deny, tarpit, silent_drop, redirect, return, route, rewrite_path, set_header, track, …";
        return Err(context.error(written.span(), "this rule does nothing", help));
    }
    let condition = if conditions.len() == 1 { conditions.remove(0) } else { Condition::All(conditions) };
    Ok(Rule { condition, request, response, path, effects, acts, end })
}

fn end(context: &Context<'_>, written: &Spanned<Written>) -> Result<Option<End>> {
    let rule = written.get_ref();
    let mut ends = Vec::new();
    if let Some(deny) = &rule.deny {
        let table = &deny.get_ref().0;
        ends.push(End::Deny {
            status: status(context, deny, table.status, DENY_STATUS, 400..=599)?,
            reason: reason(context, deny, table.reason.as_ref(), "deny")?,
        });
    }
    if let Some(tarpit) = &rule.tarpit {
        let table = tarpit.get_ref();
        ends.push(End::Tarpit {
            status: status(context, tarpit, table.status, TARPIT_STATUS, 400..=599)?,
            reason: reason(context, tarpit, table.reason.as_ref(), "tarpit")?,
            timeout: tarpit_timeout(context, table.timeout.as_ref())?,
        });
    }
    if let Some(dropped) = &rule.silent_drop {
        let word = dropped.get_ref().reason.as_ref();
        ends.push(End::SilentDrop { reason: reason(context, dropped, word, "silent_drop")? });
    }
    if let Some(rejected) = &rule.reject {
        let word = rejected.get_ref().reason.as_ref();
        ends.push(End::Reject { reason: reason(context, rejected, word, "rejected")? });
    }
    if let Some(redirect) = &rule.redirect {
        ends.push(self::redirect(context, redirect)?);
    }
    if let Some(page) = &rule.page {
        ends.push(self::page(context, page)?);
    }
    if let Some(backend) = &rule.route {
        ends.push(self::route(context, backend)?);
    }
    if ends.len() > 1 {
        let help = "keep one of deny, tarpit, silent_drop, reject, redirect, return and route";
        return Err(context.error(written.span(), "this rule has two ends", help));
    }
    Ok(ends.pop())
}

fn effects(context: &Context<'_>, rule: &Written) -> Result<Effects> {
    let timeout = |written: &Option<Spanned<Span>>, what| {
        written.as_ref().map(|written| values::duration(context.source, written, what)).transpose()
    };
    let bandwidth_limit = match &rule.bandwidth_limit {
        None => None,
        Some(limit) if limit.get_ref().0 >= MIN_BANDWIDTH => Some(limit.get_ref().0),
        Some(limit) => {
            return Err(context.error(limit.span(), "out of range for a bandwidth_limit", "at least 1KiB"));
        }
    };
    Ok(Effects {
        server_timeout: timeout(&rule.set_timeout.server, "a server's timeout")?,
        client_timeout: timeout(&rule.set_timeout.client, "a client's timeout")?,
        tunnel_timeout: timeout(&rule.set_timeout.tunnel, "a tunnel's timeout")?,
        bandwidth_limit,
    })
}

/// A backend, or a format that gives the name of one.
fn route(context: &Context<'_>, written: &Spanned<String>) -> Result<End> {
    if !written.get_ref().contains('%') {
        return context.backend(written).map(End::Route);
    }
    let format = format(context, written, written.get_ref())?;
    let backends = context.backends.iter().enumerate().map(|(place, name)| (name.clone(), BackendId(place)));
    Ok(End::RouteByName(format, Arc::new(backends.collect())))
}

fn status<T>(
    context: &Context<'_>,
    written: &Spanned<T>,
    status: Option<u16>,
    default: u16,
    range: RangeInclusive<u16>,
) -> Result<u16> {
    let status = status.unwrap_or(default);
    if range.contains(&status) {
        return Ok(status);
    }
    let help = format!("expected {} to {}", range.start(), range.end());
    Err(context.error(written.span(), format!("{status} is no status for this"), help))
}

/// Reason words are labels of a metric.
fn reason<T>(
    context: &Context<'_>,
    written: &Spanned<T>,
    reason: Option<&String>,
    default: &str,
) -> Result<String> {
    let Some(reason) = reason else { return Ok(default.to_owned()) };
    let name = Spanned::new(written.span(), reason.clone());
    values::name(context.source, &name)?;
    Ok(reason.clone())
}

fn tarpit_timeout(context: &Context<'_>, timeout: Option<&Spanned<Span>>) -> Result<Duration> {
    let Some(timeout) = timeout else { return Ok(TARPIT_TIMEOUT) };
    if (Duration::from_millis(1)..=MAX_TARPIT).contains(&timeout.get_ref().0) {
        return Ok(timeout.get_ref().0);
    }
    Err(context.error(timeout.span(), "out of range for a tarpit", "expected 1ms to 60s"))
}

fn redirect(context: &Context<'_>, written: &Spanned<schema::Redirect>) -> Result<End> {
    let table = &written.get_ref().0;
    let status = table.code.unwrap_or(REDIRECT_STATUS);
    if ![301, 302, 303, 307, 308].contains(&status) {
        let message = format!("{status} is no redirect");
        return Err(context.error(written.span(), message, "expected 301, 302, 303, 307 or 308"));
    }
    let format = |text: &str| self::format(context, written, text);
    let location = match (&table.location, &table.prefix, &table.scheme) {
        (Some(location), None, None) => format(location)?,
        (None, Some(prefix), None) => format(prefix)?.then(format("%[pathq]")?),
        (None, None, Some(scheme)) => format(scheme)?.then(format("://%[req.hdr(host)]%[pathq]")?),
        _ => {
            let help = "expected one of location, prefix and scheme";
            return Err(context.error(written.span(), "where to?", help));
        }
    };
    Ok(End::Redirect { status, location })
}

fn page(context: &Context<'_>, written: &Spanned<schema::Return>) -> Result<End> {
    let page = written.get_ref();
    let status = status(context, written, page.status, 200, 200..=599)?;
    if matches!(status, 204 | 304) && !page.body.is_empty() {
        return Err(context.error(written.span(), format!("a {status} has no body"), "leave body out"));
    }
    let content_type = page.content_type.clone().unwrap_or_else(|| "text/plain".to_owned());
    if !content_type.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err(context.error(written.span(), "content_type can't be sent", "such as \"text/html\""));
    }
    Ok(End::Return { status, content_type, body: page.body.clone() })
}

fn rewrite(context: &Context<'_>, written: &Spanned<schema::Rewrite>) -> Result<Rewrite> {
    let table = &written.get_ref().0;
    let slash = |path: &String| {
        if path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?') {
            return Ok(());
        }
        Err(context.error(
            written.span(),
            format!("`{path}` is not a path"),
            "expected one that begins with /",
        ))
    };
    match (&table.whole, &table.beg, &table.to) {
        (Some(whole), None, None) => {
            slash(whole)?;
            format(context, written, whole).map(Rewrite::Whole)
        }
        (None, Some(beg), Some(to)) => {
            slash(beg)?;
            slash(to)?;
            Ok(Rewrite::Prefix { beg: beg.clone(), to: to.clone() })
        }
        _ => Err(context.error(written.span(), "what becomes of the path?", "expected beg and to")),
    }
}

fn edits(
    context: &Context<'_>,
    set: &Named<String>,
    add: &Named<String>,
    delete: Option<&Spanned<Words>>,
    ours: &[&str],
) -> Result<Vec<Edit>> {
    let mut edits = Vec::new();
    for name in delete.iter().flat_map(|names| &names.get_ref().0) {
        let place = delete.map_or(0..0, Spanned::span);
        field(context, place.clone(), name, ours)?;
        if name.eq_ignore_ascii_case("host") {
            return Err(context.error(place, "a request has one Host", "set it with set_header"));
        }
        edits.push(Edit::Delete(name.clone()));
    }
    for (name, value) in set {
        field(context, value.span(), name, ours)?;
        edits.push(Edit::Set(name.clone(), format(context, value, value.get_ref())?));
    }
    for (name, value) in add {
        field(context, value.span(), name, ours)?;
        if name.eq_ignore_ascii_case("host") {
            return Err(context.error(value.span(), "a request has one Host", "set it with set_header"));
        }
        edits.push(Edit::Add(name.clone(), format(context, value, value.get_ref())?));
    }
    Ok(edits)
}

/// A field that rules may touch. Those that say where a message ends are the gateway's own.
fn field(context: &Context<'_>, place: Range<usize>, name: &str, ours: &[&str]) -> Result<()> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > MAX_FIELD_NAME || !name.bytes().all(is_token) {
        let message = format!("`{name}` is not the name of a header field");
        return Err(context.error(place, message, "such as \"X-Forwarded-Proto\""));
    }
    if FRAMING.iter().chain(ours).any(|reserved| same_field(name, reserved)) {
        let message = format!("`{name}` is the gateway's own");
        return Err(context.error(place, message, "leave it out"));
    }
    Ok(())
}

fn format<T>(context: &Context<'_>, written: &Spanned<T>, text: &str) -> Result<Format> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(context.error(written.span(), "there are control characters in it", "leave them out"));
    }
    Format::parse_with(text, &|name| context.map(name))
        .map_err(|error| context.error(written.span(), "this format is not understood", error))
}

/// Rules of a frontend: each costs every request the time of its condition.
const MAX_RULES: usize = 1000;
/// Longest name of a header field, in bytes.
const MAX_FIELD_NAME: usize = 128;
/// Bytes in a second: a chunk of 64 KiB, as it comes from a server, then waits a minute.
const MIN_BANDWIDTH: u64 = 1024;
/// HAProxy's default for deny.
const DENY_STATUS: u16 = 403;
/// HAProxy's default for tarpit.
const TARPIT_STATUS: u16 = 500;
/// HAProxy's default for redirect.
const REDIRECT_STATUS: u16 = 302;
/// Long for a machine that tries again at once, short for a connection that is held.
const TARPIT_TIMEOUT: Duration = Duration::from_secs(5);
/// What clients wait themselves.
const MAX_TARPIT: Duration = Duration::from_secs(60);
/// Fields that frame a message, or belong to one connection.
const FRAMING: &[&str] = &[
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Fields of a request that say who the client is: `trusted_proxies` decides on them.
const OURS_REQUEST: &[&str] = &["forwarded", "x-forwarded-for"];
