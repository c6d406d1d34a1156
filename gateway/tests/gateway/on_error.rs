//! Requests that fail in a row take a server down as its check would, and its check brings it back.

use crate::harness::{Gateway, Server, ok, wait_until};

const UP: &str = "headgate_server_up{backend=\"be\",server=\"s1\"}";
const MARKED: &str = "headgate_server_check_status{backend=\"be\",server=\"s1\",status=\"HANA\"}";

/// A server that passes its checks, and fails at all else.
fn ill() -> Server {
    Server::start(|head, _| {
        let broken = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n".to_vec();
        Some(if head.contains(" /health ") { ok("well") } else { broken })
    })
}

/// Before such a server and a good one, with a check that is due once an hour, and four workers.
fn gateway(bad: &Server, good: &Server, timing: &str, server: &str) -> Gateway {
    Gateway::of_backend(&format!(
        "check = {{ type = \"http\", uri = \"/health\", inter = \"1h\", {timing} }}\n\
         server = [{{ name = \"s1\", address = \"{}\", {server} }}, {{ name = \"s2\", address = \"{}\" }}]",
        bad.address, good.address
    ))
}

/// How many of so many requests the bad server got.
fn failed(gateway: &Gateway, of: usize) -> usize {
    (0..of).filter(|_| gateway.get("/").starts_with("HTTP/1.1 500")).count()
}

#[test]
fn a_server_is_marked_down_by_errors_in_a_row_and_brought_back_by_its_check() {
    let (bad, good) = (ill(), Server::named("good"));
    let server = "observe = \"layer7\", error_limit = 3, on_error = \"mark-down\"";
    let gateway = gateway(&bad, &good, "fastinter = \"3s\", rise = 1", server);
    assert_eq!(failed(&gateway, 6), 3, "in turn, until it is down");
    wait_until("it is down", || gateway.metric(UP) == 0.0);
    assert_eq!(gateway.metric(MARKED), 1.0);
    wait_until("its check has passed", || gateway.metric(UP) == 1.0);
}

#[test]
fn sudden_death_leaves_it_to_the_next_check_and_a_success_ends_a_row() {
    let (bad, good) = (ill(), Server::named("good"));
    let server = "observe = \"layer7\", error_limit = 3, on_error = \"sudden-death\"";
    let gateway = gateway(&bad, &good, "fall = 5", server);
    assert_eq!(failed(&gateway, 4), 2);
    // Its check is well, so a request for that is a success.
    while !gateway.get("/health").ends_with("well") {}
    assert_eq!(failed(&gateway, 4), 2);
    while !gateway.get("/").starts_with("HTTP/1.1 500") {}
    let passed = "headgate_server_checks_total{backend=\"be\",result=\"passed\",server=\"s1\"}";
    wait_until("it was probed at once", || gateway.metric(passed) >= 1.0);
    let failed = "headgate_server_checks_total{backend=\"be\",result=\"failed\",server=\"s1\"}";
    assert_eq!((gateway.metric(failed), gateway.metric(UP)), (1.0, 1.0));
}

#[test]
fn connections_that_fail_are_errors_of_layer_4_and_answers_are_none() {
    let (bad, good) = (ill(), Server::named("good"));
    let server = "observe = \"layer4\", error_limit = 1, on_error = \"mark-down\"";
    let gateway = gateway(&bad, &good, "fall = 5", server);
    assert_eq!(failed(&gateway, 10), 5);
    assert_eq!(gateway.metric(UP), 1.0);
}
