//! The servers of a backend: what they say, and what all of them say.

use super::backend::maxconn;
use super::checks;
use super::values::{in_range, name, optional, unique};
use super::{Result, cookie};
use crate::config::{Alpn, Backend, BackendId, Frontend, Mode, Server, ServerTls, Sni, schema};
use crate::proxy_protocol::Version;
use crate::route::HostPattern;
use base_core::diagnose::Source;
use std::ops::Range;
use toml::Spanned;

pub(super) fn all(
    source: &Source,
    default: Option<&Spanned<schema::Server>>,
    written: &[Spanned<schema::Server>],
    has_check: bool,
) -> Result<Vec<Server>> {
    let nothing = schema::Server::default();
    if let Some(default) = default
        && (default.get_ref().name.is_some()
            || default.get_ref().address.is_some()
            || default.get_ref().cookie.is_some())
    {
        return Err(source
            .at(default.span(), "default_server is no server")
            .help("it has all keys of a server but its name, its address and its cookie"));
    }
    let default = default.map_or(&nothing, Spanned::get_ref);
    let mut servers = Vec::<Server>::new();
    for written in written {
        let missing = |what: &str| source.at(written.span(), format!("a server without {what}"));
        let server = written.get_ref().clone().or(default);
        let name = server.name.as_ref().ok_or_else(|| missing("a name"))?;
        self::name(source, name)?;
        unique(source, name, "server", servers.iter().map(|server| &server.name))?;
        if let Some(weight) = &server.weight {
            in_range(source, weight, 0..=MAX_WEIGHT, "weight")?;
        }
        let slowstart = optional(source, server.slowstart.as_ref(), "slowstart")?;
        servers.push(Server {
            name: name.get_ref().clone(),
            address: server.address.ok_or_else(|| missing("an address"))?,
            weight: server.weight.as_ref().map_or(DEFAULT_WEIGHT, |weight| *weight.get_ref()),
            maxconn: maxconn(source, server.maxconn.as_ref())?,
            cookie: cookie::value(source, server.cookie.as_ref())?,
            backup: server.backup.unwrap_or(false),
            slowstart: slowstart.unwrap_or_default(),
            source: server.source,
            send_proxy: server.send_proxy.map(|version| match version {
                schema::SendProxy::V1 => Version::V1,
                schema::SendProxy::V2 => Version::V2,
            }),
            shutdown_sessions: server.on_marked_down == Some(schema::OnMarkedDown::ShutdownSessions),
            http: http(source, &server)?,
            tls: tls(source, written, &server)?,
            watch: checks::watch(source, &server, has_check)?,
            agent: checks::agent(source, server.agent.as_ref())?,
        });
    }
    Ok(servers)
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

/// So that there is room on both sides.
const DEFAULT_WEIGHT: u32 = 100;
/// HAProxy's range for weights.
const MAX_WEIGHT: u32 = 256;
/// HAProxy's word for whom the system trusts.
const SYSTEM_CA: &str = "@system-ca";
/// HAProxy's word for the name that a request is for.
const HOST: &str = "req.hdr(host)";
/// HAProxy's word for the name that a client asks for.
const CLIENT: &str = "ssl_fc_sni";
/// Names that a server may choose from: they fit one record.
const MAX_ALPN: usize = 16;
