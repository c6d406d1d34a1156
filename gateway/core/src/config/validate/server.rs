//! The servers of a backend: what they say, and what all of them say.

use super::backend::maxconn;
use super::checks;
use super::values::{in_range, name, optional, unique};
use super::{Result, cookie, resolvers};
use crate::balance;
use crate::config::{
    Address, Alpn, Backend, BackendId, Frontend, Mode, Named, Resolvers, Server, ServerTls, Sni, schema,
};
use crate::pool;
use crate::proxy_protocol::Version;
use crate::route::HostPattern;
use base_core::diagnose::Source;
use std::ops::Range;
use toml::Spanned;

/// All servers, those of templates behind the others, and the names that say where some of them are.
pub(super) fn all(
    source: &Source,
    backend: &schema::Backend,
    known: &[Resolvers],
) -> Result<(Vec<Server>, Vec<Named>)> {
    let default = default(source, backend)?;
    let has_check = backend.check.is_some();
    let (mut servers, mut named) = (Vec::<Server>::new(), Vec::new());
    for (written, count) in written(source, backend)? {
        let missing = |what: &str| source.at(written.span(), format!("a server without {what}"));
        let server = written.get_ref().clone().or(&default);
        let name = server.name.as_ref().or(server.prefix.as_ref()).ok_or_else(|| missing("a name"))?;
        let address = server.address.as_ref().ok_or_else(|| missing("an address"))?;
        let (address, question) = resolvers::address(source, address)?;
        if let (Some(_), None, Some(written)) = (count, &question, &server.address) {
            let error = source.at(written.span(), "the servers of a template are where a name says");
            return Err(error.help("expected `name:port`, or a service such as `_http._tcp.name`"));
        }
        if matches!(address, Address::Unix(_)) {
            fits_unix(source, written, &server)?;
        }
        for number in 1..=count.unwrap_or(1) {
            let name = match count {
                None => name.clone(),
                Some(_) => Spanned::new(name.span(), format!("{}{number}", name.get_ref())),
            };
            self::name(source, &name)?;
            unique(source, &name, "server", servers.iter().map(|server| &server.name))?;
            match &question {
                Some(question) => {
                    resolvers::join(source, &mut named, known, servers.len(), &server, question.clone())?;
                }
                None => resolvers::nothing_to_ask(source, written.get_ref())?,
            }
            let minconn = minconn(source, backend, &server)?;
            let made = one(source, written, &server, has_check)?;
            servers.push(Server { name: name.into_inner(), address: address.clone(), minconn, ..made });
        }
    }
    if servers.is_empty() || servers.len() > MAX_SERVERS {
        let (name, found) = (backend.name.get_ref(), servers.len());
        let error = source.at(backend.name.span(), format!("backend `{name}` has {found} servers"));
        return Err(error.help(format!("give it 1 to {MAX_SERVERS} [[backend.server]]")));
    }
    Ok((servers, named))
}

/// Who is on this machine is reached neither in TLS nor from an address.
fn fits_unix(source: &Source, written: &Spanned<schema::Server>, server: &schema::Server) -> Result<()> {
    let what = match server {
        schema::Server { ssl: Some(true), .. } => "TLS",
        schema::Server { source: Some(_), .. } => "a source",
        _ => return Ok(()),
    };
    let error = source.at(written.span(), format!("{what} on a UNIX socket"));
    Err(error.help("leave out ssl and source, also in default_server, or give an address"))
}

/// What holds for all servers that do not say otherwise.
fn default(source: &Source, backend: &schema::Backend) -> Result<schema::Server> {
    let Some(written) = &backend.default_server else { return Ok(schema::Server::default()) };
    let default = written.get_ref();
    let is_server = default.name.is_some()
        || default.address.is_some()
        || default.cookie.is_some()
        || default.prefix.is_some()
        || default.count.is_some();
    if is_server {
        let error = source.at(written.span(), "default_server is no server");
        return Err(error.help("it has all keys of a server but its name, its address and its cookie"));
    }
    Ok(default.clone())
}

