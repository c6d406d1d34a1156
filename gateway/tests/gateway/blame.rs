//! What a client or this node brings about is not held against servers, and is not tried on each of them.

use crate::daemons::program;
use crate::harness::{Gateway, Server, exchange, read_answer};
use crate::servers::{Nginx, body};
use std::io::{BufReader, Write};
use std::process::Command;

const ERRORS: &str = "headgate_server_errors_total{backend=\"be\",server=\"s1\"}";
const OPEN: &str = "headgate_server_breaker_open{backend=\"be\",server=\"s1\"}";
/// A breaker that one failure would open for good.
const BREAKER: &str = "breaker = { error_limit = 1, open = \"60s\" }\nretries = 3";

fn ask(gateway: &Gateway, host: &str) -> String {
    gateway.raw(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
}

#[test]
fn a_name_that_a_client_chose_and_no_server_has_is_not_the_servers_failure() {
    let Some(nginx) = Nginx::start(false) else { return };
    let gateway = Gateway::of_backend(&format!(
        "{BREAKER}\nserver = [{{ name = \"s1\", address = \"{}\", ssl = true, ca_file = \"{}\", sni = \"req.hdr(host)\" }}]",
        nginx.tls,
        nginx.file("ca.pem")
    ));
    for _ in 0..3 {
        let answer = ask(&gateway, "other.example");
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        let answer = ask(&gateway, "api.example");
        assert!(body(&answer).starts_with("HTTP/1.1 api.example"), "{answer}");
    }
    assert_eq!((gateway.metric(ERRORS), gateway.metric(OPEN)), (0.0, 0.0));
    let line = gateway.log_lines(6).into_iter().find(|line| line.contains(" 503 ")).expect("it is logged");
    assert!(line.contains(" SC-- ") && line.contains("/0 0/0 "), "not again: {line}");
}

#[test]
fn a_name_by_which_nothing_can_be_verified_is_refused_before_a_server_is_asked() {
    let Some(nginx) = Nginx::start(false) else { return };
    // Whom this believes has not signed for the server.
    let gateway = Gateway::of_backend(&format!(
        "{BREAKER}\nserver = [{{ name = \"s1\", address = \"{}\", ssl = true, ca_file = \"{}\", sni = \"req.hdr(host)\" }}]",
        nginx.tls,
        nginx.file("other.pem")
    ));
    let none = exchange(gateway.front, b"GET / HTTP/1.0\r\n\r\n");
    let no_name = ask(&gateway, "api..example");
    for answer in [none, no_name] {
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert_eq!((gateway.metric(ERRORS), gateway.metric(OPEN)), (0.0, 0.0));
    assert_eq!(gateway.metric("headgate_refused_total{frontend=\"fe\",reason=\"bad_server_name\"}"), 2.0);
    assert!(gateway.log_lines(2).iter().all(|line| line.contains(" PR-- ")), "{:?}", gateway.log_lines(2));
}

#[test]
fn a_node_without_files_left_says_so_and_blames_no_server() {
    let Some(prlimit) = program("prlimit") else { return };
    let server = Server::named("well");
    let gateway = Gateway::of_backend(&format!(
        "{BREAKER}\nhttp_reuse = \"never\"\nserver = [{{ name = \"s1\", address = \"{}\" }}]",
        server.address
    ));
    let limit = |files: &str| {
        let pid = gateway.process.id().to_string();
        let set = Command::new(&prlimit).args(["--pid", &pid, &format!("--nofile={files}:")]).status();
        assert!(set.is_ok_and(|status| status.success()), "the limit is set");
    };
    let mut client = gateway.connect();
    let mut read = BufReader::new(client.try_clone().expect("a second handle"));
    let mut get = || {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        read_answer(&mut read).unwrap_or_default()
    };
    assert!(get().ends_with("well"));
    limit("3");
    let answer = get();
    limit("1024");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(gateway.get("/").ends_with("well"));
    assert_eq!((gateway.metric(ERRORS), gateway.metric(OPEN)), (0.0, 0.0));
    let line = gateway.log_lines(3).into_iter().find(|line| line.contains(" 503 ")).expect("it is logged");
    assert!(line.contains(" RC-- ") && line.contains("/0 0/0 "), "not again: {line}");
}
