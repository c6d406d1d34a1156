//! Servers that never end what they say, or break HTTP/2: the client gets an error or a cut connection in bounded time
//! and memory, and the next request is served.

use super::say;
use super::wire::{
    CONTINUATION, DATA, END_BOTH, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PUSH_PROMISE, RST_STREAM,
    SETTINGS, UNKNOWN, WINDOW_UPDATE, block, frame,
};
use crate::harness::{DEADLINE, Gateway, Server};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

const GET_BAD: &[u8] = b"GET /bad HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Over HTTP/1.1: what is said first, and what is said then again and again.
const ENDLESS: &[(&str, &[u8], &[u8])] = &[
    ("hints", b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    ("continues", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ("processing", b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    ("fields", b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    ("a field's value", b"HTTP/1.1 200 OK\r\nX: ", b"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"),
    ("a field's name", b"HTTP/1.1 200 OK\r\n", b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
    ("a reason", b"HTTP/1.1 200 ", b"okokokokokokokokokokokokokokokok"),
    ("a status", b"HTTP/1.1 ", b"22222222222222222222222222222222"),
    ("empty lines", b"", b"\r\n\r\n\r\n\r\n\r\n\r\n"),
    ("zeros", b"", b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    (
        "a chunk's size",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"000000000000000000000000000000",
    ),
    (
        "a chunk's extension",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;",
        b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ),
    ("trailers", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", b"X: y\r\n"),
];

#[test]
fn a_server_that_never_ends_its_head_or_its_framing_is_cut_off_in_bounded_time_and_memory() {
    let mut wrong = Vec::new();
    for (what, first, again) in ENDLESS {
        let piece = again.repeat(1 + 8192 / again.len());
        let server = Server::start(move |head, stream| {
            if !head.contains("/bad") {
                return Some(crate::harness::ok("good"));
            }
            stream.write_all(first).ok()?;
            // Far more than is to be taken, but not for ever.
            for _ in 0..4096 {
                stream.write_all(&piece).ok()?;
            }
            None
        });
        let gateway = Gateway::before(&[server.address], "");
        let (answer, closed) = say(gateway.front, GET_BAD, DEADLINE);
        let answers = answer.split("HTTP/1.1 ").skip(1).filter(|answer| !answer.starts_with('1')).count();
        let is_whole =
            answer.contains("200 OK") && (answer.ends_with("\r\n0\r\n\r\n") || !answer.contains("hunked"));
        // Trailers come behind an answer that is whole.
        let is_error = !is_whole || *what == "trailers";
        let interim = answer.matches("HTTP/1.1 1").count();
        if !closed || answers > 1 || !is_error || interim > 32 || answer.len() > 1 << 16 {
            let start: String = answer.chars().take(200).collect();
            wrong.push(format!(
                "{what}: closed {closed}, {answers} answers, {interim} interim, {}: {start:?}",
                answer.len()
            ));
        }
        let next = gateway.get("/good");
        assert!(next.ends_with("good"), "after {what}: {next}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A server of HTTP/2 by hand: shakes hands, and says `bad` as soon as there is a request on the first stream. On any
/// later connection it answers as it should.
fn over_h2(bad: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let bad = bad.clone();
            std::thread::spawn(move || serve_h2(stream, if number == 0 { Some(bad) } else { None }));
        }
    });
    address
}

fn serve_h2(mut stream: TcpStream, mut bad: Option<Vec<u8>>) -> Option<()> {
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    stream.read_exact(&mut [0; 24]).ok()?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).ok()?;
    loop {
        let (kind, flags, id, payload) = super::wire::next(&mut stream)?;
        match kind {
            SETTINGS if flags & 1 == 0 => stream.write_all(&frame(SETTINGS, 1, 0, &[])).ok()?,
            PING if flags & 1 == 0 => stream.write_all(&frame(PING, 1, 0, &payload)).ok()?,
            HEADERS => match bad.take() {
                Some(bad) => stream.write_all(&bad).ok()?,
                None => {
                    let head = frame(HEADERS, END_HEADERS, id, &[0x88]);
                    stream.write_all(&[head, frame(DATA, END_STREAM, id, b"good")].concat()).ok()?;
                }
            },
            _ => {}
        }
    }
}

#[test]
fn a_server_that_breaks_http_2_costs_its_request_and_no_other() {
    let head = |fields: &[(&[u8], &[u8])], flags| frame(HEADERS, flags | END_HEADERS, 1, &block(fields));
    let status: (&[u8], &[u8]) = (b":status", b"200");
    let ok = || frame(HEADERS, END_HEADERS, 1, &[0x88]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("garbage", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".repeat(4)),
        ("zeros", vec![0; 4096]),
        ("no status", head(&[(b"x", b"y")], END_STREAM)),
        ("two statuses", head(&[status, (b":status", b"404")], END_STREAM)),
        ("a status that is none", head(&[(b":status", b"abc")], END_STREAM)),
        ("a status of two digits", head(&[(b":status", b"20")], END_STREAM)),
        ("a pseudo field behind others", head(&[(b"x", b"y"), status], END_STREAM)),
        ("a field in upper case", head(&[status, (b"X", b"y")], END_STREAM)),
        ("a field of one connection", head(&[status, (b"connection", b"close")], END_STREAM)),
        ("a coding", head(&[status, (b"transfer-encoding", b"chunked")], END_STREAM)),
        ("a split value", head(&[status, (b"x", b"y\r\nz: 1")], END_STREAM)),
        ("a NUL", head(&[status, (b"x", b"y\0")], END_STREAM)),
        ("two lengths", head(&[status, (b"content-length", b"1"), (b"content-length", b"2")], 0)),
        ("a switch", head(&[(b":status", b"101")], 0)),
        ("data without a head", frame(DATA, END_STREAM, 1, b"ok")),
        (
            "less than its length",
            [head(&[status, (b"content-length", b"9")], 0), frame(DATA, END_STREAM, 1, b"ok")].concat(),
        ),
        (
            "more than its length",
            [head(&[status, (b"content-length", b"1")], 0), frame(DATA, END_STREAM, 1, b"ok")].concat(),
        ),
        ("nothing of its length", head(&[status, (b"content-length", b"9")], END_STREAM)),
        (
            "a head that never ends",
            [
                frame(HEADERS, 0, 1, &[0x88]),
                frame(CONTINUATION, 0, 1, &block(&[(b"x", &[b'y'; 1000])])).repeat(2000),
            ]
            .concat(),
        ),
        ("hints without end", frame(HEADERS, END_HEADERS, 1, &block(&[(b":status", b"103")])).repeat(5000)),
        (
            "a large head",
            [
                frame(HEADERS, 0, 1, &[0x88]),
                frame(CONTINUATION, 0, 1, &block(&[(b"x", &[b'y'; 16_000])])).repeat(100),
                frame(CONTINUATION, END_HEADERS, 1, &[]),
            ]
            .concat(),
        ),
        ("a reset", frame(RST_STREAM, 0, 1, &[0, 0, 0, 2])),
        (
            "a reset in its middle",
            [ok(), frame(DATA, 0, 1, b"o"), frame(RST_STREAM, 0, 1, &[0, 0, 0, 2])].concat(),
        ),
        ("an end", frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2])),
        (
            "an end in its middle",
            [ok(), frame(DATA, 0, 1, b"o"), frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2])].concat(),
        ),
        ("a stream of nobody", [frame(HEADERS, END_BOTH, 7, &[0x88]), ok()].concat()),
        ("a promise", frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], super::wire::GET].concat())),
        ("a window beyond 2^31", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
        ("more than the window", [ok(), frame(DATA, 0, 1, &[b'x'; 16_384]).repeat(400)].concat()),
        ("a frame too large", frame(UNKNOWN, 0, 0, &[0; 20_000])),
        ("a broken head", frame(HEADERS, END_BOTH, 1, &[0xff; 40])),
        ("nothing at all", Vec::new()),
        ("half a frame", frame(HEADERS, END_BOTH, 1, &[0x88; 20])[..12].to_vec()),
    ];
    let mut wrong = Vec::new();
    for (what, bytes) in cases {
        let address = over_h2(bytes);
        let gateway = Gateway::of_backend(&format!(
            "server_timeout = \"500ms\"\nretries = 0\nserver = [{{ name = \"s1\", address = \"{address}\", proto = \"h2\" }}]"
        ));
        let (answer, closed) = say(gateway.front, GET_BAD, Duration::from_secs(10));
        let clean =
            ["502", "503", "504"].iter().any(|status| answer.starts_with(&format!("HTTP/1.1 {status} ")));
        // Or it was begun, and cut off: without its end, or shorter than it says.
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let length = head
            .to_ascii_lowercase()
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let is_whole =
            length.map_or_else(|| body.ends_with("0\r\n\r\n"), |length: usize| body.len() >= length);
        // Nobody is wronged by what does not concern the request.
        let passes = matches!(what, "a frame too large");
        let cut = answer.is_empty() || !is_whole;
        if !closed || !(clean || cut || passes) || answer.contains("z: 1") {
            wrong.push(format!("{what}: closed {closed} {:?}", answer.chars().take(200).collect::<String>()));
        }
        // The connection may have to be found dead first.
        let served = (0..8).any(|_| gateway.get("/good").contains("good"));
        assert!(served, "after {what}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
