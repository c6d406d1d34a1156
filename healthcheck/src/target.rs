//! What to probe: a URL, or a host and a port; and the addresses behind it.

use base::Clock;
use base_core::Time;
use std::net::{Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// What to probe, as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    /// Host name or address, without brackets.
    host: String,
    port: u16,
    /// Host and port as they stand in a `Host` header.
    pub(crate) authority: String,
    /// Path and query, if it was a URL.
    pub(crate) uri: Option<String>,
    /// Whether it was an https URL.
    pub(crate) tls: bool,
}

/// The addresses of a target: one at least.
#[derive(Debug)]
pub(crate) struct Addresses {
    pub(crate) first: SocketAddr,
    pub(crate) others: Vec<SocketAddr>,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            let (host, port) = split_authority(text)?;
            let port = port.ok_or("expected http://HOST[:PORT][/PATH] or HOST:PORT: there is no port")?;
            return Ok(Self { host, port, authority: text.to_owned(), uri: None, tls: false });
        };
        let (tls, default) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err(format!("`{scheme}` is no scheme for a probe: expected http:// or https://")),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = split_authority(authority)?;
        let uri = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { host, port: port.unwrap_or(default), authority: authority.to_owned(), uri: Some(uri), tls })
    }
}

impl Target {
    /// The host, if that is a name and no address.
    pub(crate) fn name(&self) -> Option<&str> {
        self.host.parse::<std::net::IpAddr>().is_err().then_some(self.host.as_str())
    }

    /// Looks the host up; has until `deadline`.
    pub(crate) async fn resolve(&self, clock: Clock, deadline: Time) -> Result<Addresses, String> {
        let lookup = tokio::net::lookup_host((self.host.as_str(), self.port));
        let found = tokio::select! {
            found = lookup => found.map_err(|error| format!("`{}` is not known: {error}", self.host))?,
            () = clock.sleep_until(deadline) => {
                return Err(format!("`{}` could not be looked up in time", self.host));
            }
        };
        let mut found = found.take(MAX_ADDRESSES);
        let first = found.next().ok_or_else(|| format!("`{}` has no address", self.host))?;
        Ok(Addresses { first, others: found.collect() })
    }
}

/// `HOST`, `HOST:PORT`, `[V6]`, `[V6]:PORT`.
fn split_authority(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(|| format!("`{text}` misses its `]`"))?;
            host.parse::<Ipv6Addr>().map_err(|_| format!("`{host}` is no IPv6 address"))?;
            match after.strip_prefix(':') {
                None if after.is_empty() => (host, None),
                None => return Err(format!("`{text}` is no host and port")),
                port => (host, port),
            }
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if port.is_some_and(|port| port.contains(':')) {
        return Err(format!("`{text}`: an IPv6 address stands in brackets, such as [::1]:80"));
    }
    if host.is_empty() || host.contains('@') || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("`{host}` is no host name or address"));
    }
    let port = port.map(|port| match port.parse::<u16>() {
        Ok(number @ 1..) => Ok(number),
        _ => Err(format!("`{port}` is no port: expected 1 to 65535")),
    });
    Ok((host.to_owned(), port.transpose()?))
}

/// Addresses of one name that are tried: a name with more of them is a load balancer's.
const MAX_ADDRESSES: usize = 16;

#[cfg(test)]
mod tests {
    use super::Target;

    fn parse(text: &str) -> Result<(String, u16, Option<String>), String> {
        text.parse::<Target>().map(|target| (target.host, target.port, target.uri))
    }

    fn some(host: &str, port: u16, uri: Option<&str>) -> Result<(String, u16, Option<String>), String> {
        Ok((host.to_owned(), port, uri.map(str::to_owned)))
    }

    #[test]
    fn urls_and_ports_are_understood() {
        assert_eq!(parse("http://h/a?b#c"), some("h", 80, Some("/a?b")));
        assert_eq!(parse("HTTP://h:81?b"), some("h", 81, Some("/?b")));
        assert_eq!(parse("https://h/"), some("h", 443, Some("/")));
        assert_eq!(parse("http://[::1]:8080"), some("::1", 8080, Some("/")));
        assert_eq!(parse("10.0.0.1:5672"), some("10.0.0.1", 5672, None));
        assert_eq!(parse("[fe80::1]:1"), some("fe80::1", 1, None));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cases = [
            ("ftp://h/", "expected http://"),
            ("h", "there is no port"),
            ("h:0", "1 to 65535"),
            ("h:http", "1 to 65535"),
            ("::1:80", "in brackets"),
            ("[::1:80", "misses its"),
            ("[::1]80", "no host and port"),
            ("[h]:80", "no IPv6 address"),
            ("http://user@h/", "no host name"),
            ("http:///x", "no host name"),
            (":80", "no host name"),
        ];
        for (text, expected) in cases {
            let error = parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
