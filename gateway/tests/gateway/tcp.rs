//! Mode tcp: bytes both ways, whatever they mean.

use crate::daemons::{Running, output, program};
use crate::harness::{DEADLINE, Gateway, connect, free_address, wait_until, write};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

/// A gateway in mode tcp before `servers`, with `more` in the frontend and `behind` in the backend.
pub(crate) fn gateway(servers: &[SocketAddr], more: &str, behind: &str) -> Gateway {
    let server = |(place, address)| format!("{{ name = \"s{place}\", address = \"{address}\" }}");
    let servers: Vec<String> = servers.iter().enumerate().map(server).collect();
    Gateway::start(&format!(
        "node = \"gw\"\nworkers = 4\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n\
         [log]\nto = \"FOLDER/access.log\"\n[drain]\ntimeout = \"2s\"\n[[stick_table]]\nname = \"clients\"\n\
         [[frontend]]\nname = \"fe\"\nmode = \"tcp\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n{more}\n\
         [[backend]]\nname = \"be\"\n{behind}\nserver = [{}]\n",
        servers.join(", ")
    ))
}

/// A server that hands each connection to `serve`, on a thread of its own.
pub(crate) fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let serve = std::sync::Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = std::sync::Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Says its name, then what it is told, until the end.
pub(crate) fn echo(name: &'static str) -> SocketAddr {
    server(move |mut stream| {
        let _ = stream.write_all(name.as_bytes());
        let mut reader = stream.try_clone().expect("a second handle");
        let _ = std::io::copy(&mut reader, &mut stream);
        let _ = stream.shutdown(Shutdown::Write);
    })
}

/// All that comes until the end.
pub(crate) fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

/// Sends this, ends its own side, and returns all that comes.
fn ask(address: SocketAddr, question: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    stream.write_all(question).expect("sent");
    stream.shutdown(Shutdown::Write).expect("ended");
    rest(&mut stream)
}

fn sessions(termination: &str) -> String {
    format!("headgate_tcp_sessions_total{{frontend=\"fe\",termination=\"{termination}\"}}")
}

#[test]
fn a_client_that_ends_its_side_still_gets_its_answer() {
    let gateway = gateway(&[echo("s")], "", "");
    assert_eq!(ask(gateway.front, b"hello"), b"shello");
    let line = gateway.log_lines(1).remove(0);
    assert_eq!(shape(&line), "be/s9 9/9/9 9 -- 9/9/9/9/9 9/9");
    assert!(line.ends_with(" 6 -- 1/1/0/0/0 0/0"), "{line}");
    assert_eq!(gateway.metric(&sessions("--")), 1.0);
    assert_eq!(gateway.metric("headgate_tcp_bytes_total{direction=\"in\",frontend=\"fe\"}"), 5.0);
    assert_eq!(gateway.metric("headgate_tcp_bytes_total{direction=\"out\",frontend=\"fe\"}"), 6.0);
}

#[test]
fn a_large_transfer_arrives_whole_both_ways_at_once() {
    let gateway = gateway(&[echo("")], "", "");
    let sent: Vec<u8> = (0..8_000_000u32).map(|number| (number >> 3) as u8).collect();
    let mut stream = gateway.connect();
    let mut writer = stream.try_clone().expect("a second handle");
    let whole = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&whole).expect("sent");
        writer.shutdown(Shutdown::Write).expect("ended");
    });
    assert!(rest(&mut stream) == sent, "unchanged");
    writing.join().expect("it was sent");
}

#[test]
fn a_server_that_dies_in_the_middle_ends_its_connection_and_no_other() {
    let dies = server(|mut stream| {
        let _ = stream.write_all(b"half");
        // Unread bytes make the end a reset.
        let _ = stream.peek(&mut [0]);
    });
    let gateway = gateway(&[dies], "", "");
    let mut kept = gateway.connect();
    let mut got = [0; 4];
    kept.read_exact(&mut got).expect("the first half");
    assert_eq!(ask(gateway.front, b"x"), b"half");
    let line = gateway.log_lines(1).remove(0);
    assert!(line.contains(" 4 SD "), "{line}");
    assert_eq!(gateway.metric("headgate_connections{frontend=\"fe\"}"), 1.0, "the other is still there");
}

