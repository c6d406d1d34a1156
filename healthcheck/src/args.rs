//! The command line, and what it asks for.

use crate::report::Output;
use crate::target::Target;
use base_core::units::Span;
use clap::{Parser, ValueEnum};
use healthcheck_core::spec::{DEFAULT_METHOD, HttpCheck};
use healthcheck_core::tally::Goal;
use healthcheck_core::{Expect, Kind};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use std::time::Duration;

/// Probes a URL or a port, and exits 0 if it is well, 1 if it is not.
///
/// One line for each probe: HAProxy's word for how it ended (L7OK, L7STS, L7RSP, L7TOUT, L4OK, L4CON, L4TOUT,
/// SOCKERR), the HTTP status, the milliseconds, the address.
#[derive(Parser, Debug)]
#[command(name = "headgate-probe", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[arg(value_name = "URL|HOST:PORT", help = "What to probe: http://HOST[:PORT][/PATH], or HOST:PORT")]
    target: Target,
    /// What to ask: `tcp` to accept a connection, `http` to answer a request [default: http for a URL, else tcp].
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    kind: Option<Type>,
    /// Probes at most.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one())]
    count: u32,
    /// From the start of one probe to the start of the next.
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = duration)]
    interval: Duration,
    /// How long one probe may take; also the lookup of the host name.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    timeout: Duration,
    /// HTTP statuses that pass, such as 200 or 200-299,404.
    #[arg(long, value_name = "STATUS", default_value_t = Expect::default())]
    expect: Expect,
    /// HTTP method.
    #[arg(long, value_name = "METHOD", default_value = DEFAULT_METHOD)]
    method: String,
    /// `Host` header [default: the host of the URL].
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Exit 0 if this many of the probes passed [default: all].
    #[arg(long, value_name = "N", value_parser = at_least_one(), conflicts_with = "rise")]
    require: Option<u32>,
    /// Exit 0 as soon as this many passed in a row; 1 if that never happens within --count.
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    rise: Option<u32>,
    /// Exit 1 as soon as this many failed in a row.
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    fall: Option<u32>,
    /// One JSON object for each probe, and one for the summary.
    #[arg(long)]
    json: bool,
    /// Print nothing; the exit code says it.
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
}

/// What shall be done.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) kind: Kind,
    pub(crate) goal: Goal,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Type {
    Http,
    Tcp,
}

impl Args {
    /// Checks what clap can't: whether the options make sense together.
    pub(crate) fn plan(self) -> Result<Plan, String> {
        let is_http = match self.kind {
            Some(kind) => matches!(kind, Type::Http),
            None => self.target.uri.is_some(),
        };
        let kind = if is_http { Kind::Http(self.http()?) } else { Kind::Tcp };
        let require = self.require.unwrap_or(self.count);
        for (option, number) in [("--require", Some(require)), ("--rise", self.rise), ("--fall", self.fall)] {
            if number.is_some_and(|number| number > self.count) {
                return Err(format!("{option} asks for more probes than --count ({}) allows", self.count));
            }
        }
        let output = match (self.json, self.quiet) {
            (true, _) => Output::Json,
            (false, true) => Output::Quiet,
            (false, false) => Output::Text,
        };
        let goal = Goal { count: self.count, require, rise: self.rise, fall: self.fall };
        Ok(Plan { target: self.target, kind, goal, interval: self.interval, timeout: self.timeout, output })
    }

    fn http(&self) -> Result<HttpCheck, String> {
        let http = HttpCheck {
            method: self.method.clone(),
            uri: self.target.uri.clone().unwrap_or_else(|| "/".to_owned()),
            host: Some(self.host.clone().unwrap_or_else(|| self.target.authority.clone())),
            expect: self.expect.clone(),
        };
        http.validate()?;
        Ok(http)
    }
}

fn at_least_one() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

fn duration(text: &str) -> Result<Duration, String> {
    let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    let span = Span::deserialize(text).map_err(|error| error.to_string())?;
    if span.0.is_zero() { Err("must be more than nothing".to_owned()) } else { Ok(span.0) }
}

const EXAMPLES: &str = "\
Exit codes: 0 it is well, 1 it is not (or its name is not known), 2 the command line is wrong.

Examples:
  headgate-probe http://10.0.0.1:8080/health
      One request; 2xx and 3xx pass.
  headgate-probe --rise 3 --count 150 --timeout 200ms http://10.0.0.1:8080/health
      After a deployment: wait until three in a row passed, for at most 30 s (150 x 200ms).
  headgate-probe --count 20 --require 19 --timeout 100ms http://10.0.0.1:8080/
      Twenty requests; one may fail or be slower than 100 ms.
  headgate-probe --count 50 --fall 1 10.0.0.1:5672
      Watch a port for 10 s; the first refusal ends it with 1.
  headgate-probe --json --expect 401 http://keystone.example:5000/v3/users
      For a program: JSON, one object a line.";
