//! A log that is stuck costs lines, never a request.

use crate::harness::{DEADLINE, Gateway, Server, wait_until};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;

#[test]
fn a_line_of_json_tells_why() {
    let server = Server::named("s1");
    let gateway = Gateway::start(
        &"node = \"gw\"\nworkers = 1\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n\
          [log]\nto = \"FOLDER/access.log\"\nformat = \"json\"\n\
          [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n\
          [[frontend.rule]]\nif = { path = \"/x\\\"y\" }\ndeny = { status = 404, reason = \"hidden\" }\n\
          [[backend]]\nname = \"be\"\nserver = [{ name = \"s\", address = \"SERVER\" }]\n"
            .replace("SERVER", &server.address.to_string()),
    );
    gateway.get("/a");
    gateway.get("/x\"y");
    let lines = gateway.log_lines(2);
    let lines: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let part = |line: usize, name: &str| lines[line][name].to_string();
    assert_eq!(
        (part(0, "status"), part(0, "server"), part(0, "reason")),
        ("200".into(), "\"s\"".into(), "null".into())
    );
    assert_eq!(
        (part(1, "status"), part(1, "server"), part(1, "reason")),
        ("404".into(), "null".into(), "\"hidden\"".into())
    );
    assert_eq!(lines[1]["target"], "/x\"y");
}

#[test]
fn a_request_has_one_id_at_the_server_and_in_the_log() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "unique_id_header = \"X-Request-Id\"");
    for said in [
        "X-Request-Id: edge-7f3a:1\r\n",
        "X-Request-Id: a}\"b\r\n",
        "X-Request-Id: 1\r\nX-Request-Id: 2\r\n",
        "",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{said}Connection: close\r\n\r\n");
        assert!(gateway.raw(request.as_bytes()).contains("200 OK"));
    }
    let lines = gateway.log_lines(4);
    let ids: Vec<_> = server
        .heads()
        .iter()
        .map(|head| {
            let ids: Vec<_> = head
                .lines()
                .filter_map(|line| line.strip_prefix("X-Request-Id: "))
                .map(str::to_owned)
                .collect();
            let [id] = ids.as_slice() else { panic!("one id: {head}") };
            id.clone()
        })
        .collect();
    assert_eq!(ids[0], "edge-7f3a:1");
    for id in &ids {
        let known = lines.iter().filter(|line| line.contains(&format!(" {{{id}}} \"GET / "))).count();
        assert_eq!(known, 1, "{id}: {lines:?}");
    }
    for made in &ids[1..] {
        assert!(made.len() == 36 && made.as_bytes()[14] == b'4', "{made}");
    }
    let all: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(all.len(), 4, "{ids:?}");
}

#[test]
fn a_log_that_nobody_reads_delays_nothing_and_its_lines_are_counted() {
    let server = Server::named("s1");
    let folder = tempfile::tempdir().expect("a folder");
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("a pipe");
    // Open, so that the gateway can open it too, but never read: it takes 64 KiB and then blocks.
    let _reader = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).expect("the pipe opens");
    let gateway = Gateway::start(
        &"node = \"gw\"\nworkers = 1\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"FIFO\"\n\
          [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n\
          [[backend]]\nname = \"be\"\nserver = [{ name = \"s\", address = \"SERVER\" }]\n"
            .replace("FIFO", &fifo.display().to_string())
            .replace("SERVER", &server.address.to_string()),
    );
    // Each line holds its request's target: long ones fill the pipe and the queue soon.
    let path = format!("/{}", "x".repeat(20_000));
    let mut sent = 0;
    wait_until("lines are dropped", || {
        for _ in 0..50 {
            assert!(gateway.get(&path).contains("200 OK"));
        }
        sent += 50;
        gateway.metric("headgate_log_dropped_total") > 0.0
    });
    assert!(sent >= 256, "the queue took its share");
}

fn gateway(server: &Server, log: &str) -> Gateway {
    Gateway::start(&format!(
        "node = \"gw\"\nworkers = 1\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\n{log}\n\
             [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n\
             [[backend]]\nname = \"be\"\nserver = [{{ name = \"s\", address = \"{}\" }}]\n",
        server.address
    ))
}

