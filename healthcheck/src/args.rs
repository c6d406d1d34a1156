//! The command line, and what it asks for.

use crate::report::Output;
use crate::target::Target;
use base_core::units::Span;
use clap::Parser;
use clap::builder::PossibleValuesParser;
use healthcheck_core::spec::Type;
use healthcheck_core::tally::Goal;
use healthcheck_core::{CheckSpec, Expect};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use std::time::Duration;
use toml::{Table, Value};

/// Probes a URL or a port, and exits 0 if it is well, 1 if it is not.
///
/// One line for each probe: HAProxy's word for how it ended (L7OK, L7STS, L7RSP, L7TOUT, L6OK, L6RSP, L6TOUT, L4OK,
/// L4CON, L4TOUT, PROCOK, PROCERR, PROCTOUT, SOCKERR), the status or error that the server gave, the milliseconds, the
/// address, and what was wrong in one word.
#[derive(Parser, Debug)]
#[command(name = "headgate-probe", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[arg(
        value_name = "URL|HOST:PORT",
        help = "What to probe: http://HOST[:PORT][/PATH], https://…, or HOST:PORT"
    )]
    target: Target,
    /// What to ask [default: http for a URL, else tcp].
    #[arg(long = "type", value_name = "TYPE", value_parser = PossibleValuesParser::new(Type::ALL.map(Type::name)))]
    kind: Option<String>,
    /// Keys of a `check` as they stand in gateway.toml, such as 'type = "redis", timeout = "1s"'.
    #[arg(long, value_name = "KEYS")]
    check: Option<String>,
    /// Probes at most.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one())]
    count: u32,
    /// From the start of one probe to the start of the next.
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = duration)]
    interval: Duration,
    /// How long one probe may take; also the lookup of the host name.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    keys: Keys,
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

/// Keys of a check that have options of their own.
#[derive(clap::Args, Debug)]
struct Keys {
    /// HTTP statuses that pass, such as 200 or 200-299,404 [default: 200-399].
    #[arg(long, value_name = "STATUS")]
    expect: Option<Expect>,
    /// Text that the HTTP answer's body must contain.
    #[arg(long, value_name = "TEXT")]
    string: Option<String>,
    /// Expression that must be found in the HTTP answer's body.
    #[arg(long, value_name = "REGEX")]
    regex: Option<String>,
    /// HTTP method [default: GET].
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// `Host` header [default: the host of the URL].
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// One more header; may be given again.
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Body of the request.
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// Speak TLS, as for an https URL.
    #[arg(long)]
    tls: bool,
    /// Take any certificate.
    #[arg(long)]
    insecure: bool,
    /// File of the authorities to believe [default: the system's].
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca_file: Option<String>,
    /// Name to ask for in TLS, and that the certificate must have [default: the host].
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// Service of a grpc probe [default: the server as a whole].
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// User of a mysql, postgres or redis probe; its password comes from the environment, HEADGATE_PROBE_PASSWORD.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Whether Galera must let the node work.
    #[arg(long)]
    wsrep_ready: bool,
    /// Program of a command probe; it gets HAProxy's environment and arguments of external-check.
    #[arg(long, value_name = "PROGRAM")]
    command: Option<String>,
}

/// What shall be done.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) check: CheckSpec,
    pub(crate) goal: Goal,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) output: Output,
}

impl Args {
    /// Checks what clap can't: whether the options make sense together.
    pub(crate) fn plan(self) -> Result<Plan, String> {
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
        let check = self.check()?;
        let goal = Goal { count: self.count, require, rise: self.rise, fall: self.fall };
        Ok(Plan { target: self.target, check, goal, interval: self.interval, timeout: self.timeout, output })
    }

    /// The check with all that the options say of it, read as the gateway reads it.
    fn check(&self) -> Result<CheckSpec, String> {
        let mut keys = match &self.check {
            None => Table::new(),
            Some(text) => inline(text)?,
        };
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                keys.insert(key.to_owned(), value);
            }
        };
        set("type", self.kind.clone().map(Value::from));
        set("uri", self.target.uri.clone().map(Value::from));
        self.keys.tell(&mut set)?;
        let is_url = self.target.uri.is_some();
        keys.entry("type").or_insert_with(|| if is_url { "http" } else { "tcp" }.into());
        if keys.get("type").and_then(Value::as_str) == Some("http") {
            keys.entry("host").or_insert_with(|| self.target.authority.clone().into());
        }
        if self.target.tls || self.keys.speaks_tls() {
            self.keys.tls(&mut keys, &self.target);
        }
        CheckSpec::deserialize(Value::Table(keys)).map_err(|error| error.message().to_owned())
    }
}

impl Keys {
    fn tell(&self, set: &mut impl FnMut(&str, Option<Value>)) -> Result<(), String> {
        let text = |text: &Option<String>| text.clone().map(Value::from);
        set("method", text(&self.method));
        set("host", text(&self.host));
        set("body", text(&self.body));
        set("service", text(&self.service));
        set("user", text(&self.user));
        set("command", text(&self.command));
        set("wsrep_ready", self.wsrep_ready.then_some(Value::Boolean(true)));
        if self.user.is_some() {
            set("password", std::env::var(PASSWORD).ok().map(Value::from));
        }
        if !self.header.is_empty() {
            let split = |header: &String| {
                let (name, value) = header.split_once(':')?;
                Some((name.to_owned(), Value::from(value.trim())))
            };
            let headers = self.header.iter().map(split).collect::<Option<Table>>();
            set("headers", Some(headers.ok_or("--header is `NAME: VALUE`")?.into()));
        }
        let expect = [
            ("status", self.expect.as_ref().map(|expect| Value::from(expect.to_string()))),
            ("string", text(&self.string)),
            ("regex", text(&self.regex)),
        ];
        let expect: Table =
            expect.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
        set("expect", (!expect.is_empty()).then_some(expect.into()));
        Ok(())
    }

    fn speaks_tls(&self) -> bool {
        self.tls || self.insecure || self.ca_file.is_some() || self.sni.is_some()
    }

    fn tls(&self, keys: &mut Table, target: &Target) {
        let mut tls = Table::new();
        if self.insecure {
            tls.insert("verify".to_owned(), "none".into());
        }
        if let Some(file) = &self.ca_file {
            tls.insert("ca_file".to_owned(), file.as_str().into());
        }
        if let Some(sni) = self.sni.as_deref().or_else(|| target.name()) {
            tls.insert("sni".to_owned(), sni.into());
        }
        keys.insert("tls".to_owned(), tls.into());
    }
}

/// What stands between the braces of a table, or the whole of it.
fn inline(text: &str) -> Result<Table, String> {
    let text = text.trim();
    let text =
        if text.starts_with('{') { format!("check = {text}") } else { format!("check = {{ {text} }}") };
    let table: Table = toml::from_str(&text).map_err(|error| format!("--check: {}", error.message()))?;
    match table.into_iter().next() {
        Some((_, Value::Table(keys))) => Ok(keys),
        _ => Err("--check: expected keys as they stand between the braces of `check = { … }`".to_owned()),
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
      For a program: JSON, one object a line.
  HEADGATE_PROBE_PASSWORD=secret headgate-probe --type mysql --user check --wsrep-ready 10.0.0.1:3306
      Whether a Galera node lets in and works.
  headgate-probe --check 'type = \"tcp\", steps = [{ send = \"PING\\r\\n\" }, { expect = \"+PONG\" }]' 10.0.0.1:6379
      Any check, in the words of gateway.toml.";
/// Where a password comes from: options are seen by everyone who looks at the processes.
const PASSWORD: &str = "HEADGATE_PROBE_PASSWORD";
