//! What a server gets to see of a request, and which requests it never sees.

use crate::harness::{Gateway, Server, ok, pause, read_answer, wait_until};
use std::io::{BufReader, Read, Write};
use std::time::Duration;

#[test]
fn an_ambiguous_request_is_refused_and_no_server_sees_it() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "");
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nabcd",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03 garbage \r\n\r\n",
    ] {
        let answer = gateway.raw(request.as_bytes());
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{request:?}: {answer}");
    }
    assert_eq!(server.heads(), Vec::<String>::new());
    assert!(gateway.get("/").contains("200 OK"), "it serves on");
    assert!(gateway.metric("headgate_refused_total{frontend=\"fe\",reason=\"length_and_encoding\"}") >= 1.0);
}

#[test]
fn x_forwarded_for_can_not_be_forged() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "");
    let forged = "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 7.7.7.7\r\nForwarded: for=8.8.8.8\r\nX-Forwarded-Proto: https\r\n";
    gateway.raw(format!("GET / HTTP/1.1\r\nHost: a\r\n{forged}Connection: close\r\n\r\n").as_bytes());
    let nominated = "Connection: close, X-Forwarded-For\r\n";
    gateway.raw(format!("GET / HTTP/1.1\r\nHost: a\r\n{nominated}\r\n").as_bytes());
    for head in server.heads() {
        let head = head.to_ascii_lowercase();
        assert_eq!(head.matches("x-forwarded-for").count(), 1, "{head}");
        assert!(head.contains("x-forwarded-for: 127.0.0.1\r\n"), "{head}");
        assert!(head.contains("x-forwarded-proto: http\r\n"), "{head}");
        assert!(!head.contains("6.6.6.6") && !head.contains("8.8.8.8"), "{head}");
    }
}

#[test]
fn a_trusted_proxy_is_believed_and_named() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "trusted_proxies = [\"127.0.0.0/8\"]");
    gateway.raw(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.9\r\nConnection: close\r\n\r\n");
    let head = server.heads().concat().to_ascii_lowercase();
    assert!(head.contains("x-forwarded-for: 198.51.100.9, 127.0.0.1\r\n"), "{head}");
    assert!(gateway.log_lines(1)[0].starts_with("198.51.100.9:"));
}

#[test]
fn a_trusted_proxy_may_say_it_in_forwarded_and_then_nothing_else_is_believed() {
    let server = Server::named("s1");
    let more = "trusted_proxies = [\"127.0.0.0/8\"]\ntrusted_header = \"forwarded\"";
    let gateway = Gateway::before(&[server.address], more);
    let said =
        "Forwarded: for=6.6.6.6, for=\"[2001:db8::7]:4711\";proto=https\r\nX-Forwarded-For: 7.7.7.7\r\n";
    gateway.raw(format!("GET / HTTP/1.1\r\nHost: a\r\n{said}Connection: close\r\n\r\n").as_bytes());
    let head = server.heads().concat().to_ascii_lowercase();
    let chain =
        "forwarded: for=6.6.6.6, for=\"[2001:db8::7]:4711\";proto=https, for=127.0.0.1;proto=http\r\n";
    assert!(head.contains(&format!("\r\n{chain}")), "{head}");
    assert!(head.contains("x-forwarded-for: 2001:db8::7\r\n") && !head.contains("7.7.7.7"), "{head}");
    assert!(gateway.log_lines(1)[0].starts_with("2001:db8::7:"));
}

#[test]
fn an_answer_and_a_body_pass_unchanged() {
    let server = Server::start(|head, stream| {
        let length =
            head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        // The harness' reader may hold the start of the body; a body of its own segment is read here.
        stream.read_exact(&mut body).ok()?;
        Some(ok(&String::from_utf8_lossy(&body)))
    });
    let gateway = Gateway::before(&[server.address], "");
    let mut stream = gateway.connect();
    stream
        .write_all(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
        .expect("sent");
    crate::harness::wait_until("the server has the head", || !server.heads().is_empty());
    stream.write_all(b"hello").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
}

#[test]
fn a_probe_through_the_listener_is_answered_here() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "");
    assert!(gateway.get("/alive").starts_with("HTTP/1.1 200"));
    assert_eq!(server.heads(), Vec::<String>::new());
    assert!(gateway.ctl(&["status"]).contains("0 served"), "{}", gateway.ctl(&["status"]));
}

#[test]
fn tls_speaks_the_same() {
    let server = Server::named("s1");
    let folder = tempfile::tempdir().expect("a folder");
    let pair = rcgen::generate_simple_self_signed(["api.example".to_owned()]).expect("a certificate");
    let cert = crate::harness::write(folder.path(), "cert.pem", &pair.cert.pem());
    let key = crate::harness::write(folder.path(), "key.pem", &pair.signing_key.serialize_pem());
    let tls = format!("tls = {{ cert = \"{}\", key = \"{}\" }}", cert.display(), key.display());
    let gateway = Gateway::before(&[server.address], &tls);

    let mut roots = rustls::RootCertStore::empty();
    roots.add(pair.cert.der().clone()).expect("a certificate");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "api.example".try_into().expect("a name");
    let session = rustls::ClientConnection::new(std::sync::Arc::new(config), name).expect("a session");
    let mut stream = rustls::StreamOwned::new(session, gateway.connect());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("s1"), "{answer}");
    assert!(server.heads().concat().to_ascii_lowercase().contains("x-forwarded-proto: https"));
    assert!(gateway.log_lines(1)[0].contains(" fe~ be/s1 "));

    let garbage = gateway.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!garbage.contains("HTTP/1.1 200"), "plain HTTP is no TLS: {garbage:?}");
    crate::harness::wait_until("the failure is counted", || {
        gateway.metric("headgate_tls_failures_total{frontend=\"fe\"}") >= 1.0
    });
}

#[test]
fn requests_that_do_not_wait_for_answers_get_them_in_their_order() {
    let server = Server::start(|head, _| {
        let path = head.split(' ').nth(1)?.to_owned();
        if path == "/late" {
            pause(Duration::from_millis(300));
        }
        Some(ok(&path))
    });
    let gateway = Gateway::before(&[server.address], "");
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let post = "POST /last HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    // More than is read at once, cut in the middle of a head, and with one behind them that says how long its body is.
    let many: Vec<String> = (0..300).map(|nth| format!("/{nth}")).collect();
    let mut all: String = many.iter().map(|path| get(path)).collect();
    all.push_str(post);
    let mut client = BufReader::new(gateway.connect());
    let (first, rest) = all.as_bytes().split_at(100);
    client.get_mut().write_all(first).expect("sent");
    pause(Duration::from_millis(50));
    client.get_mut().write_all(rest).expect("sent");
    for path in many.iter().map(String::as_str).chain(["/last"]) {
        let answer = read_answer(&mut client).unwrap_or_default();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with(&format!("\n{path}")),
            "{path}: {answer}"
        );
    }
    // The second one comes while the first one runs.
    client.get_mut().write_all(get("/late").as_bytes()).expect("sent");
    wait_until("it runs", || server.heads().iter().any(|head| head.contains(" /late ")));
    client.get_mut().write_all(get("/next").as_bytes()).expect("sent");
    for path in ["/late", "/next"] {
        let answer = read_answer(&mut client).unwrap_or_default();
        assert!(answer.ends_with(&format!("\n{path}")), "{path}: {answer}");
    }
    assert_eq!(gateway.log_lines(303).len(), 303);
}