/// Each server, and each template with the number of its servers.
fn written<'a>(
    source: &Source,
    backend: &'a schema::Backend,
) -> Result<Vec<(&'a Spanned<schema::Server>, Option<u32>)>> {
    let mut all = Vec::new();
    for written in &backend.server {
        let server = written.get_ref();
        let span = server.prefix.as_ref().map(Spanned::span);
        if let Some(span) = span.or_else(|| server.count.as_ref().map(Spanned::span)) {
            let error = source.at(span, "a server has a name, and is one");
            return Err(error.help("prefix and count go into [[backend.server_template]]"));
        }
        all.push((written, None));
    }
    for written in &backend.server_template {
        let template = written.get_ref();
        let of_one = [
            ("name", template.name.as_ref().map(Spanned::span)),
            ("cookie", template.cookie.as_ref().map(Spanned::span)),
            ("track", template.track.as_ref().map(Spanned::span)),
        ];
        if let Some((key, span)) = of_one.into_iter().find_map(|(key, span)| Some((key, span?))) {
            let error = source.at(span, format!("{key} is for one server"));
            return Err(error.help("the servers of a template have a prefix and a number"));
        }
        let (Some(_), Some(count)) = (&template.prefix, &template.count) else {
            let error = source.at(written.span(), "a template without a prefix or a count");
            return Err(error.help("such as { prefix = \"web\", count = 10, address = \"web.example:80\" }"));
        };
        in_range(source, count, 1..=MAX_SERVERS as u32, "count")?;
        all.push((written, Some(*count.get_ref())));
    }
    Ok(all)
}

/// What a server says of itself but its name and its address.
fn one(
    source: &Source,
    written: &Spanned<schema::Server>,
    server: &schema::Server,
    has_check: bool,
) -> Result<Server> {
    if let Some(weight) = &server.weight {
        in_range(source, weight, 0..=MAX_WEIGHT, "weight")?;
    }
    let watch = checks::watch(source, server, has_check)?;
    let slowstart = optional(source, server.slowstart.as_ref(), "slowstart")?;
    Ok(Server {
        name: String::new(),
        address: Address::Named,
        weight: server.weight.as_ref().map_or(DEFAULT_WEIGHT, |weight| *weight.get_ref()),
        maxconn: maxconn(source, server.maxconn.as_ref())?,
        minconn: None,
        pool: pool(source, server)?,
        cookie: cookie::value(source, server.cookie.as_ref())?,
        backup: server.backup.unwrap_or(false),
        slowstart: slowstart.unwrap_or_default(),
        source: server.source,
        send_proxy: server.send_proxy.map(|version| match version {
            schema::SendProxy::V1 => Version::V1,
            schema::SendProxy::V2 => Version::V2,
        }),
        check_send_proxy: check_send_proxy(source, server)?,
        shutdown_sessions: server.on_marked_down == Some(schema::OnMarkedDown::ShutdownSessions),
        http: http(source, server)?,
        tls: tls(source, written, server)?,
        on_error: checks::on_error(source, written.get_ref(), server, watch)?,
        watch,
        agent: checks::agent(source, server.agent.as_ref())?,
    })
}

/// What may run on a server at least, which needs to know the most, and when that is.
fn minconn(source: &Source, backend: &schema::Backend, server: &schema::Server) -> Result<Option<u32>> {
    let Some(written) = &server.minconn else { return Ok(None) };
    let most = server.maxconn.as_ref().ok_or_else(|| {
        let error = source.at(written.span(), "minconn without maxconn");
        error.help("say what may run on it once the backend has `fullconn` requests: maxconn = 100, say")
    })?;
    in_range(source, written, 1..=*most.get_ref(), "minconn")?;
    if backend.fullconn.is_none() {
        let error = source.at(written.span(), "minconn without fullconn");
        return Err(
            error.help("say in the backend from how many requests on `maxconn` holds: fullconn = 1000, say")
        );
    }
    Ok(Some(*written.get_ref()))
}

