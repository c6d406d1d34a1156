//! Answers that have no body, whatever is said of it: to HEAD, 204, 304, from servers and from the gateway itself,
//! over both versions.

use super::wire::{END_STREAM, block, connected, head, told};
use super::{Tap, say};
use crate::harness::{DEADLINE, Gateway};
use std::io::Write;

/// What a server says, to which method, and the status that the client gets.
const ANSWERS: &[(&str, &str, u16)] = &[
    ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200),
    ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200),
    ("HEAD", "HTTP/1.1 200 OK\r\n\r\n", 200),
    ("HEAD", "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n", 404),
    ("HEAD", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304),
    ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304),
    ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", 304),
    ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204),
    ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204),
    ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204),
    ("GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 204),
    ("GET", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", 205),
    ("DELETE", "HTTP/1.1 204 No Content\r\n\r\n", 204),
];

#[test]
fn an_answer_without_a_body_has_none_over_http_1() {
    for (method, answer, status) in ANSWERS {
        let tap = Tap::start(answer.as_bytes(), true);
        let gateway = Gateway::before(&[tap.address], "");
        let one = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        let last = "GET /alive HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let (said, closed) = super::say_in_turn(gateway.front, one.as_bytes(), last.as_bytes(), DEADLINE);
        let (first, rest) = said.split_once("\r\n\r\n").unwrap_or_default();
        assert!(closed && first.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}: {said}");
        // The next answer begins right there, unless the connection had to end with it.
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 200 "), "{answer:?}: {said}");
        let first = first.to_ascii_lowercase();
        let frames = first.contains("content-length") || first.contains("transfer-encoding");
        assert!(*status != 204 || !frames, "{answer:?}: {said}");
    }
}

#[test]
fn an_answer_without_a_body_has_none_over_http_2() {
    for (method, answer, status) in ANSWERS {
        let tap = Tap::start(answer.as_bytes(), true);
        let gateway = Gateway::before(&[tap.address], "h2c = true");
        let mut stream = connected(&gateway, &[]);
        let fields: [(&[u8], &[u8]); 4] =
            [(b":method", method.as_bytes()), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")];
        stream.write_all(&head(1, END_STREAM, &block(&fields))).expect("sent");
        let told = told(&mut stream, 1);
        assert_eq!((told.statuses, told.body, told.is_whole), (vec![*status], vec![], true), "{answer:?}");
    }
}

#[test]
fn what_the_gateway_answers_to_head_itself_has_no_body() {
    let rules = "h2c = true\n[[frontend.rule]]\nif = { path = \"/no\" }\ndeny = { status = 403 }\n\
        [[frontend.rule]]\nif = { path = \"/page\" }\nreturn = { status = 200, content_type = \"text/plain\", body = \"page\" }\n\
        [[frontend.rule]]\nif = { path = \"/away\" }\nredirect = { location = \"/there\", code = 302 }";
    let gateway = Gateway::before(&[crate::harness::free_address()], rules);
    for (path, status) in [("/no", 403), ("/page", 200), ("/away", 302), ("/alive", 200), ("/", 503)] {
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let (said, closed) = say(gateway.front, request.as_bytes(), DEADLINE);
        let begins = format!("HTTP/1.1 {status} ");
        assert!(closed && said.starts_with(&begins) && said.ends_with("\r\n\r\n"), "{path}: {said}");
        assert!(said.to_ascii_lowercase().contains("content-length: "), "{path}: {said}");
        let mut stream = connected(&gateway, &[]);
        let fields: [(&[u8], &[u8]); 4] = [
            (b":method", b"HEAD"),
            (b":scheme", b"http"),
            (b":path", path.as_bytes()),
            (b":authority", b"a"),
        ];
        stream.write_all(&head(1, END_STREAM, &block(&fields))).expect("sent");
        let told = told(&mut stream, 1);
        assert_eq!((told.statuses, told.body, told.is_whole), (vec![status], vec![], true), "{path}");
    }
}
