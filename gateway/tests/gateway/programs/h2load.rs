//! h2load: many requests on few connections, and none of them lost.

use super::{installed, output};
use crate::harness::{Gateway, Server, pair, wait_until};
use std::process::Command;

const REQUESTS: u32 = 2000;

/// All requests of a run have to come back with 200.
fn run(arguments: &[&str], gateway: &Gateway, url: &str) {
    let number = REQUESTS.to_string();
    let said =
        output(Command::new("h2load").args(["-n", &number, "-c", "8", "-t", "1"]).args(arguments).arg(url));
    let whole = format!(
        "requests: {REQUESTS} total, {REQUESTS} started, {REQUESTS} done, {REQUESTS} succeeded, \
         0 failed, 0 errored, 0 timeout\nstatus codes: {REQUESTS} 2xx, 0 3xx, 0 4xx, 0 5xx"
    );
    assert!(said.contains(&whole), "{said}");
    let answered = "headgate_requests_total{code=\"2xx\",frontend=\"fe\"}";
    wait_until("each is counted", || gateway.metric(answered) == f64::from(REQUESTS));
    assert_eq!(gateway.log_lines(REQUESTS as usize).len(), REQUESTS as usize, "and logged");
}

#[test]
fn h2load_loses_no_request_over_http_1() {
    if installed("h2load") {
        let gateway = Gateway::before(&[Server::named("s1").address], "");
        run(&["--h1"], &gateway, &format!("http://{}/", gateway.front));
    }
}

#[test]
fn h2load_loses_no_request_over_h2c() {
    if installed("h2load") {
        let gateway = Gateway::before(&[Server::named("s1").address], "h2c = true");
        run(&["-m", "10"], &gateway, &format!("http://{}/", gateway.front));
    }
}

#[test]
fn h2load_loses_no_request_over_h2_and_tls() {
    if installed("h2load") {
        let folder = tempfile::tempdir().expect("a folder");
        let (cert, key) = pair(folder.path(), "api.example");
        let tls = format!("tls = {{ cert = \"{}\", key = \"{}\" }}", cert.display(), key.display());
        let gateway = Gateway::before(&[Server::named("s1").address], &tls);
        run(&["-m", "10"], &gateway, &format!("https://{}/", gateway.front));
    }
}
