//! HTTP/2 from clients, by curl and frame by frame.

use crate::harness::{Gateway, Server, ok, pair, wait_until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

const H2C: &str = "h2c = true";
const GET: &[u8] = b"\x82\x84\x86\x01\x01a";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM_AND_HEADERS: u8 = 5;
const END_HEADERS: u8 = 4;

/// What curl prints: the body, the version and the status.
fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-sS", "-k", "--max-time", "20", "-w", " %{http_version} %{http_code}"])
        .args(arguments)
        .output()
        .expect("curl runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Reads frames until there is one of `kind`, or the end.
fn next_frame(stream: &mut TcpStream, kind: u8) -> Option<Vec<u8>> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).ok()?;
        if head[3] == kind {
            return Some(payload);
        }
    }
}

fn connect(gateway: &Gateway) -> TcpStream {
    let mut stream = gateway.connect();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("sent");
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).expect("sent");
    stream
}

/// A literal field, not to be remembered.
fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

#[test]
fn curl_speaks_h2c_and_the_server_sees_one_request_of_http_1() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], H2C);
    let url = format!("http://{}/x?y", gateway.front);
    let crumbs = ["-H", "Cookie: a=1", "-H", "Cookie: b=2"];
    let answer = curl(&[&["--http2-prior-knowledge"], &crumbs[..], &[&url]].concat());
    assert_eq!(answer, "s1 2 200");
    let head = server.heads().concat().to_ascii_lowercase();
    assert!(head.starts_with("get /x?y http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\ncookie: a=1; b=2\r\n") && head.matches("cookie").count() == 1, "{head}");
    assert!(head.contains(&format!("\r\nhost: {}\r\n", gateway.front)), "{head}");
    assert!(head.contains("\r\nx-forwarded-for: 127.0.0.1\r\n"), "{head}");
    let line = &gateway.log_lines(1)[0];
    assert!(line.contains(" 200 ") && line.ends_with("\"GET /x?y HTTP/2.0\""), "{line}");
    assert_eq!(curl(&["--http1.1", &url]), "s1 1.1 200", "the same listener speaks HTTP/1.1");
}

#[test]
fn over_tls_the_client_chooses() {
    let server = Server::named("s1");
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = pair(folder.path(), "api.example");
    let tls = format!("tls = {{ cert = \"{}\", key = \"{}\" }}", cert.display(), key.display());
    let gateway = Gateway::before(&[server.address], &tls);
    let url = format!("https://{}/", gateway.front);
    assert_eq!(curl(&["--http2", &url]), "s1 2 200");
    assert_eq!(curl(&["--http1.1", &url]), "s1 1.1 200");
    let only_1 = format!("{tls}\nalpn = [\"http/1.1\"]");
    let gateway = Gateway::before(&[server.address], &only_1);
    assert_eq!(curl(&["--http2", &format!("https://{}/", gateway.front)]), "s1 1.1 200");
}

#[test]
fn a_large_answer_comes_whole() {
    let body: String = (0..400_000).map(|number| format!("{number:07}\n")).collect();
    let answer = ok(&body);
    let server = Server::start(move |_, _| Some(answer.clone()));
    let gateway = Gateway::before(&[server.address], H2C);
    let url = format!("http://{}/", gateway.front);
    assert!(curl(&["--http2-prior-knowledge", &url]) == format!("{body} 2 200"));
}

#[test]
fn without_h2c_a_preface_is_no_request() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "");
    assert!(gateway.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").starts_with("HTTP/1.1 400 "));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused_over_h2_too() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], H2C);
    let cases: [&[Vec<u8>]; 6] = [
        &[field("content-length", "5")],
        &[field("content-length", "0"), field("content-length", "0")],
        &[field("transfer-encoding", "chunked")],
        &[field("host", "a"), field("host", "b")],
        &[field("host", "b")],
        &[field("connection", "x")],
    ];
    for fields in cases {
        let mut stream = connect(&gateway);
        let block = [GET, &fields.concat()].concat();
        stream.write_all(&frame(HEADERS, END_STREAM_AND_HEADERS, 1, &block)).expect("sent");
        // Either the stream is reset, or the client is told: 400 is static entry 12.
        let refused = loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).expect("a frame");
            let mut payload = vec![0; usize::from(head[2]) | usize::from(head[1]) << 8];
            stream.read_exact(&mut payload).expect("its payload");
            match head[3] {
                RST_STREAM | GOAWAY => break true,
                HEADERS => break payload.first() == Some(&0x8c),
                _ => {}
            }
        };
        assert!(refused, "{fields:?}");
    }
    assert_eq!(server.heads(), Vec::<String>::new());
}

