//! Limits from what is observed: kept over restarts, suggested as configuration, tried on the past.

use crate::harness::{Gateway, Server, free_address, write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn config(server: &Server, folder: &Path, more: &str) -> String {
    format!(
        "node = \"gw\"\nworkers = 2\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"none\"\n\
         [observe]\nfile = \"{}/observed.json\"\nperiod = \"60s\"\n\
         [[backend]]\nname = \"be\"\nserver = [{{ name = \"s1\", address = \"{}\" }}]\n\
         [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ntrusted_proxies = [\"127.0.0.0/8\"]\ndefault_backend = \"be\"\n{more}",
        folder.display(),
        server.address
    )
}

/// So many requests of each of these clients.
fn requests(gateway: &Gateway, clients: &[(&str, usize)]) {
    for (client, count) in clients {
        let get =
            format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n\r\n");
        (0..*count).for_each(|_| drop(gateway.raw(get.as_bytes())));
    }
}

#[test]
fn what_is_suggested_is_a_configuration_and_what_is_replayed_names_clients() {
    let server = Server::named("s1");
    let folder = tempfile::tempdir().expect("a folder");
    // What a limit refuses is not observed.
    let limit =
        "limit = [{ table = \"c\", http_req_rate = 5, period = \"60s\" }]\n[[stick_table]]\nname = \"c\"\n";
    let mut gateway = Gateway::start(&config(&server, folder.path(), limit));
    requests(&gateway, &[("192.0.2.1", 8), ("192.0.2.2", 2), ("2001:db8::1", 1)]);
    let suggested = gateway.ctl(&["limits", "suggest"]);
    assert!(
        suggested.contains("# requests in a period: peak 5, 99.9 % of clients at most 5\n"),
        "{suggested}"
    );
    assert!(suggested.contains("http_req_rate = 50\nconn_cur = "), "{suggested}");
    let replayed = gateway.ctl(&["limits", "replay", "--http-req-rate", "1"]);
    assert!(replayed.starts_with("fe/be: http_req_rate = 1 would have hit 2 by name\n"), "{replayed}");
    let one = "\n  192.0.2.1: requests in a period 5 at its peak, above in 1 hours\n  192.0.2.2: ";
    assert!(replayed.contains(one) && replayed.contains("  and nobody else\n"), "{replayed}");

    let pasted = config(&server, folder.path(), &suggested);
    let pasted = pasted.replace("ADMIN", "127.0.0.1:1").replace("FRONT", &free_address().to_string());
    let pasted = write(folder.path(), "pasted.toml", &pasted);
    let checked = Command::new(env!("CARGO_BIN_EXE_headgate")).arg("check").arg(pasted).output();
    let checked = checked.expect("headgate runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    // It is kept over a restart, and two nodes are seen as one.
    gateway.terminate();
    assert!(gateway.process.wait().expect("it ends").success());
    let (one, other) = (folder.path().join("observed.json"), folder.path().join("other.json"));
    std::fs::copy(&one, &other).expect("it is there");
    let gateway = Gateway::start(&config(&server, folder.path(), limit));
    assert_eq!(gateway.ctl(&["limits", "suggest"]), suggested);
    let (one, other) = (one.display().to_string(), other.display().to_string());
    let both = gateway.ctl(&["limits", "suggest", "--factor", "2", "--from", &one, &other]);
    assert!(both.contains("http_req_rate = 20\n"), "{both}");
}

/// Two frontends with more backends than limits of one may use tables.
fn many(server: &Server, folder: &Path, more: [&str; 2]) -> String {
    let backends: String = (1..=14)
        .map(|number| {
            let address = server.address;
            format!(
                "[[backend]]\nname = \"b{number}\"\nserver = [{{ name = \"s1\", address = \"{address}\" }}]\n"
            )
        })
        .collect();
    let routes: String = (1..=14)
        .map(|number| format!("[[frontend.route]]\npath = \"/{number}/\"\nbackend = \"b{number}\"\n"))
        .collect();
    let [one, two] = more;
    format!(
        "node = \"gw1\"\nworkers = 2\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"none\"\n\
         [observe]\nfile = \"{}/observed.json\"\nscope = \"cluster\"\n\
         [peers]\nname = \"lab\"\nlocal = \"gw1\"\nbind = \"{}\"\npeer = [{{ name = \"gw2\", address = \"{}\" }}]\n\
         {backends}[[frontend]]\nname = \"one\"\nbind = [\"FRONT\"]\ndefault_backend = \"b1\"\n{routes}{one}\n\
         [[frontend]]\nname = \"two\"\nbind = [\"SECOND\"]\ndefault_backend = \"b2\"\n{two}\n",
        folder.display(),
        free_address(),
        free_address()
    )
}

#[test]
fn what_is_suggested_for_many_routes_of_a_cluster_can_be_pasted_as_it_is() {
    let server = Server::named("s1");
    let folder = tempfile::tempdir().expect("a folder");
    let second = free_address();
    let gateway =
        Gateway::start(&many(&server, folder.path(), ["", ""]).replace("SECOND", &second.to_string()));
    for number in 1..=14 {
        assert!(gateway.get(&format!("/{number}/")).contains("200 OK"));
    }
    let get = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(crate::harness::exchange(second, get).contains("200 OK"));
    let suggested = gateway.ctl(&["limits", "suggest"]);
    let place = suggested.find("# frontend two: paste").unwrap_or_else(|| panic!("{suggested}"));
    let (one, two) = suggested.split_at(place);
    assert_eq!(one.matches("scope = \"cluster\"").count(), 12, "{one}");
    assert!(one.contains("# limits of a frontend use at most 12 tables"), "{one}");
    let pasted = many(&server, folder.path(), [one, two]);
    let pasted = pasted
        .replace("ADMIN", "127.0.0.1:1")
        .replace("FRONT", "127.0.0.1:2")
        .replace("SECOND", "127.0.0.1:3");
    let pasted = write(folder.path(), "pasted.toml", &pasted);
    let checked = Command::new(env!("CARGO_BIN_EXE_headgate")).arg("check").arg(pasted).output();
    let checked = checked.expect("headgate runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn a_file_that_can_not_be_used_is_moved_aside_and_the_node_serves() {
    let server = Server::named("s1");
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "observed.json", "{\"version\":");
    let gateway = Gateway::start(&config(&server, folder.path(), ""));
    requests(&gateway, &[("192.0.2.1", 1)]);
    let suggested = gateway.ctl(&["limits", "suggest"]);
    assert!(suggested.contains("# requests in a period: peak 1, "), "{suggested}");
    let aside = std::fs::read_to_string(folder.path().join("observed.json.broken"));
    assert_eq!(aside.expect("it is there"), "{\"version\":");
    let mode = std::fs::metadata(folder.path().join("observed.json")).expect("it is there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o640, "for who may use the control socket, and nobody else");
}

#[test]
fn who_observes_nothing_is_told_so() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "");
    let told = gateway.ctl(&["limits", "suggest"]);
    assert!(told.contains("nothing is observed: add [observe]"), "{told}");
}
