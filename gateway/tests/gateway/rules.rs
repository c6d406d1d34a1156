//! Rules, on real traffic: in order, first match, and what no client can do against them.

use crate::harness::{Gateway, Server, wait_until};
use std::io::{Read, Write};
use std::net::SocketAddr;

fn gateway(server: SocketAddr, rules: &str) -> Gateway {
    // A second backend behind which nobody listens tells where a request went.
    let config = format!(
        "{rules}\n[[backend]]\nname = \"other\"\nserver = [{{ name = \"o\", address = \"{}\" }}]",
        server
    );
    Gateway::before(&[server], &config)
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or("")
}

#[test]
fn the_first_match_that_ends_wins_and_what_came_before_has_changed_the_request() {
    let server = Server::named("s1");
    let gateway = gateway(
        server.address,
        "[[frontend.rule]]\nset_header = { X-Seen = \"%[path] from %[src]\" }\nset_response_header = { X-Frame-Options = \"DENY\" }\ndel_response_header = \"Server\"\n\
         [[frontend.rule]]\nif = { path = { beg = \"/admin/\" }, header = { X-Key = { found = false } } }\ndeny = { status = 404, reason = \"hidden\" }\n\
         [[frontend.rule]]\nif = { path = { beg = \"/admin/\" } }\nroute = \"other\"\n\
         [[frontend.rule]]\nif = { path = { beg = \"/old/\" } }\nrewrite_path = { beg = \"/old/\", to = \"/new/\" }\n\
         [[frontend.rule]]\nif = { path = \"/new/gone\" }\nreturn = { status = 410, content_type = \"text/html\", body = \"<p>gone</p>\" }\n\
         [[frontend.rule]]\nif = { path = \"/plain\", tls = false }\nredirect = { scheme = \"https\", code = 301 }",
    );
    let hidden = gateway.get("/admin/x");
    assert!(
        hidden.starts_with("HTTP/1.1 404")
            && hidden.to_ascii_lowercase().contains("x-frame-options: deny\r\n"),
        "{hidden}"
    );
    let shown = gateway.raw(b"GET /admin/x HTTP/1.1\r\nHost: a\r\nX-Key: 1\r\nConnection: close\r\n\r\n");
    assert!(
        shown.contains("200 OK") && shown.to_ascii_lowercase().contains("x-frame-options: deny\r\n"),
        "{shown}"
    );
    assert!(gateway.get("/old/x?a=1").contains("200 OK"));
    let gone = gateway.get("/old/gone");
    assert!(gone.starts_with("HTTP/1.1 410") && gone.ends_with("<p>gone</p>"), "{gone}");
    assert!(gone.to_ascii_lowercase().contains("content-type: text/html"), "{gone}");
    let moved = gateway.get("/plain?x=1");
    assert!(
        moved.starts_with("HTTP/1.1 301") && moved.contains("https://api.example/plain?x=1\r\n"),
        "{moved}"
    );

    let heads: Vec<String> = server.heads().iter().map(|head| head.to_ascii_lowercase()).collect();
    assert_eq!(heads.len(), 2);
    assert!(
        heads[0].starts_with("get /admin/x ") && heads[0].contains("x-seen: /admin/x from 127.0.0.1\r\n")
    );
    assert!(
        heads[1].starts_with("get /new/x?a=1 ") && heads[1].contains("x-seen: /old/x from 127.0.0.1\r\n")
    );
    let lines = gateway.log_lines(5);
    let line = |part: &str| {
        lines.iter().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part} in {lines:?}"))
    };
    assert!(line(" 404 ").contains(" fe/<NOSRV> ") && line(" 404 ").contains("/-1/-1/-1/"), "{lines:?}");
    assert!(line(" 404 ").contains(" PR-- "), "{lines:?}");
    assert!(line(" other/o ").contains("\"GET /admin/x HTTP/1.1\""));
    assert!(line("\"GET /old/x?a=1 ").contains(" be/s1 "), "the log tells the target as it came");
    assert!(line("\"GET /old/gone ").contains(" 410 ") && line("\"GET /old/gone ").contains(" LR-- "));
    assert_eq!(gateway.metric("headgate_refused_total{frontend=\"fe\",reason=\"hidden\"}"), 1.0);
}

