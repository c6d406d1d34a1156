//! Whether a client wants its connection to become one of another protocol (RFC 9110 §7.8): only who says so on the
//! connection itself, in a version that can, and only what it has named.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use pingora::http::RequestHeader;

/// Takes `Upgrade` away from a request that does not ask for it in its `Connection`, or can't.
pub(crate) fn settle(head: &mut RequestHeader) {
    if head.headers.contains_key(UPGRADE)
        && (head.version != Version::HTTP_11
            || !lists(&head.headers, &CONNECTION, UPGRADE.as_str().as_bytes()))
    {
        head.remove_header(&UPGRADE);
    }
}

/// Whether the client has asked for the protocol that its connection becomes one of.
pub(crate) fn is_asked(head: &RequestHeader, protocol: Option<&HeaderValue>) -> bool {
    protocol.is_some_and(|protocol| lists(&head.headers, &UPGRADE, protocol.as_bytes().trim_ascii()))
}

fn lists(fields: &HeaderMap, name: &HeaderName, wanted: &[u8]) -> bool {
    let lines = fields.get_all(name).iter().map(HeaderValue::as_bytes);
    let mut words = lines.flat_map(|line| line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
    words.any(|word| word.eq_ignore_ascii_case(wanted))
}
