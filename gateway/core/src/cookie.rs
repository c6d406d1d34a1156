//! A client keeps its server by a cookie (HAProxy manual, "cookie"): one of the gateway's own, or a prefix before
//! the value of one that servers set. Nothing is remembered here, so any node can read it.
//!
//! Promises: a cookie says which of the configured servers its client wants, and nothing else; one that names none,
//! or one that is down, is as none. A server whose weight is 0 keeps the clients that it has.

/// How a backend does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The cookie's name.
    pub name: String,
    /// Whose cookie it is.
    pub mode: Mode,
    /// Servers do not see it, and who has the right one is not given it again.
    pub indirect: bool,
    /// Caches are told not to keep an answer that sets it.
    pub nocache: bool,
    /// A server may set it itself, and what it says goes.
    pub preserve: bool,
    /// What follows its value.
    pub attributes: String,
}

/// Whose cookie it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The gateway's own.
    Insert,
    /// The servers', with a server's name and `~` before its value.
    Prefix,
}

impl Policy {
    /// The server that a client wants, from the `Cookie` fields of its request. `servers` are the values that stand
    /// for each.
    pub fn wanted<'a>(
        &self,
        mut lines: impl Iterator<Item = &'a [u8]>,
        servers: impl Iterator<Item = Option<&'a str>>,
    ) -> Option<usize> {
        let value = lines.find_map(|line| crumbs(line).find_map(|crumb| self.value(crumb)))?;
        let value = match self.mode {
            Mode::Insert => value,
            Mode::Prefix => split(value)?.0,
        };
        servers.enumerate().find_map(|(place, server)| (server?.as_bytes() == value).then_some(place))
    }

    /// A `Cookie` field as servers shall see it; `None` if nothing of it is left.
    pub fn to_server(&self, line: &[u8]) -> Option<Vec<u8>> {
        let mut left = Vec::with_capacity(line.len());
        for crumb in crumbs(line) {
            let value = self.value(crumb);
            if value.is_some() && self.mode == Mode::Insert && self.indirect {
                continue;
            }
            if !left.is_empty() {
                left.extend_from_slice(b"; ");
            }
            match value.and_then(split).filter(|_| self.mode == Mode::Prefix) {
                Some((_, own)) => {
                    left.extend_from_slice(self.name.as_bytes());
                    left.push(b'=');
                    left.extend_from_slice(own);
                }
                None => left.extend_from_slice(crumb),
            }
        }
        (!left.is_empty()).then_some(left)
    }

    /// Whether a client gets a cookie for the server that has answered. `is_right`: it came with the one for it.
    pub fn sets(&self, is_right: bool, server_sets_it: bool) -> bool {
        self.mode == Mode::Insert && !(self.indirect && is_right) && !(self.preserve && server_sets_it)
    }

    /// The `Set-Cookie` field that gives a client the cookie of the server that `value` stands for.
    pub fn field(&self, value: &str) -> String {
        format!("{}={value}; path=/{}", self.name, self.attributes)
    }

    /// Whether a `Set-Cookie` field of a server sets this cookie.
    pub fn is_set_by(&self, field: &[u8]) -> bool {
        self.value(field).is_some()
    }

    /// A `Set-Cookie` field of a server, as its client shall see it; `None` if not at all. `value` stands for the
    /// server.
    pub fn to_client(&self, field: &[u8], value: &str) -> Option<Vec<u8>> {
        let Some(own) = self.value(field) else { return Some(field.to_vec()) };
        match self.mode {
            Mode::Insert => self.preserve.then(|| field.to_vec()),
            Mode::Prefix => Some([self.name.as_bytes(), b"=", value.as_bytes(), b"~", own].concat()),
        }
    }

    /// What follows the cookie's name and `=`, if that is what it begins with.
    fn value<'a>(&self, crumb: &'a [u8]) -> Option<&'a [u8]> {
        crumb.strip_prefix(self.name.as_bytes())?.strip_prefix(b"=")
    }
}

fn crumbs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|crumb| !crumb.is_empty())
}

/// A server's name, and the value behind it.
fn split(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = value.iter().position(|byte| *byte == b'~')?;
    Some((value.get(..end)?, value.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(mode: Mode, indirect: bool) -> Policy {
        let name = "SRV".to_owned();
        Policy { name, mode, indirect, nocache: false, preserve: false, attributes: "; HttpOnly".to_owned() }
    }

    fn wanted(policy: &Policy, line: &str) -> Option<usize> {
        policy.wanted([line.as_bytes()].into_iter(), [Some("a"), None, Some("b")].into_iter())
    }

    #[test]
    fn an_inserted_cookie_names_a_server_and_is_kept_from_it() {
        let policy = policy(Mode::Insert, true);
        assert_eq!(wanted(&policy, "x=1; SRV=b"), Some(2));
        assert_eq!(wanted(&policy, "x=1;SRV=c"), None);
        assert_eq!(wanted(&policy, "XSRV=a; SRV"), None);
        assert_eq!(policy.to_server(b"x=1; SRV=b; y=2"), Some(b"x=1; y=2".to_vec()));
        assert_eq!(policy.to_server(b"SRV=b"), None);
        assert_eq!(policy.field("a"), "SRV=a; path=/; HttpOnly");
        assert!(policy.sets(false, true) && !policy.sets(true, false));
        assert_eq!(policy.to_client(b"SRV=own; path=/x", "a"), None);
        assert_eq!(policy.to_client(b"other=1", "a"), Some(b"other=1".to_vec()));
    }

    #[test]
    fn a_prefix_comes_and_goes_before_the_servers_own_value() {
        let policy = policy(Mode::Prefix, false);
        assert_eq!(wanted(&policy, "SRV=a~secret~1"), Some(0));
        assert_eq!(wanted(&policy, "SRV=a"), None);
        assert_eq!(policy.to_server(b"x=1; SRV=a~secret~1"), Some(b"x=1; SRV=secret~1".to_vec()));
        assert_eq!(policy.to_client(b"SRV=new; path=/", "b"), Some(b"SRV=b~new; path=/".to_vec()));
        assert!(!policy.sets(false, false));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_cookie_is_survived_and_names_a_server_or_none(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            for mode in [Mode::Insert, Mode::Prefix] {
                let policy = policy(mode, true);
                let line = [&line[..], b";SRV=b~x"].concat();
                let wanted = policy.wanted([&line[..]].into_iter(), [Some("a"), None, Some("b")].into_iter());
                prop_assert!(wanted.is_none_or(|place| place == 0 || place == 2));
                let seen = policy.to_server(&line).unwrap_or_default();
                prop_assert!(seen.len() <= line.len() * 2);
                let _ = policy.to_client(&line, "a");
            }
        }
    }
}