#[test]
fn a_client_that_breaks_off_is_said_to_have() {
    let gateway = gateway(&[echo("s")], "", "");
    let stream = gateway.connect();
    // Unread bytes make the end a reset.
    stream.peek(&mut [0]).expect("something came");
    drop(stream);
    let line = gateway.log_lines(1).remove(0);
    assert!(line.contains(" CD "), "{line}");
}

#[test]
fn silence_ends_a_connection_and_says_whose() {
    let gateway = gateway(&[echo("s")], "client_timeout = \"200ms\"", "");
    assert_eq!(rest(&mut gateway.connect()), b"s");
    let line = gateway.log_lines(1).remove(0);
    assert!(line.contains(" 1 cD "), "{line}");
}

#[test]
fn a_server_that_is_gone_is_passed_over_and_all_gone_is_the_end() {
    let gateway = gateway(&[free_address(), echo("s")], "", "balance = \"roundrobin\"");
    for _ in 0..4 {
        assert_eq!(ask(gateway.front, b""), b"s");
    }
    assert!(gateway.log_lines(4).iter().any(|line| line.contains("/+1 ")), "one was sent elsewhere");
    let gateway = self::gateway(&[free_address()], "", "retries = 1");
    assert_eq!(ask(gateway.front, b""), b"");
    let line = gateway.log_lines(1).remove(0);
    assert!(line.contains(" be/s0 0/-1/") && line.contains(" SC "), "{line}");
}

#[test]
fn limits_go_by_client_and_are_given_back() {
    let limit = |limit| format!("limit = [{{ table = \"clients\", {limit} }}]");
    let two = gateway(&[echo("s")], &limit("conn_cur = 2"), "");
    let open = || {
        let mut stream = two.connect();
        (stream.read(&mut [0]).unwrap_or(0) == 1).then_some(stream)
    };
    let (first, second) = (open(), open());
    assert!(first.is_some() && second.is_some() && open().is_none());
    assert!(two.log_lines(1)[0].contains(" fe fe/<NOSRV> -1/-1/0 0 PR "), "{:?}", two.log_lines(1));
    drop(second);
    wait_until("its place is free again", || open().is_some());
    let rate = gateway(&[echo("s")], &limit("conn_rate = 3, period = \"60s\""), "");
    let answers: Vec<_> = (0..5).map(|_| ask(rate.front, b"").len()).collect();
    assert_eq!(answers, [1, 1, 1, 0, 0]);
    assert_eq!(rate.metric("headgate_refused_total{frontend=\"fe\",reason=\"conn_rate\"}"), 2.0);
}

#[test]
fn a_client_keeps_its_server_and_waits_for_a_place_on_it() {
    let gateway = gateway(
        &[echo("a"), echo("b")],
        "",
        "stick = \"clients\"\nmaxconn = 1\nqueue_timeout = \"20s\"\nabortonclose = false",
    );
    let mut first = gateway.connect();
    let mut name = [0];
    first.read_exact(&mut name).expect("a server");
    let address = gateway.front;
    let waits = std::thread::spawn(move || ask(address, b""));
    wait_until("it waits", || gateway.metric("headgate_queue{backend=\"be\"}") == 1.0);
    drop(first);
    assert_eq!(waits.join().expect("served"), name, "the same server");
    assert_eq!(ask(gateway.front, b""), name);
    let full =
        self::gateway(&[echo("a")], "", "maxconn = 1\nqueue_timeout = \"100ms\"\nabortonclose = false");
    let mut holds = full.connect();
    holds.read_exact(&mut name).expect("a server");
    assert_eq!(ask(full.front, b""), b"");
    let line = full.log_lines(1).remove(0);
    assert!(line.contains(" sQ ") && line.ends_with(" 0/1"), "{line}");
}

#[test]
fn a_drain_waits_for_connections_and_then_cuts_them_off() {
    let mut gateway = gateway(&[echo("s")], "", "");
    let mut stream = gateway.connect();
    stream.read_exact(&mut [0]).expect("a server");
    gateway.terminate();
    stream.write_all(b"x").expect("it is open");
    stream.read_exact(&mut [0]).expect("and goes on");
    assert_eq!(rest(&mut stream), b"", "until the drain's time is over");
    wait_until("the gateway ends", || gateway.process.try_wait().is_ok_and(|ended| ended.is_some()));
    let line = gateway.log_lines(1).remove(0);
    assert!(line.contains(" 2 KD "), "{line}");
}

