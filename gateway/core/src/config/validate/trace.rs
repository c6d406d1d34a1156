//! Traces: whether they are made, and where spans go.

use super::Result;
use super::values::{in_range, name};
use crate::config::schema::Trace;
use crate::trace::{Collector, Tracing};
use base_core::diagnose::Source;
use toml::Spanned;

pub(super) fn tracing(source: &Source, written: Option<Trace>) -> Result<Option<Tracing>> {
    let Some(written) = written else { return Ok(None) };
    in_range(source, &written.sample, 0..=100, "sample")?;
    name(source, &written.service)?;
    let collector = |text: &Spanned<String>| {
        Collector::parse(text.get_ref()).ok_or_else(|| {
            let error = source.at(text.span(), format!("`{}` is no collector", text.get_ref()));
            error.help("such as \"http://127.0.0.1:4318/v1/traces\"")
        })
    };
    let otlp = written.otlp.as_ref().map(collector).transpose()?;
    Ok(Some(Tracing {
        make: written.make.unwrap_or_else(|| otlp.is_some()),
        sample: written.sample.into_inner(),
        otlp,
        service: written.service.into_inner(),
    }))
}
