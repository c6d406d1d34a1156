//! Requests of HTTP/2 that can't be, or could be read in two ways once they are HTTP/1: refused or cut off, and no server
//! sees any of them. What can be is one request of HTTP/1.

use super::Tap;
use super::wire::*;
use crate::harness::{Gateway, Server, wait_until};
use std::io::Write;

type Field = (&'static [u8], &'static [u8]);

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const M: Field = (b":method", b"GET");
const S: Field = (b":scheme", b"http");
const P: Field = (b":path", b"/");
const A: Field = (b":authority", b"a");

/// Heads without a body.
const BAD: &[&[Field]] = &[
    // Pseudo fields: lacking, twice, unknown, of an answer, behind others, empty (RFC 9113 §8.3).
    &[S, P, A],
    &[M, P, A],
    &[M, S, A],
    &[M, S, P],
    &[M, M, S, P, A],
    &[M, S, S, P, A],
    &[M, S, P, P, A],
    &[M, S, P, A, A],
    &[M, S, P, A, (b":authority", b"b")],
    &[M, S, P, A, (b":status", b"200")],
    &[M, S, P, A, (b":unknown", b"x")],
    &[M, S, P, A, (b":protocol", b"websocket")],
    &[M, S, P, (b"x", b"y"), A],
    &[(b"x", b"y"), M, S, P, A],
    &[(b":method", b""), S, P, A],
    &[M, S, (b":path", b""), A],
    // What a line of HTTP/1 would be split by.
    &[(b":method", b"GET / HTTP/1.1\r\nX: y"), S, P, A],
    &[(b":method", b"GET "), S, P, A],
    &[(b":method", b"GE T"), S, P, A],
    &[(b":method", b"GE\x00T"), S, P, A],
    &[(b":method", b"GET/"), S, P, A],
    &[M, S, (b":path", b"/ HTTP/1.1\r\nX: y"), A],
    &[M, S, (b":path", b"/\r\nX: y"), A],
    &[M, S, (b":path", b"/ x"), A],
    &[M, S, (b":path", b"/\tx"), A],
    &[M, S, (b":path", b"/\x00"), A],
    &[M, S, (b":path", b"/\x7f"), A],
    &[M, S, (b":path", b"/\xff"), A],
    &[M, S, (b":path", b"x"), A],
    &[M, S, (b":path", b"*"), A],
    &[M, S, (b":path", b"http://b/"), A],
    &[M, S, P, (b":authority", b"a b")],
    &[M, S, P, (b":authority", b"a\r\nX: y")],
    &[M, S, P, (b":authority", b"a, b")],
    &[M, S, P, (b":authority", b"u@a")],
    &[M, S, P, (b":authority", b"a/b")],
    &[M, S, P, (b":authority", b"a?b")],
    &[M, S, P, (b":authority", b"a#b")],
    &[M, S, P, (b":authority", b"a\\b")],
    &[M, S, P, (b":authority", b"a:8x")],
    &[M, S, P, (b":authority", b"")],
    // Host beside it.
    &[M, S, P, A, (b"host", b"b")],
    &[M, S, P, A, (b"host", b"a"), (b"host", b"a")],
    &[M, S, P, A, (b"host", b"a"), (b"host", b"b")],
    &[M, S, P, (b"host", b"a, b")],
    // Fields of one connection (RFC 9113 §8.2.2).
    &[M, S, P, A, (b"connection", b"close")],
    &[M, S, P, A, (b"connection", b"x-secret")],
    &[M, S, P, A, (b"keep-alive", b"timeout=5")],
    &[M, S, P, A, (b"proxy-connection", b"keep-alive")],
    &[M, S, P, A, (b"transfer-encoding", b"chunked")],
    &[M, S, P, A, (b"transfer-encoding", b"identity")],
    &[M, S, P, A, (b"upgrade", b"websocket")],
    &[M, S, P, A, (b"upgrade", b"h2c")],
    &[M, S, P, A, (b"te", b"gzip")],
    &[M, S, P, A, (b"te", b"trailers, chunked")],
    // Names and values (§8.2.1).
    &[M, S, P, A, (b"X-Upper", b"y")],
    &[M, S, P, A, (b"x y", b"z")],
    &[M, S, P, A, (b"x:", b"z")],
    &[M, S, P, A, (b"", b"z")],
    &[M, S, P, A, (b"x\r\nhost", b"z")],
    &[M, S, P, A, (b"x\x00", b"z")],
    &[M, S, P, A, (b"x\x80", b"z")],
    &[M, S, P, A, (b"x", b"y\r\nz: 1")],
    &[M, S, P, A, (b"x", b"y\nz: 1")],
    &[M, S, P, A, (b"x", b"y\rz")],
    &[M, S, P, A, (b"x", b"y\x00z")],
    &[M, S, P, A, (b"x", b"y\x7fz")],
    &[M, S, P, A, (b"x", b"y\x0bz")],
    // Lengths where nothing comes, or that are none.
    &[M, S, P, A, (b"content-length", b"5")],
    &[M, S, P, A, (b"content-length", b"0"), (b"content-length", b"0")],
    &[M, S, P, A, (b"content-length", b"0, 0")],
    &[M, S, P, A, (b"content-length", b"")],
    &[M, S, P, A, (b"content-length", b"+0")],
    &[M, S, P, A, (b"content-length", b"-1")],
    &[M, S, P, A, (b"content-length", b"0x0")],
    &[M, S, P, A, (b"content-length", b"9223372036854775808")],
    // CONNECT, which is for proxies that clients choose.
    &[(b":method", b"CONNECT"), A],
    &[(b":method", b"CONNECT"), (b":authority", b"a:80")],
    &[(b":method", b"CONNECT"), S, P, A],
    &[(b":method", b"CONNECT"), S, P, A, (b":protocol", b"websocket")],
];

