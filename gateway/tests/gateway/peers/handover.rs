//! The next process of a node learns what the one before it knows, and speaks for it until it is gone.

use super::{Node, addresses, servers, value};
use crate::harness::{Gateway, Server, connect, ok, pause, read_answer, wait_until};
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// Everything but the process.
struct Lab {
    folder: tempfile::TempDir,
    binds: [SocketAddr; 2],
    server: Server,
    /// Lets what is held end.
    release: Arc<AtomicBool>,
}

impl Lab {
    fn new() -> Self {
        let release = Arc::new(AtomicBool::new(false));
        let released = Arc::clone(&release);
        let server = Server::start(move |head, _| {
            let mut left = if head.starts_with("GET /held") { 2_000 } else { 0 };
            while left > 0 && !released.load(Ordering::SeqCst) {
                pause(Duration::from_millis(10));
                left -= 1;
            }
            Some(ok("s1"))
        });
        Self { release, folder: tempfile::tempdir().expect("a folder"), binds: addresses(), server }
    }

    fn start(&self, place: usize) -> Gateway {
        self.start_with(place, "")
    }

    /// With more about the table that is not shared, and behind it.
    fn start_with(&self, place: usize, alone: &str) -> Gateway {
        let handover = format!("handover = \"{}\"", socket(self.folder.path()).display());
        let names = ["gw1", "gw2"];
        Node {
            local: names[place],
            bind: self.binds[place],
            peers: &[(names[0], self.binds[0]), (names[1], self.binds[1])],
            admin: if place == 0 { &handover } else { "" },
            section: "",
            frontend: "limit = [{ table = \"clients\", conn_cur = 3, http_req_cnt = 1000, scope = \"cluster\" }]",
            tables: &format!(
                "[[stick_table]]\nname = \"clients\"\npeers = \"lab\"\n[[stick_table]]\nname = \"alone\"\n{alone}"
            ),
            stick: "stick = \"alone\"",
        }
        .start(&[self.server.address, self.server.address])
    }
}

fn socket(folder: &Path) -> std::path::PathBuf {
    folder.join("next.sock")
}

fn hear_each_other(one: &Gateway, other: &Gateway) {
    wait_until("the nodes hear each other", || {
        [one, other].iter().all(|gateway| gateway.metric("headgate_cluster_nodes_heard") == 2.0)
    });
}