#[test]
fn a_body_that_its_length_belies_reaches_no_server_as_a_whole() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], H2C);
    let mut stream = connect(&gateway);
    let block = [b"\x83\x84\x86\x01\x01a".as_slice(), &field("content-length", "3")].concat();
    stream.write_all(&frame(HEADERS, END_HEADERS, 1, &block)).expect("sent");
    stream.write_all(&frame(DATA, 1, 1, b"abcd")).expect("sent");
    assert!(next_frame(&mut stream, RST_STREAM).is_some());
    assert!(!server.heads().concat().contains("abcd"));
}

#[test]
fn a_connection_on_which_no_request_comes_is_ended() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "h2c = true\nhttp_request_timeout = \"300ms\"");
    for begun in [connect(&gateway), {
        // A head that never ends, in HEADERS without END_HEADERS.
        let mut stream = connect(&gateway);
        stream.write_all(&frame(HEADERS, 0, 1, GET)).expect("sent");
        stream
    }] {
        let mut stream = begun;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the end");
    }
    let mut stream = gateway.connect();
    stream.write_all(b"PRI * HTT").expect("sent");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the end");
    assert!(rest.starts_with("HTTP/1.1 408 "), "{rest}");
}

#[test]
fn streams_are_bounded() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "h2c = true\nh2_max_concurrent_streams = 7");
    let settings = next_frame(&mut connect(&gateway), SETTINGS).expect("settings");
    let settings: Vec<&[u8]> = settings.chunks(6).collect();
    assert!(settings.contains(&[0, 3, 0, 0, 0, 7].as_slice()), "{settings:?}");
}

#[test]
fn a_drain_says_goaway_and_finishes_what_runs() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], H2C);
    let mut stream = connect(&gateway);
    stream.write_all(&frame(HEADERS, END_STREAM_AND_HEADERS, 1, GET)).expect("sent");
    assert_eq!(next_frame(&mut stream, DATA).expect("an answer"), b"s1");
    assert_eq!(gateway.ctl(&["drain"]), "draining\n");
    assert!(next_frame(&mut stream, GOAWAY).is_some());
    stream.write_all(&frame(HEADERS, END_STREAM_AND_HEADERS, 3, GET)).expect("sent");
    assert_eq!(next_frame(&mut stream, DATA).expect("what it had sent before it knew"), b"s1");
    assert!(next_frame(&mut stream, DATA).is_none(), "it ends");
    let url = format!("http://{}/", gateway.front);
    assert_eq!(curl(&["--http2-prior-knowledge", &url]), "s1 2 200", "a new connection is served");
}

#[test]
fn a_flood_of_resets_costs_its_sender_the_connection() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], H2C);
    let mut stream = connect(&gateway);
    let flood = (0..20_000u32).flat_map(|number| {
        let id = 2 * number + 1;
        [frame(HEADERS, END_STREAM_AND_HEADERS, id, GET), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat()
    });
    let flood: Vec<u8> = flood.collect();
    let _ = stream.write_all(&flood);
    let goaway = next_frame(&mut stream, GOAWAY);
    assert!(goaway.is_none_or(|goaway| goaway[4..8] == [0, 0, 0, 11]), "ENHANCE_YOUR_CALM, or just cut");
    wait_until("it is closed", || gateway.metric("headgate_connections{frontend=\"fe\"}") == 0.0);
    assert!(gateway.get("/").contains("200 OK"));
}