/// A line's fields, each reduced to its kind: runs of digits to `9`.
fn shape(line: &str) -> String {
    let line = line.trim_end().split_once(" fe ").map_or(line, |(_, rest)| rest);
    let mut shape = String::new();
    for c in line.chars() {
        let c = if c.is_ascii_digit() { '9' } else { c };
        if !(c == '9' && shape.ends_with('9')) {
            shape.push(c);
        }
    }
    shape
}

#[test]
fn a_line_is_as_haproxys_own_for_the_same_end() {
    let Some(haproxy) = program("haproxy") else { return };
    let echo = echo("s");
    let resets = server(|mut stream| {
        let _ = stream.write_all(b"half");
        let _ = stream.peek(&mut [0]);
    });
    let ends = server(|mut stream| {
        let _ = stream.shutdown(Shutdown::Write);
        rest(&mut stream);
    });
    let never_ends = server(|stream| {
        let _ = stream.peek(&mut [0]);
        crate::harness::pause(DEADLINE);
    });
    let (folder, gone) = (tempfile::tempdir().expect("a folder"), free_address());
    let fetch: [(SocketAddr, fn(SocketAddr)); 7] = [
        (echo, |front| drop(ask(front, b"hello"))),
        (echo, |front| drop(rest(&mut connect(front)))),
        (resets, |front| {
            let mut stream = connect(front);
            stream.write_all(b"x").expect("sent");
            rest(&mut stream);
        }),
        (gone, |front| drop(ask(front, b""))),
        (echo, |front| {
            let stream = connect(front);
            stream.peek(&mut [0]).expect("something came");
        }),
        (ends, |front| {
            let mut stream = connect(front);
            assert_eq!(rest(&mut stream), b"");
            // The rest of the connection is its client's, who is silent and goes with the test.
            std::mem::forget(stream);
        }),
        (never_ends, |front| drop(ask(front, b"x"))),
    ];
    for (number, (server, fetch)) in fetch.into_iter().enumerate() {
        let gateway = gateway(
            &[server],
            "client_timeout = \"300ms\"\nclient_fin_timeout = \"150ms\"",
            "retries = 0\nserver_fin_timeout = \"150ms\"",
        );
        fetch(gateway.front);
        let ours = gateway.log_lines(1).remove(0);
        let front = free_address();
        let config = format!(
            "global\n log stdout format raw local0\ndefaults\n log global\n mode tcp\n option tcplog\n retries 0\n\
             timeout client 300ms\n timeout server 60s\n timeout connect 2s\n\
             timeout client-fin 150ms\n timeout server-fin 150ms\n\
             frontend fe\n bind {front}\n default_backend be\nbackend be\n server s0 {server}\n"
        );
        let file = write(folder.path(), "haproxy.cfg", &config);
        let log = folder.path().join(format!("log-{number}"));
        let out = std::fs::File::create(&log).expect("a file");
        let _haproxy = Running::start(Command::new(&haproxy).args(["-db", "-f"]).arg(file).stdout(out));
        wait_until("haproxy listens", || TcpStream::connect(front).is_ok());
        let read = || std::fs::read_to_string(&log).unwrap_or_default();
        // Its line for the look whether it listens comes first.
        wait_until("haproxy has logged", || read().lines().filter(|line| line.contains(" fe ")).count() == 1);
        fetch(front);
        wait_until("haproxy has logged", || read().lines().filter(|line| line.contains(" fe ")).count() == 2);
        let theirs = read();
        let theirs = theirs.lines().rfind(|line| line.contains(" fe ")).expect("it was there");
        // Whether it sees the reset before its own end, or after, is chance with HAProxy.
        let theirs_shape = if number == 2 { shape(theirs).replace(" -- ", " SD ") } else { shape(theirs) };
        assert_eq!(shape(&ours), theirs_shape, "{number}\nours:   {ours}\ntheirs: {theirs}");
    }
}