fn shown(fields: &[Field]) -> String {
    fields.iter().map(|(name, value)| format!("{}={} ", name.escape_ascii(), value.escape_ascii())).collect()
}

#[test]
fn a_head_of_http_2_that_can_not_be_is_refused_and_no_server_sees_it() {
    let tap = Tap::start(OK, true);
    let gateway = Gateway::before(&[tap.address], "h2c = true");
    let mut wrong = Vec::new();
    for fields in BAD {
        let mut stream = connected(&gateway, &[]);
        let _ = stream.write_all(&head(1, END_STREAM, &block(fields)));
        let told = told(&mut stream, 1);
        if !told.is_refused() || !tap.seen().is_empty() {
            wrong.push(format!("{}: {told:?}\n{}", shown(fields), tap.seen()));
            tap.forget();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A body in pieces of data, the last with trailers or not, where the length said is this.
type Sent = (&'static str, &'static [&'static [u8]], Option<&'static [Field]>);

const BELIED: &[Sent] = &[
    ("3", &[b"abcd"], None),
    ("3", &[b"ab", b"cd"], None),
    ("3", &[b"ab"], None),
    ("3", &[b""], None),
    ("0", &[b"a"], None),
    ("3", &[], Some(&[(b"x-sum", b"1")])),
    ("3", &[b"ab"], Some(&[(b"x-sum", b"1")])),
    ("3", &[b"abcd"], Some(&[(b"x-sum", b"1")])),
    // Trailers that can't be.
    ("2", &[b"ab"], Some(&[(b":path", b"/x")])),
    ("2", &[b"ab"], Some(&[(b"connection", b"close")])),
    ("2", &[b"ab"], Some(&[(b"transfer-encoding", b"chunked")])),
    ("2", &[b"ab"], Some(&[(b"x", b"y\r\nz: 1")])),
    ("2", &[b"ab"], Some(&[(b"X", b"y")])),
];

fn post(path: &str, length: Option<&str>) -> Vec<u8> {
    let mut fields: Vec<(&[u8], &[u8])> = vec![(b":method", b"POST"), S, (b":path", path.as_bytes()), A];
    if let Some(length) = length {
        fields.push((b"content-length", length.as_bytes()));
    }
    block(&fields)
}

fn send(
    stream: &mut impl Write,
    path: &str,
    length: Option<&str>,
    pieces: &[&[u8]],
    trailers: Option<&[Field]>,
) {
    let _ = stream.write_all(&head(1, 0, &post(path, length)));
    for (place, piece) in pieces.iter().enumerate() {
        let last = place + 1 == pieces.len() && trailers.is_none();
        let _ = stream.write_all(&frame(DATA, u8::from(last), 1, piece));
    }
    if let Some(trailers) = trailers {
        let _ = stream.write_all(&head(1, END_STREAM, &block(trailers)));
    }
}

#[test]
fn a_body_unlike_its_length_and_trailers_that_can_not_be_make_no_whole_request() {
    // Each connection has one request, so that no case meets what is left of another.
    let tap = Tap::start(b"", false);
    let gateway = Gateway::before(&[tap.address], "h2c = true");
    let mut wrong = Vec::new();
    for (place, (length, pieces, trailers)) in BELIED.iter().enumerate() {
        let path = format!("/case-{place}-");
        let mut stream = connected(&gateway, &[]);
        send(&mut stream, &path, Some(length), pieces, *trailers);
        let told = told(&mut stream, 1);
        let seen = tap.seen_with(&path);
        let body = seen.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        // Where only the trailers are bad, the body was whole before they came.
        let length_said: usize = length.parse().expect("a number");
        let most = if *length == "2" { 2 } else { length_said.saturating_sub(1) };
        let is_short = body.len() <= most && !body.contains('\r') && !seen.contains("z: 1");
        let is_refused = told.is_refused() || matches!(told.statuses[..], [502 | 503]);
        if !is_short || !is_refused {
            wrong.push(format!("{length} {pieces:?} {trailers:?}: {told:?} {seen:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_can_be_is_one_request_of_http_1() {
    let tap = Tap::start(OK, true);
    let gateway = Gateway::before(&[tap.address], "h2c = true");
    let long: &'static [u8] = Box::leak(vec![b'n'; 270].into_boxed_slice());
    let cases: &[(&[Field], &str)] = &[
        (&[M, S, P, A], "GET / HTTP/1.1\r\n"),
        (&[M, S, P, A, (b"host", b"a")], "\r\nhost: a\r\n"),
        (&[M, S, P, (b"host", b"a")], "\r\nhost: a\r\n"),
        // A fragment is for the client alone, and goes before anyone here sees it.
        (&[M, S, (b":path", b"/x#y"), A], "GET /x HTTP/1.1\r\n"),
        (&[M, S, (b":path", b"/?a=[b]|c'&d=%7b"), A], "GET /?a=[b]|c'&d=%7b HTTP/1.1\r\n"),
        (&[M, (b":scheme", b"https"), P, A], "GET / HTTP/1.1\r\n"),
        (&[(b":method", b"OPTIONS"), S, (b":path", b"*"), A], "OPTIONS * HTTP/1.1\r\n"),
        (&[(b":method", b"PATCHY"), S, P, A], "PATCHY / HTTP/1.1\r\n"),
        (&[M, S, P, (b":authority", b"[::1]:80")], "\r\nhost: [::1]:80\r\n"),
        (&[M, S, P, A, (b"te", b"trailers")], "GET / "),
        (&[M, S, P, A, (b"x", b"\xe9\t y")], "\r\nx: "),
        (&[M, S, P, A, (long, b"y")], "nnnn: y\r\n"),
        (
            &[M, S, P, A, (b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"cookie", b"c=3")],
            "\r\ncookie: a=1; b=2; c=3\r\n",
        ),
        (&[M, S, P, A, (b"content-length", b"0")], "GET / "),
    ];
    for (fields, seen) in cases {
        let mut stream = connected(&gateway, &[]);
        stream.write_all(&head(1, END_STREAM, &block(fields))).expect("sent");
        let told = told(&mut stream, 1);
        assert_eq!(
            (told.statuses.as_slice(), told.body.as_slice()),
            (&[200][..], &b"ok"[..]),
            "{}",
            shown(fields)
        );
        let all = tap.seen();
        assert!(all.contains(seen) || all.to_ascii_lowercase().contains(seen), "{seen:?} is in {all:?}");
        assert_eq!(all.to_ascii_lowercase().matches("\r\nhost:").count(), 1, "{all:?}");
        assert!(!all.contains("content-length: 5") && all.matches(" HTTP/1.1\r\n").count() == 1, "{all:?}");
        tap.forget();
    }
}

#[test]
fn a_body_with_and_without_a_length_arrives_whole() {
    let tap = Tap::start(b"", true);
    let gateway = Gateway::before(&[tap.address], "h2c = true");
    let trailers: &[Field] = &[(b"x-sum", b"1")];
    type Whole<'a> = (Option<&'a str>, &'a [&'a [u8]], Option<&'a [Field]>, &'a str);
    let bodies: [Whole<'_>; 5] = [
        (Some("5"), &[b"he", b"llo"], None, "\r\n\r\nhello"),
        (Some("5"), &[b"hello", b""], None, "\r\n\r\nhello"),
        (None, &[b"he", b"llo"], None, "\r\n0\r\n\r\n"),
        (None, &[b""], None, "\r\n\r\n"),
        (None, &[b"hello"], Some(trailers), "\r\n\r\n"),
    ];
    for (place, (length, pieces, trailers, ends)) in bodies.into_iter().enumerate() {
        let path = format!("/case-{place}-");
        let mut stream = connected(&gateway, &[]);
        send(&mut stream, &path, length, pieces, trailers);
        wait_until("the server has all of it", || tap.seen_with(&path).ends_with(ends));
        let seen = tap.seen_with(&path).to_ascii_lowercase();
        let framing = seen.matches("content-length").count() + seen.matches("transfer-encoding").count();
        assert_eq!(framing, 1, "{seen:?}");
    }
}

#[test]
fn a_head_of_http_2_is_bounded_as_one_of_http_1_is() {
    let tap = Tap::start(OK, true);
    let gateway = Gateway::before(&[tap.address], "h2c = true");
    let long =
        |length: usize| -> &'static [u8] { Box::leak([b"/", vec![b'x'; length].as_slice()].concat().into()) };
    let many: Vec<Field> =
        [M, S, P, A].into_iter().chain(std::iter::repeat_n((&b"x"[..], &b"y"[..]), 102)).collect();
    for (fields, status) in [
        (vec![M, S, (b":path" as &[u8], long(33_000)), A], 414),
        (vec![M, S, P, A, (b"x", long(33_000))], 431),
        (vec![M, S, P, A, (b"x", long(100_000))], 431),
        (many, 431),
    ] {
        let mut stream = connected(&gateway, &[]);
        let _ = stream.write_all(&head(1, END_STREAM, &block(&fields)));
        let told = told(&mut stream, 1);
        assert_eq!(told.statuses, [status], "{told:?}");
    }
    assert_eq!(tap.seen(), "");
    for reason in ["target_too_long", "head_too_large", "too_many_fields"] {
        let name = format!("headgate_refused_total{{frontend=\"fe\",reason=\"{reason}\"}}");
        assert_eq!(gateway.metric(&name), 1.0);
    }
}

#[test]
fn frames_that_break_the_protocol_end_the_stream_or_the_connection_and_nothing_else() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "h2c = true");
    let settings =
        |id: u16, value: u32| frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    let get = head(1, END_STREAM, GET);
    let cases: &[(&str, Vec<u8>)] = &[
        ("data on no stream", frame(DATA, 0, 0, b"x")),
        ("data on an idle stream", frame(DATA, 0, 5, b"x")),
        ("a head on no stream", head(0, END_STREAM, GET)),
        ("a head of an even stream", head(2, END_STREAM, GET)),
        ("a stream that goes back", [head(5, END_STREAM, GET), head(3, END_STREAM, GET)].concat()),
        ("a head in the middle of another", [frame(HEADERS, 0, 1, GET), head(3, END_STREAM, GET)].concat()),
        ("data in the middle of a head", [frame(HEADERS, 0, 1, GET), frame(DATA, 1, 1, b"x")].concat()),
        ("more of a head that has ended", [get.clone(), frame(CONTINUATION, END_HEADERS, 1, GET)].concat()),
        ("more of no head", frame(CONTINUATION, END_HEADERS, 1, GET)),
        ("padding beyond the frame", frame(DATA, PADDED, 1, &[9, 0])),
        ("padding beyond the head", frame(HEADERS, END_BOTH | PADDED, 1, &[200, 0x82])),
        ("a priority of the wrong size", frame(PRIORITY, 0, 1, &[0; 4])),
        ("a reset of an idle stream", frame(RST_STREAM, 0, 9, &[0; 4])),
        ("a reset of no stream", frame(RST_STREAM, 0, 0, &[0; 4])),
        ("a reset of the wrong size", [get, frame(RST_STREAM, 0, 1, &[0; 3])].concat()),
        ("settings of the wrong size", frame(SETTINGS, 0, 0, &[0; 5])),
        ("settings on a stream", frame(SETTINGS, 0, 1, &[])),
        ("settings that are known, with more", frame(SETTINGS, ACK, 0, &[0; 6])),
        ("a window beyond 2^31", settings(4, 0x8000_0000)),
        ("frames below the least size", settings(5, 16_383)),
        ("push that is neither on nor off", settings(2, 2)),
        ("a promise of a client", frame(5, END_HEADERS, 1, &[&[0, 0, 0, 2], GET].concat())),
        ("a ping of the wrong size", frame(PING, 0, 0, &[0; 7])),
        ("a ping on a stream", frame(PING, 0, 1, &[0; 8])),
        ("an end on a stream", frame(GOAWAY, 0, 1, &[0; 8])),
        ("an end of the wrong size", frame(GOAWAY, 0, 0, &[0; 7])),
        ("a window that grows by nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("a window that grows beyond 2^31", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
        ("a window of the wrong size", frame(WINDOW_UPDATE, 0, 0, &[0; 3])),
        ("a window of an idle stream", frame(WINDOW_UPDATE, 0, 7, &[0, 0, 0, 1])),
        ("a frame larger than agreed", frame(DATA, 0, 1, &[0; 16_385])),
        ("an entry that the table has not", head(1, END_STREAM, &[0xff, 0xff, 0x01])),
        ("entry 0", head(1, END_STREAM, &[0x80])),
        ("a table larger than agreed", head(1, END_STREAM, &[0x3f, 0xe2, 0xff, 0x03, 0x82])),
        ("an integer without end", head(1, END_STREAM, &[0xff; 20])),
        ("a text without end", head(1, END_STREAM, &[0x40, 0x7f, 0xff, 0xff])),
        ("a code that is none", head(1, END_STREAM, &[0x40, 0x84, 0xff, 0xff, 0xff, 0xff, 0x01, b'y'])),
    ];
    let mut wrong = Vec::new();
    for (what, bytes) in cases {
        let mut stream = connected(&gateway, &[]);
        let _ = stream.write_all(bytes);
        let mut error = false;
        while let Some((kind, _, _, payload)) = next(&mut stream) {
            error |= kind == RST_STREAM
                || (kind == GOAWAY && payload.get(4..8).is_some_and(|code| code != [0; 4]));
            if error {
                break;
            }
        }
        if !error {
            wrong.push(*what);
        }
        drop(stream);
        let answer = gateway.get("/");
        assert!(answer.contains("200 OK"), "after {what}: {answer}");
    }
    assert!(wrong.is_empty(), "no error for: {wrong:#?}");
}
