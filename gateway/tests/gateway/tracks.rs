//! What rules track in stick tables, at each moment of a connection, and what other rules make of it.

use crate::daemons::{openssl, program};
use crate::harness::{Gateway, Server, exchange, ok, pair, read_answer, wait_until};
use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr};

/// One frontend with these rules over these tables.
fn gateway(server: SocketAddr, tables: &str, frontend: &str) -> Gateway {
    Gateway::start(&format!(
        "node = \"gw\"\nworkers = 4\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n\
         [log]\nto = \"FOLDER/access.log\"\n{tables}\n\
         [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n{frontend}\n\
         [[backend]]\nname = \"be\"\nserver = [{{ name = \"s1\", address = \"{server}\" }}]\n"
    ))
}

/// The statuses of requests for these paths, each on a connection of its own.
fn statuses(gateway: &Gateway, paths: &[&str], field: &str) -> Vec<String> {
    let get = |path: &&str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{field}Connection: close\r\n\r\n");
        gateway.raw(request.as_bytes()).get(9..12).unwrap_or_default().to_owned()
    };
    paths.iter().map(get).collect()
}

/// A server on which only `/` and what is below `/v2` is found.
fn picky() -> Server {
    Server::start(|head, _| {
        let found = head.starts_with("GET / ") || head.starts_with("GET /v2");
        Some(if found {
            ok("found")
        } else {
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()
        })
    })
}

/// What a table has of a key, once it has `wanted`.
fn shown(gateway: &Gateway, table: &str, key: &str, wanted: &str) -> String {
    let look = || gateway.ctl(&["show", "table", table, "--key", key]);
    wait_until(&format!("{key} has {wanted}: {}", look()), || look().contains(wanted));
    look()
}

#[test]
fn who_makes_errors_is_refused_and_who_does_not_is_served() {
    let server = picky();
    let gateway = gateway(
        server.address,
        "[[stick_table]]\nname = \"keys\"\ntype = \"string(20)\"\nstore = [\"http_err_rate(60s)\", \"http_req_cnt\"]",
        "[[frontend.rule]]\ntrack = { sc = 0, table = \"keys\", key = \"req.hdr(x-key)\" }\n\
         [[frontend.rule]]\nif = { counter = { http_err_rate = { sc = 0, ge = 3 } } }\ndeny = { status = 429, reason = \"scans\" }",
    );
    let paths = ["/a", "/", "/b", "/c", "/d", "/"];
    assert_eq!(statuses(&gateway, &paths, "X-Key: bad\r\n"), ["404", "200", "404", "404", "429", "429"]);
    assert_eq!(statuses(&gateway, &["/", "/v2"], "X-Key: good\r\n"), ["200", "200"]);
    assert_eq!(
        statuses(&gateway, &paths, ""),
        ["404", "200", "404", "404", "404", "200"],
        "who has no key is not tracked"
    );
    shown(&gateway, "keys", "bad", "use=0 exp=");
    assert!(shown(&gateway, "keys", "good", "http_req_cnt=2").contains("http_err_rate(60000)=0"));
    assert_eq!(gateway.metric("headgate_refused_total{frontend=\"fe\",reason=\"scans\"}"), 2.0);
}

#[test]
fn a_mark_is_made_by_one_rule_and_honoured_by_another() {
    let server = picky();
    let gateway = gateway(
        server.address,
        "[[stick_table]]\nname = \"clients\"\ntype = \"ip\"\nstore = [\"gpt0\", \"gpc(2)\", \"gpc_rate(2,60s)\"]",
        "trusted_proxies = [\"127.0.0.1/32\"]\n\
         [[frontend.rule]]\ntrack = { sc = 11, table = \"clients\" }\n\
         [[frontend.rule]]\nif = { path = \"/trap\" }\nsc_set_gpt = { sc = 11, value = 7 }\nsc_inc_gpc = { sc = 11, gpc = 1, by = 2 }\n\
         [[frontend.rule]]\nif = { counter = { gpt0 = { table = \"clients\", eq = 7 }, \"gpc_rate(1)\" = { sc = 11, ge = 4 } } }\n\
         deny = 403",
    );
    let from =
        |client: &str, paths: &[&str]| statuses(&gateway, paths, &format!("X-Forwarded-For: {client}\r\n"));
    assert_eq!(from("192.0.2.1", &["/", "/trap", "/v2", "/trap", "/"]), ["200", "404", "200", "403", "403"]);
    assert_eq!(from("192.0.2.2", &["/", "/v2"]), ["200", "200"]);
    let row = shown(&gateway, "clients", "192.0.2.1", "use=0");
    assert!(row.contains(" gpt0=7 gpc0=0 gpc1=4 gpc0_rate(60000)=0 gpc1_rate(60000)=4"), "{row}");
}

