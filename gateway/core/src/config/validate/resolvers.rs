//! Who is asked for the addresses of servers, what names they have, and which servers share one.

use super::Result;
use super::bind::unix;
use super::values::{duration, in_range, name, optional, resolve, unique};
use crate::config::{Address, Initial, Named, Question, Resolvers, ResolversId, schema};
use crate::resolve::{Hold, Policy, Preference};
use base_core::diagnose::{Diagnostic, Source};
use base_core::units::Span;
use std::time::Duration;
use toml::Spanned;

/// All `[[resolvers]]`, and one more that asks whom the system asks, for names that do not say whom to ask.
pub(super) fn all(source: &Source, written: Vec<schema::Resolvers>) -> Result<Vec<Resolvers>> {
    let mut all = Vec::<Resolvers>::new();
    for written in written {
        name(source, &written.name)?;
        unique(source, &written.name, "resolvers", all.iter().map(|known| &known.name))?;
        all.push(resolvers(source, &written)?);
    }
    if !all.iter().any(|known| known.name == DEFAULT) {
        let origin = source.at(0..0, "nobody is there to be asked for the names of servers");
        let default = schema::Resolvers {
            name: Spanned::new(0..0, DEFAULT.to_owned()),
            nameserver: Vec::new(),
            parse_resolv_conf: true,
            accepted_payload_size: None,
            resolve_retries: None,
            timeout_resolve: None,
            timeout_retry: None,
            hold: schema::Hold::default(),
        };
        all.push(Resolvers { origin, ..resolvers(source, &default)? });
    }
    Ok(all)
}

fn resolvers(source: &Source, written: &schema::Resolvers) -> Result<Resolvers> {
    if written.nameserver.is_empty() && !written.parse_resolv_conf {
        let error = source.at(written.name.span(), "these resolvers ask nobody");
        return Err(error.help("expected nameserver = [\"address:port\", …], or parse_resolv_conf = true"));
    }
    if written.nameserver.len() > MAX_NAMESERVERS {
        let error = source.at(written.name.span(), format!("{} name servers", written.nameserver.len()));
        return Err(error.help(format!("expected at most {MAX_NAMESERVERS}")));
    }
    let payload = written.accepted_payload_size.clone().unwrap_or_else(|| unwritten(DEFAULT_PAYLOAD));
    in_range(source, &payload, MIN_PAYLOAD..=u16::MAX, "accepted_payload_size")?;
    let retries = written.resolve_retries.clone().unwrap_or_else(|| unwritten(DEFAULT_RETRIES));
    in_range(source, &retries, 0..=MAX_RETRIES, "resolve_retries")?;
    let time = |written: &Option<Spanned<Span>>, default, what| {
        optional(source, written.as_ref(), what).map(|time| time.unwrap_or(default))
    };
    let retry = time(&written.timeout_retry, DEFAULT_TIMEOUT, "timeout_retry")?;
    let hold = &written.hold;
    Ok(Resolvers {
        name: written.name.get_ref().clone(),
        nameservers: written.nameserver.clone(),
        parse_resolv_conf: written.parse_resolv_conf,
        payload: payload.into_inner(),
        policy: Policy {
            resolve: time(&written.timeout_resolve, DEFAULT_TIMEOUT, "timeout_resolve")?,
            patience: retry * (retries.get_ref() + 1) * PARTS_OF_A_QUESTION,
            hold: Hold {
                valid: time(&hold.valid, DEFAULT_VALID, "hold.valid")?,
                obsolete: hold.obsolete.as_ref().map_or(Ok(Duration::ZERO), |hold| or_none(source, hold))?,
                nx: hold.nx.as_ref().map_or(Ok(DEFAULT_NX), |hold| or_none(source, hold))?,
                refused: hold.refused.as_ref().map(|hold| or_none(source, hold)).transpose()?,
                timeout: hold.timeout.as_ref().map(|hold| or_none(source, hold)).transpose()?,
                other: hold.other.as_ref().map(|hold| or_none(source, hold)).transpose()?,
            },
        },
        retries: retries.into_inner(),
        retry,
        origin: source.at(written.name.span(), "these resolvers ask nobody"),
    })
}

/// A duration that may be none at all.
fn or_none(source: &Source, written: &Spanned<Span>) -> Result<Duration> {
    if written.get_ref().0.is_zero() { Ok(Duration::ZERO) } else { duration(source, written, "hold") }
}