/// A request that runs until it is dropped. It is tried again if it is refused: what ended just now may count
/// for another moment.
fn held(gateway: &Gateway) -> TcpStream {
    let mut held = None;
    wait_until("it is let through", || {
        let mut stream = connect(gateway.front);
        stream.write_all(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is open");
        stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        // A refusal comes at once, an answer never.
        let refused = stream.read(&mut [0; 1]).is_ok();
        held = Some(stream);
        !refused
    });
    held.expect("it runs")
}

fn running(lab: &Lab, count: usize) {
    wait_until("they run", || {
        lab.server.heads().iter().filter(|head| head.starts_with("GET /held")).count() == count
    });
}

fn is_refused(gateway: &Gateway) -> bool {
    let mut stream = connect(gateway.front);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it is open");
    read_answer(&mut BufReader::new(stream)).is_some_and(|answer| answer.starts_with("HTTP/1.1 429"))
}

/// Lives of the first node that the second one knows of.
fn lives(other: &Gateway) -> usize {
    let peers = other.ctl(&["show", "peers"]);
    peers.lines().filter(|line| line.starts_with("clients.gw1.") && line.contains("live=1")).count()
}

#[test]
fn the_next_process_has_all_tables_and_reports_what_runs_in_the_one_before_it() {
    let lab = Lab::new();
    let (old, other) = (lab.start(0), lab.start(1));
    hear_each_other(&old, &other);
    assert!(old.get("/").contains("200 OK"));
    let stuck = old.ctl(&["show", "table", "alone"]);
    let server = value(&stuck, "server_key").expect("the client sticks to a server");
    let both = [held(&old), held(&old)];
    running(&lab, 2);

    let new = lab.start(0);
    let learnt = new.ctl(&["show", "table", "alone"]);
    assert_eq!(value(&learnt, "server_key"), Some(server), "{learnt}");
    hear_each_other(&new, &other);
    wait_until("both lives are known", || lives(&other) == 2);
    let third = held(&new);
    running(&lab, 3);
    for gateway in [&old, &new, &other] {
        wait_until("three run, wherever they do", || is_refused(gateway));
    }
    assert_eq!(other.metric("headgate_cluster_nodes_heard"), 2.0);
    lab.release.store(true, Ordering::SeqCst);
    for gateway in [&old, &new, &other] {
        wait_until("they have ended", || !is_refused(gateway));
    }
    lab.release.store(false, Ordering::SeqCst);
    let again = [held(&old), held(&old), held(&new)];
    running(&lab, 6);
    wait_until("three run again", || is_refused(&other) && is_refused(&new));
    drop(old);
    for gateway in [&new, &other] {
        wait_until("what ran in the old process runs no more", || !is_refused(gateway));
    }
    drop((both, third, again));
    lab.release.store(true, Ordering::SeqCst);
    // What it has counted counts on: the requests that got through, seen from the other node.
    let table = other.ctl(&["show", "peers"]);
    assert_eq!(table.lines().filter(|line| line.starts_with("clients.gw1.")).count(), 2, "{table}");
}

#[test]
fn a_process_whose_successor_dies_talks_to_its_peers_again() {
    let lab = Lab::new();
    let (old, other) = (lab.start(0), lab.start(1));
    hear_each_other(&old, &other);
    let new = lab.start(0);
    wait_until("the next process has taken over", || {
        new.metric("headgate_peer_up{peer=\"gw2\"}") == 1.0
            && old.metric("headgate_peer_up{peer=\"gw2\"}") == 0.0
    });
    let _held = [held(&old), held(&old), held(&new)];
    running(&lab, 3);
    wait_until("three run", || is_refused(&other));
    drop(new);
    wait_until("the old one talks again", || old.metric("headgate_peer_up{peer=\"gw2\"}") == 1.0);
    wait_until("two of three still run", || !is_refused(&other) && !is_refused(&old));
    let _third = held(&other);
    running(&lab, 4);
    wait_until("three run again", || is_refused(&old));
}

#[test]
fn a_process_whose_successor_hangs_talks_to_its_peers_again() {
    let lab = Lab::new();
    let (old, other) = (lab.start(0), lab.start(1));
    hear_each_other(&old, &other);
    let new = lab.start(0);
    let talks = |gateway: &Gateway| gateway.metric("headgate_peer_up{peer=\"gw2\"}") == 1.0;
    wait_until("the next process has taken over", || talks(&new) && !talks(&old));
    let pid = nix::unistd::Pid::from_raw(new.process.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).expect("it is ours");
    let hangs = SystemTime::now();
    wait_until("the old one talks again", || talks(&old));
    eprintln!("it talks again {:?} after its successor began to hang", hangs.elapsed().unwrap_or_default());
}

#[test]
fn what_could_not_be_learnt_is_said() {
    let lab = Lab::new();
    let mut gateway = lab.start(0);
    let _ = gateway.process.kill();
    let _ = gateway.process.wait();
    let path = socket(lab.folder.path());
    std::fs::remove_file(&path).expect("nobody listens on it");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let teacher = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the next process comes");
        stream.write_all(b"200\n").expect("it listens");
        // Until it asks for everything; then this one is gone.
        let mut said = Vec::new();
        while !said.ends_with(&[0, 0]) {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("it asks");
            said.extend(byte);
        }
    });
    let log = lab.folder.path().join("stderr");
    gateway.process = std::process::Command::new(env!("CARGO_BIN_EXE_headgate"))
        .arg("run")
        .arg(gateway.folder.path().join("gateway.toml"))
        .stderr(std::fs::File::create(&log).expect("a file"))
        .spawn()
        .expect("it starts");
    gateway.is_ready();
    teacher.join().expect("no panic");
    let said = std::fs::read_to_string(&log).expect("its log");
    assert!(said.contains("has not taught all") && !said.contains("learnt from"), "{said}");
}

#[test]
fn of_two_processes_the_one_that_has_taken_over_writes_the_files() {
    let lab = Lab::new();
    let files = ["alone", "observed"].map(|name| lab.folder.path().join(name));
    let [alone, observed] = [&files[0], &files[1]].map(|file| file.display());
    let keys =
        format!("persist = \"{alone}\"\n[observe]\nfile = \"{observed}\"\n[drain]\ntimeout = \"1s\"\n");
    let (mut old, other) = (lab.start_with(0, &keys), lab.start(1));
    hear_each_other(&old, &other);
    let mut new = lab.start_with(0, &keys);
    let takes_over = |new: &Gateway, old: &Gateway| {
        wait_until("the next process has taken over", || {
            new.metric("headgate_peer_up{peer=\"gw2\"}") == 1.0
                && old.metric("headgate_peer_up{peer=\"gw2\"}") == 0.0
        });
    };
    let ends = |gateway: &mut Gateway| {
        gateway.terminate();
        assert!(gateway.process.wait().expect("it is ours").success());
        [files[0].exists(), files[1].exists()]
    };
    takes_over(&new, &old);
    assert_eq!(ends(&mut old), [false; 2], "what it knows is older");
    let next = lab.start_with(0, &keys);
    takes_over(&next, &new);
    drop(next);
    wait_until("it talks again", || new.metric("headgate_peer_up{peer=\"gw2\"}") == 1.0);
    assert_eq!(ends(&mut new), [true; 2], "there is no other process any more");
}