/// A TLS server of its own for `name`, which serves one page that says so.
fn tls_server(folder: &std::path::Path, name: &str) -> (Running, SocketAddr) {
    let address = free_address();
    let (cert, key) = crate::harness::pair(folder, name);
    let server = Running::start(
        Command::new("openssl")
            .args(["s_server", "-quiet", "-www", "-accept", &address.to_string()])
            .arg("-cert")
            .arg(cert)
            .arg("-key")
            .arg(key)
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    wait_until("openssl listens", || TcpStream::connect(address).is_ok());
    (server, address)
}

/// The name in the certificate that a client gets who asks for `name`.
fn shown(address: SocketAddr, name: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string()]);
    match name {
        "" => command.arg("-noservername"),
        name => command.args(["-servername", name]),
    };
    let said = output(&mut command);
    if !said.contains("BEGIN CERTIFICATE") {
        return String::new();
    }
    let begin = said.find("-----BEGIN").unwrap_or(0);
    let said =
        crate::daemons::openssl(&["x509", "-noout", "-ext", "subjectAltName"], &said.as_bytes()[begin..]);
    said.split("DNS:").nth(1).unwrap_or("").trim().to_owned()
}

#[test]
fn tls_is_led_unopened_to_the_server_of_its_name() {
    if program("openssl").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let servers =
        ["db.example", "wild.example", "default.example"].map(|name| tls_server(folder.path(), name));
    let backend = |name: &str, place: usize| {
        format!(
            "[[backend]]\nname = \"{name}\"\nserver = [{{ name = \"s\", address = \"{}\" }}]\n",
            servers[place].1
        )
    };
    let gateway = Gateway::start(&format!(
        "[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"FOLDER/access.log\"\n\
         [[frontend]]\nname = \"fe\"\nmode = \"tcp\"\nbind = [\"FRONT\"]\ninspect_delay = \"300ms\"\n\
         default_backend = \"default\"\n\
         route = [{{ sni = \"db.example\", backend = \"db\" }}, {{ sni = \"*.wild.example\", backend = \"wild\" }}]\n\
         {}{}{}",
        backend("db", 0),
        backend("wild", 1),
        backend("default", 2)
    ));
    assert_eq!(shown(gateway.front, "db.example"), "db.example");
    assert_eq!(shown(gateway.front, "DB.example"), "db.example");
    assert_eq!(shown(gateway.front, "a.wild.example"), "wild.example");
    assert_eq!(shown(gateway.front, "other.example"), "default.example");
    assert_eq!(shown(gateway.front, ""), "default.example");
    let lines = gateway.log_lines(5);
    assert!(lines[0].contains(" db/s ") && lines[2].contains(" wild/s "), "{lines:?}");
}

#[test]
fn what_asks_for_no_name_goes_to_the_default_in_time_or_nowhere() {
    let speaks_first = echo("s");
    let routes = "inspect_delay = \"200ms\"\nroute = [{ sni = \"db.example\", backend = \"be\" }]";
    let with_default = gateway(&[speaks_first], routes, "");
    assert_eq!(ask(with_default.front, b"SSH-2.0"), b"sSSH-2.0");
    let mut silent = with_default.connect();
    silent.read_exact(&mut [0]).expect("the server speaks, as nothing came");
    let config = std::fs::read_to_string(with_default.folder.path().join("gateway.toml")).expect("the file");
    let config = config.replace("default_backend = \"be\"\n", "");
    let config = config.replace(&with_default.front.to_string(), "FRONT");
    let config = config.replace(&with_default.admin.to_string(), "ADMIN");
    let without =
        Gateway::start(&config.replace(&with_default.folder.path().display().to_string(), "FOLDER"));
    assert_eq!(ask(without.front, b"SSH-2.0"), b"");
    assert_eq!(without.metric("headgate_refused_total{frontend=\"fe\",reason=\"no_route\"}"), 1.0);
    let mut dribbles = without.connect();
    dribbles.write_all(&[22, 3, 1, 1]).expect("sent");
    assert_eq!(rest(&mut dribbles), b"", "a hello that does not come is waited for no longer");
}

#[test]
fn tls_ends_here_where_the_frontend_has_it() {
    if program("openssl").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = crate::harness::pair(folder.path(), "db.example");
    let tls = format!("tls = {{ cert = \"{}\", key = \"{}\" }}", cert.display(), key.display());
    let speaks = server(|mut stream| drop(stream.write_all(b"plain")));
    let gateway = gateway(&[speaks], &tls, "");
    let address = gateway.front.to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let said =
            output(Command::new("openssl").args(["s_client", "-quiet", version, "-connect", &address]));
        assert!(said.contains("plain"), "{said}");
    }
    assert!(gateway.log_lines(2)[0].contains(" fe~ be/s0 "), "{:?}", gateway.log_lines(2));
}
