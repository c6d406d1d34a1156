//! The `Forwarded` field (RFC 7239): each proxy adds an element that says for whom it speaks. Anything that is not
//! as section 4 writes it names nobody.

use super::parse_hop;
use std::net::IpAddr;

/// For whom each element of a line was sent; none where it does not say so, or hides it (sections 6.2, 6.3).
pub(super) fn hops(line: &str) -> Vec<Option<IpAddr>> {
    pieces(line, ',').map(hop).collect()
}

/// What a proxy says of a client that has come to it by `proto`.
pub fn element(client: IpAddr, proto: &str) -> String {
    match client.to_canonical() {
        IpAddr::V4(v4) => format!("for={v4};proto={proto}"),
        IpAddr::V6(v6) => format!("for=\"[{v6}]\";proto={proto}"),
    }
}

fn hop(element: &str) -> Option<IpAddr> {
    let mut named = pieces(element, ';').filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    });
    let (value, None) = (named.next()?, named.next()) else { return None };
    match value.strip_prefix('"') {
        Some(rest) => parse_hop(rest.strip_suffix('"')?),
        None => parse_hop(value),
    }
}

/// The pieces between separators, of which those within quotes are none.
fn pieces(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character| {
        let escapes = quoted && !escaped && character == '\\';
        if character == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = escapes;
        character == separator && !quoted
    })
}
