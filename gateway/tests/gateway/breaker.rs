//! A server that fails gets nothing for a while, whichever worker asks, and is found again.

use crate::harness::{Gateway, Server, free_address, ok, wait_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const OPEN: &str = "headgate_server_breaker_open{backend=\"be\",server=\"s1\"}";

/// A server that answers with 500 until it is told that it is well.
fn ill() -> (Server, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let server = Server::start(move |_, _| {
        let broken = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n".to_vec();
        Some(if is_well.load(Ordering::SeqCst) { ok("well") } else { broken })
    });
    (server, well)
}

#[test]
fn a_server_that_fails_is_left_alone_over_all_workers_until_one_request_succeeds() {
    let ((bad, well), other) = (ill(), Server::named("other"));
    let gateway = Gateway::of_backend(&format!(
        "breaker = {{ error_limit = 3, open = \"400ms\" }}\n\
         server = [{{ name = \"s1\", address = \"{}\" }}, {{ name = \"s2\", address = \"{}\" }}]",
        bad.address, other.address
    ));
    let failed = (0..20).filter(|_| gateway.get("/").starts_with("HTTP/1.1 500")).count();
    // A slow machine may let the pause pass and try it again.
    assert!((3..=5).contains(&failed), "{failed}");
    assert_eq!(gateway.metric(OPEN), 1.0);
    well.store(true, Ordering::SeqCst);
    wait_until("it serves again", || gateway.get("/").ends_with("well"));
    assert_eq!(gateway.metric(OPEN), 0.0);
    let served = (0..10).filter(|_| gateway.get("/").ends_with("well")).count();
    assert_eq!(served, 5);
}

#[test]
fn with_no_other_server_clients_fail_at_once_and_the_server_rests() {
    let (bad, _well) = ill();
    let gateway = Gateway::of_backend(&format!(
        "breaker = {{ error_limit = 3, open = \"60s\" }}\n\
         server = [{{ name = \"s1\", address = \"{}\" }}]",
        bad.address
    ));
    let answers: Vec<String> = (0..20).map(|_| gateway.get("/")).collect();
    assert_eq!(answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 500")).count(), 3);
    assert_eq!(answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 503")).count(), 17);
    assert_eq!(bad.heads().len(), 3);
}

#[test]
fn a_request_that_is_never_sent_takes_nobodys_trial() {
    let gone = free_address();
    let gateway = Gateway::of_backend(&format!(
        "breaker = {{ error_limit = 1, open = \"300ms\" }}\nretries = 0\n\
         server = [{{ name = \"s1\", address = \"{gone}\", ssl = true, verify = \"none\", sni = \"req.hdr(host)\" }}]"
    ));
    let ask = |host: &str| {
        gateway.raw(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
    };
    let errors = || gateway.metric("headgate_server_errors_total{backend=\"be\",server=\"s1\"}");
    assert!(ask("api.example").starts_with("HTTP/1.1 503"));
    assert_eq!((errors(), gateway.metric(OPEN)), (1.0, 1.0));
    wait_until("it may be tried again", || ask("api..example").starts_with("HTTP/1.1 400"));
    assert!(ask("api.example").starts_with("HTTP/1.1 503"));
    assert_eq!(errors(), 2.0, "the trial was left for one that can be sent");
}
