//! Stick tables that survive the process that filled them.

use crate::harness::{Gateway, Server, pause, read_answer, wait_until};
use gateway_core::persist::Writer;
use gateway_core::table::{DataType, KeyType, Layout, Options, StickTable, Stored};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::hash::RandomState;
use std::io::{BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

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
    assert_eq!(left, [] as [std::ffi::OsString; 0], "what a killed one was writing is gone");
}

/// The file is a pipe for a while, so that a save takes as long as the test wants.
#[test]
fn the_last_save_comes_after_the_one_that_still_runs() {
    let (server, folder) = (Server::named("s1"), tempfile::tempdir().expect("a folder"));
    let mut gateway = long_keys(server.address, folder.path());
    let mut stream = gateway.connect();
    let mut answers = BufReader::new(stream.try_clone().expect("a second handle"));
    for number in 0..ENTRIES {
        let get = format!("GET /?k={number:0200} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(get.as_bytes()).expect("it is open");
        assert!(read_answer(&mut answers).is_some_and(|answer| answer.contains("200 OK")));
    }
    drop((stream, answers));
    let beside = folder.path().join(format!("marks.{}.new", gateway.process.id()));
    wait_until("no save is at it", || mkfifo(&beside, Mode::S_IRWXU).is_ok());
    let mut pipe = std::fs::File::open(&beside).expect("somebody writes");
    gateway.terminate();
    let socket = gateway.folder.path().join("gw.sock");
    wait_until("it ends", || !socket.exists());
    // The last save would be in the pipe by now, too, if it did not wait.
    pause(Duration::from_millis(500));
    let _ = std::fs::remove_file(folder.path().join("marks"));
    pipe.read_to_end(&mut Vec::new()).expect("all of it");
    assert!(gateway.process.wait().expect("it is ours").success());
    let after = long_keys(server.address, folder.path());
    let shown = after.ctl(&["show", "table", "marks"]);
    assert!(shown.contains(&format!("used:{ENTRIES}")), "{}", shown.lines().next().unwrap_or_default());
}

/// With entries that a pipe has no room for.
fn long_keys(server: SocketAddr, folder: &Path) -> Gateway {
    Gateway::start(&format!(
        "node = \"gw\"\nworkers = 1\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"none\"\n[drain]\ntimeout = \"1s\"\n\
         [[stick_table]]\nname = \"marks\"\ntype = \"string(200)\"\nexpire = \"1h\"\nstore = [\"gpt0\"]\n\
         persist = \"{}/marks\"\npersist_interval = \"100ms\"\n\
         [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n\
         [[frontend.rule]]\ntrack = {{ sc = 0, table = \"marks\", key = \"url_param(k)\" }}\n\
         [[backend]]\nname = \"be\"\nserver = [{{ name = \"s1\", address = \"{server}\" }}]\n",
        folder.display(),
    ))
}

#[test]
fn a_large_table_is_looked_through_beside_the_thread_that_says_that_the_node_lives() {
    let server = Server::named("s1");
    let (gateway, _folder) = with_large(&server);
    let pid = gateway.process.id();
    let used =
        || [format!("/proc/{pid}/stat"), format!("/proc/{pid}/task/{pid}/stat")].map(|file| ticks(&file));
    let [whole, control] = used();
    wait_until("looking has taken half a second", || {
        let shown = gateway.ctl(&["show", "table", "large", "--data", "gpt0 gt 1"]);
        assert_eq!(shown.trim_end(), NOTHING_FOUND);
        used()[0] - whole >= 50
    });
    let after = used();
    let (whole, control) = (after[0] - whole, after[1] - control);
    assert!(control * 4 < whole, "{control} of {whole} on the thread that says that the node lives");
}

#[test]
fn however_many_look_through_a_table_one_does_at_a_time() {
    let server = Server::named("s1");
    let (gateway, _folder) = with_large(&server);
    let threads =
        || std::fs::read_dir(format!("/proc/{}/task", gateway.process.id())).expect("it runs").count();
    let before = threads();
    let socket = gateway.folder.path().join("gw.sock");
    let mut asked: Vec<_> = (0..16).map(|_| UnixStream::connect(&socket).expect("it listens")).collect();
    for stream in &mut asked {
        stream.write_all(b"show table large data.gpt0 gt 1\n").expect("it reads");
    }
    for stream in &mut asked {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert_eq!(answer.trim_end(), NOTHING_FOUND);
    }
    // Threads stay for a while when they have nothing more to do; one may not yet be seen as idle when the next look
    // begins.
    let more = threads() - before;
    assert!(more <= 4, "{more} more threads than before");
}

/// With a table of 250,000 numbers, and where that is kept.
fn with_large(server: &Server) -> (Gateway, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    large(&folder.path().join("large"));
    let gateway = Gateway::start(&format!(
        "node = \"gw\"\nworkers = 1\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"none\"\n[drain]\ntimeout = \"1s\"\n\
         [[stick_table]]\nname = \"large\"\ntype = \"integer\"\nsize = 1000000\nexpire = \"1h\"\nstore = [\"gpt0\"]\n\
         persist = \"{}/large\"\n\
         [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n\
         [[backend]]\nname = \"be\"\nserver = [{{ name = \"s1\", address = \"{}\" }}]\n",
        folder.path().display(),
        server.address
    ));
    (gateway, folder)
}

/// Time on a processor, in hundredths of a second.
fn ticks(file: &str) -> u64 {
    let stat = std::fs::read_to_string(file).expect("it runs");
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

/// The file of a table of 250,000 numbers.
fn large(file: &Path) {
    let layout = Layout::new([Stored::one(DataType::Gpt0)]);
    let (key, expire) = (KeyType::Integer, Duration::from_secs(3600));
    let options = Options { key, layout, size: 1_000_000, expire, nopurge: false, shared: false };
    let table = StickTable::new(options, &RandomState::new());
    let now = base_core::Time::ZERO;
    for number in 0..250_000u32 {
        table.update(number.to_be_bytes(), now, |entry| entry.set(DataType::Gpt0, 1));
    }
    let date = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64;
    let mut bytes = Vec::new();
    let mut writer = Writer::begin("large", &table, date, &mut bytes);
    table.for_each(now, |row| writer.entry(&table, &row, now, &mut bytes));
    writer.end(&mut bytes);
    std::fs::write(file, bytes).expect("a file");
}

/// With keys of 200 bytes more than twice what a pipe holds.
const ENTRIES: usize = 700;
/// Of the table of numbers, of which none has the mark that is looked for.
const NOTHING_FOUND: &str = "# table: large, type: integer, size:1000000, used:250000";
