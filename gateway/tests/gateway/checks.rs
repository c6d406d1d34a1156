//! Checks of every kind, agents and tracking take servers out and put them back.

use crate::harness::{Gateway, Server, free_address, wait_until, write};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// A server that says its piece to whoever connects, or something else while it is not well.
struct Talker {
    address: SocketAddr,
    well: Arc<AtomicBool>,
    /// When each connection came.
    times: Arc<Mutex<Vec<SystemTime>>>,
}

impl Talker {
    fn start(pieces: &'static [&'static [u8]], ill: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let talker = Self {
            address: listener.local_addr().expect("it is bound"),
            well: Arc::new(AtomicBool::new(true)),
            times: Arc::default(),
        };
        let (well, times) = (Arc::clone(&talker.well), Arc::clone(&talker.times));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                times.lock().expect("no test panicked here").push(SystemTime::now());
                let well = well.load(Ordering::SeqCst);
                std::thread::spawn(move || talk(stream, if well { pieces } else { &[] }, ill));
            }
        });
        talker
    }

    fn set_well(&self, well: bool) {
        self.well.store(well, Ordering::SeqCst);
    }
}

/// Says each piece and waits for an answer to it; the first at once.
fn talk(mut stream: TcpStream, pieces: &[&[u8]], ill: &[u8]) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let only_ill = [ill];
    for piece in if pieces.is_empty() { &only_ill } else { pieces } {
        let _ = stream.write_all(piece);
        if !matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
            return;
        }
    }
}

const MYSQL: &[u8] =
    b"\x2d\x00\x00\x00\x0a5.5.5\x00\x01\x00\x00\x0012345678\x00\xfe\xf7\x21\x02\x00\xff\x81\x15\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00901234567890\x00";

/// Name, check, what a server says that is well, and one that is not.
type Kind = (&'static str, &'static str, &'static [&'static [u8]], &'static [u8]);