/// Where a server is, or what to ask for that.
pub(super) fn address(source: &Source, written: &Spanned<String>) -> Result<(Address, Option<Question>)> {
    let text = written.get_ref();
    if let Ok(address) = text.parse() {
        return Ok((Address::At(address), None));
    }
    let wrong = || source.at(written.span(), format!("`{text}` is not where a server can be"));
    if let Some(path) = text.strip_prefix("unix@") {
        let path = unix(path).map_err(|help| wrong().help(help))?;
        return Ok((Address::Unix(path), None));
    }
    let error = || {
        let help =
            "expected `address:port`, `unix@/path`, `name:port`, or a service such as `_http._tcp.name`";
        Err(wrong().help(help))
    };
    let question = match text.rsplit_once(':') {
        None if text.starts_with('_') && is_name(text) => Question::Service(text.clone()),
        Some((name, port)) if is_name(name) => match port.parse() {
            Ok(port @ 1..) => Question::Address { name: name.to_owned(), port },
            _ => return error(),
        },
        _ => return error(),
    };
    Ok((Address::Named, Some(question)))
}

/// Notes that the server at `place` is where the question says; with servers that ask the same it shares the answer.
pub(super) fn join(
    source: &Source,
    named: &mut Vec<Named>,
    resolvers: &[Resolvers],
    place: usize,
    server: &schema::Server,
    question: Question,
) -> Result<()> {
    let id = match &server.resolvers {
        Some(wanted) => resolve(source, wanted, "resolvers", resolvers.iter().map(|known| &known.name))?,
        // There is one, as they are made.
        None => resolvers.iter().position(|known| known.name == DEFAULT).unwrap_or_default(),
    };
    let preference = Preference {
        family: server.resolve_prefer.as_ref().map(|family| *family.get_ref()).unwrap_or_default(),
        networks: server.resolve_net.as_ref().map(|networks| networks.get_ref().clone()).unwrap_or_default(),
    };
    let initial = initial(source, server, &question)?;
    let same = |one: &&mut Named| {
        one.question == question
            && one.resolvers.0 == id
            && one.preference == preference
            && one.initial == initial
    };
    match named.iter_mut().find(same) {
        Some(one) => one.servers.push(place),
        None => named.push(Named {
            origin: origin(source, server, &question),
            resolvers: ResolversId(id),
            question,
            preference,
            initial,
            servers: vec![place],
        }),
    }
    Ok(())
}

/// Keys that say how to ask mean nothing where nobody is asked.
pub(super) fn nothing_to_ask(source: &Source, own: &schema::Server) -> Result<()> {
    let keys = [
        ("resolvers", own.resolvers.as_ref().map(Spanned::span)),
        ("resolve_prefer", own.resolve_prefer.as_ref().map(Spanned::span)),
        ("resolve_net", own.resolve_net.as_ref().map(Spanned::span)),
        ("init_addr", own.init_addr.as_ref().map(Spanned::span)),
    ];
    match keys.into_iter().find_map(|(key, span)| Some((key, span?))) {
        None => Ok(()),
        Some((key, span)) => {
            let error = source.at(span, format!("{key}, but no name to ask for"));
            Err(error.help("its address is known: leave it out"))
        }
    }
}

fn initial(source: &Source, server: &schema::Server, question: &Question) -> Result<Vec<Initial>> {
    let Some(written) = &server.init_addr else { return Ok(vec![Initial::None]) };
    let read = |word: &String| match word.as_str() {
        "none" => Some(Initial::None),
        "libc" if matches!(question, Question::Address { .. }) => Some(Initial::Libc),
        address if matches!(question, Question::Address { .. }) => address.parse().ok().map(Initial::At),
        _ => None,
    };
    let read = written.get_ref().iter().map(|word| {
        read(word).ok_or_else(|| {
            let error = source.at(written.span(), format!("`{word}` is no init_addr here"));
            error.help("expected `libc`, `none` or an address; of a service only `none`")
        })
    });
    read.collect()
}

fn origin(source: &Source, server: &schema::Server, question: &Question) -> Diagnostic {
    let span = server.init_addr.as_ref().map(Spanned::span);
    let span = span.or_else(|| server.address.as_ref().map(Spanned::span)).unwrap_or_default();
    source.at(span, format!("`{}` is nowhere", question.name()))
}

/// RFC 1123, and what SRV puts before it. A name that ends in a number would be an address with a slip.
fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(fits);
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn unwritten<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// The resolvers of names that name none.
const DEFAULT: &str = "default";
/// As many as HAProxy's manual has in its examples, and more than anyone needs.
const MAX_NAMESERVERS: usize = 16;
/// What passes through all networks unfragmented (DNS flag day 2020).
const DEFAULT_PAYLOAD: u16 = 1232;
/// What every resolver may send (RFC 1035).
const MIN_PAYLOAD: u16 = 512;
/// HAProxy's default.
const DEFAULT_RETRIES: u32 = 3;
/// Longer than this nobody waits.
const MAX_RETRIES: u32 = 16;
/// HAProxy's default, for both.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
/// HAProxy's default.
const DEFAULT_VALID: Duration = Duration::from_secs(10);
/// HAProxy's default: a name that is gone was taken away by someone.
const DEFAULT_NX: Duration = Duration::from_secs(30);
/// A service, then two families of its targets, each of which may need all tries; and one for what is in between.
const PARTS_OF_A_QUESTION: u32 = 4;
