//! Requests are spread as the configuration says, over four workers as over one.

use crate::harness::{Gateway, Server, free_address, ok, wait_until};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};

const NAMES: [&str; 3] = ["one", "two", "three"];

fn servers() -> [Server; 3] {
    NAMES.map(Server::named)
}

fn list(servers: &[Server]) -> String {
    let server = |(place, server): (usize, &Server)| {
        format!("{{ name = \"s{place}\", address = \"{}\" }}", server.address)
    };
    format!("server = [{}]", servers.iter().enumerate().map(server).collect::<Vec<_>>().join(", "))
}

/// The body of an answer.
fn body(answer: &str) -> String {
    answer.rsplit("\r\n").next().unwrap_or_default().to_owned()
}

#[test]
fn what_goes_by_a_hash_has_one_server_on_all_workers() {
    for (balance, hash) in [("uri", "maglev"), ("uri depth 1", "consistent"), ("hdr(X-Tenant)", "modulo")] {
        let servers = servers();
        let keys = format!("balance = \"{balance}\"\nhash_type = \"{hash}\"\n{}", list(&servers));
        let gateway = Gateway::of_backend(&keys);
        let mut homes = HashMap::new();
        for turn in 0..120 {
            let tenant = turn % 12;
            let request = format!(
                "GET /{tenant}/{turn} HTTP/1.1\r\nHost: a\r\nX-Tenant: {tenant}\r\nConnection: close\r\n\r\n"
            );
            let target = if balance == "uri" { format!("/{tenant}") } else { tenant.to_string() };
            let request = match balance {
                "uri" => request.replace(&format!("/{tenant}/{turn} "), &format!("/{tenant}?{turn} ")),
                _ => request,
            };
            let server = body(&gateway.raw(request.as_bytes()));
            assert_eq!(homes.entry(target).or_insert_with(|| server.clone()), &server, "{balance} {hash}");
        }
        let used: std::collections::HashSet<_> = homes.values().collect();
        assert!(used.len() > 1, "{balance} {hash}: {homes:?}");
    }
}

#[test]
fn a_draw_of_two_uses_every_server() {
    let servers = servers();
    let gateway = Gateway::of_backend(&format!("balance = \"random\"\n{}", list(&servers)));
    (0..60).for_each(|_| drop(gateway.get("/")));
    let got = servers.each_ref().map(|server| server.heads().len());
    assert!(got.iter().all(|count| *count > 3) && got.iter().sum::<usize>() == 60, "{got:?}");
}

#[test]
fn the_first_server_gets_all_that_it_has_room_for() {
    let servers = servers();
    let keys = format!("balance = \"first\"\ndefault_server = {{ maxconn = 5 }}\n{}", list(&servers));
    let gateway = Gateway::of_backend(&keys);
    (0..10).for_each(|_| drop(gateway.get("/")));
    assert_eq!(servers.each_ref().map(|server| server.heads().len()), [10, 0, 0]);
}

/// A server with a quick check whose port nobody listens on yet, beside `other`.
fn late(other: &Server, of_late: &str, of_other: &str) -> (Gateway, SocketAddr) {
    let address = free_address();
    let gateway = Gateway::of_backend(&format!(
        "check = {{ type = \"tcp\", inter = \"50ms\", timeout = \"40ms\", rise = 1, fall = 1 }}\n\
         server = [{{ name = \"late\", address = \"{address}\", {of_late} }}, \
         {{ name = \"other\", address = \"{}\", {of_other} }}]",
        other.address
    ));
    wait_until("it is down", || gateway.metric(UP) == 0.0);
    (gateway, address)
}

const UP: &str = "headgate_server_up{backend=\"be\",server=\"late\"}";

#[test]
fn a_backup_serves_only_while_nobody_else_can() {
    let backup = Server::named("backup");
    let (gateway, address) = late(&backup, "weight = 1", "backup = true");
    assert_eq!(body(&gateway.get("/")), "backup");
    let _late = Server::on(TcpListener::bind(address).expect("still free"), |_, _| Some(ok("late")));
    wait_until("it is up", || gateway.metric(UP) == 1.0);
    for _ in 0..8 {
        assert_eq!(body(&gateway.get("/")), "late");
    }
}

#[test]
fn a_server_that_comes_back_gets_its_share_slowly() {
    let other = Server::named("other");
    let (gateway, address) = late(&other, "slowstart = \"10m\"", "weight = 100");
    let late = Server::on(TcpListener::bind(address).expect("still free"), |_, _| Some(ok("late")));
    wait_until("it is up", || gateway.metric(UP) == 1.0);
    (0..60).for_each(|_| drop(gateway.get("/")));
    assert!(late.heads().len() <= 6, "{} of 60", late.heads().len());
}
