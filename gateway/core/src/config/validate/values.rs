//! Checks of single values that many keys have in common.

use super::Result;
use base_core::diagnose::Source;
use base_core::units::Span;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::Spanned;

pub(in crate::config) fn path(source: &Source, path: &Spanned<String>) -> Result<()> {
    if path.get_ref().starts_with('/') && path.get_ref().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(source
        .at(path.span(), format!("`{}` is not a path", path.get_ref()))
        .help("expected one that begins with /"))
}

/// Names go into logs and metrics as they are.
pub(in crate::config) fn name(source: &Source, name: &Spanned<String>) -> Result<()> {
    let text = name.get_ref();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(());
    }
    let help = format!("expected 1 to {MAX_NAME} letters, digits, - _ . or :");
    Err(source.at(name.span(), format!("`{text}` can't be a name")).help(help))
}

/// What can stand in a `Content-Type` field.
pub(in crate::config) fn content_type(source: &Source, written: &Spanned<String>) -> Result<()> {
    if !written.get_ref().is_empty()
        && written.get_ref().bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
    {
        return Ok(());
    }
    Err(source.at(written.span(), "content_type can't be sent").help("such as \"text/html\""))
}

pub(in crate::config) fn unique<'a>(
    source: &Source,
    name: &Spanned<String>,
    kind: &str,
    mut others: impl Iterator<Item = &'a String>,
) -> Result<()> {
    if others.any(|other| other == name.get_ref()) {
        let message = format!("there is already a {kind} `{}`", name.get_ref());
        return Err(source.at(name.span(), message).help("give it a name of its own"));
    }
    Ok(())
}

pub(in crate::config) fn resolve<'a>(
    source: &Source,
    wanted: &Spanned<String>,
    kind: &str,
    known: impl Iterator<Item = &'a String>,
) -> Result<usize> {
    let known: Vec<&String> = known.collect();
    known.iter().position(|name| *name == wanted.get_ref()).ok_or_else(|| {
        let error = source.at(wanted.span(), format!("there is no {kind} `{}`", wanted.get_ref()));
        if known.is_empty() {
            return error.help(format!("no {kind} is defined"));
        }
        let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        error.help(format!("expected one of {}", names.join(", ")))
    })
}

pub(in crate::config) fn in_range<T: PartialOrd + std::fmt::Display>(
    source: &Source,
    value: &Spanned<T>,
    range: RangeInclusive<T>,
    what: &str,
) -> Result<()> {
    if range.contains(value.get_ref()) {
        return Ok(());
    }
    let message = format!("{} is out of range for {what}", value.get_ref());
    Err(source.at(value.span(), message).help(format!("expected {} to {}", range.start(), range.end())))
}

pub(in crate::config) fn duration(source: &Source, span: &Spanned<Span>, what: &str) -> Result<Duration> {
    let value = span.get_ref().0;
    if (MIN_DURATION..=MAX_DURATION).contains(&value) {
        return Ok(value);
    }
    let message = format!("{value:?} is out of range for {what}");
    Err(source.at(span.span(), message).help("expected 1ms to 7d"))
}

pub(in crate::config) fn optional(
    source: &Source,
    span: Option<&Spanned<Span>>,
    what: &str,
) -> Result<Option<Duration>> {
    span.map(|span| duration(source, span, what)).transpose()
}

/// Longest name, in bytes: what still fits a line of `headgatectl status`.
const MAX_NAME: usize = 64;
const MIN_DURATION: Duration = Duration::from_millis(1);
/// Rates are kept in milliseconds of 32 bits, which wrap after 49 days.
const MAX_DURATION: Duration = Duration::from_secs(7 * 86_400);
