//! Traces: passed on as they came, made where configured, and told to a collector that may be gone.

use crate::harness::{DEADLINE, Gateway, Server, connect, free_address, wait_until};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn gateway(server: &Server, trace: &str) -> Gateway {
    Gateway::start(&format!(
        "node = \"gw\"\nworkers = 1\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"none\"\n{trace}\n\
         [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n\
         [[backend]]\nname = \"be\"\nserver = [{{ name = \"s\", address = \"{}\" }}]\n",
        server.address
    ))
}

/// What the server was told of the trace when the client said `said`.
fn told(gateway: &Gateway, server: &Server, said: &str) -> Vec<String> {
    let request = format!("GET /x?secret HTTP/1.1\r\nHost: a\r\n{said}Connection: close\r\n\r\n");
    assert!(gateway.raw(request.as_bytes()).contains("200 OK"));
    let heads = server.heads();
    let last = heads.last().expect("a head").to_ascii_lowercase();
    last.lines().filter(|line| line.starts_with("trace")).map(str::to_owned).collect()
}

/// A collector of spans: answers each post with 200 and keeps its body.
fn collector() -> (SocketAddr, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let posts: Arc<Mutex<Vec<Value>>> = Arc::default();
    let all = Arc::clone(&posts);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut read = BufReader::new(stream.try_clone().expect("a second handle"));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && read.read_line(&mut head).is_ok_and(|read| read > 0) {}
            let length = head.to_ascii_lowercase().lines().find_map(|line| {
                line.strip_prefix("content-length: ").and_then(|length| length.parse::<usize>().ok())
            });
            assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
            let mut body = vec![0; length.expect("a length")];
            read.read_exact(&mut body).expect("a body");
            all.lock().expect("no test panicked here").push(serde_json::from_slice(&body).expect("JSON"));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
        }
    });
    (address, posts)
}

#[test]
fn without_a_word_of_it_traces_are_passed_on_as_they_are() {
    let server = Server::named("s1");
    let gateway = gateway(&server, "");
    assert_eq!(told(&gateway, &server, ""), Vec::<String>::new());
    let said = format!("traceparent: {PARENT}\r\ntracestate: a=b\r\n");
    assert_eq!(
        told(&gateway, &server, &said),
        [format!("traceparent: {PARENT}"), "tracestate: a=b".to_owned()]
    );
}

#[test]
fn one_is_made_where_there_is_none_that_is_valid() {
    let server = Server::named("s1");
    let gateway = gateway(&server, "[trace]\nmake = true");
    let said = format!("traceparent: {PARENT}\r\ntracestate: a=b\r\n");
    assert_eq!(
        told(&gateway, &server, &said),
        [format!("traceparent: {PARENT}"), "tracestate: a=b".to_owned()]
    );
    for said in [
        "",
        "traceparent: nonsense\r\ntracestate: a=b\r\n",
        &format!("traceparent: {PARENT}\r\ntraceparent: {PARENT}\r\n"),
    ] {
        let told = told(&gateway, &server, said);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].len() == "traceparent: ".len() + PARENT.len()
                && told[0] != format!("traceparent: {PARENT}"),
            "{told:?}"
        );
    }
}

#[test]
fn a_collector_gets_a_span_for_each_request_under_its_parent() {
    let server = Server::named("s1");
    let (address, posts) = collector();
    let gateway = gateway(&server, &format!("[trace]\notlp = \"http://{address}\"\nservice = \"edge\""));
    let told = told(&gateway, &server, &format!("traceparent: {PARENT}\r\n"));
    assert!(gateway.get("/second").contains("200 OK"));
    wait_until("both are taken", || gateway.metric("headgate_spans_exported_total") == 2.0);
    assert_eq!(gateway.metric("headgate_spans_dropped_total"), 0.0);
    let posts = posts.lock().expect("no test panicked here");
    let spans: Vec<&Value> = posts
        .iter()
        .flat_map(|post| post["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("spans"))
        .collect();
    assert_eq!(posts[0]["resourceSpans"][0]["resource"]["attributes"][0]["value"]["stringValue"], "edge");
    let span = spans[0];
    assert_eq!(span["traceId"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(span["parentSpanId"], "b7ad6b7169203331");
    let id = span["spanId"].as_str().expect("an id");
    assert_eq!(
        told,
        [format!("traceparent: 00-0af7651916cd43dd8448eb211c80319c-{id}-01")],
        "the server is below it"
    );
    let attribute = |key: &str| {
        let all = span["attributes"].as_array().expect("attributes");
        all.iter().find(|one| one["key"] == key).unwrap_or_else(|| panic!("{key} in {span}"))["value"].clone()
    };
    assert_eq!(attribute("url.path")["stringValue"], "/x");
    assert_eq!(attribute("http.response.status_code")["intValue"], "200");
    assert_eq!(
        (&attribute("headgate.backend")["stringValue"], &attribute("headgate.server")["stringValue"]),
        (&"be".into(), &"s".into())
    );
    let nanos =
        |key: &str| span[key].as_str().and_then(|nanos| nanos.parse::<u128>().ok()).expect("nanoseconds");
    assert!(nanos("endTimeUnixNano") > nanos("startTimeUnixNano"));
    assert_eq!(spans[1]["parentSpanId"], "");
}

#[test]
fn a_collector_that_is_gone_or_silent_costs_spans_and_no_request() {
    let server = Server::named("s1");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    for address in [free_address(), silent.local_addr().expect("it is bound")] {
        let gateway = gateway(&server, &format!("[trace]\notlp = \"http://{address}/v1/traces\""));
        for _ in 0..20 {
            assert!(gateway.get("/").contains("200 OK"));
        }
        wait_until("they are counted", || gateway.metric("headgate_spans_dropped_total") >= 1.0);
        assert_eq!(gateway.metric("headgate_spans_exported_total"), 0.0);
        connect(gateway.front).set_read_timeout(Some(DEADLINE)).expect("it still listens");
    }
}
