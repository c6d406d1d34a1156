//! The URLs of health streams and probes: `http://ADDRESS[:PORT]/PATH`.
//!
//! Names are refused: a speaker that waits for DNS before it can withdraw is no speaker.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The server.
    pub address: SocketAddr,
    /// Path and query, from the slash on.
    pub path: String,
}

impl Url {
    /// `None` if `text` is not such a URL.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let plain = || {
            let host =
                authority.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(authority);
            host.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, HTTP_PORT))
        };
        let address = authority.parse().ok().or_else(plain)?;
        let path = if path.is_empty() { "/" } else { path };
        path.bytes().all(|byte| byte.is_ascii_graphic()).then(|| Self { address, path: path.to_owned() })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.address, self.path)
    }
}

/// The port of a URL that names none.
const HTTP_PORT: u16 = 80;