#[test]
fn a_key_of_several_parts_keeps_them_apart() {
    let server = picky();
    let gateway = gateway(
        server.address,
        "[[stick_table]]\nname = \"routes\"\ntype = \"string(64)\"\nstore = [\"http_req_cnt\"]\n\
         [[stick_table]]\nname = \"nets\"\nstore = [\"http_req_cnt\"]",
        "trusted_proxies = [\"127.0.0.1/32\"]\n\
         [[frontend.rule]]\ntrack = { sc = 0, table = \"routes\", key = [\"src\", \"path\"] }\n\
         [[frontend.rule]]\ntrack = { sc = 1, table = \"nets\" }\n\
         [[frontend.rule]]\nif = { counter = { http_req_cnt = { table = \"routes\", key = [\"src\", \"path\"], gt = 1 } } }\ndeny = 429",
    );
    let from =
        |client: &str, paths: &[&str]| statuses(&gateway, paths, &format!("X-Forwarded-For: {client}\r\n"));
    assert_eq!(from("192.0.2.1", &["/", "/v2", "/v2"]), ["200", "200", "429"]);
    assert_eq!(from("2001:db8::1", &["/v2", "/"]), ["200", "200"]);
    assert_eq!(from("2001:db8::2", &["/v2"]), ["200"], "an address is told whole where nothing else is said");
    assert!(
        shown(&gateway, "routes", "9:192.0.2.1,3:/v2,", "http_req_cnt=2").contains("key=9:192.0.2.1,3:/v2, ")
    );
    shown(&gateway, "nets", "2001:db8::", "http_req_cnt=3");
}

