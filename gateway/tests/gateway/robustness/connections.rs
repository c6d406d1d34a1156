//! What a client puts behind a request, or wants its connection to become: never a second request that nobody checked,
//! and never a way to the server past the gateway.

use super::wire::{END_BOTH, GET, GOAWAY, HEADERS, connected, frame, next, told};
use super::{Tap, say, say_until_quiet};
use crate::harness::{DEADLINE, Gateway, Server, pause};
use std::io::Write;
use std::time::Duration;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Long enough for all that would come.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Every request that a server has seen went through the gateway, which says for whom.
fn all_are_checked(seen: &str) -> bool {
    seen.matches(" HTTP/1.1\r\n").count()
        == seen.to_ascii_lowercase().matches("\r\nx-forwarded-for: 127.0.0.1\r\n").count()
}

#[test]
fn the_body_of_a_refused_request_is_no_request() {
    let tap = Tap::start(OK, true);
    let rule = "[[frontend.rule]]\nif = { path = \"/no\" }\ndeny = { status = 403 }\n\
        [[frontend.rule]]\nif = { path = \"/away\" }\nredirect = { location = \"/x\", code = 302 }\n\
        [[frontend.rule]]\nif = { path = \"/page\" }\nreturn = { status = 200, content_type = \"text/plain\", body = \"page\" }";
    let gateway = Gateway::before(&[tap.address], rule);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for path in ["/no", "/away", "/page", "/alive"] {
        for head in [
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", smuggled.len()),
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", smuggled.len()),
            format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
                smuggled.len()
            ),
            format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
                smuggled.len()
            ),
        ] {
            let answer = say_until_quiet(gateway.front, format!("{head}{smuggled}").as_bytes(), b"");
            let answers = answer.matches("HTTP/1.1 ").count() - answer.matches("HTTP/1.1 100 ").count();
            assert_eq!(answers, 1, "{head:?}: {answer}");
            let (answer, _) =
                super::say_in_two(gateway.front, head.as_bytes(), smuggled.as_bytes(), PATIENCE);
            let answers = answer.matches("HTTP/1.1 ").count() - answer.matches("HTTP/1.1 100 ").count();
            assert_eq!(answers, 1, "{head:?} in two: {answer}");
        }
    }
    assert!(!tap.seen().contains("GET /smuggled HTTP/1.1\r\nHost: a\r\nx-f"), "{}", tap.seen());
}

#[test]
fn requests_in_one_go_are_answered_in_turn_or_the_connection_ends() {
    let server = Server::start(|head, _| Some(crate::harness::ok(head.split(' ').nth(1)?)));
    let gateway = Gateway::before(&[server.address], "");
    let all: String = (0..5).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    let answer = say_until_quiet(gateway.front, all.as_bytes(), b"");
    let bodies: Vec<&str> = answer.split("\r\n\r\n").skip(1).filter_map(|body| body.get(..2)).collect();
    assert!(
        !bodies.is_empty() && bodies.iter().enumerate().all(|(place, body)| *body == format!("/{place}")),
        "{answer}"
    );
}

/// Handshakes, and what the server answers; whether it may become a tunnel.
const UPGRADES: &[(&str, &str, bool)] = &[
    (
        "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade",
        "101 X\r\nUpgrade: websocket\r\nConnection: Upgrade",
        true,
    ),
    (
        "GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade",
        "101 X\r\nUpgrade: websocket\r\nConnection: upgrade",
        true,
    ),
    // The server changes to what nobody asked for, or does not say to what.
    (
        "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade",
        "101 X\r\nUpgrade: h2c\r\nConnection: Upgrade",
        false,
    ),
    ("GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade", "101 X\r\nConnection: Upgrade", false),
    // Nobody asked, or not for the connection, or in a version that can't.
    ("GET / HTTP/1.1\r\nX: y", "101 X\r\nUpgrade: websocket\r\nConnection: Upgrade", false),
    ("GET / HTTP/1.1\r\nUpgrade: websocket", "101 X\r\nUpgrade: websocket\r\nConnection: Upgrade", false),
    (
        "GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: Upgrade",
        "101 X\r\nUpgrade: websocket\r\nConnection: Upgrade",
        false,
    ),
    // Other protocols are a way around every check.
    (
        "GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        "101 X\r\nUpgrade: h2c\r\nConnection: Upgrade",
        false,
    ),
    (
        "GET / HTTP/1.1\r\nUpgrade: websocket, h2c\r\nConnection: Upgrade",
        "101 X\r\nUpgrade: h2c\r\nConnection: Upgrade",
        false,
    ),
    (
        "GET / HTTP/1.1\r\nUpgrade: h2c, websocket\r\nConnection: Upgrade",
        "101 X\r\nUpgrade: h2c\r\nConnection: Upgrade",
        false,
    ),
    (
        "GET / HTTP/1.1\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade",
        "101 X\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade",
        false,
    ),
    (
        "GET / HTTP/1.1\r\nUpgrade: foo\r\nConnection: Upgrade",
        "101 X\r\nUpgrade: foo\r\nConnection: Upgrade",
        false,
    ),
    // The server goes on with HTTP.
    ("GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade", "200 OK\r\nContent-Length: 2", false),
    (
        "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade",
        "426 X\r\nUpgrade: websocket\r\nContent-Length: 2",
        false,
    ),
    ("GET / HTTP/1.1\r\nUpgrade: foo\r\nConnection: Upgrade", "200 OK\r\nContent-Length: 2", false),
    ("GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade", "200 OK\r\nContent-Length: 2", false),
    (
        "POST / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0",
        "400 X\r\nContent-Length: 2",
        false,
    ),
];