const KINDS: [Kind; 8] = [
    (
        "http",
        r#"type = "http", expect = { string = "fine" }"#,
        &[b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nall fine"],
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad",
    ),
    (
        "steps",
        r#"type = "tcp", steps = [{ send = "PING\r\n" }, { expect = "PONG" }]"#,
        &[b"PONG\r\n"],
        b"no\r\n",
    ),
    ("mysql", r#"type = "mysql""#, &[MYSQL], b"\x04\x00\x00\x00\xff\x10\x04x"),
    ("postgres", r#"type = "postgres""#, &[b"R\0\0\0\x08\0\0\0\0"], b"E\0\0\0\x0dC57P03\0\0\0"),
    ("redis", r#"type = "redis""#, &[b"+PONG\r\n"], b"-LOADING x\r\n"),
    ("amqp", r#"type = "amqp""#, &[b"\x01\0\0\0\0\0\x06\0\x0a\0\x0a\0\x09"], b"AMQP\0\0\0\0"),
    ("smtp", r#"type = "smtp""#, &[b"220 x\r\n", b"250 x\r\n"], b"421 x\r\n"),
    (
        "ldap",
        r#"type = "ldap""#,
        &[b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"],
        b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x34\x04\x00\x04\x00",
    ),
];

const FAST: &str = r#"inter = "50ms", timeout = "50ms", rise = 2, fall = 2"#;

fn config(backends: &str) -> String {
    format!(
        "workers = 2\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"none\"\n\
         [[stick_table]]\nname = \"clients\"\n\
         [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n{backends}"
    )
}

fn up(gateway: &Gateway, backend: &str, server: &str) -> bool {
    gateway.metric(&format!("headgate_server_up{{backend=\"{backend}\",server=\"{server}\"}}")) == 1.0
}

#[test]
fn a_server_goes_down_and_comes_back_by_each_kind_of_check() {
    let servers: Vec<_> = KINDS.iter().map(|(_, _, pieces, ill)| Talker::start(pieces, ill)).collect();
    let mut backends = String::new();
    for ((name, check, ..), server) in KINDS.iter().zip(&servers) {
        let timing = FAST
            .replace("50ms", "500ms")
            .replace("inter = \"500ms\"", "inter = \"500ms\", fastinter = \"50ms\"");
        backends += &format!(
            "[[backend]]\nname = \"{name}\"\ncheck = {{ {check}, {timing} }}\n\
             server = [{{ name = \"s\", address = \"{}\" }}]\n",
            server.address
        );
    }
    let be = Server::named("be");
    backends +=
        &format!("[[backend]]\nname = \"be\"\nserver = [{{ name = \"s\", address = \"{}\" }}]\n", be.address);
    let gateway = Gateway::start(&config(&backends));
    let names: Vec<&str> = KINDS.iter().map(|(name, ..)| *name).collect();
    for well in [true, false, true] {
        servers.iter().for_each(|server| server.set_well(well));
        for name in &names {
            wait_until(&format!("{name} is up: {well}"), || up(&gateway, name, "s") == well);
        }
    }
}

#[test]
fn a_command_takes_a_server_out_and_puts_it_back() {
    let be = Server::named("be");
    let gateway = Gateway::start(&config(&format!(
        "[[backend]]\nname = \"be\"\n\
         check = {{ type = \"command\", command = [\"/bin/sh\", \"-c\", 'test ! -e FOLDER/down && test \"$HAPROXY_SERVER_NAME\" = s'], \
         inter = \"200ms\", fastinter = \"50ms\", timeout = \"200ms\" }}\n\
         server = [{{ name = \"s\", address = \"{}\" }}]\n",
        be.address
    )));
    assert!(gateway.get("/").starts_with("HTTP/1.1 200"));
    let file = write(gateway.folder.path(), "down", "");
    wait_until("it is down", || !up(&gateway, "be", "s"));
    assert!(gateway.get("/").starts_with("HTTP/1.1 503"));
    std::fs::remove_file(file).expect("it is there");
    wait_until("it is up", || gateway.get("/").starts_with("HTTP/1.1 200"));
}

#[test]
fn probes_come_faster_on_the_way_to_another_state_and_rarer_while_down() {
    let server = Talker::start(&[b"+PONG\r\n"], b"-ERR\r\n");
    let gateway = Gateway::start(&config(&format!(
        "[[backend]]\nname = \"be\"\n\
         check = {{ type = \"redis\", inter = \"400ms\", fastinter = \"100ms\", downinter = \"800ms\", timeout = \"400ms\", \
         rise = 2, fall = 3 }}\nserver = [{{ name = \"s\", address = \"{}\" }}]\n",
        server.address
    )));
    let probes = || server.times.lock().expect("no test panicked here").len();
    wait_until("it has been probed", || probes() >= 3);
    let healthy = probes();
    server.set_well(false);
    wait_until("it is down", || !up(&gateway, "be", "s"));
    wait_until("it has been probed while down", || probes() >= healthy + 6);
    let times = server.times.lock().expect("no test panicked here").clone();
    let gaps: Vec<u128> = times
        .windows(2)
        .map(|pair| pair[1].duration_since(pair[0]).expect("time goes on").as_millis())
        .collect();
    // A gap is late by up to a twentieth, and by what a busy machine adds; the next one is shorter by as much.
    let fast = gaps.iter().filter(|gap| (60..200).contains(*gap)).count();
    assert!(gaps.iter().take(2).all(|gap| (300..700).contains(gap)), "inter: {gaps:?}");
    assert!(fast >= 1, "fastinter: {gaps:?}");
    assert!(gaps.iter().rev().take(2).all(|gap| (650..1300).contains(gap)), "downinter: {gaps:?}");
}

/// An agent that says what it is told to say.
fn agent() -> (SocketAddr, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (address, says) =
        (listener.local_addr().expect("it is bound"), Arc::new(Mutex::new(String::from("up"))));
    let words = Arc::clone(&says);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut asked = [0; 5];
            let _ = stream.read_exact(&mut asked);
            let answer =
                if &asked == b"be/s1" { words.lock().expect("no panic").clone() } else { "down".to_owned() };
            let _ = stream.write_all(format!("{answer}\n").as_bytes());
        }
    });
    (address, says)
}

#[test]
fn an_agent_drains_weighs_limits_and_stops_its_server() {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let (address, says) = agent();
    let gateway = Gateway::start(&config(&format!(
        "[[backend]]\nname = \"be\"\nserver = [\n\
         {{ name = \"s1\", address = \"{}\", agent = {{ port = {}, inter = \"50ms\", send = \"be/s1\" }} }},\n\
         {{ name = \"s2\", address = \"{}\" }}]\n",
        one.address,
        address.port(),
        two.address
    )));
    let say = |text: &str| text.clone_into(&mut says.lock().expect("no panic"));
    let share = || (0..12).filter(|_| gateway.get("/").ends_with("one")).count();
    let weight = || gateway.metric("headgate_server_weight{backend=\"be\",server=\"s1\"}");
    assert_eq!(share(), 6);
    say("50%");
    wait_until("it has half its weight", || weight() == 50.0);
    assert_eq!(share(), 4);
    say("drain");
    wait_until("it drains", || weight() == 0.0);
    assert!(up(&gateway, "be", "s1"), "it serves what sticks to it");
    assert!(gateway.ctl(&["status"]).contains("DRAIN (agent)"));
    assert_eq!(share(), 0);
    say("ready 100%");
    wait_until("it is back", || weight() == 100.0);
    assert_eq!(share(), 6);
    say("stopped for an update");
    wait_until("it is down", || !up(&gateway, "be", "s1"));
    assert_eq!(share(), 0);
    assert!(gateway.ctl(&["status"]).contains("DOWN (agent)"));
    say("maint");
    wait_until("it is in maint", || gateway.ctl(&["status"]).contains("MAINT (agent)"));
    say("up ready");
    wait_until("it is up", || up(&gateway, "be", "s1"));
    say("nonsense");
    let errors = || gateway.metric("headgate_server_agent_errors_total{backend=\"be\",server=\"s1\"}");
    wait_until("that is counted", || errors() >= 1.0);
    assert!(up(&gateway, "be", "s1"), "and changes nothing");
}

#[test]
fn an_agent_sets_how_many_requests_its_server_takes_at_once() {
    let (entered, release) = (Arc::new(Mutex::new(0_u32)), Arc::new(AtomicBool::new(false)));
    let (count, go) = (Arc::clone(&entered), Arc::clone(&release));
    let server = Server::start(move |_, _| {
        *count.lock().expect("no panic") += 1;
        wait_until("it may answer", || go.load(Ordering::SeqCst));
        Some(crate::harness::ok("done"))
    });
    let (address, says) = agent();
    "maxconn:1".clone_into(&mut says.lock().expect("no panic"));
    let gateway = Gateway::start(&config(&format!(
        "[[backend]]\nname = \"be\"\nqueue_timeout = \"20s\"\nserver = [\n\
         {{ name = \"s1\", address = \"{}\", agent = {{ port = {}, inter = \"50ms\", send = \"be/s1\" }} }}]\n",
        server.address,
        address.port(),
    )));
    let queue = || gateway.metric("headgate_queue{backend=\"be\"}");
    std::thread::scope(|scope| {
        // The limit comes with the agent's first word, within its interval; what runs by then goes on.
        wait_until("the agent has been heard", || {
            scope.spawn(|| gateway.get("/"));
            queue() >= 1.0
        });
        let running = *entered.lock().expect("no panic");
        "maxconn:100".clone_into(&mut says.lock().expect("no panic"));
        wait_until("all run", || queue() == 0.0 && *entered.lock().expect("no panic") > running);
        release.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_server_that_tracks_another_goes_down_and_up_with_it() {
    let checked = Talker::start(&[b"+PONG\r\n"], b"-LOADING\r\n");
    let be = Server::named("be");
    let gateway = Gateway::start(&config(&format!(
        "[[backend]]\nname = \"be\"\nserver = [{{ name = \"s\", address = \"{0}\", track = \"other/s\" }}]\n\
         [[backend]]\nname = \"third\"\nserver = [{{ name = \"s\", address = \"{0}\", track = \"be/s\" }}]\n\
         [[backend]]\nname = \"other\"\ncheck = {{ type = \"redis\", {FAST} }}\n\
         server = [{{ name = \"s\", address = \"{1}\", check_port = {2} }}, {{ name = \"t\", address = \"{1}\", check = false }}]\n",
        be.address,
        free_address(),
        checked.address.port(),
    )));
    for well in [true, false, true] {
        checked.set_well(well);
        for backend in ["be", "third", "other"] {
            wait_until("it follows", || up(&gateway, backend, "s") == well);
        }
        wait_until("traffic does, too", || gateway.get("/").starts_with("HTTP/1.1 200") == well);
        assert!(up(&gateway, "other", "t"), "it is not checked");
    }
}