#[test]
fn a_client_can_not_keep_a_field_that_a_rule_sets_or_takes() {
    let server = Server::named("s1");
    let gateway = gateway(
        server.address,
        "[[frontend.rule]]\nset_header = { X-User = \"nobody\", X-Forwarded-Proto = \"https\" }\ndel_header = \"X-Admin\"",
    );
    for forged in [
        "X-User: root\r\nX-Admin: 1",
        "x-user: root\r\nX-USER: root",
        "X_User: root\r\nx_admin: 1",
        "X-User: root\r\nConnection: X-User",
        "Connection: close, x-user",
    ] {
        gateway.raw(format!("GET / HTTP/1.1\r\nHost: a\r\n{forged}\r\nConnection: close\r\n\r\n").as_bytes());
    }
    let heads = server.heads();
    assert_eq!(heads.len(), 5);
    for head in heads {
        let head = head.to_ascii_lowercase().replace('_', "-");
        assert!(head.contains("x-user: nobody\r\n") && head.matches("x-user").count() == 1, "{head}");
        assert!(!head.contains("x-admin") && head.contains("x-forwarded-proto: https\r\n"), "{head}");
    }
}

#[test]
fn no_spelling_of_a_path_walks_round_a_rule() {
    let server = Server::named("s1");
    let rules =
        "normalize_path = \"decode\"\n[[frontend.rule]]\nif = { path = { beg = \"/admin\" } }\ndeny = 403";
    let gateway = gateway(server.address, rules);
    let request = |target: &str| {
        let answer = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        gateway.raw(answer.as_bytes())
    };
    for spelling in [
        "/admin",
        "//admin",
        "/./admin",
        "/x/../admin",
        "/../admin",
        "/%61dmin",
        "/%2e/admin",
        "/x/%2e%2e/admin",
        "/x/%2E./admin",
        "/%2fadmin",
        "/%2Fadmin",
        "/x%2f..%2fadmin",
        "http://a/x/../admin",
        "http://a//admin",
        "/x//..//../admin",
        "/%2e%2e%2fadmin",
        "/admin/x",
        "/admin?x=/../y",
    ] {
        assert_eq!(status(&request(spelling)), "403", "{spelling}");
    }
    for spelling in ["/x\\..\\admin", "/%5cadmin", "/admin%00", "/x/..;/admin", "/%c0%ae/admin", "/%zz"] {
        assert_eq!(status(&request(spelling)), "400", "{spelling}");
    }
    assert_eq!(server.heads(), Vec::<String>::new());
    assert_eq!(status(&request("/a//b/../c%2fd?x=//..")), "200");
    assert!(
        server.heads()[0].starts_with("GET /a/c/d?x=//.. HTTP/1.1\r\n"),
        "what was judged is what it gets"
    );
    let came = "\"GET /a//b/../c%2fd?x=//.. HTTP/1.1\"";
    assert!(
        gateway.log_lines(25).iter().any(|line| line.contains(came)),
        "the log tells the target as it came"
    );
}

#[test]
fn a_spelling_that_is_not_the_one_is_refused_if_so_wished() {
    let server = Server::named("s1");
    let gateway = gateway(server.address, "normalize_path = \"reject\"");
    assert_eq!(
        ["/a/../b", "//b", "/%61"].map(|path| status(&gateway.get(path)).to_owned()),
        ["400", "400", "400"]
    );
    assert_eq!(status(&gateway.get("/caf%c3%a9/?x=//")), "200");
    assert!(server.heads()[0].starts_with("GET /caf%c3%a9/?x=// "), "it passes as it came");
    assert_eq!(gateway.metric("headgate_refused_total{frontend=\"fe\",reason=\"path_not_normal\"}"), 3.0);
}

#[test]
fn scanners_are_served_counted_or_refused() {
    let server = Server::named("s1");
    for (mode, expected, counted) in
        [("off", "200", None), ("count", "200", Some(2.0)), ("deny", "403", Some(2.0))]
    {
        let gateway = gateway(server.address, &format!("block_scanners = \"{mode}\""));
        for path in ["/x/shell.php?a=1", "/INDEX.PHP"] {
            assert_eq!(status(&gateway.get(path)), expected, "{mode} {path}");
        }
        assert_eq!(status(&gateway.get("/v2.1/servers")), "200");
        if let Some(counted) = counted {
            let labels = "{frontend=\"fe\",reason=\"scanner_php\"}";
            assert_eq!(gateway.metric(&format!("headgate_scanners_total{labels}")), counted);
            if mode == "deny" {
                assert_eq!(gateway.metric(&format!("headgate_refused_total{labels}")), counted);
            }
        }
    }
}