#[test]
fn of_three_processes_only_the_last_talks_whichever_ends_first() {
    let lab = Lab::new();
    let (first, other) = (lab.start(0), lab.start(1));
    hear_each_other(&first, &other);
    let talks = |gateway: &Gateway| gateway.metric("headgate_peer_up{peer=\"gw2\"}") == 1.0;
    let second = lab.start(0);
    wait_until("the second one talks", || talks(&second) && !talks(&first));
    let third = lab.start(0);
    wait_until("the third one talks", || talks(&third) && !talks(&second));
    drop(second);
    let sessions = third.metric("headgate_peer_sessions_total{peer=\"gw2\"}");
    // For two seconds: the first one looks each second who is there.
    for _ in 0..40 {
        assert!(!talks(&first), "the first one does not talk while the third one does");
        pause(Duration::from_millis(50));
    }
    assert!(talks(&third) && third.metric("headgate_peer_sessions_total{peer=\"gw2\"}") == sessions);
    drop(third);
    wait_until("nobody is left but the first one", || talks(&first));
}

#[test]
fn who_stalls_or_makes_no_sense_on_the_socket_keeps_no_process_from_coming() {
    let lab = Lab::new();
    let (old, other) = (lab.start(0), lab.start(1));
    hear_each_other(&old, &other);
    assert!(old.get("/").contains("200 OK"));
    let dial = || std::os::unix::net::UnixStream::connect(socket(lab.folder.path())).expect("it listens");
    let hello = b"HAProxyS 2.1\ngw1\ngw1 hg1 1\n";
    let mut garbage = dial();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it listens");
    let mut breaks = dial();
    breaks
        .write_all(&[hello.as_slice(), &[10, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat())
        .expect("it listens");
    let mut stalls = dial();
    stalls.write_all(&[hello.as_slice(), &[0, 0]].concat()).expect("it listens");
    let mut status = [0; 4];
    stalls.read_exact(&mut status).expect("it is welcome");
    let new = lab.start(0);
    assert!(
        value(&new.ctl(&["show", "table", "alone"]), "server_key").is_some(),
        "it has learnt all the same"
    );
    hear_each_other(&new, &other);
    wait_until("both lives are known", || lives(&other) == 2);
}

#[test]
fn a_process_that_can_not_start_takes_nothing_over() {
    let lab = Lab::new();
    let (old, other) = (lab.start(0), lab.start(1));
    hear_each_other(&old, &other);
    let config = std::fs::read_to_string(old.folder.path().join("gateway.toml")).expect("its configuration");
    // Other addresses, but the same control socket.
    let config = config
        .replace(&old.front.to_string(), &addresses::<1>()[0].to_string())
        .replace(&old.admin.to_string(), &addresses::<1>()[0].to_string());
    let file = crate::harness::write(lab.folder.path(), "second.toml", &config);
    let sessions = other.metric("headgate_peer_sessions_total{peer=\"gw1\"}");
    let fails = std::process::Command::new(env!("CARGO_BIN_EXE_headgate"))
        .arg("run")
        .arg(file)
        .stderr(std::process::Stdio::null())
        .status()
        .expect("it runs");
    assert!(!fails.success());
    assert_eq!(other.metric("headgate_peer_sessions_total{peer=\"gw1\"}"), sessions);
    assert_eq!(lives(&other), 1);
}

#[test]
fn a_socket_that_nobody_listens_on_is_replaced_and_a_process_alone_starts_at_once() {
    let lab = Lab::new();
    drop(std::os::unix::net::UnixListener::bind(socket(lab.folder.path())).expect("a socket"));
    let first = lab.start(0);
    assert!(first.get("/").contains("200 OK"));
    let [one, _] = servers();
    // Without peers it hands over, too.
    let config = format!(
        "node = \"n\"\nworkers = 1\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\nhandover = \"{}\"\n\
         [log]\nto = \"none\"\n[[stick_table]]\nname = \"be\"\n\
         [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n\
         [[backend]]\nname = \"be\"\nstick = \"be\"\nserver = [{{ name = \"s1\", address = \"{}\" }}]\n",
        lab.folder.path().join("other.sock").display(),
        one.address
    );
    let old = Gateway::start(&config);
    assert!(old.get("/").contains("200 OK"));
    let new = Gateway::start(&config);
    assert!(new.ctl(&["show", "table", "be"]).contains("server_key=s1"));
}
