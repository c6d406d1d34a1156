//! Heads of requests that two parties could read in two ways: 400, the connection is closed, and no
//! server sees any of it.

use super::{Tap, say};
use crate::harness::{DEADLINE, Gateway};
use std::time::Duration;

/// Long enough for a refusal.
const PATIENCE: Duration = Duration::from_secs(2);

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Each behind `GET / HTTP/1.1\r\nHost: a\r\n`.
const FIELDS: &[&[u8]] = &[
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\nContent-Length: 5\r\n",
    b"Content-Length: 5\r\nContent-Length: 6\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: 5,\r\n",
    b"Content-Length:\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 0x5\r\n",
    b"Content-Length: 5 5\r\n",
    b"Content-Length: 1e1\r\n",
    b"Content-Length: 5;\r\n",
    b"Content-Length: \"5\"\r\n",
    b"Content-Length: 5.0\r\n",
    b"Content-Length: \x0b5\r\n",
    b"Content-Length: 9223372036854775808\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Content-Length: 18446744073709551621\r\n",
    b"Content-Length: 00000000000000000000005\r\n",
    b"Content_Length : 5\r\n",
    b"Content-Length : 5\r\n",
    b"Content-Length\t: 5\r\n",
    b" Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked, gzip\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n",
    b"Transfer-Encoding: chunked,\r\n",
    b"Transfer-Encoding: ,chunked\r\n",
    b"Transfer-Encoding:\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n",
    b"Transfer-Encoding: \x00chunked\r\n",
    b"Transfer-Encoding: chunked\x00\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding: \"chunked\"\r\n",
    b"Transfer-Encoding: chunked;q=1\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    b"Transfer\x00-Encoding: chunked\r\n",
    b"Host: b\r\n",
    b"Host: a\r\n",
    b"host: a\r\n",
    b"X: a\x00b\r\n",
    b"X: a\x0bb\r\n",
    b"X: a\x7fb\r\n",
    b"X: a\x1bb\r\n",
    b"X: a\rb\r\n",
    b"X: a\nY: b\r\n",
    b"X: a\r\r\n",
    b"X: a\r\n b\r\n",
    b"X: a\r\n\tb\r\n",
    b"X\r\n",
    b": x\r\n",
    b"X Y: a\r\n",
    b"X(: a\r\n",
    b"X\x80: a\r\n",
    b"\x00: a\r\n",
    b"\"X\": a\r\n",
    b"X\x0b: a\r\n",
    b"GET / HTTP/1.1\r\n",
];

/// Whole heads.
const HEADS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET http://a/ HTTP/1.1\r\n\r\n",
    b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
    b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a#b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\xffb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a:b:c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET \\ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\r\nHost: a\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    b"GET / HTTP/0.9\r\nHost: a\r\n\r\n",
    b"GET / HTTP/01.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.10\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.\r\nHost: a\r\n\r\n",
    b"GET / http/1.1\r\nHost: a\r\n\r\n",
    b"GET / XTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    b"GET / HTTP/1.1\rHost: a\r\n\r\n",
    b"G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"SSH-2.0-x\r\n\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
];

