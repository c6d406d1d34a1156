//! Stick tables that survive the process that filled them.

use crate::harness::{Gateway, Server, wait_until};
use std::net::SocketAddr;
use std::path::Path;

fn gateway(server: SocketAddr, folder: &Path, interval: &str) -> Gateway {
    Gateway::start(&format!(
        "node = \"gw\"\nworkers = 2\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"none\"\n[drain]\ntimeout = \"1s\"\n\
         [[stick_table]]\nname = \"marks\"\ntype = \"string\"\nexpire = \"1h\"\nstore = [\"gpt0\", \"conn_cnt\", \"conn_cur\", \"http_req_rate(1h)\"]\n\
         persist = \"{}/marks\"\npersist_interval = \"{interval}\"\n\
         [[stick_table]]\nname = \"sticky\"\nexpire = \"1h\"\npersist = \"{}/sticky\"\n\
         [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n\
         [[frontend.rule]]\ntrack = {{ sc = 0, table = \"marks\", key = \"url_param(k)\" }}\n\
         [[frontend.rule]]\nif = {{ path = \"/trap\" }}\nsc_set_gpt = {{ sc = 0, value = 7 }}\n\
         [[frontend.rule]]\nif = {{ counter = {{ gpt0 = {{ sc = 0, eq = 7 }} }} }}\ndeny = 403\n\
         [[backend]]\nname = \"be\"\nstick = \"sticky\"\nserver = [{{ name = \"s1\", address = \"{server}\" }}]\n",
        folder.display(),
        folder.display(),
    ))
}

#[test]
fn a_table_goes_on_after_a_stop_and_after_a_crash_but_not_from_a_broken_file() {
    let (server, folder) = (Server::named("s1"), tempfile::tempdir().expect("a folder"));
    let start = |interval| gateway(server.address, folder.path(), interval);
    let status = |gateway: &Gateway, path: &str| gateway.get(path)[9..12].to_owned();
    let marks = |gateway: &Gateway| gateway.ctl(&["show", "table", "marks"]);

    let mut first = start("1h");
    assert_eq!([status(&first, "/trap?k=bad"), status(&first, "/?k=good")], ["403", "200"]);
    first.terminate();
    assert!(first.process.wait().expect("it is ours").success());

    let mut second = start("50ms");
    assert_eq!([status(&second, "/?k=bad"), status(&second, "/?k=good")], ["403", "200"]);
    let shown = marks(&second);
    assert!(shown.contains(" gpt0=7 conn_cnt=2 conn_cur=0 http_req_rate(3600000)=2"), "{shown}");
    assert!(second.ctl(&["show", "table", "sticky"]).contains("server_key=s1"), "texts, too");
    assert_eq!(status(&second, "/trap?k=new"), "403");
    let file = folder.path().join("marks");
    wait_until("the new one is saved", || {
        std::fs::read(&file).is_ok_and(|file| file.windows(3).any(|part| part == b"new"))
    });
    second.process.kill().expect("it is ours");
    let _ = second.process.wait();

    let third = start("1h");
    assert_eq!(status(&third, "/?k=new"), "403", "no stop was needed");
    drop(third);

    let mut bytes = std::fs::read(&file).expect("it is there");
    let last = bytes.len() - 40;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).expect("a file");
    let fourth = start("1h");
    assert!(marks(&fourth).contains("used:0"), "{}", marks(&fourth));
    assert_eq!(status(&fourth, "/?k=bad"), "200");
    let others = std::fs::read_dir(folder.path()).expect("it is there").flatten();
    let left: Vec<_> =
        others.map(|file| file.file_name()).filter(|name| name != "marks" && name != "sticky").collect();
    assert!(left.len() <= 1, "at most what a killed one was writing is left: {left:?}");
}