#[test]
fn syslog_servers_get_each_line_in_their_own_format() {
    let server = Server::named("s1");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    udp.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let unix = UnixDatagram::bind(&path).expect("a socket");
    unix.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    let gateway = gateway(
        &server,
        &format!(
            "to = \"FOLDER/access.log\"\nsyslog = [{{ address = \"{}\" }}, {{ address = \"{}\", format = \"rfc5424\", facility = \"daemon\", level = \"notice\", len = 120, tag = \"edge\" }}]",
            udp.local_addr().expect("it is bound"),
            path.display()
        ),
    );
    let pid = gateway.process.id();
    let long = format!("/{}", "x".repeat(200));
    for request in ["/one", &long] {
        assert!(gateway.get(request).contains("200 OK"));
    }
    let lines = gateway.log_lines(2);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut bytes = [0; 2048];
    let length = udp.recv(&mut bytes).expect("a datagram");
    let one = text(&bytes[..length]);
    assert!(one.starts_with("<134>") && one.ends_with(&format!(" headgate[{pid}]: {}", lines[0])), "{one}");
    let date = &one["<134>".len().."<134>Nov 21 20:47:06".len()];
    assert!(
        chrono::NaiveDateTime::parse_from_str(&format!("2026 {date}"), "%Y %b %e %H:%M:%S").is_ok(),
        "{date}"
    );
    let length = unix.recv(&mut bytes).expect("a datagram");
    let one = text(&bytes[..length]);
    assert!(one.starts_with("<29>1 20") && one.contains(&format!(" gw edge {pid} - - 127.0.0.1:")), "{one}");
    let length = unix.recv(&mut bytes).expect("a datagram");
    assert_eq!(length, 120, "what is too long is cut");
    assert_eq!(gateway.metric("headgate_log_dropped_total"), 0.0);
}

#[test]
fn a_syslog_server_that_is_gone_loses_lines_and_gets_the_next_when_it_is_back() {
    let server = Server::named("s1");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let gateway = gateway(
        &server,
        &format!("to = \"FOLDER/access.log\"\nsyslog = [{{ address = \"{}\" }}]", path.display()),
    );
    assert!(gateway.get("/lost").contains("200 OK"));
    wait_until("the line is counted", || gateway.metric("headgate_log_dropped_total") == 1.0);
    let unix = UnixDatagram::bind(&path).expect("a socket");
    unix.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    assert!(gateway.get("/back").contains("200 OK"));
    let mut bytes = [0; 2048];
    let length = unix.recv(&mut bytes).expect("a datagram");
    assert!(String::from_utf8_lossy(&bytes[..length]).ends_with("\"GET /back HTTP/1.1\""));
    // Nobody reads any more: its queue fills, and the lines beyond are dropped without anybody waiting.
    wait_until("lines are dropped", || {
        assert!(gateway.get("/").contains("200 OK"));
        gateway.metric("headgate_log_dropped_total") > 1.0
    });
    assert!(gateway.log_lines(2)[1].contains("/back"), "the file has all of them");
}

#[test]
fn a_full_disk_loses_lines_and_delays_nothing() {
    let server = Server::named("s1");
    let gateway = gateway(&server, "to = \"/dev/full\"");
    for _ in 0..5 {
        assert!(gateway.get("/").contains("200 OK"));
    }
    wait_until("all are counted", || gateway.metric("headgate_log_dropped_total") == 5.0);
}

#[test]
fn a_log_that_was_moved_is_begun_anew() {
    let server = Server::named("s1");
    let gateway = gateway(&server, "to = \"FOLDER/access.log\"");
    assert!(gateway.get("/before").contains("200 OK"));
    assert_eq!(gateway.log_lines(1).len(), 1);
    let (path, moved) =
        (gateway.folder.path().join("access.log"), gateway.folder.path().join("access.log.1"));
    std::fs::rename(&path, &moved).expect("it is moved");
    assert!(gateway.get("/after").contains("200 OK"));
    assert!(gateway.log_lines(1)[0].contains("/after"));
    assert_eq!(std::fs::read_to_string(&moved).expect("the old one").lines().count(), 1);
    assert_eq!(gateway.metric("headgate_log_dropped_total"), 0.0);
}
