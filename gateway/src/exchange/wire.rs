//! The head of a request as its server gets it, written from the head as the client sent it and what is changed on
//! the way: nothing is copied but onto the wire.

use crate::to_server::Fields;
use bytes::{BufMut, BytesMut};
use http::HeaderValue;
use pingora::Result;
use pingora::http::{HeaderNameVariant, RequestHeader};

/// What is changed in a head.
pub(super) struct Wire<'a> {
    head: &'a RequestHeader,
    /// Names of fields of the client's that do not go on.
    gone: Vec<&'a str>,
    /// Lines that come behind its others.
    lines: BytesMut,
}

impl<'a> Wire<'a> {
    /// Nothing but what is `gone`.
    pub(super) fn new(head: &'a RequestHeader, gone: &[&'a str]) -> Self {
        let mut names = Vec::with_capacity(gone.len() + CHANGES);
        names.extend_from_slice(gone);
        Self { head, gone: names, lines: BytesMut::with_capacity(LINES) }
    }

    /// The whole head.
    pub(super) fn finish(self) -> BytesMut {
        let Self { head, gone, lines } = self;
        let mut wire = BytesMut::with_capacity(HEAD + lines.len());
        wire.put_slice(head.method.as_str().as_bytes());
        wire.put_u8(b' ');
        wire.put_slice(head.raw_path());
        wire.put_slice(b" HTTP/1.1\r\n");
        let sent = head.map(|name, value| {
            let name = match &name {
                HeaderNameVariant::Case(name) => name.as_slice(),
                HeaderNameVariant::Titled(name) => name.as_bytes(),
            };
            if !gone.iter().any(|gone| gone.as_bytes().eq_ignore_ascii_case(name)) {
                put(&mut wire, name, value);
            }
            Ok(())
        });
        debug_assert!(sent.is_ok(), "nothing in it fails");
        wire.put_slice(&lines);
        wire.put_slice(b"\r\n");
        wire
    }

    /// Whether it has a field of this name by now.
    fn sends(&self, name: &str) -> bool {
        let is_gone = self.gone.iter().any(|gone| gone.eq_ignore_ascii_case(name));
        !is_gone && self.head.headers.contains_key(name)
    }
}

impl<'a> Fields<'a> for Wire<'a> {
    fn has(&self, name: &'a str) -> bool {
        self.sends(name)
    }

    fn set(&mut self, name: &'a str, value: HeaderValue) -> Result<()> {
        self.remove(name);
        self.add(name, value)
    }

    fn add(&mut self, name: &'a str, value: HeaderValue) -> Result<()> {
        put(&mut self.lines, name.as_bytes(), &value);
        Ok(())
    }

    fn remove(&mut self, name: &'a str) {
        self.gone.push(name);
    }
}

fn put(wire: &mut BytesMut, name: &[u8], value: &HeaderValue) {
    wire.put_slice(name);
    wire.put_slice(b": ");
    wire.put_slice(value.as_bytes());
    wire.put_slice(b"\r\n");
}

/// Names that stages usually take out or set anew.
const CHANGES: usize = 6;
/// Bytes of what they usually add.
const LINES: usize = 128;
/// Bytes of most heads.
const HEAD: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_and_what_comes_is_told_by_name_whatever_its_spelling() {
        let mut head = RequestHeader::build("GET", b"/a?b", None).expect("it is one");
        for (name, value) in
            [("HoSt", "a"), ("CONNECTION", "close"), ("X-One", "1"), ("x-one", "2"), ("Y", "")]
        {
            head.append_header(name, value).expect("it is one");
        }
        let mut wire = Wire::new(&head, &["connection"]);
        assert!(wire.has("y"));
        wire.set("x-one", HeaderValue::from_static("3")).expect("it can be");
        wire.add("z", HeaderValue::from_static("4")).expect("it can be");
        assert!(!wire.has("connection"));
        let expected = "GET /a?b HTTP/1.1\r\nHoSt: a\r\nY: \r\nx-one: 3\r\nz: 4\r\n\r\n";
        assert_eq!(wire.finish(), expected.as_bytes());
    }
}
