//! Checks speak with a server as requests do: over the same TLS, announced by the same header; and what they find is
//! counted.

use crate::harness::{Gateway, Server, ok, wait_until};
use crate::servers::Nginx;
use std::net::SocketAddr;

const CHECK: &str =
    "check = { type = \"http\", inter = \"500ms\", fastinter = \"100ms\", rise = 1, fall = 3 }";

fn gateway(check: &str, address: SocketAddr, keys: &str) -> Gateway {
    Gateway::of_backend(&format!("{check}\nserver = [{{ name = \"s\", address = \"{address}\", {keys} }}]"))
}

const LABELS: &str = "backend=\"be\",server=\"s\"";

fn is_up(gateway: &Gateway) -> bool {
    gateway.metric(&format!("headgate_server_up{{{LABELS}}}")) == 1.0
}

fn checks(gateway: &Gateway, result: &str) -> f64 {
    gateway
        .metric(&format!("headgate_server_checks_total{{backend=\"be\",result=\"{result}\",server=\"s\"}}"))
}

fn ended_as(gateway: &Gateway, status: &str) -> bool {
    let series = format!("headgate_server_check_status{{{LABELS},status=\"{status}\"}} 1");
    gateway.get_admin("/metrics").contains(&series)
}

#[test]
fn checks_of_a_server_with_tls_trust_ask_and_show_what_requests_do() {
    let Some(nginx) = Nginx::start(true) else { return };
    let ca = nginx.file("ca.pem");
    let crt = format!("crt = \"{}\"", nginx.file("client.pem"));
    let trusted = format!("ssl = true, ca_file = \"{ca}\"");
    for keys in [
        format!("{trusted}, {crt}, sni = \"api.example\""),
        format!("{trusted}, {crt}"),
        format!("{trusted}, {crt}, sni = \"req.hdr(host)\""),
        format!("ssl = true, verify = \"none\", {crt}"),
    ] {
        let gateway = gateway(CHECK, nginx.tls, &keys);
        wait_until("it is well", || checks(&gateway, "passed") >= 2.0);
        wait_until("that is told", || is_up(&gateway) && ended_as(&gateway, "L7OK"));
        assert!(gateway.metric(&format!("headgate_server_check_duration_seconds{{{LABELS}}}")) > 0.0);
    }
    for (check, keys, status) in [
        (CHECK, format!("{trusted}, {crt}, sni = \"other.example\""), "L6RSP"),
        (CHECK, format!("ssl = true, {crt}, sni = \"api.example\""), "L6RSP"),
        (CHECK, format!("{trusted}, sni = \"api.example\""), "L7STS"),
        (
            "check = { type = \"http\", tls = false, inter = \"500ms\", fastinter = \"100ms\", rise = 1, fall = 3 }",
            format!("{trusted}, {crt}"),
            "L7STS",
        ),
    ] {
        let gateway = gateway(check, nginx.tls, &keys);
        wait_until(&format!("it is down: {keys}"), || !is_up(&gateway));
        wait_until(&format!("{status} is told: {keys}"), || ended_as(&gateway, status));
        assert!(checks(&gateway, "failed") >= 1.0);
    }
}

#[test]
fn checks_begin_with_the_header_that_the_server_wants_where_they_go_where_requests_go() {
    let server = Server::start(|head, _| {
        let announced = head.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 ");
        Some(if announced { ok("s") } else { b"HTTP/1.1 400 x\r\nContent-Length: 0\r\n\r\n".to_vec() })
    });
    let one = gateway(CHECK, server.address, "send_proxy = \"v1\"");
    wait_until("it is well", || checks(&one, "passed") >= 2.0);
    assert!(is_up(&one) && one.get("/").contains("200 OK"));
    let port = server.address.port();
    for keys in [
        format!("send_proxy = \"v1\", check_port = {port}"),
        "send_proxy = \"v1\", check_send_proxy = false".to_owned(),
    ] {
        let gateway = gateway(CHECK, server.address, &keys);
        wait_until(&format!("it is down: {keys}"), || !is_up(&gateway));
    }
    let told = format!("send_proxy = \"v1\", check_port = {port}, check_send_proxy = true");
    let told = gateway(CHECK, server.address, &told);
    wait_until("it is well", || checks(&told, "passed") >= 2.0);
    // Version 2 as another gateway reads it.
    let inner = Server::named("s");
    let server = Gateway::before(&[inner.address], "accept_proxy = [\"127.0.0.1/32\"]");
    let two = gateway(CHECK, server.front, "send_proxy = \"v2\"");
    wait_until("it is well", || checks(&two, "passed") >= 2.0);
    assert!(is_up(&two));
    let without = gateway(CHECK, server.front, "");
    wait_until("it is down", || !is_up(&without));
}
