//! What a listener does with connections before, and apart from, what they bring.

use crate::harness::{DEADLINE, Gateway, Server, connect, pair, read_answer};
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

#[test]
fn who_is_rejected_is_reset_before_a_byte_is_read() {
    let server = Server::named("s1");
    let more = "reject = [\"127.0.0.9/32\", \"198.51.100.0/24\"]\naccept_proxy = [\"127.0.0.8/32\"]";
    let gateway = Gateway::before(&[server.address], more);
    let from = |address: &str| {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        let source: SocketAddr = format!("{address}:0").parse().expect("an address");
        socket.bind(&source.into()).expect("it is loopback");
        socket.connect(&gateway.front.into()).expect("somebody listens");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        stream
    };
    let error = from("127.0.0.9").read(&mut [0]).expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let mut named = from("127.0.0.8");
    let _ = named.write_all(b"PROXY TCP4 198.51.100.7 192.0.2.1 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!named.read(&mut [0]).is_ok_and(|read| read > 0), "also whom a proxy names");
    assert!(gateway.get("/").contains("200 OK"), "and nobody else");
    assert_eq!(gateway.metric("headgate_refused_total{frontend=\"fe\",reason=\"rejected\"}"), 2.0);
    assert_eq!(server.heads().len(), 1);
}

/// How many answers a connection gives before it ends, and whether the last says so.
fn answers(address: SocketAddr, pause: std::time::Duration) -> (usize, bool) {
    let mut stream = BufReader::new(connect(address));
    for number in 1.. {
        stream.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is open");
        let answer = read_answer(&mut stream).expect("an answer").to_ascii_lowercase();
        if answer.contains("connection: close") {
            return (number, stream.read(&mut [0]).is_ok_and(|read| read == 0));
        }
        #[expect(clippy::disallowed_methods, reason = "time is what is tested")]
        std::thread::sleep(pause);
    }
    unreachable!("numbers do not end")
}

#[test]
fn a_connection_ends_gracefully_after_its_requests_or_at_its_age() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "max_keepalive_requests = 3");
    assert_eq!(answers(gateway.front, std::time::Duration::ZERO), (3, true));
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = pair(folder.path(), "api.example");
    let tls = format!("tls = {{ cert = \"{}\", key = \"{}\" }}", cert.display(), key.display());
    let gateway = Gateway::before(&[server.address], &format!("{tls}\nmax_keepalive_requests = 3"));
    let url = format!("https://{}/", gateway.front);
    let output = Command::new("curl")
        .args(["-sSk", "--http2", "-w", " %{http_code} %{num_connects}\n"])
        .args(std::iter::repeat_n(url.as_str(), 7))
        .output()
        .expect("curl runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let connects: usize =
        said.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum();
    assert_eq!(
        (said.matches(" 200 ").count(), connects),
        (7, 3),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let old = Gateway::before(&[server.address], "max_connection_age = \"300ms\"");
    let (number, closed) = answers(old.front, std::time::Duration::from_millis(50));
    assert!((2..=8).contains(&number) && closed, "{number}");
}

#[test]
fn one_address_can_take_both_families() {
    let server = Server::named("s1");
    let Ok(probe) = std::net::TcpListener::bind("[::]:0") else {
        return eprintln!("skipped: there is no IPv6");
    };
    let port = probe.local_addr().expect("it is bound").port();
    drop(probe);
    let config = format!(
        "[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"none\"\n\
         [[frontend]]\nname = \"fe\"\nbind = [\"[::]:{port}\"]\nv4v6 = true\nbacklog = 16\nmss = 1000\n\
         tcp_ut = \"10s\"\nclitcpka = \"30s\"\ndefault_backend = \"be\"\n\
         [[backend]]\nname = \"be\"\nserver = [{{ name = \"s\", address = \"{}\" }}]\n",
        server.address
    );
    let _gateway = Gateway::start(&config);
    for host in ["127.0.0.1", "[::1]"] {
        let address: SocketAddr = format!("{host}:{port}").parse().expect("an address");
        let answer =
            crate::harness::exchange(address, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(answer.ends_with("s1"), "{host}: {answer}");
        let stream = connect(address);
        let mss =
            nix::sys::socket::getsockopt(&stream, nix::sys::socket::sockopt::TcpMaxSeg).expect("it is told");
        assert!(mss <= 1000, "{host}: {mss}");
    }
}