#[test]
fn what_comes_behind_a_handshake_reaches_a_server_only_through_a_tunnel_that_both_want() {
    let mut wrong = Vec::new();
    for (place, (handshake, answer, is_tunnel)) in UPGRADES.iter().enumerate() {
        let body = if answer.starts_with("101") { "" } else { "ok" };
        let tap = Tap::start(format!("HTTP/1.1 {answer}\r\n\r\n{body}").as_bytes(), true);
        let gateway = Gateway::before(&[tap.address], "");
        // A whole request, which in a tunnel would be bytes as any.
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
        let request = format!("{handshake}\r\nHost: a\r\n\r\n");
        let in_one = say_until_quiet(gateway.front, format!("{request}{smuggled}").as_bytes(), b"");
        let in_turn = say_until_quiet(gateway.front, request.as_bytes(), smuggled.as_bytes());
        let seen = tap.seen();
        let tunnelled = seen.contains("6.6.6.6");
        let switched = in_one.contains("HTTP/1.1 101 ") || in_turn.contains("HTTP/1.1 101 ");
        let asks_for_more =
            ["h2c", "HTTP2-Settings", "foo", "TLS/1.0"].iter().any(|other| seen.contains(other));
        if switched != *is_tunnel
            || (tunnelled && !is_tunnel)
            || (!is_tunnel && !all_are_checked(&seen))
            || asks_for_more
        {
            wrong.push(format!("{place} {handshake:?} {answer:?}: switched {switched}, tunnelled {tunnelled}, {seen:?} {in_one:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_whole_uri_is_judged_by_its_path() {
    let tap = Tap::start(OK, true);
    let rules = "[[frontend.rule]]\nif = { path = \"/\" }\ndeny = { status = 403 }\n\
        [[frontend.rule]]\nif = { path = { beg = [\"/admin\"] } }\ndeny = { status = 403 }";
    let gateway = Gateway::before(&[tap.address], rules);
    for target in [
        "/",
        "http://a",
        "http://a/",
        "http://a?x",
        "HTTP://a/?x",
        "/admin",
        "http://a/admin",
        "https://a/admin/x",
        "/admin?http://a/",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let (answer, _) = say(gateway.front, request.as_bytes(), DEADLINE);
        assert!(answer.starts_with("HTTP/1.1 403 "), "{target}: {answer}");
    }
    assert_eq!(tap.seen(), "");
    for (target, seen) in [("http://a/x?y", "GET /x?y HTTP/1.1\r\n"), ("/x", "GET /x HTTP/1.1\r\n")] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(say(gateway.front, request.as_bytes(), DEADLINE).0.contains("200 OK"));
        let all = tap.seen();
        assert!(all.starts_with(seen) || all.starts_with("GET http://a/x?y HTTP/1.1\r\n"), "{all}");
        tap.forget();
    }
}

#[test]
fn methods_that_are_odd_are_passed_on_or_refused_whole() {
    let tap = Tap::start(OK, true);
    let gateway = Gateway::before(&[tap.address], "");
    for (line, passes) in [
        ("TRACE / HTTP/1.1", true),
        ("OPTIONS / HTTP/1.1", true),
        ("OPTIONS * HTTP/1.1", true),
        ("PROPFIND / HTTP/1.1", true),
        ("M-SEARCH /x HTTP/1.1", true),
        ("CONNECT a:443 HTTP/1.1", false),
        ("CONNECT / HTTP/1.1", false),
        ("CONNECT http://a/ HTTP/1.1", false),
        ("TRACE * HTTP/1.1", false),
        ("PRI * HTTP/2.0", false),
    ] {
        tap.forget();
        let request = format!("{line}\r\nHost: a\r\nConnection: close\r\n\r\n");
        let (answer, closed) = say(gateway.front, request.as_bytes(), DEADLINE);
        assert!(
            closed && answer.contains("200 OK") == passes && tap.seen().is_empty() != passes,
            "{line}: {answer}"
        );
    }
}

#[test]
fn a_connection_of_http_2_ends_at_its_age_and_after_its_requests_and_loses_none() {
    let server = Server::named("s1");
    for keys in ["max_connection_age = \"300ms\"", "max_keepalive_requests = 5"] {
        let gateway = Gateway::before(&[server.address], &format!("h2c = true\n{keys}"));
        let mut stream = connected(&gateway, &[]);
        let (mut answered, mut id) = (0, 1);
        let ended = loop {
            if stream.write_all(&frame(HEADERS, END_BOTH, id, GET)).is_err() {
                break false;
            }
            let told = told(&mut stream, id);
            assert_eq!(told.statuses, [200], "{keys}: request {id} was sent before the end was told");
            answered += 1;
            if told.is_over {
                break true;
            }
            assert!(answered < 1000, "{keys}: it never ends");
            id += 2;
            pause(Duration::from_millis(20));
        };
        // Told with an answer, or right after it: what is sent in between is answered, too.
        assert!(ended && answered >= 2, "{keys}: {answered}");
        while let Some((kind, ..)) = next(&mut stream) {
            assert!(kind != HEADERS && (kind == GOAWAY || kind != 3), "{keys}: {kind}");
        }
    }
}
