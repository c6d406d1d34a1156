//! What servers are told of a client's certificate: `X-SSL-…`, under the names that OpenStack's and other
//! HAProxy set-ups use. Whatever a client sends under such a name goes first.

use super::identity::{Handshake, Identity};
use crate::rules::keep;
use http::HeaderValue;
use pingora::Result;
use pingora::http::RequestHeader;

/// Takes away what a client has made up, in whatever spelling.
pub(crate) fn strip(head: &mut RequestHeader) {
    let is_ours = |name: &&http::HeaderName| is_ours(name.as_str());
    if head.headers.keys().any(|name| is_ours(&name)) {
        for name in head.headers.keys().filter(is_ours).cloned().collect::<Vec<_>>() {
            head.remove_header(&name);
        }
    }
}

/// Says what the handshake has shown.
pub(crate) fn tell(head: &mut RequestHeader, handshake: &Handshake) -> Result<()> {
    let mut tell = |name: &'static str, value: &str| -> Result<()> {
        // A client could name it in `Connection`, which would have it taken out on the way.
        keep(head, name)?;
        match HeaderValue::from_bytes(value.as_bytes()) {
            Ok(value) => head.insert_header(name, value),
            Err(_) => Ok(()),
        }
    };
    tell("X-SSL", "1")?;
    // As HAProxy says it for a client that it has let in, also for one without a certificate.
    tell("X-SSL-Client-Verify", "0")?;
    let Some(client) = &handshake.client else { return tell("X-SSL-Client-Has-Cert", "0") };
    let Identity { subject, common_name, issuer, serial, sha1, not_before, not_after } = client;
    tell("X-SSL-Client-Has-Cert", "1")?;
    tell("X-SSL-Client-DN", subject)?;
    tell("X-SSL-Client-CN", common_name)?;
    tell("X-SSL-Issuer", issuer)?;
    tell("X-SSL-Client-Serial", serial)?;
    tell("X-SSL-Client-SHA1", sha1)?;
    tell("X-SSL-Client-Not-Before", not_before)?;
    tell("X-SSL-Client-Not-After", not_after)
}

/// `X-SSL` and all that begins with it; many servers take `_` for `-`.
fn is_ours(name: &str) -> bool {
    let Some((front, rest)) = name.as_bytes().split_at_checked(5) else { return false };
    let front_fits = front
        .iter()
        .zip(b"x-ssl")
        .all(|(byte, expected)| byte.eq_ignore_ascii_case(expected) || (*expected == b'-' && *byte == b'_'));
    front_fits && matches!(rest.first(), None | Some(b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_a_name_gets_through() {
        for name in ["x-ssl", "X-SSL-Client-CN", "x_ssl_client_cn", "x-ssl_anything"] {
            assert!(is_ours(name), "{name}");
        }
        for name in ["x-sslv", "x-s", "xx-ssl", "ssl", "x-forwarded-for"] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
