//! What the log has of requests and answers beside what it always has.

use super::Result;
use super::cookie::token;
use super::values::in_range;
use crate::capture::{Capture, Field};
use crate::config::schema;
use base_core::diagnose::Source;
use toml::Spanned;

pub(super) fn capture(source: &Source, written: Option<&Spanned<schema::Capture>>) -> Result<Capture> {
    let Some(written) = written.map(Spanned::get_ref) else { return Ok(Capture::default()) };
    let field = |written: &Spanned<schema::Captured>| {
        let written = written.get_ref();
        in_range(source, &written.len, 1..=MOST_BYTES, "len")?;
        let name = written.name.get_ref();
        // Of a cookie it may say where the name ends.
        let own = Spanned::new(written.name.span(), name.strip_suffix('=').unwrap_or(name).to_owned());
        token(source, &own, "a name")?;
        Ok(Field { name: name.clone(), len: *written.len.get_ref() })
    };
    let fields = |written: &[Spanned<schema::Captured>]| {
        if let Some(extra) = written.get(MOST_FIELDS) {
            let help = format!("at most {MOST_FIELDS} of requests, and as many of answers");
            return Err(source.at(extra.span(), "one field too many").help(help));
        }
        written.iter().map(field).collect::<Result<Vec<_>>>()
    };
    Ok(Capture {
        request: fields(&written.request_header)?,
        response: fields(&written.response_header)?,
        cookie: written.cookie.as_ref().map(field).transpose()?,
    })
}

/// Of requests, and as many of answers.
const MOST_FIELDS: usize = 16;
/// Of each: lines of syslog are cut at 1024 by default.
const MOST_BYTES: usize = 1024;
