//! Mode tcp: TLS towards servers.

use crate::daemons::{output, program};
use crate::harness::{Gateway, pair};
use crate::servers::{Nginx, body};
use std::net::SocketAddr;
use std::process::Command;

/// A gateway in mode tcp with `frontend` before one server with `keys`.
fn gateway(address: SocketAddr, frontend: &str, keys: &str) -> Gateway {
    Gateway::of_backend_before(
        &format!("mode = \"tcp\"\n{frontend}"),
        &format!("server = [{{ name = \"s1\", address = \"{address}\", ssl = true, {keys} }}]"),
    )
}

#[test]
fn a_server_is_verified_by_its_ca_and_name() {
    let Some(nginx) = Nginx::start(false) else { return };
    let (ca, other) = (nginx.file("ca.pem"), nginx.file("other.pem"));
    let good = [
        (format!("ca_file = \"{ca}\", sni = \"api.example\""), "HTTP/1.1 api.example"),
        (format!("ca_file = \"{ca}\", verifyhost = \"api.example\""), "HTTP/1.1 api.example"),
        (format!("ca_file = \"{ca}\""), "HTTP/1.1  "),
        ("verify = \"none\", sni = \"other.example\"".to_owned(), "HTTP/1.1 other.example"),
    ];
    for (keys, seen) in good {
        let gateway = gateway(nginx.tls, "", &keys);
        let answer = gateway.get("/");
        assert!(body(&answer).starts_with(seen), "{keys}: {answer}");
    }
    let bad = [
        format!("ca_file = \"{other}\", sni = \"api.example\""),
        format!("ca_file = \"{ca}\", sni = \"other.example\""),
        format!("ca_file = \"{other}\""),
        "sni = \"api.example\"".to_owned(),
        format!("ca_file = \"{ca}\", verifyhost = \"127.0.0.1\""),
    ];
    for keys in bad {
        let gateway = gateway(nginx.tls, "", &keys);
        assert_eq!(gateway.get("/"), "", "{keys}");
        let line = gateway.log_lines(1).remove(0);
        assert!(line.contains(" be/s1 ") && line.contains(" SC "), "{keys}: {line}");
    }
}

#[test]
fn a_session_is_resumed_by_the_second_connection_whichever_worker_has_it_also_with_a_certificate_shown() {
    for mutual in [false, true] {
        let Some(nginx) = Nginx::start(mutual) else { return };
        let mut keys = format!("ca_file = \"{}\"", nginx.file("ca.pem"));
        let shows = format!(", sni = \"api.example\", crt = \"{}\"", nginx.file("client.pem"));
        if mutual {
            keys.push_str(&shows);
        }
        let gateway = gateway(nginx.tls, "", &keys);
        let answers: Vec<String> = (0..8).map(|_| gateway.get("/")).collect();
        assert!(body(&answers[0]).contains(" . "), "{answers:?}");
        assert!(answers[1..].iter().all(|answer| body(answer).contains(" r ")), "{answers:?}");
        assert_eq!(
            answers.iter().all(|answer| answer.contains(" CN=gateway.example ")),
            mutual,
            "{answers:?}"
        );
    }
}

#[test]
fn a_server_chooses_from_what_it_is_offered() {
    let Some(nginx) = Nginx::start(false) else { return };
    if program("curl").is_none() {
        return;
    }
    let gateway = gateway(nginx.tls, "", "verify = \"none\", alpn = [\"mqtt\", \"h2\"]");
    let url = format!("http://{}/", gateway.front);
    let said = output(Command::new("curl").args(["-s", "-m", "20", "--http2-prior-knowledge"]).arg(url));
    assert!(said.starts_with("HTTP/2.0 "), "{said}");
}

#[test]
fn a_server_is_asked_for_the_name_that_the_client_asks_for() {
    let Some(nginx) = Nginx::start(false) else { return };
    if program("curl").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = pair(folder.path(), "api.example");
    let tls = format!("tls = {{ cert = \"{}\", key = \"{}\" }}", cert.display(), key.display());
    let backend = format!(
        "breaker = {{ error_limit = 1, open = \"60s\" }}\n\
         server = [{{ name = \"s1\", address = \"{}\", ssl = true, ca_file = \"{}\", sni = \"ssl_fc_sni\" }}]",
        nginx.tls,
        nginx.file("ca.pem")
    );
    for mode in ["tcp", "http"] {
        let gateway = Gateway::of_backend_before(&format!("mode = \"{mode}\"\n{tls}"), &backend);
        let ask = |name: &str| {
            let to = format!("{name}:443:{}", gateway.front);
            let url = format!("https://{name}/");
            output(Command::new("curl").args([
                "-s",
                "-k",
                "-m",
                "20",
                "--http1.1",
                "--connect-to",
                &to,
                &url,
            ]))
        };
        assert!(ask("api.example").contains(" api.example "), "{}", ask("api.example"));
        assert!(!ask("other.example").contains("other.example"), "the server is not of that name");
        assert!(ask("api.example").contains(" api.example "), "and is not blamed for it");
    }
}

#[test]
fn what_means_nothing_in_a_mode_is_refused() {
    let check = |mode: &str, keys: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!(
            "[admin]\nsocket = \"/run/x.sock\"\n[[frontend]]\nname = \"fe\"\nmode = \"{mode}\"\nbind = [\"127.0.0.1:0\"]\n\
             default_backend = \"be\"\n[[backend]]\nname = \"be\"\n\
             server = [{{ name = \"s\", address = \"127.0.0.1:1\", ssl = true, {keys} }}]\n"
        );
        let file = crate::harness::write(folder.path(), "gateway.toml", &text);
        output(Command::new(env!("CARGO_BIN_EXE_headgate")).arg("check").arg(file))
    };
    let said = check("tcp", "sni = \"req.hdr(host)\"");
    assert!(said.contains("no request that is for a host") && said.contains("ssl_fc_sni"), "{said}");
    let said = check("http", "alpn = [\"mqtt\"]");
    assert!(said.contains("nothing but requests") && said.contains("http/1.1"), "{said}");
}
