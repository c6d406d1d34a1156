//! How servers are spoken with: TLS, HTTP/2, from which address, and what becomes of what runs on one that goes.

use crate::daemons::{Running, program};
use crate::harness::{Gateway, Server, free_address, ok, wait_until, write};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// nginx with TLS and HTTP/2 on one port and h2c on the other; it answers with what it saw.
pub(crate) struct Nginx {
    folder: tempfile::TempDir,
    pub(crate) tls: SocketAddr,
    h2c: SocketAddr,
    _process: Running,
}

impl Nginx {
    /// With a certificate for `api.example`, and asking for one of the same CA where `mutual`. `None` if there
    /// is no nginx.
    pub(crate) fn start(mutual: bool) -> Option<Self> {
        let nginx = program("nginx")?;
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        certificates(at);
        let (tls, h2c) = (free_address(), free_address());
        let verify = if mutual { "ssl_verify_client on; ssl_client_certificate ca.pem;" } else { "" };
        let says =
            "return 200 \"$server_protocol $ssl_server_name $ssl_client_s_dn $ssl_session_reused $host\";";
        write(
            at,
            "nginx.conf",
            &format!(
                "daemon off; master_process off; pid nginx.pid; error_log error.log; events {{}} \
             http {{ access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; \
             uwsgi_temp_path t4; scgi_temp_path t5; \
             server {{ listen {tls} ssl http2; ssl_certificate api.pem; ssl_certificate_key api.pem; {verify} {says} }} \
             server {{ listen {h2c} http2; {says} }} }}"
            ),
        );
        let mut command = Command::new(nginx);
        let process =
            Running::start(command.arg("-p").arg(at).arg("-c").arg("nginx.conf").stderr(Stdio::null()));
        let nginx = Self { tls, h2c, _process: process, folder };
        wait_until("nginx listens", || TcpStream::connect(tls).is_ok());
        Some(nginx)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// A CA (`ca.pem`), a server (`api.pem`) and a client (`client.pem`) of it, and another CA (`other.pem`).
fn certificates(folder: &Path) {
    let ca = |name: &str| {
        let mut params = CertificateParams::new(vec![]).expect("a certificate");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
    };
    let (own, other) = (ca("own"), ca("other"));
    write(folder, "ca.pem", &own.pem());
    write(folder, "other.pem", &other.pem());
    for (file, name) in [("api.pem", "api.example"), ("client.pem", "gateway.example")] {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a certificate");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let cert = params.signed_by(&key, &own).expect("a certificate");
        write(folder, file, &format!("{}{}", cert.pem(), key.serialize_pem()));
    }
}

fn gateway(address: SocketAddr, keys: &str) -> Gateway {
    Gateway::of_backend(&format!("server = [{{ name = \"s1\", address = \"{address}\", {keys} }}]"))
}

pub(crate) fn body(answer: &str) -> &str {
    answer.rsplit("\r\n").next().unwrap_or_default()
}

#[test]
fn a_server_is_verified_by_its_ca_and_name() {
    let Some(nginx) = Nginx::start(false) else { return };
    let (ca, other) = (nginx.file("ca.pem"), nginx.file("other.pem"));
    let good = [
        (format!("ca_file = \"{ca}\", sni = \"api.example\""), "HTTP/1.1 api.example"),
        (format!("ca_file = \"{ca}\", verifyhost = \"api.example\""), "HTTP/1.1 api.example"),
        (format!("ca_file = \"{ca}\""), "HTTP/1.1  "),
        (format!("ca_file = \"{ca}\", sni = \"req.hdr(host)\""), "HTTP/1.1 api.example"),
        ("verify = \"none\"".to_owned(), "HTTP/1.1  "),
        (
            format!("ca_file = \"{ca}\", sni = \"api.example\", alpn = [\"h2\", \"http/1.1\"]"),
            "HTTP/2.0 api.example",
        ),
        (format!("ca_file = \"{ca}\", sni = \"api.example\", proto = \"h2\""), "HTTP/2.0 api.example"),
    ];
    for (keys, seen) in good {
        let gateway = gateway(nginx.tls, &format!("ssl = true, {keys}"));
        for _ in 0..3 {
            let answer = gateway.get("/");
            assert!(body(&answer).starts_with(seen), "{keys}: {answer}");
        }
    }
    let bad = [
        format!("ca_file = \"{other}\", sni = \"api.example\""),
        format!("ca_file = \"{ca}\", sni = \"other.example\""),
        format!("ca_file = \"{other}\""),
        "sni = \"api.example\"".to_owned(),
    ];
    for keys in bad {
        let gateway = gateway(nginx.tls, &format!("ssl = true, {keys}"));
        let answer = gateway.get("/");
        assert!(answer.starts_with("HTTP/1.1 503"), "{keys}: {answer}");
        assert!(gateway.log_lines(1)[0].contains(" SC-- "), "{:?}", gateway.log_lines(1));
    }
}

#[test]
fn a_server_that_asks_is_shown_the_gateways_certificate() {
    let Some(nginx) = Nginx::start(true) else { return };
    let tls = format!("ssl = true, ca_file = \"{}\", sni = \"api.example\"", nginx.file("ca.pem"));
    let answer = gateway(nginx.tls, &tls).get("/");
    assert!(answer.starts_with("HTTP/1.1 400"), "without one nginx says so: {answer}");
    let shown = format!("{tls}, crt = \"{}\"", nginx.file("client.pem"));
    let answer = gateway(nginx.tls, &shown).get("/");
    assert!(body(&answer).contains(" CN=gateway.example"), "{answer}");
}

#[test]
fn sessions_of_tls_are_resumed_on_all_workers_whoever_is_believed_and_whatever_is_shown() {
    let Some(nginx) = Nginx::start(false) else { return };
    let (ca, other, crt) = (nginx.file("ca.pem"), nginx.file("other.pem"), nginx.file("client.pem"));
    let believed = format!("ca_file = \"{ca}\", sni = \"api.example\"");
    for how in [
        believed.clone(),
        format!("{believed}, crt = \"{crt}\""),
        format!("ca_file = \"{ca}\", sni = \"req.hdr(host)\""),
        "verify = \"none\"".to_owned(),
    ] {
        let gateway = Gateway::of_backend(&format!(
            "http_reuse = \"never\"\nserver = [\n\
             {{ name = \"s1\", address = \"{}\", ssl = true, {how} }},\n\
             {{ name = \"s2\", address = \"{}\", ssl = true, backup = true, ca_file = \"{other}\", sni = \"b\" }}]",
            nginx.tls, nginx.tls
        ));
        let answers: Vec<String> = (0..24).map(|_| gateway.get("/")).collect();
        let resumed = answers.iter().filter(|answer| body(answer).contains(" r ")).count();
        assert!(resumed >= 20, "{how}: {resumed} of {answers:?}");
    }
}

#[test]
fn a_server_without_tls_is_spoken_with_in_http_2_if_told_so() {
    let Some(nginx) = Nginx::start(false) else { return };
    let gateway = gateway(nginx.h2c, "proto = \"h2\"");
    for _ in 0..5 {
        let answer = gateway.get("/");
        assert!(body(&answer).starts_with("HTTP/2.0 "), "{answer}");
    }
}

#[test]
fn connections_come_from_the_address_that_is_given() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let _server = Server::on(listener, move |_, stream| {
        told.lock().expect("no test panicked here").push(stream.peer_addr().ok()?.ip());
        Some(ok("well"))
    });
    let gateway = gateway(address, "source = \"127.0.0.77\"");
    for _ in 0..3 {
        assert!(gateway.get("/").ends_with("well"));
    }
    let seen = seen.lock().expect("no test panicked here");
    assert!(seen.len() == 3 && seen.iter().all(|ip| ip.to_string() == "127.0.0.77"), "{seen:?}");
}

#[test]
fn connections_are_used_again_unless_told_otherwise() {
    for (keys, most) in [("", 4), ("http_reuse = \"never\"", 40)] {
        let server = Server::named("s1");
        let gateway = Gateway::of_backend(&format!(
            "{keys}\nserver = [{{ name = \"s1\", address = \"{}\" }}]",
            server.address
        ));
        (0..40).for_each(|_| drop(gateway.get("/")));
        let made = server.connections.load(std::sync::atomic::Ordering::SeqCst);
        assert!(if most == 40 { made == 40 } else { made <= most }, "{keys}: {made}");
    }
}

#[test]
fn what_runs_on_a_server_that_is_marked_down_ends_where_asked() {
    for (keys, ends) in [("on_marked_down = \"shutdown-sessions\"", true), ("weight = 1", false)] {
        let (begun, listener) = (Arc::new(Mutex::new(0)), TcpListener::bind("127.0.0.1:0").expect("a port"));
        let address = listener.local_addr().expect("it is bound");
        let counted = Arc::clone(&begun);
        let _server = Server::on(listener, move |_, stream| {
            *counted.lock().expect("no test panicked here") += 1;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
            let _ = std::io::copy(stream, &mut std::io::sink());
            None
        });
        let health = TcpListener::bind("127.0.0.1:0").expect("a port");
        let gateway = Gateway::of_backend(&format!(
            "server_timeout = \"3s\"\ncheck = {{ type = \"tcp\", port = {}, inter = \"50ms\", timeout = \"40ms\", fall = 1 }}\n\
             server = [{{ name = \"s1\", address = \"{address}\", {keys} }}]",
            health.local_addr().expect("it is bound").port()
        ));
        let mut client = gateway.connect();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        wait_until("it runs", || *begun.lock().expect("no test panicked here") == 1);
        drop(health);
        wait_until("it is down", || {
            gateway.metric("headgate_server_up{backend=\"be\",server=\"s1\"}") == 0.0
        });
        let down = SystemTime::now();
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        assert!(String::from_utf8_lossy(&answer).ends_with("half"), "{answer:?}");
        assert_eq!(down.elapsed().is_ok_and(|passed| passed < Duration::from_secs(1)), ends, "{keys}");
    }
}
