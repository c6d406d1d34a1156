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
fn what_has_nothing_to_hide_reaches_servers_letter_by_letter() {
    for keys in ["cookie = { name = \"SRV\" }", "cookie = { name = \"SRV\", indirect = true }"] {
        let servers = [Server::named("one")];
        let gateway = with_cookies(&servers, keys);
        let line = "Cookie: a=1;b=2;; c=\"x\" ;";
        gateway.raw(format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\nConnection: close\r\n\r\n").as_bytes());
        let heads = servers[0].heads();
        assert!(
            heads[0].to_lowercase().contains(&format!("{}\r\n", line.to_lowercase())),
            "{keys}: {heads:?}"
        );
    }
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

/// What HAProxy's `cookie` line says beside `cookie SRV`, and what is said here.
const OPTIONS: [(&str, &str); 12] = [
    ("insert", ""),
    ("insert indirect", "indirect = true"),
    ("insert indirect nocache", "indirect = true, nocache = true"),
    ("insert preserve", "preserve = true"),
    ("insert indirect postonly", "indirect = true, postonly = true"),
    (
        "insert httponly secure domain a.example attr SameSite=Lax attr \"Max-Age=5\"",
        "httponly = true, secure = true, domain = \"a.example\", attr = [\"SameSite=Lax\", \"Max-Age=5\"]",
    ),
    ("insert indirect maxidle 60s", "indirect = true, maxidle = \"60s\""),
    ("insert indirect maxlife 1h", "indirect = true, maxlife = \"1h\""),
    ("insert maxidle 60s maxlife 1h", "maxidle = \"60s\", maxlife = \"1h\""),
    ("rewrite", "mode = \"rewrite\""),
    ("prefix", "mode = \"prefix\""),
    ("prefix indirect", "mode = \"prefix\", indirect = true"),
];

/// With dates that are too old and yet to come, and what other modes would have written.
const COOKIES: [&str; 9] = [
    "",
    "x=1; SRV=c1",
    "SRV=bad; y=2",
    "SRV=c1|AAAAB",
    "SRV=c1|AAAAB|AAAAB",
    "SRV=c1|dAAAA",
    "SRV=c1|",
    "SRV=c1~own; z=3",
    "SRV=",
];

/// What is told of a request: all that has to do with cookies, with dates and the names of servers left out.
fn told(front: std::net::SocketAddr, method: &str, path: &str, cookie: &str) -> String {
    let line = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{line}{length}Connection: close\r\n\r\n");
    let answer = crate::harness::exchange(front, request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    // `Cache-Control` is not compared: HAProxy leaves it out where it takes the answer for one that nobody keeps.
    let is_told = |line: &&str| line.to_ascii_lowercase().starts_with("set-cookie:");
    let mut lines: Vec<String> = head.lines().filter(is_told).map(without_dates).collect();
    lines.sort();
    format!("{}{}", lines.join("\n"), body)
}

fn without_dates(line: &str) -> String {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    let (value, rest) =
        value.split_once(';').map_or((value, String::new()), |(value, rest)| (value, format!(";{rest}")));
    let mut parts = value.split('|');
    let first = parts.next().unwrap_or_default().replace("c0", "c").replace("c1", "c");
    let dates = parts.map(|date| format!("|{}", date.len()));
    format!("{}:{first}{}{rest}", name.to_ascii_lowercase(), dates.collect::<String>())
}

/// Answers with the cookies that it sees; `/sets` sets its own.
fn that_sees(_: &str) -> Server {
    Server::start(|head, _| {
        let seen = head.lines().find(|line| line.to_lowercase().starts_with("cookie:")).unwrap_or("none");
        let body = format!("\nseen {}", seen.to_lowercase());
        let sets =
            if head.contains(" /sets") { "Set-Cookie: SRV=own; Path=/z\r\nSet-Cookie: o=1\r\n" } else { "" };
        Some(format!("HTTP/1.1 200 OK\r\n{sets}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
    })
}

/// HAProxy before `servers`, with `front_lines` in its frontend and `lines` in its backend: where it is, and the file of its log.
pub(crate) fn haproxy(
    program: &std::path::Path,
    folder: &std::path::Path,
    servers: &[Server],
    front_lines: &str,
    lines: &str,
    named: bool,
) -> (crate::daemons::Running, std::net::SocketAddr, std::path::PathBuf) {
    let front = free_address();
    let server = |(place, server): (usize, &Server)| {
        let cookie = if named { format!(" cookie c{place}") } else { String::new() };
        format!(" server s{place} {}{cookie}\n", server.address)
    };
    let servers: String = servers.iter().enumerate().map(server).collect();
    let config = format!(
        "global\n log stdout format raw local0\ndefaults\n log global\n mode http\n option httplog\n option dontlognull\n\
         timeout client 20s\n timeout server 20s\n timeout connect 2s\n\
         frontend fe\n bind {front}\n{front_lines} default_backend be\nbackend be\n {lines}\n{servers}"
    );
    let file = crate::harness::write(folder, "haproxy.cfg", &config);
    let log = folder.join("haproxy.log");
    let out = std::fs::File::create(&log).expect("a file");
    let running =
        crate::daemons::Running::start(Command::new(program).args(["-db", "-f"]).arg(file).stdout(out));
    wait_until("haproxy listens", || std::net::TcpStream::connect(front).is_ok());
    (running, front, log)
}

/// The letters on cookies of so many requests, in the order of the numbers in their paths.
fn letters(lines: &[String], requests: usize) -> Vec<String> {
    let line = |number| {
        lines.iter().find(|line| line.contains(&format!("?{number} HTTP/1.1"))).expect("it is logged")
    };
    let state = |line: &String| Some(line.split(" - - ").nth(1)?.get(2..4)?.to_owned());
    (0..requests).map(|number| state(line(number)).expect("a line")).collect()
}

#[test]
fn cookies_and_what_the_log_says_of_them_are_as_haproxys() {
    let Some(program) = program("haproxy") else { return };
    for (theirs, ours) in OPTIONS {
        let servers = ["one", "two"].map(that_sees);
        let keys = format!("cookie = {{ name = \"SRV\"{}{ours} }}", if ours.is_empty() { "" } else { ", " });
        let gateway = with_cookies(&servers, &keys);
        let folder = tempfile::tempdir().expect("a folder");
        let (_running, front, log) =
            haproxy(&program, folder.path(), &servers, "", &format!("cookie SRV {theirs}"), true);
        let mut requests = Vec::new();
        for cookie in COOKIES {
            for (method, path) in [("GET", "/"), ("GET", "/sets"), ("POST", "/")] {
                let path = &format!("{path}?{}", requests.len());
                let (here, there) =
                    (told(gateway.front, method, path, cookie), told(front, method, path, cookie));
                assert_eq!(here, there, "`{theirs}` {method} {path} with `{cookie}`: here, there");
                requests.push(format!("{method} {path} with `{cookie}`"));
            }
        }
        let read = || std::fs::read_to_string(&log).unwrap_or_default();
        let lines =
            || read().lines().filter(|line| line.contains(" fe ")).map(str::to_owned).collect::<Vec<_>>();
        wait_until("haproxy has logged", || lines().len() == requests.len());
        let count = requests.len();
        let (here, there) = (letters(&gateway.log_lines(count), count), letters(&lines(), count));
        for ((here, there), request) in here.iter().zip(&there).zip(&requests) {
            assert_eq!(here, there, "`{theirs}` {request}: here, there");
        }
    }
}

/// What a client is given who comes with `cookie`, `None` if nothing.
fn given(front: std::net::SocketAddr, cookie: &str) -> Option<String> {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
    let answer = crate::harness::exchange(front, request.as_bytes()).to_ascii_lowercase();
    let line = answer.lines().find(|line| line.starts_with("set-cookie: "))?;
    line.strip_prefix("set-cookie: ")?.split(';').next().map(str::to_owned)
}

#[test]
fn a_cookie_of_haproxys_names_the_same_server_here_and_one_of_ours_there() {
    let Some(program) = program("haproxy") else { return };
    let servers = ["one", "two"].map(that_sees);
    let folder = tempfile::tempdir().expect("a folder");
    let lines = "cookie srv insert indirect dynamic\n dynamic-cookie-key secret";
    let (_running, front, _) = haproxy(&program, folder.path(), &servers, "", lines, false);
    let server = |(place, server): (usize, &Server)| {
        format!("{{ name = \"s{place}\", address = \"{}\" }}", server.address)
    };
    let written: Vec<_> = servers.iter().enumerate().map(server).collect();
    let gateway = Gateway::of_backend(&format!(
        "cookie = {{ name = \"srv\", indirect = true, dynamic_cookie_key = \"secret\" }}\nserver = [{}]",
        written.join(", ")
    ));
    let all = |front| {
        let mut all: Vec<_> = (0..4).filter_map(|_| given(front, "x=1")).collect();
        all.sort();
        all.dedup();
        all
    };
    let (here, there) = (all(gateway.front), all(front));
    assert_eq!((here.len(), &here), (2, &there), "each server has one name in both");
    for cookie in &here {
        assert_eq!((given(gateway.front, cookie), given(front, cookie)), (None, None), "it is known");
    }
}

#[test]
fn a_date_is_written_as_haproxy_does() {
    let Some(program) = program("haproxy") else { return };
    let servers = ["one", "two"].map(that_sees);
    let folder = tempfile::tempdir().expect("a folder");
    let lines = "cookie SRV insert indirect maxidle 1h maxlife 8h";
    let (_running, front, _) = haproxy(&program, folder.path(), &servers, "", lines, true);
    let keys = "cookie = { name = \"SRV\", indirect = true, maxidle = \"1h\", maxlife = \"8h\" }";
    let gateway = with_cookies(&servers, keys);
    let dates = |front| {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answer = crate::harness::exchange(front, request);
        let cookie = answer.split("SRV=").nth(1).and_then(|rest| rest.split(';').next()).unwrap_or_default();
        cookie.split('|').skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    // Both see the same unit of four seconds, sooner or later.
    wait_until("both write the same dates", || {
        let (here, there) = (dates(gateway.front), dates(front));
        here.len() == 2 && here == there
    });
}
