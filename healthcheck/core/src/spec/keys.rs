//! The keys of a check as they are written, each with its place in what they mean.

use super::http::Expectations;
use super::kind::Type;
use super::{
    CheckSpec, CommandCheck, DEFAULT_FALL, DEFAULT_INTER, DEFAULT_RISE, HttpCheck, Kind, MAX_TEXT,
    MIN_TIMEOUT, MysqlLogin, Pattern, Secret, Step, Timing, TlsCheck, Version, is_one_word,
};
use crate::schedule::MIN_INTERVAL;
use base_core::units::Span;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {
    r#type: Type,
    uri: Option<String>,
    method: Option<String>,
    version: Option<Version>,
    host: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    body: Option<String>,
    expect: Option<Expectations>,
    steps: Option<Vec<StepKeys>>,
    service: Option<String>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    wsrep_ready: Option<bool>,
    hello: Option<String>,
    command: Option<Command>,
    path: Option<PathBuf>,
    absent: Option<bool>,
    tls: Option<Tls>,
    addr: Option<IpAddr>,
    port: Option<u16>,
    inter: Option<Span>,
    fastinter: Option<Span>,
    downinter: Option<Span>,
    timeout: Option<Span>,
    rise: Option<u32>,
    fall: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepKeys {
    send: Option<String>,
    send_hex: Option<String>,
    expect: Option<String>,
    expect_hex: Option<String>,
    regex: Option<String>,
    not: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a program, or a list of it and its arguments")]
enum Command {
    Program(PathBuf),
    Line(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "true, or a table of `verify`, `ca_file`, `sni` and `crt`")]
enum Tls {
    Plain(bool),
    Keys(TlsKeys),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsKeys {
    #[serde(default)]
    verify: Verify,
    ca_file: Option<PathBuf>,
    sni: Option<String>,
    crt: Option<PathBuf>,
}

#[derive(Clone, Copy, Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Verify {
    #[default]
    Required,
    None,
}

impl TryFrom<Keys> for CheckSpec {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let timing = keys.timing()?;
        if keys.port == Some(0) {
            return Err("`port` of a check is at least 1".to_owned());
        }
        let (addr, port) = (keys.addr, keys.port);
        let kind = keys.kind()?;
        let can_have_tls = keys.r#type.can_have_tls();
        let inherits_tls = can_have_tls && keys.tls.is_none();
        let tls = if can_have_tls { keys.tls()? } else { None };
        keys.nothing_left()?;
        Ok(Self { kind, tls, inherits_tls, addr, port, timing })
    }
}

impl Keys {
    /// Takes the keys that a kind has.
    fn kind(&mut self) -> Result<Kind, String> {
        Ok(match self.r#type {
            Type::Tcp => match self.steps.take() {
                None => Kind::Tcp,
                Some(steps) => Kind::Steps(read_steps(steps)?),
            },
            Type::Tls => Kind::Tls,
            Type::Http => Kind::Http(self.http()?),
            Type::Grpc => Kind::Grpc { service: self.text("service")?.unwrap_or_default() },
            Type::Mysql => Kind::Mysql(self.mysql()?),
            Type::Postgres => Kind::Postgres {
                user: self.text("user")?.unwrap_or_else(|| DEFAULT_USER.to_owned()),
                database: self.text("database")?,
            },
            Type::Redis => self.redis()?,
            Type::Amqp => Kind::Amqp,
            Type::Smtp => {
                Kind::Smtp { hello: self.text("hello")?.unwrap_or_else(|| DEFAULT_HELLO.to_owned()) }
            }
            Type::Ldap => Kind::Ldap,
            Type::Command => self.command()?,
            Type::File => match self.path.take().filter(|path| path.is_absolute()) {
                Some(path) => Kind::File { path, absent: self.absent.take().unwrap_or(false) },
                None => return Err("a check of type \"file\" needs its `path`, from / on".to_owned()),
            },
        })
    }

    fn http(&mut self) -> Result<HttpCheck, String> {
        let default = HttpCheck::default();
        let expect = self.expect.take().unwrap_or_default();
        let http = HttpCheck {
            uri: self.uri.take().unwrap_or(default.uri),
            method: self.method.take().unwrap_or(default.method),
            version: self.version.take().unwrap_or_default(),
            host: self.host.take(),
            headers: self.headers.take().unwrap_or_default(),
            body: self.body.take().unwrap_or_default(),
            expect: expect.status,
            contains: expect.contains,
        };
        http.validate()?;
        if http.method == "HEAD" && !http.contains.is_empty() {
            return Err("an answer to HEAD has no body to look into".to_owned());
        }
        Ok(http)
    }

    fn mysql(&mut self) -> Result<MysqlLogin, String> {
        let wsrep_ready = self.wsrep_ready.take().unwrap_or(false);
        let (user, password) = (self.text("user")?, self.secret()?);
        if user.is_none() && (wsrep_ready || password.is_some()) {
            return Err("`password` and `wsrep_ready` of a check need a `user` who logs in".to_owned());
        }
        Ok(MysqlLogin { user, password, wsrep_ready })
    }

    fn redis(&mut self) -> Result<Kind, String> {
        let (user, password) = (self.text("user")?, self.secret()?);
        if user.is_some() && password.is_none() {
            return Err("`user` of a check needs a `password`".to_owned());
        }
        Ok(Kind::Redis { user, password })
    }

    fn command(&mut self) -> Result<Kind, String> {
        let (program, arguments) = match self.command.take() {
            None => return Err("a check of type \"command\" needs its `command`".to_owned()),
            Some(Command::Program(program)) => (program, None),
            Some(Command::Line(line)) => {
                let mut line = line.into_iter();
                (line.next().unwrap_or_default().into(), Some(line.collect()))
            }
        };
        if !program.is_absolute() {
            return Err("`command` of a check begins with the path of a program, from / on".to_owned());
        }
        Ok(Kind::Command(CommandCheck { program, arguments }))
    }

    fn tls(&mut self) -> Result<Option<TlsCheck>, String> {
        let tls = match self.tls.take() {
            None if matches!(self.r#type, Type::Tls) => TlsCheck::default(),
            None | Some(Tls::Plain(false)) => return Ok(None),
            Some(Tls::Plain(true)) => TlsCheck::default(),
            Some(Tls::Keys(TlsKeys { verify, ca_file, sni, crt })) => {
                TlsCheck { verify_none: verify == Verify::None, ca_file, sni, crt, any_name: false }
            }
        };
        if tls.sni.as_deref().is_some_and(|sni| !is_one_word(sni)) {
            return Err("`sni` of a check is a host name such as \"api.example\"".to_owned());
        }
        if tls.verify_none && tls.ca_file.is_some() {
            return Err("`ca_file` of a check has no meaning with `verify = \"none\"`".to_owned());
        }
        Ok(Some(tls))
    }

    /// Takes one of the short texts, of which none holds a NUL or a line end.
    fn text(&mut self, key: &str) -> Result<Option<String>, String> {
        let text = match key {
            "service" => self.service.take(),
            "user" => self.user.take(),
            "password" => self.password.take(),
            "database" => self.database.take(),
            _ => self.hello.take(),
        };
        match text {
            Some(text)
                if text.len() > MAX_TEXT
                    || text.is_empty()
                    || text.bytes().any(|byte| byte.is_ascii_control()) =>
            {
                Err(format!("`{key}` of a check is 1 to {MAX_TEXT} bytes of text"))
            }
            text => Ok(text),
        }
    }

    fn secret(&mut self) -> Result<Option<Secret>, String> {
        Ok(self.text("password")?.map(Secret::new))
    }

    /// Refuses what the kind did not take.
    fn nothing_left(&self) -> Result<(), String> {
        let left = [
            ("uri", self.uri.is_some()),
            ("method", self.method.is_some()),
            ("version", self.version.is_some()),
            ("host", self.host.is_some()),
            ("headers", self.headers.is_some()),
            ("body", self.body.is_some()),
            ("expect", self.expect.is_some()),
            ("steps", self.steps.is_some()),
            ("service", self.service.is_some()),
            ("user", self.user.is_some()),
            ("password", self.password.is_some()),
            ("database", self.database.is_some()),
            ("wsrep_ready", self.wsrep_ready.is_some()),
            ("hello", self.hello.is_some()),
            ("command", self.command.is_some()),
            ("path", self.path.is_some()),
            ("absent", self.absent.is_some()),
            ("tls", self.tls.is_some()),
        ];
        match left.iter().find(|(_, is_set)| *is_set) {
            Some((key, _)) => {
                Err(format!("`{key}` has no meaning for a check of type \"{}\"", self.r#type.name()))
            }
            None => Ok(()),
        }
    }

    fn timing(&self) -> Result<Timing, String> {
        let inter = self.inter.unwrap_or(DEFAULT_INTER);
        let timing = Timing {
            inter: inter.0,
            fastinter: self.fastinter.unwrap_or(inter).0,
            downinter: self.downinter.unwrap_or(inter).0,
            timeout: self.timeout.unwrap_or(inter).0,
            rise: self.rise.unwrap_or(DEFAULT_RISE),
            fall: self.fall.unwrap_or(DEFAULT_FALL),
        };
        let intervals =
            [("inter", timing.inter), ("fastinter", timing.fastinter), ("downinter", timing.downinter)];
        if let Some((key, _)) = intervals.iter().find(|(_, interval)| *interval < MIN_INTERVAL) {
            return Err(format!("`{key}` of a check is at least {MIN_INTERVAL:?}"));
        }
        if timing.timeout < MIN_TIMEOUT || timing.timeout > timing.inter {
            return Err(format!("`timeout` of a check is between {MIN_TIMEOUT:?} and `inter` ({inter:?})"));
        }
        if timing.rise == 0 || timing.fall == 0 {
            return Err("`rise` and `fall` of a check are at least 1".to_owned());
        }
        Ok(timing)
    }
}

fn read_steps(written: Vec<StepKeys>) -> Result<Vec<Step>, String> {
    let steps = written.into_iter().map(StepKeys::read).collect::<Result<Vec<_>, _>>()?;
    let bytes = steps.iter().map(|step| if let Step::Send(bytes) = step { bytes.len() } else { 0 });
    if !(1..=MAX_STEPS).contains(&steps.len()) || bytes.sum::<usize>() > MAX_SENT {
        return Err(format!("`steps` of a check are 1 to {MAX_STEPS}, and send at most {MAX_SENT} bytes"));
    }
    if steps.iter().all(|step| matches!(step, Step::Send(_))) {
        return Err("`steps` of a check expect something at least once".to_owned());
    }
    Ok(steps)
}

impl StepKeys {
    fn read(self) -> Result<Step, String> {
        let not = self.not.unwrap_or(false);
        let step = match (self.send, self.send_hex, self.expect, self.expect_hex, self.regex) {
            (Some(text), None, None, None, None) if self.not.is_none() => {
                return Ok(Step::Send(text.into_bytes()));
            }
            (None, Some(text), None, None, None) if self.not.is_none() => return Ok(Step::Send(hex(&text)?)),
            (None, None, Some(text), None, None) => Pattern::bytes(text.as_bytes()),
            (None, None, None, Some(text), None) => Pattern::bytes(&hex(&text)?),
            (None, None, None, None, Some(text)) => Pattern::regex(&text),
            _ => {
                return Err("a step of a check is one of `send`, `send_hex`, `expect`, `expect_hex` and `regex`; the \
                            last three may have `not`"
                    .to_owned());
            }
        };
        let pattern = step.map_err(|error| format!("a step of a check: {error}"))?;
        Ok(Step::Expect { pattern, not })
    }
}

/// Pairs of hexadecimal digits, with spaces wherever they help.
fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Option<Vec<u32>> =
        text.chars().filter(|digit| !digit.is_ascii_whitespace()).map(|digit| digit.to_digit(16)).collect();
    match digits {
        Some(digits) if digits.len().is_multiple_of(2) && !digits.is_empty() => {
            let byte = |pair: &[u32]| pair.iter().fold(0_u8, |byte, digit| byte << 4 | *digit as u8);
            Ok(digits.chunks(2).map(byte).collect())
        }
        _ => Err(format!("`{text}` are no pairs of hexadecimal digits, such as \"0a ff\"")),
    }
}

/// Who a PostgreSQL check says it is: nobody logs in, so there need be no such user.
const DEFAULT_USER: &str = "headgate";
/// What an SMTP check calls itself: HAProxy's.
const DEFAULT_HELLO: &str = "localhost";
/// Steps of a talk: more is a program.
const MAX_STEPS: usize = 32;
/// Bytes that a talk sends: they fit a socket's buffer.
const MAX_SENT: usize = 16 * 1024;
