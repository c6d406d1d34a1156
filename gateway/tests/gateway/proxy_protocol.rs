//! The PROXY protocol in, from a real HAProxy and byte by byte.

use crate::daemons::{Running, program};
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
fn an_ipv6_client_does_not_escape_its_limits_by_another_address_of_its_network() {
    let server = Server::named("s1");
    let limit = "limit = [{ table = \"clients\", http_req_rate = 1, period = \"60s\" }]";
    let gateway = Gateway::before(&[server.address], &format!("{FROM_LOOPBACK}\n{limit}"));
    let status = |client: &str| {
        let header = format!("PROXY TCP6 {client} 2001:db8:ffff::1 1234 80\r\n");
        let request = header + "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        gateway.raw(request.as_bytes()).split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(status("2001:db8::1"), "200");
    assert_eq!(status("2001:db8::2:1"), "429", "the same network");
    assert_eq!(status("2001:db8:0:1::1"), "200", "another one");
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

/// A backend whose servers get a PROXY header.
fn sending(mode: &str, to: SocketAddr, version: &str, more: &str) -> Gateway {
    Gateway::start(&format!(
        "workers = 1\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"FOLDER/access.log\"\n\
         [[frontend]]\nname = \"fe\"\nmode = \"{mode}\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n{more}\n\
         [[backend]]\nname = \"be\"\nserver = [{{ name = \"s\", address = \"{to}\", send_proxy = \"{version}\" }}]\n"
    ))
}

/// nginx that takes PROXY headers and says whom they name, for each request how many it is on its
/// connection.
fn nginx(program: &std::path::Path, folder: &std::path::Path) -> (Running, SocketAddr) {
    let address = free_address();
    let config = format!(
        "daemon off; master_process off; pid {0}/nginx.pid; error_log stderr;\nevents {{}}\n\
         http {{ access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f;\n\
         uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;\n\
         server {{ listen {address} proxy_protocol;\n\
         return 200 \"$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_port $connection_requests\\n\"; }} }}\n",
        folder.display()
    );
    let file = write(folder, "nginx.conf", &config);
    let running = Running::start(Command::new(program).arg("-c").arg(file).arg("-p").arg(folder));
    wait_until("nginx listens", || std::net::TcpStream::connect(address).is_ok());
    (running, address)
}

#[test]
fn nginx_learns_whose_connection_it_gets_and_no_connection_serves_two() {
    let Some(program) = program("nginx") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (_nginx, address) = nginx(&program, folder.path());
    for (mode, version) in [("http", "v1"), ("http", "v2"), ("tcp", "v1"), ("tcp", "v2")] {
        let gateway = sending(mode, address, version, "");
        let front = gateway.front;
        for client in ["127.0.0.7", "127.0.0.8", "127.0.0.7"] {
            let said = curl_from(client, &format!("http://{front}/"));
            assert!(said.starts_with(&format!("{client}:")), "{mode} {version}: {said}");
            assert!(said.ends_with(&format!(" {} 1\n", front.port())), "{mode} {version}: {said}");
        }
        let (one, two) = (format!("http://{front}/1"), format!("http://{front}/2"));
        let said = curl_from("127.0.0.9", &one);
        assert!(said.ends_with(" 1\n"));
        let output = Command::new("curl").args(["-sS", "--interface", "127.0.0.9", &one, &two]).output();
        let said = String::from_utf8_lossy(&output.expect("curl runs").stdout).into_owned();
        let ports: Vec<_> = said.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(ports.len() == 2 && ports[0] == ports[1], "{said}");
        assert!(said.ends_with(" 2\n"), "the same client's is used again: {said}");
    }
}

#[test]
fn haproxy_learns_the_name_the_protocol_and_the_certificate() {
    let Some(program) = program("haproxy") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let address = free_address();
    let config = format!(
        "defaults\n mode http\n timeout client 20s\n timeout server 20s\n timeout connect 5s\n\
         frontend f\n bind {address} accept-proxy\n\
         http-request return status 200 content-type text/plain lf-string \"%[src] %[fc_pp_authority]\\n\"\n"
    );
    let file = write(path, "haproxy.cfg", &config);
    let _haproxy = Running::start(Command::new(program).args(["-db", "-f"]).arg(file));
    wait_until("haproxy listens", || std::net::TcpStream::connect(address).is_ok());
    let (cert, key) = pair(path, "api.example");
    let tls = format!("tls = {{ cert = \"{}\", key = \"{}\" }}", cert.display(), key.display());
    for mode in ["http", "tcp"] {
        let gateway = sending(mode, address, "v2", &tls);
        let port = gateway.front.port();
        let resolve = format!("api.example:{port}:127.0.0.1");
        let said = Command::new("curl")
            .args(["-sSk", "--interface", "127.0.0.7", "--resolve", &resolve, "--http1.1"])
            .arg(format!("https://api.example:{port}/"))
            .output()
            .expect("curl runs");
        let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        assert_eq!(said, "127.0.0.7 api.example\n", "{mode}");
    }
}