#[test]
fn a_connection_is_tracked_as_long_as_it_is_open_and_too_many_are_rejected() {
    let server = picky();
    let gateway = gateway(
        server.address,
        "[[stick_table]]\nname = \"clients\"\ntype = \"ip\"\nstore = [\"conn_cur\", \"conn_cnt\", \"sess_cnt\", \"http_req_cnt\", \"http_err_cnt\", \"bytes_out_cnt\", \"glitch_cnt\"]",
        "[[frontend.rule]]\non = \"connection\"\ntrack = { sc = 0, table = \"clients\" }\n\
         [[frontend.rule]]\non = \"connection\"\nif = { counter = { conn_cur = { sc = 0, gt = 2 } } }\nreject = { reason = \"too_many\" }\n\
         [[frontend.rule]]\nif = { counter = { http_req_cnt = { sc = 0, ge = 6 } } }\ndeny = 429",
    );
    let mut kept: Vec<_> = (0..2).map(|_| BufReader::new(gateway.connect())).collect();
    let mut ask = |place: usize, path: &str| {
        let stream: &mut BufReader<_> = &mut kept[place];
        write!(stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is open");
        read_answer(stream).expect("an answer")[9..12].to_owned()
    };
    assert_eq!([ask(0, "/"), ask(1, "/x"), ask(0, "/v2")], ["200", "404", "200"]);
    assert_eq!(exchange(gateway.front, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "", "the third goes at once");
    let row = shown(&gateway, "clients", "127.0.0.1", "conn_cur=2");
    assert!(row.contains("use=2 ") && row.contains(" conn_cnt=3 ") && row.contains(" sess_cnt=2 "), "{row}");
    assert!(row.contains(" http_req_cnt=3 http_err_cnt=1 "), "{row}");
    kept.iter().for_each(|stream| stream.get_ref().shutdown(Shutdown::Both).expect("it is open"));
    shown(&gateway, "clients", "127.0.0.1", "use=0");
    assert!(gateway.raw(b"GET / HTTP/1.1\r\nNo colon\r\n\r\n").starts_with("HTTP/1.1 400"));
    let row = shown(&gateway, "clients", "127.0.0.1", "glitch_cnt=1");
    assert!(row.contains(" conn_cur=0 ") && row.contains(" http_err_cnt=2 "), "{row}");
    assert_eq!(
        statuses(&gateway, &["/", "/", "/"], ""),
        ["200", "200", "429"],
        "requests see what their connection tracks"
    );
    assert_eq!(gateway.metric("headgate_refused_total{frontend=\"fe\",reason=\"too_many\"}"), 1.0);
    assert_eq!(gateway.log_lines(7).len(), 7, "who is rejected has no line");
}

#[test]
fn a_name_in_the_handshake_is_tracked_and_judged() {
    if program("openssl").is_none() {
        return;
    }
    let server = picky();
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = pair(folder.path(), "a.example");
    let gateway = gateway(
        server.address,
        "[[stick_table]]\nname = \"names\"\ntype = \"string(40)\"\nstore = [\"conn_cnt\", \"sess_cnt\", \"http_req_cnt\"]",
        &format!(
            "tls = {{ cert = \"{}\", key = \"{}\" }}\n\
             [[frontend.rule]]\non = \"session\"\ntrack = {{ sc = 3, table = \"names\", key = \"ssl_fc_sni\" }}\n\
             [[frontend.rule]]\non = \"session\"\nif = {{ ssl = {{ ssl_fc_sni = \"bad.example\" }} }}\nreject = {{}}",
            cert.display(),
            key.display()
        ),
    );
    let front = gateway.front.to_string();
    let ask = |name| {
        openssl(
            &["s_client", "-quiet", "-connect", &front, "-servername", name],
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
    };
    assert!(ask("a.example").contains("200 OK"));
    assert!(!ask("bad.example").contains("HTTP/1.1"));
    let row = shown(&gateway, "names", "a.example", "use=0");
    assert!(
        row.contains(" conn_cnt=1 ") && row.contains(" sess_cnt=1 ") && row.contains(" http_req_cnt=1"),
        "{row}"
    );
    assert!(shown(&gateway, "names", "bad.example", "use=0").contains(" sess_cnt=0 "));
    assert_eq!(gateway.metric("headgate_refused_total{frontend=\"fe\",reason=\"rejected\"}"), 1.0);
}

#[test]
fn an_answer_is_tracked_by_what_its_server_says() {
    let server = Server::start(|head, _| {
        let project = if head.contains("/one") { "one" } else { "two" };
        Some(format!("HTTP/1.1 200 OK\r\nX-Project: {project}\r\nContent-Length: 2\r\n\r\nok").into_bytes())
    });
    let gateway = gateway(
        server.address,
        "[[stick_table]]\nname = \"projects\"\ntype = \"string(40)\"\nstore = [\"gpc0\", \"conn_cnt\", \"bytes_out_cnt\"]",
        "[[frontend.rule]]\non = \"response\"\nif = { status = [\"2xx\", \"304\"] }\ntrack = { sc = 0, table = \"projects\", key = \"res.hdr(x-project)\" }\n\
         [[frontend.rule]]\non = \"response\"\nif = { response_header = { X-Project = \"one\" } }\nsc_inc_gpc = { sc = 0 }\n\
         set_response_header = { X-Served = \"%[status]\" }\ndel_response_header = \"X-Project\"",
    );
    let answer = gateway.get("/one").to_ascii_lowercase();
    assert!(answer.contains("x-served: 200\r\n") && !answer.contains("x-project"), "{answer}");
    assert!(gateway.get("/two").to_ascii_lowercase().contains("x-project: two"));
    assert_eq!(statuses(&gateway, &["/one", "/two"], ""), ["200", "200"]);
    let row = shown(&gateway, "projects", "one", "use=0");
    assert!(
        row.contains(" gpc0=2 ") && row.contains(" conn_cnt=2 ") && !row.contains("bytes_out_cnt=0"),
        "{row}"
    );
    assert!(shown(&gateway, "projects", "two", "use=0").contains(" gpc0=0 "));
}

#[test]
fn a_connection_of_mode_tcp_is_tracked_and_judged() {
    let server = Server::named("s1");
    let gateway = gateway(
        server.address,
        "[[stick_table]]\nname = \"clients\"\ntype = \"ip\"\nstore = [\"conn_cur\", \"conn_cnt\", \"sess_cnt\", \"bytes_in_cnt\", \"bytes_out_cnt\"]",
        "mode = \"tcp\"\n\
         [[frontend.rule]]\non = \"connection\"\ntrack = { sc = 0, table = \"clients\" }\n\
         [[frontend.rule]]\non = \"session\"\nif = { counter = { conn_cnt = { sc = 0, gt = 2 } } }\nreject = {}",
    );
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for _ in 0..2 {
        let mut stream = gateway.connect();
        stream.write_all(request).expect("it is open");
        let mut start = [0; 12];
        stream.read_exact(&mut start).expect("an answer");
        assert_eq!(&start, b"HTTP/1.1 200");
    }
    assert_eq!(exchange(gateway.front, request), "");
    let row = shown(&gateway, "clients", "127.0.0.1", "use=0");
    assert!(
        row.contains(" conn_cnt=3 ") && row.contains(" sess_cnt=2 ") && row.contains(" bytes_in_cnt=54 "),
        "{row}"
    );
    assert_eq!(gateway.metric("headgate_refused_total{frontend=\"fe\",reason=\"rejected\"}"), 1.0);
}