/// Which connections to it are kept, which is bounded for those that carry one request at a time.
fn pool(source: &Source, server: &schema::Server) -> Result<pool::Policy> {
    let speaks_h2 = http(source, server)?.1 == 2;
    for (bound, key) in [(&server.pool_max_conn, "pool_max_conn"), (&server.max_reuse, "max_reuse")] {
        let Some(bound) = bound else { continue };
        in_range(source, bound, 0..=MAX_KEPT, key)?;
        if speaks_h2 {
            let error = source.at(bound.span(), format!("{key} is for connections of HTTP/1.1"));
            return Err(error.help("leave it out, or have this server speak nothing but HTTP/1.1"));
        }
    }
    Ok(pool::Policy {
        most_idle: server.pool_max_conn.as_ref().map(|most| *most.get_ref()),
        max_reuse: server.max_reuse.as_ref().map(|most| *most.get_ref()),
    })
}

fn check_send_proxy(source: &Source, server: &schema::Server) -> Result<Option<bool>> {
    match &server.check_send_proxy {
        Some(sends) if *sends.get_ref() && server.send_proxy.is_none() => {
            let error = source.at(sends.span(), "a header of which form?");
            Err(error.help("add send_proxy = \"v1\" or \"v2\""))
        }
        sends => Ok(sends.as_ref().map(|sends| *sends.get_ref())),
    }
}

/// The versions of HTTP that it may be spoken with.
fn http(source: &Source, server: &schema::Server) -> Result<(u8, u8)> {
    match (&server.proto, &server.alpn) {
        (Some(proto), Some(_)) => {
            let error = source.at(proto.span(), "both proto and alpn");
            Err(error.help("proto says what is spoken, alpn lets the server choose"))
        }
        (Some(proto), None) if *proto.get_ref() == schema::Proto::H2 => Ok((2, 2)),
        (None, Some(alpn)) => {
            let names = alpn.get_ref();
            let fits = |name: &String| (1..=255).contains(&name.len());
            if !(1..=MAX_ALPN).contains(&names.len()) || !names.iter().all(fits) {
                let help = format!("expected 1 to {MAX_ALPN} names, such as `h2` and `http/1.1`");
                return Err(source.at(alpn.span(), "nothing to offer").help(help));
            }
            let has = |protocol: Alpn| names.iter().any(|name| name == protocol.name());
            Ok(match (has(Alpn::Http11), has(Alpn::H2)) {
                (true, true) => (1, 2),
                (false, true) => (2, 2),
                _ => (1, 1),
            })
        }
        _ => Ok((1, 1)),
    }
}

fn tls(
    source: &Source,
    written: &Spanned<schema::Server>,
    server: &schema::Server,
) -> Result<Option<ServerTls>> {
    if server.ssl != Some(true) {
        let own = written.get_ref();
        let span = |key: Option<Range<usize>>, name| key.map(|span| (span, name));
        let keys = [
            span(own.verify.as_ref().map(Spanned::span), "verify"),
            span(own.ca_file.as_ref().map(Spanned::span), "ca_file"),
            span(own.sni.as_ref().map(Spanned::span), "sni"),
            span(own.verifyhost.as_ref().map(Spanned::span), "verifyhost"),
            span(own.crt.as_ref().map(Spanned::span), "crt"),
            span(own.alpn.as_ref().map(Spanned::span), "alpn"),
        ];
        return match keys.into_iter().flatten().next() {
            None => Ok(None),
            Some((span, key)) => {
                Err(source.at(span, format!("{key} without TLS")).help(format!("{key} goes with ssl = true")))
            }
        };
    }
    let verify =
        server.verify.as_ref().is_none_or(|verify| *verify.get_ref() == schema::VerifyServer::Required);
    if let (Some(ca_file), false) = (&server.ca_file, verify) {
        return Err(source
            .at(ca_file.span(), "a ca_file, but nothing is verified")
            .help("leave one of them out"));
    }
    let system = |path: &Spanned<_>| path.get_ref() == std::path::Path::new(SYSTEM_CA);
    Ok(Some(ServerTls {
        verify,
        ca_file: server.ca_file.as_ref().filter(|path| !system(path)).map(|path| path.get_ref().clone()),
        sni: sni(source, server)?,
        crt: server.crt.as_ref().map(|path| path.get_ref().clone()),
        alpn: server.alpn.as_ref().map(|names| names.get_ref().clone()).unwrap_or_default(),
        origin: source.at(written.span(), "TLS of this server"),
    }))
}

