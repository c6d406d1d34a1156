//! Lists and maps in files, looked up in by rules and read again while requests run.

use crate::harness::{Gateway, Server, wait_until, write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn gateway(folder: &Path, rules: &str) -> Gateway {
    let (one, other) = (Server::named("one"), Server::named("other"));
    Gateway::start(
        &format!(
            "node = \"gw\"\nworkers = 4\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"none\"\n\
             [[acl]]\nname = \"blocked\"\nfile = \"FILES/blocked\"\nmatch = \"ip\"\n\
             [[map]]\nname = \"hosts\"\nfile = \"FILES/hosts\"\nmatch = \"dom\"\n\
             [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ntrusted_proxies = [\"127.0.0.0/8\"]\ndefault_backend = \"one\"\n{rules}\n\
             [[backend]]\nname = \"one\"\nserver = [{{ name = \"s\", address = \"{}\" }}]\n\
             [[backend]]\nname = \"other\"\nserver = [{{ name = \"s\", address = \"{}\" }}]\n",
            one.address, other.address
        )
        .replace("FILES", &folder.display().to_string()),
    )
}

fn get(gateway: &Gateway, host: &str, client: &str) -> String {
    let request =
        format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n\r\n");
    let answer = gateway.raw(request.as_bytes());
    let body = answer.rsplit("\r\n").next().unwrap_or_default();
    format!("{} {body}", answer.get(9..12).unwrap_or_default())
}

const RULES: &str = "[[frontend.rule]]\nif = { src = { acl = \"blocked\" } }\ndeny = { status = 403, reason = \"blocked\" }\n\
     [[frontend.rule]]\nif = { host = { acl = \"hosts\" } }\nset_response_header = { X-Map = \"%[req.hdr(host),host_only,map(hosts)]\" }\n\
     [[frontend.rule]]\nroute = \"%[req.hdr(host),host_only,lower,map(hosts)]\"";

/// Replaces a file at once, as tools that write configurations do.
fn replace(folder: &Path, name: &str, text: &str) {
    let new = write(folder, "new", text);
    std::fs::rename(new, folder.join(name)).expect("the same folder");
}

#[test]
fn an_address_and_a_host_are_looked_up() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "blocked", "192.0.2.0/24\n2001:db8::/32\n");
    write(folder.path(), "hosts", "# where hosts go\nother.example other\nnowhere.example gone\n");
    let gateway = gateway(folder.path(), RULES);
    assert_eq!(get(&gateway, "a", "192.0.2.7"), "403 403 Forbidden\n");
    assert!(get(&gateway, "a", "2001:db8::1").starts_with("403"));
    assert_eq!(get(&gateway, "a", "198.51.100.1"), "200 one");
    assert_eq!(get(&gateway, "API.other.example:80", "198.51.100.1"), "200 other");
    assert_eq!(get(&gateway, "nowhere.example", "198.51.100.1"), "200 one", "no backend: the routes decide");
    let answer = gateway.raw(b"GET / HTTP/1.1\r\nHost: x.other.example\r\nConnection: close\r\n\r\n");
    assert!(answer.to_ascii_lowercase().contains("x-map: other\r\n"), "{answer}");
    assert_eq!(gateway.metric("headgate_refused_total{frontend=\"fe\",reason=\"blocked\"}"), 2.0);
    assert_eq!(gateway.metric("headgate_list_entries{list=\"blocked\"}"), 2.0);
}

