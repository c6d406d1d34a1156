//! Who a request is of, as far as that is proven: by a key that stands in a map, by a token that is signed with a
//! configured key (RFC 7515, RFC 7519), or by what a server has said of the same credential.
//!
//! What is not proven is nobody: no limit is widened by it. Signatures are checked by the shell, through
//! [`jwt::Verify`].

pub mod jwt;
pub mod keys;
mod proofs;

pub use proofs::{Hash, Proofs};

use crate::config::BackendId;
use crate::lists::ListId;
use crate::rules::{Facts, cookies, parameters};
use base_core::diagnose::Diagnostic;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Which identity: its place in [`crate::Config::identities`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdentityId(pub usize);

/// An identity that requests may have, as it is configured.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// Where a request shows what proves it.
    pub place: Place,
    /// What proves it.
    pub proof: Proof,
}

/// Where a credential stands in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the one header field of this name; in `Authorization` behind `Bearer`.
    Header(String),
    /// In the one cookie of this name.
    Cookie(String),
    /// In the one query parameter of this name, as it stands there.
    Query(String),
}

/// What proves an identity.
#[derive(Clone, Debug)]
pub enum Proof {
    /// The credential stands in this map; behind it the name, and perhaps a class.
    Key(ListId),
    /// The credential is a token that is signed.
    Jwt {
        /// What it must say.
        policy: jwt::Policy,
        /// The file with the keys (RFC 7517).
        keys: PathBuf,
        /// What to tell when it does not load.
        origin: Diagnostic,
    },
    /// A server has said so in its answer to a request with the same credential.
    Answer {
        /// Whose servers are believed.
        backends: Vec<BackendId>,
        /// The field that names whom it is of.
        field: String,
        /// The field that names its class.
        class: Option<String>,
        /// How long that is good for.
        learn: Duration,
    },
}

/// Whom a request is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Its name: a project, a customer.
    pub name: Arc<str>,
    /// Its class, by which limits may differ.
    pub class: Option<Arc<str>>,
}

impl Place {
    /// The credential of a request; none if there is none, or more than one.
    pub fn find<'a>(&'a self, facts: &'a impl Facts) -> Option<&'a [u8]> {
        let mut header;
        let mut cookie;
        let mut query;
        let values: &mut dyn Iterator<Item = &'a [u8]> = match self {
            Self::Header(name) => {
                header = facts.header(name);
                &mut header
            }
            Self::Cookie(name) => {
                cookie = cookies(facts, name);
                &mut cookie
            }
            Self::Query(name) => {
                query = parameters(facts.query(), name);
                &mut query
            }
        };
        let one = values.next()?;
        values.next().is_none().then(|| self.credential(one)).flatten()
    }

    /// What is meant of what stands there.
    fn credential<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        let credential = match self {
            Self::Header(name) if name.eq_ignore_ascii_case("authorization") => {
                let (scheme, rest) = value.split_at_checked(BEARER.len())?;
                rest.strip_prefix(b" ").filter(|_| scheme.eq_ignore_ascii_case(BEARER))?.trim_ascii()
            }
            _ => value.trim_ascii(),
        };
        (1..=MAX_CREDENTIAL).contains(&credential.len()).then_some(credential)
    }
}

impl Who {
    /// Of a name and a class that can be kept: neither is empty nor longer than a name may be.
    pub fn new(name: &str, class: Option<&str>) -> Option<Self> {
        let fits = |text: &str| (1..=MAX_NAME).contains(&text.len());
        let class = class.filter(|class| fits(class));
        fits(name).then(|| Self { name: name.into(), class: class.map(Into::into) })
    }

    /// Of what stands behind a key: a name, and perhaps a class.
    pub fn of_line(line: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
        let (name, class) = (words.next()?, words.next());
        words.next().is_none().then(|| Self::new(name, class)).flatten()
    }
}

const BEARER: &[u8] = b"Bearer";
/// Bytes of a key or a token: those of large tokens, far less than of a whole head.
const MAX_CREDENTIAL: usize = 8192;
/// Bytes of a name or a class.
const MAX_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_what_stands_at_its_place() {
        let authorization = Place::Header("Authorization".to_owned());
        assert_eq!(authorization.credential(b"bearer  x.y.z "), Some(&b"x.y.z"[..]));
        for other in [&b"Basic eDp5"[..], b"Bearer", b"Bearer ", b"Bearerx", b""] {
            assert_eq!(authorization.credential(other), None, "{other:?}");
        }
        let key = Place::Header("X-Api-Key".to_owned());
        assert_eq!(key.credential(b" k1 "), Some(&b"k1"[..]));
        assert_eq!(key.credential(&[b'x'; MAX_CREDENTIAL + 1]), None);
    }

    #[test]
    fn a_line_has_a_name_and_perhaps_a_class() {
        assert_eq!(Who::of_line(b"acme gold"), Who::new("acme", Some("gold")));
        assert_eq!(Who::of_line(b" acme "), Who::new("acme", None));
        for bad in [&b""[..], b"a b c", b"\xff", &[b'x'; MAX_NAME + 1]] {
            assert_eq!(Who::of_line(bad), None, "{bad:?}");
        }
    }
}
