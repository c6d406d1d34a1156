//! The `Forwarded` field (RFC 7239): each proxy adds an element that says for whom it speaks. Anything that is not
//! as section 4 writes it names nobody.

use super::parse_hop;
use std::net::IpAddr;

/// For whom each element of a line was sent, the last one first; none where it does not say so, or hides it
/// (sections 6.2, 6.3). It is read from behind: what a proxy has added means the same whatever was there before,
/// a quote that never ends included.
pub(super) fn hops(line: &str) -> impl Iterator<Item = Option<IpAddr>> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let (before, element) = last(rest.take()?);
        rest = before;
        Some(element.and_then(hop))
    })
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

/// What stands before the last comma outside quotes, and the element behind it, which is none if a quote ends in it
/// that has not begun. As a name stands before each quote that begins (section 4), none of those is escaped.
fn last(line: &str) -> (Option<&str>, Option<&str>) {
    let mut unread = line;
    while let Some((before, _)) = unread.rsplit_once([',', '"']) {
        if line.as_bytes().get(before.len()) == Some(&b',') {
            return (Some(before), line.get(before.len() + 1..));
        }
        let mut quotes = before.rmatch_indices('"').map(|(at, _)| before.split_at(at).0);
        match quotes.find(|left| !escapes(left)) {
            Some(left) => unread = left,
            None => return (None, None),
        }
    }
    (None, Some(line))
}

/// Whether what comes behind `text` is escaped by it.
fn escapes(text: &str) -> bool {
    text.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
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