#[test]
fn a_head_without_one_reading_is_refused_and_no_server_sees_it() {
    let tap = Tap::start(OK, true);
    let gateway = Gateway::before(&[tap.address], "");
    let with_fields =
        FIELDS.iter().map(|fields| [b"POST / HTTP/1.1\r\nHost: a\r\n", *fields, b"\r\nhello"].concat());
    let mut wrong = Vec::new();
    for head in with_fields.chain(HEADS.iter().map(|head| head.to_vec())) {
        let (answer, closed) = say(gateway.front, &head, PATIENCE);
        if !answer.starts_with("HTTP/1.1 400 ") || !closed || answer.matches("HTTP/1.1").count() != 1 {
            wrong.push(format!("{:?}: {answer:?}, closed: {closed}", String::from_utf8_lossy(&head)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(tap.seen(), "", "nothing has reached the server");
}

#[test]
fn a_head_is_bounded_in_size_number_of_fields_and_length_of_its_target() {
    let tap = Tap::start(OK, true);
    let gateway = Gateway::before(&[tap.address], "");
    let field = |number: usize| format!("X-{number}: x\r\n");
    let head = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    for (head, status) in [
        (head("/", &(0..101).map(field).collect::<String>()), 431),
        (head("/", &format!("X: {}\r\n", "x".repeat(33_000))), 431),
        (head("/", &format!("X: {}", "x".repeat(70_000))), 431),
        (head(&format!("/{}", "x".repeat(33_000)), ""), 414),
        (format!("GET /{}", "x".repeat(70_000)), 414),
        (head("/", &format!("{}: x\r\n", "x".repeat(33_000))), 431),
        (format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "X".repeat(65_536)), 400),
        ("\r\n".repeat(20_000), 400),
    ] {
        let (answer, closed) = say(gateway.front, head.as_bytes(), DEADLINE);
        let begins = &head[..head.len().min(40)];
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && closed, "{begins:?}: {answer}");
    }
    assert_eq!(tap.seen(), "");
    let most = head("/", &(0..99).map(field).collect::<String>());
    assert!(
        say(gateway.front, most.replace("Host", "Connection: close\r\nHost").as_bytes(), DEADLINE)
            .0
            .contains("200 OK")
    );
}

#[test]
fn what_belongs_to_one_connection_is_not_passed_on() {
    let tap = Tap::start(OK, true);
    let gateway = Gateway::before(&[tap.address], "");
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Secret, x-other\r\nConnection: X-Third\r\n\
          X-Secret: 1\r\nX-Other: 2\r\nX-Third: 3\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
          TE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nProxy-Authorization: Basic x\r\nX-Kept: 4\r\n\r\n";
    assert!(say(gateway.front, request, DEADLINE).0.contains("200 OK"));
    let seen = tap.seen().to_ascii_lowercase();
    for gone in [
        "x-secret",
        "x-other",
        "x-third",
        "keep-alive:",
        "proxy-connection",
        "\r\nte:",
        "upgrade",
        "http2-settings",
    ] {
        assert!(!seen.contains(gone), "{gone} is in {seen}");
    }
    assert!(seen.contains("x-kept: 4\r\n"), "{seen}");
    tap.forget();
    // Fields of the gateway's own can't be named away, nor those that say where the message ends.
    for named in ["X-Forwarded-For", "X-Forwarded-Proto", "Host", "Content-Length", "Cookie"] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nCookie: c\r\nConnection: close, {named}\r\nContent-Length: 2\r\n\r\nhi"
        );
        let (answer, _) = say(gateway.front, request.as_bytes(), DEADLINE);
        let seen = tap.seen().to_ascii_lowercase();
        if answer.contains("200 OK") {
            assert!(
                seen.contains("x-forwarded-for: 127.0.0.1\r\n") && seen.contains("\r\nhost: a\r\n"),
                "{seen}"
            );
            assert!(seen.contains("hi") && seen.contains("x-forwarded-proto: http\r\n"), "{seen}");
        } else {
            assert!(answer.starts_with("HTTP/1.1 400 ") && seen.is_empty(), "{named}: {answer} {seen}");
        }
        tap.forget();
    }
}

#[test]
fn what_has_one_reading_is_passed_on() {
    let tap = Tap::start(OK, true);
    let gateway = Gateway::before(&[tap.address], "");
    for request in [
        "\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET http://a/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /?a=[b]|c'&d=%7b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:80\r\nX-Empty:\r\nX-Tab:\ta\tb\t\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \u{e9}\r\nConnection: close\r\n\r\n",
        "PATCHY / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        tap.forget();
        let (answer, closed) = say(gateway.front, request.as_bytes(), DEADLINE);
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok") && closed,
            "{request}: {answer}"
        );
    }
}

#[test]
fn bounds_of_a_head_are_the_operators() {
    let tap = Tap::start(OK, true);
    let gateway =
        Gateway::before(&[tap.address], "max_uri = 300\nmax_headers = 5\nmax_header_size = \"1KiB\"");
    let head = |target: usize, fields: &str| {
        format!("GET /{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n", "x".repeat(target - 1))
    };
    for (target, fields, reason, status) in [
        (301, String::new(), "target_too_long", 414),
        (1, "X: y\r\n".repeat(4), "too_many_fields", 431),
        (1, format!("X: {}\r\n", "y".repeat(1000)), "head_too_large", 431),
    ] {
        let (answer, closed) = say(gateway.front, head(target, &fields).as_bytes(), PATIENCE);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && closed, "{reason}: {answer}");
        let name = format!("headgate_refused_total{{frontend=\"fe\",reason=\"{reason}\"}}");
        assert_eq!(gateway.metric(&name), 1.0);
    }
    assert_eq!(tap.seen(), "");
    assert!(say(gateway.front, head(300, &"X: y\r\n".repeat(3)).as_bytes(), DEADLINE).0.contains("200 OK"));
}