/// The name that is asked for and the one that is expected are the same.
fn sni(source: &Source, server: &schema::Server) -> Result<Sni> {
    let fixed = |text: &Spanned<String>| {
        let fits = HostPattern::parse(text.get_ref()).is_some() && !text.get_ref().contains(['*', '[']);
        let error = || source.at(text.span(), format!("`{}` is not a host name", text.get_ref()));
        if fits {
            Ok(Sni::Name(text.get_ref().clone()))
        } else {
            Err(error().help("expected one like `api.example`"))
        }
    };
    match (&server.sni, &server.verifyhost) {
        (None, None) => Ok(Sni::None),
        (None, Some(name)) => fixed(name),
        (Some(sni), None) if sni.get_ref() == HOST => Ok(Sni::Host),
        (Some(sni), None) if sni.get_ref() == CLIENT => Ok(Sni::Client),
        (Some(sni), None) => fixed(sni),
        (Some(sni), Some(name)) if sni.get_ref() == name.get_ref() => fixed(name),
        (Some(_), Some(name)) => Err(source
            .at(name.span(), "verifyhost is unlike sni")
            .help("a server is asked for the name that it must have")),
    }
}

/// TLS of servers means something in the modes that they are used in.
pub(super) fn tls_fits_modes(frontends: &[Frontend], backends: &[Backend]) -> Result<()> {
    let is_http = |name: &String| [Alpn::H2, Alpn::Http11].iter().any(|known| known.name() == name);
    for frontend in frontends {
        for BackendId(place) in frontend.backends() {
            for tls in backends[place].servers.iter().filter_map(|server| server.tls.as_ref()) {
                let (message, help) = match frontend.mode {
                    Mode::Tcp if tls.sni == Sni::Host => {
                        ("no request that is for a host", "say sni = \"ssl_fc_sni\", or a name")
                    }
                    Mode::Http if !tls.alpn.is_empty() && !tls.alpn.iter().any(is_http) => {
                        ("nothing but requests for this server", "add `h2` or `http/1.1` to its alpn")
                    }
                    _ => continue,
                };
                let mut error = tls.origin.clone();
                error.message = format!("frontend `{}` has {message}", frontend.name);
                return Err(error.help(help));
            }
        }
    }
    Ok(())
}

/// Servers of a backend.
const MAX_SERVERS: usize = 1024;
/// More connections to a server, or requests on one, than there will be.
const MAX_KEPT: u32 = 1_000_000_000;
/// So that there is room on both sides.
const DEFAULT_WEIGHT: u32 = 100;
/// HAProxy's range for weights.
const MAX_WEIGHT: u32 = balance::HEAVIEST;
/// HAProxy's word for whom the system trusts.
const SYSTEM_CA: &str = "@system-ca";
/// HAProxy's word for the name that a request is for.
const HOST: &str = "req.hdr(host)";
/// HAProxy's word for the name that a client asks for.
const CLIENT: &str = "ssl_fc_sni";
/// Names that a server may choose from: they fit one record.
const MAX_ALPN: usize = 16;
