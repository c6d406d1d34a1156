//! Which backend serves a request: rules on host and path, in order, the first match wins.

use crate::config::BackendId;

/// The rules of a frontend, and where all else goes.
#[derive(Clone, Debug)]
pub struct Routes {
    rules: Vec<Route>,
    default: Option<BackendId>,
}

/// One rule; what it leaves out matches everything.
#[derive(Clone, Debug)]
pub struct Route {
    /// The host that the request is for.
    pub host: Option<HostPattern>,
    /// A prefix of its path.
    pub path: Option<String>,
    /// Where it goes.
    pub backend: BackendId,
}

/// A host name, or `*.` and a domain for all names below it. Case does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    name: String,
    below: bool,
}

impl Routes {
    /// `default` serves what no rule matches; without it there is no answer but 404.
    pub fn new(rules: Vec<Route>, default: Option<BackendId>) -> Self {
        Self { rules, default }
    }

    /// The backend for a request with this `Host` (or authority) and path.
    pub fn find(&self, host: &str, path: &str) -> Option<BackendId> {
        let host = without_port(host);
        let matches = |rule: &&Route| {
            rule.host.as_ref().is_none_or(|pattern| pattern.matches(host))
                && rule.path.as_ref().is_none_or(|prefix| path.starts_with(prefix.as_str()))
        };
        self.rules.iter().find(matches).map(|rule| rule.backend).or(self.default)
    }
}

impl Routes {
    /// Every backend that routes lead to.
    pub fn backends(&self) -> impl Iterator<Item = BackendId> {
        self.rules.iter().map(|rule| rule.backend).chain(self.default)
    }
}

impl HostPattern {
    /// `None` if it can't be a host name.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, below) = match text.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (text, false),
        };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.[]:".contains(&byte);
        let is_name = !name.is_empty() && name.bytes().all(fits) && without_port(name) == name;
        is_name.then(|| Self { name: name.to_ascii_lowercase(), below })
    }

    /// `host` comes without its port.
    pub(crate) fn matches(&self, host: &str) -> bool {
        let Some(start) = host.len().checked_sub(self.name.len()) else { return false };
        let (front, end) = host.as_bytes().split_at(start);
        let front_fits = if self.below { front.len() > 1 && front.ends_with(b".") } else { front.is_empty() };
        front_fits && end.eq_ignore_ascii_case(self.name.as_bytes())
    }
}

/// `host:80` and `[::1]:80` without their port; a trailing dot means nothing either.
pub fn without_port(host: &str) -> &str {
    let host = match host.rfind(':') {
        Some(colon)
            if host[colon + 1..].bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(']') =>
        {
            let front = &host[..colon];
            // A bare IPv6 address has colons of its own and no port.
            if front.contains(':') && !front.ends_with(']') { host } else { front }
        }
        _ => host,
    };
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        let rule = |host: Option<&str>, path: Option<&str>, backend| Route {
            host: host.map(|host| HostPattern::parse(host).expect("a host name")),
            path: path.map(str::to_owned),
            backend: BackendId(backend),
        };
        let rules = vec![
            rule(Some("compute.example"), Some("/v2/admin"), 0),
            rule(Some("compute.example"), None, 1),
            rule(Some("*.volume.example"), None, 2),
            rule(None, Some("/network/"), 3),
        ];
        Routes::new(rules, None)
    }

    #[test]
    fn the_first_match_wins() {
        let find = |host, path| routes().find(host, path).map(|id| id.0);
        assert_eq!(find("compute.example", "/v2/admin/x"), Some(0));
        assert_eq!(find("COMPUTE.example:8080", "/v2/x"), Some(1));
        assert_eq!(find("compute.example.", "/"), Some(1));
        assert_eq!(find("a.volume.example", "/"), Some(2));
        assert_eq!(find("volume.example", "/"), None);
        assert_eq!(find("evilcompute.example", "/"), None);
        assert_eq!(find("", "/network/x"), Some(3));
        assert_eq!(find("ü", "/"), None);
    }

    #[test]
    fn ports_and_brackets_are_told_apart() {
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("::1"), "::1");
        assert_eq!(without_port("a:80"), "a");
        assert_eq!(HostPattern::parse("a:80"), None);
        assert_eq!(HostPattern::parse(""), None);
        assert_eq!(HostPattern::parse("a b"), None);
    }
}
