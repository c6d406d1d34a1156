//! What rules change about how a request is served, on real traffic.

use crate::harness::{DEADLINE, Gateway, Server, ok, pair, write};
use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

fn elapsed(since: SystemTime) -> Duration {
    since.elapsed().unwrap_or_default()
}

#[test]
fn a_limit_of_bandwidth_paces_each_answer() {
    let body = "x".repeat(300_000);
    let server = Server::start(move |_, _| Some(ok(&body)));
    let gateway = Gateway::before(
        &[server.address],
        "[[frontend.rule]]\nif = { path = \"/slow\" }\nbandwidth_limit = \"200KiB\"",
    );
    for parallel in [1, 2] {
        let begun = SystemTime::now();
        std::thread::scope(|scope| {
            for _ in 0..parallel {
                scope.spawn(|| assert!(gateway.get("/slow").ends_with("xxxx")));
            }
        });
        // A piece of up to 64 KiB comes at once.
        let took = elapsed(begun);
        assert!(took >= Duration::from_millis(1100) && took < Duration::from_secs(4), "{took:?}");
    }
    let begun = SystemTime::now();
    assert!(gateway.get("/fast").ends_with("xxxx"));
    assert!(elapsed(begun) < Duration::from_secs(1));
}

#[test]
fn a_rule_gives_a_server_more_time_or_less() {
    let server = Server::start(|head, _| {
        let patience = if head.contains("/hangs") { DEADLINE } else { Duration::from_millis(700) };
        crate::harness::pause(patience);
        Some(ok("late"))
    });
    let gateway = Gateway::before(
        &[server.address],
        "[[frontend.rule]]\nif = { path = { beg = \"/short\" } }\nset_timeout = { server = \"200ms\" }\n\
         [[frontend.rule]]\nif = { path = \"/short/not\" }\nset_timeout = { server = \"5s\" }",
    );
    assert!(gateway.get("/short").starts_with("HTTP/1.1 504"));
    assert!(gateway.get("/short/not").ends_with("late"));
    assert!(gateway.get("/").ends_with("late"));
}

#[test]
fn a_rule_gives_a_client_less_time() {
    let server = Server::start(|_, stream| {
        let _ = stream.read(&mut [0; 10]);
        Some(ok("x"))
    });
    let gateway =
        Gateway::before(&[server.address], "[[frontend.rule]]\nset_timeout = { client = \"200ms\" }");
    let begun = SystemTime::now();
    let answer = gateway.raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 408") || answer.is_empty(), "{answer}");
    assert!(elapsed(begun) < Duration::from_secs(5), "{:?}", elapsed(begun));
}

#[test]
fn who_is_dropped_silently_is_told_nothing() {
    let server = Server::named("s1");
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = pair(folder.path(), "api.example");
    let rule = "h2c = true\n[[frontend.rule]]\nif = { path = \"/x\" }\nsilent_drop = { reason = \"pest\" }";
    let gateway = Gateway::before(&[server.address], rule);
    let mut stream = gateway.connect();
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let line = &gateway.log_lines(1)[0];
    assert!(line.contains(" fe/<NOSRV> ") && line.contains("/-1/-1/-1/"), "{line}");
    assert!(line.contains(" -1 0 - - PR-- "), "{line}");
    assert_eq!(gateway.metric("headgate_refused_total{frontend=\"fe\",reason=\"pest\"}"), 1.0);
    crate::harness::wait_until("the gateway has forgotten it", || {
        gateway.metric("headgate_connections{frontend=\"fe\"}") == 0.0
    });
    if nix::unistd::geteuid().is_root() {
        stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a deadline");
        let told = stream.read(&mut [0; 10]);
        assert!(told.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "{told:?}");
    } else {
        eprintln!("skipped: only root closes a connection without a reset");
    }
    let get = b"\x82\x44\x02/x\x86\x41\x01a";
    let mut h2 = gateway.connect();
    let headers = [&[0, 0, get.len() as u8, 1, 5, 0, 0, 0, 1], get.as_slice()].concat();
    h2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").expect("sent");
    h2.write_all(&headers).expect("sent");
    crate::harness::wait_until("its connection is gone, too", || {
        gateway.log_lines(2).len() == 2 && gateway.metric("headgate_connections{frontend=\"fe\"}") == 0.0
    });
    let tls = format!("tls = {{ cert = \"{}\", key = \"{}\" }}\n{rule}", cert.display(), key.display());
    let gateway = Gateway::before(&[server.address], &tls.replace("h2c = true\n", ""));
    let url = format!("https://{}/x", gateway.front);
    for version in ["--http1.1", "--http2"] {
        let curl = std::process::Command::new("curl")
            .args(["-sS", "-k", "--max-time", "1", version, &url])
            .output()
            .expect("curl runs");
        assert!(!curl.status.success() && curl.stdout.is_empty(), "{curl:?}");
    }
    assert!(server.heads().is_empty());
}

#[test]
fn errors_of_the_gateway_have_the_operators_pages() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = write(folder.path(), "error.json", "{\"error\":\"later\"}");
    let html = write(folder.path(), "bad.html", "<p>what?</p>");
    let nobody = crate::harness::free_address();
    let gateway = Gateway::before(
        &[nobody],
        &format!(
            "http_request_timeout = \"300ms\"\nerrorfile = [{{ status = [502, 503, 504], file = \"{}\" }}, {{ status = [400, 403, 408], file = \"{}\", content_type = \"text/html\" }}]\n\
             [[frontend.rule]]\nif = {{ path = \"/no\" }}\ndeny = 403",
            json.display(),
            html.display()
        ),
    );
    let is = |answer: &str, status: &str, content_type: &str, body: &str| {
        let head = answer.to_ascii_lowercase();
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{answer}");
        assert!(head.contains(&format!("content-type: {content_type}\r\n")), "{answer}");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
    };
    is(&gateway.get("/"), "503", "application/json", "{\"error\":\"later\"}");
    is(&gateway.get("/no"), "403", "text/html", "<p>what?</p>");
    is(&gateway.raw(b"GET /\r\n\r\n"), "400", "text/html", "<p>what?</p>");
    is(&gateway.raw(b"GET / HTTP/1.1\r\n"), "408", "text/html", "<p>what?</p>");
}
