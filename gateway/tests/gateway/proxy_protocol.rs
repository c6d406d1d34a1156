//! The PROXY protocol in, from a real HAProxy and byte by byte.

use crate::harness::{Gateway, Server, free_address, pair, wait_until, write};
use std::net::SocketAddr;
use std::process::{Child, Command};

const FROM_LOOPBACK: &str = "accept_proxy = [\"127.0.0.0/8\"]";

/// HAProxy in TCP mode before `to`; killed when it goes out of scope.
struct HaProxy {
    address: SocketAddr,
    process: Child,
    _folder: tempfile::TempDir,
}

impl HaProxy {
    fn start(to: SocketAddr, send: &str) -> Self {
        let (folder, address) = (tempfile::tempdir().expect("a folder"), free_address());
        let config = format!(
            "defaults\n mode tcp\n timeout client 20s\n timeout server 20s\n timeout connect 5s\n\
             listen l\n bind {address}\n server s {to} {send}\n"
        );
        let file = write(folder.path(), "haproxy.cfg", &config);
        let process = Command::new("haproxy").args(["-db", "-f"]).arg(file).spawn().expect("haproxy runs");
        let haproxy = Self { address, process, _folder: folder };
        wait_until("haproxy listens", || std::net::TcpStream::connect(address).is_ok());
        haproxy
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A GET from another address of loopback, so that the client and HAProxy can be told apart.
fn curl_from(address: &str, url: &str) -> String {
    let output = Command::new("curl")
        .args(["-sS", "-k", "--max-time", "20", "--interface", address, url])
        .output()
        .expect("curl runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn the_client_is_whom_a_real_haproxy_names() {
    let server = Server::named("s1");
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = pair(folder.path(), "api.example");
    let tls = format!("tls = {{ cert = \"{}\", key = \"{}\" }}\n", cert.display(), key.display());
    for (scheme, tls) in [("http", ""), ("https", tls.as_str())] {
        let gateway = Gateway::before(&[server.address], &format!("{tls}{FROM_LOOPBACK}"));
        for (number, send) in
            ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"]
                .iter()
                .enumerate()
        {
            let haproxy = HaProxy::start(gateway.front, send);
            let address = format!("127.0.0.{}", 10 + number);
            assert_eq!(curl_from(&address, &format!("{scheme}://{}/", haproxy.address)), "s1", "{send}");
            assert!(gateway.log_lines(number + 1)[number].starts_with(&format!("{address}:")), "{send}");
            let head = server.heads().pop().expect("a request").to_ascii_lowercase();
            assert!(head.contains(&format!("x-forwarded-for: {address}\r\n")), "{send}: {head}");
        }
    }
}

#[test]
fn limits_are_those_of_the_client_that_is_named() {
    let server = Server::named("s1");
    let limit = "limit = [{ table = \"clients\", http_req_rate = 1, period = \"60s\" }]";
    let gateway = Gateway::before(&[server.address], &format!("{FROM_LOOPBACK}\n{limit}"));
    let get = |client: &str| {
        let header = format!("PROXY TCP4 {client} 192.0.2.1 1234 80\r\n");
        gateway.raw((header + "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
    };
    assert!(get("198.51.100.1").starts_with("HTTP/1.1 200 "));
    assert!(get("198.51.100.1").starts_with("HTTP/1.1 429 "));
    assert!(get("198.51.100.2").starts_with("HTTP/1.1 200 "));
}

#[test]
fn nobody_else_can_name_a_client() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "accept_proxy = [\"10.0.0.0/8\"]");
    let header = "PROXY TCP4 198.51.100.1 192.0.2.1 1234 80\r\n";
    let answer = gateway.raw(format!("{header}GET / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(gateway.get("/").contains("200 OK"), "and it needs none");
    assert_eq!(server.heads().len(), 1);
}

#[test]
fn a_source_that_must_send_a_header_gets_nowhere_without() {
    let server = Server::named("s1");
    let more = format!("{FROM_LOOPBACK}\nhandshake_timeout = \"300ms\"");
    let gateway = Gateway::before(&[server.address], &more);
    assert_eq!(gateway.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "");
    assert_eq!(gateway.raw(b"PROXY TCP4 198.51.100.1 "), "", "a header that never ends");
    assert_eq!(server.heads(), Vec::<String>::new());
    let refused = |reason| format!("headgate_refused_total{{frontend=\"fe\",reason=\"{reason}\"}}");
    assert_eq!(gateway.metric(&refused("no_proxy_header")), 1.0);
    assert_eq!(gateway.metric(&refused("proxy_header_timeout")), 1.0);
}
