//! A client keeps its server by a cookie, with curl's jar.

use crate::daemons::{output, program};
use crate::harness::{Gateway, Server, free_address, ok, wait_until};
use std::net::TcpListener;
use std::process::Command;

/// What curl gets for `/` with its jar.
fn curl(gateway: &Gateway) -> String {
    let jar = gateway.folder.path().join("jar");
    let url = format!("http://{}/", gateway.front);
    output(Command::new("curl").args(["-s", "-m", "20", "-b"]).arg(&jar).arg("-c").arg(&jar).arg(url))
}

fn with_cookies(servers: &[Server], keys: &str) -> Gateway {
    let server = |(place, server): (usize, &Server)| {
        format!("{{ name = \"s{place}\", address = \"{}\", cookie = \"c{place}\" }}", server.address)
    };
    let servers: Vec<_> = servers.iter().enumerate().map(server).collect();
    Gateway::of_backend(&format!("{keys}\nserver = [{}]", servers.join(", ")))
}

#[test]
fn a_client_with_its_cookie_keeps_its_server_and_one_without_does_not() {
    if program("curl").is_none() {
        return;
    }
    let servers = ["one", "two", "three"].map(Server::named);
    let gateway = with_cookies(
        &servers,
        "cookie = { name = \"SRV\", indirect = true, nocache = true, httponly = true }\nhttp_send_name_header = \"X-Me\"",
    );
    let first = curl(&gateway);
    for _ in 0..8 {
        assert_eq!(curl(&gateway), first);
    }
    assert!(servers.iter().all(|server| server.heads().iter().all(|head| !head.contains("SRV="))));
    assert!(servers[0].heads().iter().all(|head| head.to_lowercase().contains("x-me: s0\r\n")));
    let fresh = gateway.get("/");
    assert!(fresh.contains("Set-Cookie: SRV=c") && fresh.contains("; path=/; HttpOnly\r\n"), "{fresh}");
    assert!(fresh.to_lowercase().contains("cache-control: private\r\n"), "{fresh}");
    let kept = gateway.raw(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: x=1; SRV=c2\r\nConnection: close\r\n\r\n");
    assert!(kept.ends_with("three") && !kept.contains("Set-Cookie"), "{kept}");
    assert!(servers[2].heads().iter().any(|head| head.contains("x=1\r\n")), "the rest goes on");
    let forged = gateway.raw(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=../c2\r\nConnection: close\r\n\r\n");
    assert!(forged.starts_with("HTTP/1.1 200") && forged.contains("Set-Cookie: SRV=c"), "{forged}");
}

#[test]
fn a_prefix_is_put_before_the_servers_own_cookie_and_taken_away() {
    if program("curl").is_none() {
        return;
    }
    let server = |name: &'static str| {
        Server::start(move |head, _| {
            let seen = head.lines().find(|line| line.to_lowercase().starts_with("cookie:")).unwrap_or("none");
            let body = format!("{name} {seen}");
            Some(
                format!(
                    "HTTP/1.1 200 OK\r\nSet-Cookie: ID={name}; path=/\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )
                .into_bytes(),
            )
        })
    };
    let gateway = with_cookies(&["one", "two"].map(server), "cookie = { name = \"ID\", mode = \"prefix\" }");
    let name = curl(&gateway).split(' ').next().unwrap_or_default().to_owned();
    for _ in 0..6 {
        assert_eq!(curl(&gateway).to_lowercase(), format!("{name} cookie: id={name}"));
    }
    let jar = std::fs::read_to_string(gateway.folder.path().join("jar")).expect("curl wrote it");
    assert!(jar.contains("c0~one") || jar.contains("c1~two"), "{jar}");
}

#[test]
fn a_client_of_a_server_that_is_down_gets_another_and_its_cookie() {
    let (well, address) = (Server::named("well"), free_address());
    let gateway = Gateway::of_backend(&format!(
        "cookie = {{ name = \"SRV\", indirect = true }}\n\
         check = {{ type = \"tcp\", inter = \"50ms\", timeout = \"40ms\", rise = 1, fall = 1 }}\n\
         server = [{{ name = \"down\", address = \"{address}\", cookie = \"down\", weight = 0 }}, \
         {{ name = \"well\", address = \"{}\", cookie = \"well\" }}]",
        well.address
    ));
    let up = "headgate_server_up{backend=\"be\",server=\"down\"}";
    wait_until("it is down", || gateway.metric(up) == 0.0);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=down\r\nConnection: close\r\n\r\n";
    let moved = gateway.raw(request);
    assert!(moved.ends_with("well") && moved.contains("Set-Cookie: SRV=well; path=/\r\n"), "{moved}");
    let _back = Server::on(TcpListener::bind(address).expect("still free"), |_, _| Some(ok("back")));
    wait_until("it is up", || gateway.metric(up) == 1.0);
    let kept = gateway.raw(request);
    assert!(kept.ends_with("back"), "a server that gets nobody new keeps whom it has: {kept}");
}
