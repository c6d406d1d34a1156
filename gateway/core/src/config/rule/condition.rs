//! Conditions from what is written to what is meant.

use super::{Context, Result, schema, track};
use crate::lists::{ListId, Matching};
use crate::route::HostPattern;
use crate::rules::{Case, Condition, Regex, Ssl, Test, Text};
use ipnet::IpNet;
use schema::{TextTable, Words};
use std::net::IpAddr;
use std::ops::Range;
use toml::Spanned;

/// All keys of a condition hold.
pub(in crate::config) fn condition(context: &Context<'_>, written: &schema::Condition) -> Result<Condition> {
    let mut all = Vec::new();
    if let Some(networks) = &written.src {
        all.push(self::source(context, networks)?);
    }
    if let Some(methods) = &written.method {
        all.push(Condition::Method(methods.get_ref().0.clone()));
    }
    if let Some(tls) = written.tls {
        all.push(Condition::Tls(tls));
    }
    for (name, written) in &written.ssl {
        let sample = Ssl::parse(name).ok_or_else(|| {
            let help = format!("expected one of {}", Ssl::names().collect::<Vec<_>>().join(", "));
            context.error(written.span(), format!("`{name}` is not known of a handshake"), help)
        })?;
        all.push(Condition::Ssl(sample, text(context, written.span(), &written.get_ref().0)?));
    }
    if let Some(host) = &written.host {
        all.push(self::host(context, host)?);
    }
    if let Some(path) = &written.path {
        all.push(Condition::Path(text(context, path.span(), &path.get_ref().0)?));
    }
    type Make = fn(String, Text) -> Condition;
    let named: [(_, Make); 3] = [
        (&written.header, Condition::Header),
        (&written.query, Condition::Query),
        (&written.cookie, Condition::Cookie),
    ];
    for (texts, make) in named {
        for (name, written) in texts {
            all.push(make(name.clone(), text(context, written.span(), &written.get_ref().0)?));
        }
    }
    track::named(context, written, &mut all)?;
    for inner in written.all.iter().flatten() {
        all.push(condition(context, inner)?);
    }
    if let Some(any) = &written.any {
        if any.get_ref().is_empty() {
            return Err(context.error(any.span(), "of none, none ever holds", "add conditions"));
        }
        let any = any.get_ref().iter().map(|inner| condition(context, inner));
        all.push(Condition::Any(any.collect::<Result<_>>()?));
    }
    if let Some(not) = &written.not {
        all.push(Condition::Not(Box::new(condition(context, not)?)));
    }
    Ok(if all.len() == 1 { all.remove(0) } else { Condition::All(all) })
}

/// The client's address is in one of these.
pub(in crate::config) fn source(
    context: &Context<'_>,
    written: &Spanned<schema::Networks>,
) -> Result<Condition> {
    let table = &written.get_ref().0;
    match (&table.is, &table.acl) {
        (Some(words), None) => networks(context, written.span(), words).map(Condition::Source),
        (None, Some(name)) => {
            let list = context.list(written.span(), name)?;
            let ListId(place) = list;
            if context.lists[place].kind.matching != Matching::Ip {
                let help = "an address is looked up in a list with match = \"ip\"";
                return Err(context.error(written.span(), format!("`{name}` has no networks"), help));
            }
            Ok(Condition::SourceListed(list))
        }
        _ => Err(context.error(written.span(), "which networks?", "expected one of is and acl")),
    }
}

fn networks(context: &Context<'_>, place: Range<usize>, words: &Words) -> Result<Vec<IpNet>> {
    let parse = |text: &String| {
        let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
        text.parse().ok().or_else(address).ok_or_else(|| {
            let message = format!("`{text}` is not a network");
            context.error(place.clone(), message, "such as \"10.0.0.0/8\" or \"2001:db8::1\"")
        })
    };
    words.0.iter().map(parse).collect()
}

/// Plain texts are names as in routes; case never matters.
fn host(context: &Context<'_>, written: &Spanned<schema::Text>) -> Result<Condition> {
    let table = &written.get_ref().0;
    let only_names = table.beg.is_none()
        && table.end.is_none()
        && table.sub.is_none()
        && table.reg.is_none()
        && table.acl.is_none()
        && table.found.is_none();
    match &table.is {
        Some(names) if only_names => {
            let parse = |name: &String| {
                HostPattern::parse(name).ok_or_else(|| {
                    let help = "expected a name without port, such as \"api.example\" or \"*.example\"";
                    context.error(written.span(), format!("`{name}` is not a host name"), help)
                })
            };
            names.0.iter().map(parse).collect::<Result<_>>().map(Condition::Host)
        }
        _ => case_text(context, written.span(), table, Case::Ignored).map(Condition::HostText),
    }
}

pub(super) fn text(context: &Context<'_>, place: Range<usize>, table: &TextTable) -> Result<Text> {
    let case = if table.ignore_case { Case::Ignored } else { Case::Matters };
    case_text(context, place, table, case)
}

fn case_text(context: &Context<'_>, place: Range<usize>, table: &TextTable, case: Case) -> Result<Text> {
    let mut tests = Vec::new();
    type Make = fn(Vec<String>, Case) -> Test;
    let parts: [(_, Make); 3] = [(&table.beg, Test::Beg), (&table.end, Test::End), (&table.sub, Test::Sub)];
    if let Some(is) = &table.is {
        tests.push(Test::Is(is.0.clone(), case));
    }
    for (written, make) in parts {
        let Some(written) = written else { continue };
        if written.0.iter().any(String::is_empty) {
            return Err(context.error(place, "an empty text is part of any", "leave it out, or use found"));
        }
        tests.push(make(written.0.clone(), case));
    }
    if let Some(expression) = &table.reg {
        let regex = Regex::new(expression, case);
        tests.push(Test::Reg(regex.map_err(|error| {
            context.error(place.clone(), format!("`{expression}` can't be used"), error)
        })?));
    }
    if let Some(name) = &table.acl {
        tests.push(Test::Listed(context.list(place.clone(), name)?));
    }
    match (table.found, tests.is_empty()) {
        (Some(false), true) => Ok(Text::Missing),
        (Some(false), false) => {
            Err(context.error(place, "what is missing is like nothing", "keep found = false alone"))
        }
        (None, true) => {
            Err(context.error(place, "what must it be like?", "add is, beg, end, sub, reg, acl or found"))
        }
        (Some(true), _) | (None, false) => Ok(Text::Passes(tests)),
    }
}
