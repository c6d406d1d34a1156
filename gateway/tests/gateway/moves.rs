//! Servers that move: what runs goes on, and nothing that was found out elsewhere counts where they are now.

use crate::harness::{Gateway, Server, ok, wait_until};
use crate::resolvers::{Names, OFTEN, address, gateway, listeners};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One request on a connection of its own, sent.
fn ask(gateway: &Gateway, path: &str) -> TcpStream {
    let mut client = gateway.connect();
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.write_all(head.as_bytes()).expect("sent");
    client
}

fn answer(mut client: TcpStream) -> String {
    let mut answer = String::new();
    let _ = client.read_to_string(&mut answer);
    answer
}

#[test]
fn what_runs_on_a_server_that_moves_goes_on_and_says_nothing_about_where_it_is_now() {
    let Some(names) = Names::start("127.0.7.1 web.test\n", &[]) else { return };
    let (port, [there, here]) = listeners::<2>();
    let released = Arc::new(AtomicBool::new(false));
    let is_released = Arc::clone(&released);
    let there = Server::on(there, move |head, _| {
        if head.contains(" /late ") || head.contains(" /cut ") {
            wait_until("it is released", || is_released.load(Ordering::SeqCst));
        }
        if head.contains(" /cut ") { None } else { Some(ok("s1")) }
    });
    let _here = Server::on(here, |_, _| Some(ok("s2")));
    let gateway = gateway(
        &names,
        OFTEN,
        &format!(
            "http_reuse = \"never\"\nserver_timeout = \"20s\"\nbreaker = {{ error_limit = 1, open = \"60s\" }}\n\
             check = {{ type = \"http\", inter = \"1h\", rise = 1, fall = 1 }}\n\
             server = [{{ name = \"web\", address = \"web.test:{port}\", on_marked_down = \"shutdown-sessions\" }}]"
        ),
    );
    let (late, cut) = (ask(&gateway, "/late"), ask(&gateway, "/cut"));
    wait_until("both run", || there.heads().iter().filter(|head| !head.contains(" / ")).count() == 2);
    names.say("127.0.7.2 web.test\n");
    wait_until("it has moved", || address(&gateway, "web").contains("127.0.7.2"));
    for _ in 0..4 {
        let answer = gateway.get("/");
        assert!(answer.ends_with("s2"), "it is never out: {answer}");
    }
    released.store(true, Ordering::SeqCst);
    let (late, cut) = (answer(late), answer(cut));
    assert!(late.ends_with("s1"), "what ran there ends there: {late}");
    assert!(cut.starts_with("HTTP/1.1 502"), "{cut}");
    assert!(gateway.get("/").ends_with("s2"), "which is not held against it here");
    assert_eq!(gateway.metric("headgate_server_breaker_open{backend=\"be\",server=\"web\"}"), 0.0);
    assert_eq!(gateway.metric("headgate_server_errors_total{backend=\"be\",server=\"web\"}"), 0.0);
}

/// A server that is where `web.test` is, and one that is there, both with a slow start.
fn one_that_is_named_and_one_that_is_there(names: &Names) -> (Gateway, [Server; 2]) {
    let (port, listeners) = listeners::<2>();
    let servers = listeners.map(|listener| Server::on(listener, |_, _| Some(ok("well"))));
    let backend = format!(
        "server = [{{ name = \"web\", address = \"web.test:{port}\", slowstart = \"10m\" }},\n\
         {{ name = \"other\", address = \"127.0.7.2:{port}\", slowstart = \"10m\" }}]"
    );
    (gateway(names, OFTEN, &backend), servers)
}

/// How many requests each of them has got.
fn served(gateway: &Gateway) -> [f64; 2] {
    ["web", "other"].map(|name| {
        gateway.metric(&format!("headgate_server_requests_total{{backend=\"be\",server=\"{name}\"}}"))
    })
}

#[test]
fn a_server_with_a_name_has_all_of_its_share_when_the_gateway_starts() {
    let Some(names) = Names::start("127.0.7.1 web.test\n", &[]) else { return };
    let (gateway, _servers) = one_that_is_named_and_one_that_is_there(&names);
    (0..12).for_each(|_| drop(gateway.get("/")));
    assert_eq!(served(&gateway), [6.0, 6.0]);
}

#[test]
fn a_server_whose_name_is_heard_of_long_after_the_start_gets_its_share_bit_by_bit() {
    let Some(names) = Names::start("", &[]) else { return };
    let (gateway, _servers) = one_that_is_named_and_one_that_is_there(&names);
    assert!(gateway.get("/").ends_with("well"));
    names.say("127.0.7.1 web.test\n");
    wait_until("it is there", || address(&gateway, "web").contains("127.0.7.1"));
    (0..12).for_each(|_| drop(gateway.get("/")));
    let [web, other] = served(&gateway);
    assert!(web <= 2.0 && web + other == 13.0, "{web} and {other}");
}

#[test]
fn hashed_requests_go_by_the_weights_that_a_service_says() {
    let record = |last: u8, port: u16, weight: u16| {
        format!("--srv-host=_http._tcp.web.test,s{last}.test,{port},0,{weight}")
    };
    let (one, two) = (Server::named("s1"), Server::named("s2"));
    let records = [record(1, one.address.port(), 30), record(2, two.address.port(), 10)];
    let hosts = "127.0.0.1 s1.test\n127.0.0.1 s2.test\n";
    let Some(names) = Names::start(hosts, &records) else { return };
    let gateway = gateway(
        &names,
        OFTEN,
        "balance = \"uri\"\nhash_type = \"maglev\"\n\
         server_template = [{ prefix = \"web\", count = 3, address = \"_http._tcp.web.test\" }]",
    );
    let lighter = (0..200).filter(|nth| gateway.get(&format!("/{nth}")).ends_with("s2")).count();
    assert!((35..=65).contains(&lighter), "about a quarter: {lighter} of 200");
}