#[test]
fn a_rule_sees_what_the_limits_have_counted() {
    let server = Server::named("s1");
    let gateway = gateway(
        server.address,
        "limit = [{ table = \"clients\", http_req_rate = 1000, period = \"60s\" }]\n\
         [[frontend.rule]]\nif = { counter = { http_req_rate = { table = \"clients\", gt = 3 } } }\ndeny = 429",
    );
    let answers: Vec<String> = (0..5).map(|_| status(&gateway.get("/")).to_owned()).collect();
    assert_eq!(answers, ["200", "200", "200", "429", "429"]);
}

#[test]
fn a_tarpit_holds_few_not_for_long_and_not_those_who_have_left() {
    let server = Server::named("s1");
    let gateway = gateway(
        server.address,
        "tarpit_max = 2\n\
         [[frontend.rule]]\nif = { path = \"/short\" }\ntarpit = { timeout = \"300ms\", status = 429 }\n\
         [[frontend.rule]]\nif = { path = { beg = \"/long\" } }\ntarpit = { timeout = \"60s\" }",
    );
    let begun = std::time::SystemTime::now();
    assert_eq!(status(&gateway.get("/short")), "429");
    let took = begun.elapsed().expect("time goes on").as_millis();
    assert!((300..5_000).contains(&took), "{took} ms");
    let line = &gateway.log_lines(1)[0];
    assert!(line.contains(" fe/<NOSRV> -1/3") && line.contains(" 429 ") && line.contains(" PT-- "), "{line}");

    let held = |count: f64| {
        wait_until("so many are held", || gateway.metric("headgate_tarpits{frontend=\"fe\"}") == count);
    };
    let mut long: Vec<_> = (0..2).map(|_| gateway.connect()).collect();
    let request = b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n";
    long.iter_mut().for_each(|stream| stream.write_all(request).expect("sent"));
    held(2.0);
    assert_eq!(
        status(&gateway.get("/long")),
        "500",
        "there is no room for a third, which is refused at once"
    );
    drop(long.pop());
    held(1.0);
    gateway.ctl(&["drain"]);
    let mut answer = String::new();
    long[0].read_to_string(&mut answer).expect("an answer");
    assert_eq!(status(&answer), "500", "a drain waits for no tarpit");
    assert_eq!(server.heads(), Vec::<String>::new());
    assert_eq!(gateway.metric("headgate_refused_total{frontend=\"fe\",reason=\"tarpit\"}"), 4.0);
}

#[test]
fn a_rule_asks_what_the_handshake_has_shown() {
    let server = Server::named("s1");
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = crate::harness::pair(folder.path(), "api.example");
    let gateway = Gateway::before(
        &[server.address],
        &format!(
            "tls = {{ cert = \"{}\", key = \"{}\" }}\n\
             [[frontend.rule]]\nset_response_header = {{ X-Tls = \"%[ssl_fc_protocol] %[ssl_fc_sni] %[ssl_c_used]\" }}\n\
             [[frontend.rule]]\nif = {{ ssl = {{ ssl_fc_protocol = \"TLSv1.2\" }} }}\ndeny = 426\n\
             [[frontend.rule]]\nif = {{ ssl = {{ ssl_fc_sni = {{ found = false }} }} }}\ndeny = 421",
            cert.display(),
            key.display()
        ),
    );
    let resolve = format!("api.example:{}:127.0.0.1", gateway.front.port());
    let by_name = format!("https://api.example:{}/", gateway.front.port());
    let by_address = format!("https://{}/", gateway.front);
    let curl = |arguments: &[&str]| {
        let output = std::process::Command::new("curl")
            .args(["-sSki", "--max-time", "20", "--http1.1", "--resolve", &resolve])
            .args(arguments)
            .output()
            .expect("curl runs");
        String::from_utf8_lossy(&output.stdout).to_ascii_lowercase()
    };
    let served = curl(&[&by_name]);
    assert!(served.contains(" 200 ok") && served.contains("x-tls: tlsv1.3 api.example 0\r\n"), "{served}");
    let old = curl(&["--tls-max", "1.2", &by_name]);
    assert!(old.contains(" 426 ") && old.contains("x-tls: tlsv1.2 api.example 0\r\n"), "{old}");
    assert!(curl(&[&by_address]).contains(" 421 "));
}