#[test]
fn a_file_that_changes_is_read_again_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "blocked", "");
    write(folder.path(), "hosts", "a other\n");
    let gateway = gateway(folder.path(), RULES);
    assert_eq!(get(&gateway, "a", "198.51.100.1"), "200 other");
    replace(folder.path(), "hosts", "b other\n");
    wait_until("it is read again", || get(&gateway, "b", "198.51.100.1") == "200 other");
    assert_eq!(get(&gateway, "a", "198.51.100.1"), "200 one");
    replace(folder.path(), "hosts", "a other\nb\n");
    let broken = || gateway.metric("headgate_list_broken{list=\"hosts\"}") == 1.0;
    wait_until("it is seen to be broken", broken);
    assert_eq!(get(&gateway, "b", "198.51.100.1"), "200 other", "what was there stays");
    std::fs::remove_file(folder.path().join("hosts")).expect("a file");
    assert_eq!(get(&gateway, "b", "198.51.100.1"), "200 other");
    replace(folder.path(), "hosts", "c other\n");
    wait_until("it is whole again", || !broken());
    assert_eq!(get(&gateway, "c", "198.51.100.1"), "200 other");
    assert_eq!(gateway.metric("headgate_list_reloads_total{list=\"hosts\"}"), 2.0);
}

#[test]
fn a_hundred_thousand_lines_are_replaced_while_every_request_is_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let networks = |last: u32| -> String {
        (0..100_000u32).map(|number| format!("10.{}.{}.{last}\n", number >> 8 & 255, number & 255)).collect()
    };
    write(folder.path(), "blocked", &networks(1));
    write(folder.path(), "hosts", "");
    let gateway = gateway(folder.path(), RULES);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut answered = 0;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(get(&gateway, "a", "198.51.100.1"), "200 one");
                answered += 1;
            }
            answered
        });
        for last in [2, 3] {
            replace(folder.path(), "blocked", &networks(last));
            let newest = format!("10.1.1.{last}");
            wait_until("the new lines hold", || get(&gateway, "a", &newest).starts_with("403"));
            assert_eq!(get(&gateway, "a", &format!("10.1.1.{}", last - 1)), "200 one");
        }
        done.store(true, Ordering::Relaxed);
        assert!(client.join().expect("every request was answered") > 0);
    });
    assert!(gateway.get_admin("/health").starts_with("HTTP/1.1 200"));
}

#[test]
fn expressions_judge_and_lists_reject_before_a_byte_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "blocked", "127.0.0.9/32\n");
    write(folder.path(), "hosts", "none.example none\n");
    write(folder.path(), "tools", "^(nikto|sqlmap)/\nmasscan\n");
    write(folder.path(), "sites", "^/v[0-9]+/other/ other\n^/v[0-9]+/ one\n");
    let lists = format!(
        "reject = {{ acl = \"blocked\" }}\n\
         [[frontend.rule]]\nif = {{ header = {{ User-Agent = {{ acl = \"tools\" }} }} }}\ndeny = {{ reason = \"tool\" }}\n\
         [[frontend.rule]]\nroute = \"%[path,map(sites)]\"\n\
         [[acl]]\nname = \"tools\"\nfile = \"{0}/tools\"\nmatch = \"reg\"\nignore_case = true\n\
         [[map]]\nname = \"sites\"\nfile = \"{0}/sites\"\nmatch = \"reg\"\n",
        folder.path().display()
    );
    let gateway = gateway(folder.path(), &lists);
    let ask = |path: &str, agent: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n");
        let answer = gateway.raw(request.as_bytes());
        format!(
            "{} {}",
            answer.get(9..12).unwrap_or_default(),
            answer.rsplit("\r\n").next().unwrap_or_default()
        )
    };
    assert_eq!(ask("/v2/other/x", "curl/7"), "200 other");
    assert_eq!(ask("/v2/x", "a nikto/2"), "200 one");
    assert!(ask("/v2/x", "NIKTO/2").starts_with("403") && ask("/", "x MassCan").starts_with("403"));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let blocked: std::net::SocketAddr = "127.0.0.9:0".parse().expect("an address");
    socket.bind(&blocked.into()).expect("a loopback address");
    socket.connect(&gateway.front.into()).expect("somebody listens");
    let error =
        std::io::Read::read(&mut std::net::TcpStream::from(socket), &mut [0]).expect_err("it is reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(gateway.metric("headgate_refused_total{frontend=\"fe\",reason=\"rejected\"}"), 1.0);
}
