//! A limit for the cluster is one limit, however a client spreads over its nodes.

use super::{Node, addresses};
use crate::harness::{Gateway, Server, connect, ok, pause, read_answer, wait_until};
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

const NAMES: [&str; 3] = ["gw1", "gw2", "gw3"];

fn start(place: usize, binds: &[SocketAddr; 3], server: SocketAddr, limit: &str) -> Gateway {
    let peers = [0, 1, 2].map(|place| (NAMES[place], binds[place]));
    let node = Node {
        local: NAMES[place],
        bind: binds[place],
        // The same list on all nodes: who is oneself is left out.
        peers: &peers,
        admin: "",
        section: "update_interval = \"5ms\"",
        frontend: limit,
        tables: "[[stick_table]]\nname = \"clients\"\npeers = \"lab\"\n",
        stick: "",
    };
    node.start(&[server])
}

fn all_hear_each_other(gateways: &[Gateway; 3]) {
    wait_until("all nodes hear each other", || {
        gateways.iter().all(|gateway| gateway.metric("headgate_cluster_nodes_heard") == 3.0)
    });
}

/// A connection on which requests follow each other.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(gateway: &Gateway) -> Self {
        Self(BufReader::new(connect(gateway.front)))
    }

    fn goes_through(&mut self) -> bool {
        self.0.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is open");
        read_answer(&mut self.0).is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }
}

#[expect(clippy::disallowed_methods, reason = "a client that keeps a pace")]
fn pause_until(start: SystemTime, at: Duration) {
    let passed = start.elapsed().unwrap_or_default();
    std::thread::sleep(at.saturating_sub(passed));
}

/// 100 requests a second for 20 s, `at_once` of them at the same instant in turn over the nodes. How many
/// went through in each second. Who is late does not hurry: requests that come closer together than said are
/// another promise's.
fn through(gateways: &[Gateway; 3], at_once: usize) -> [usize; 20] {
    let mut clients: Vec<_> = gateways.iter().map(Client::new).collect();
    let mut counts = [0; 20];
    let start = SystemTime::now();
    let second = || usize::try_from(start.elapsed().unwrap_or_default().as_secs()).unwrap_or(usize::MAX);
    let mut first = 0;
    while second() < counts.len() {
        let at = start.elapsed().unwrap_or_default();
        let through: Vec<usize> = std::thread::scope(|scope| {
            let mut running = Vec::new();
            for (place, client) in clients.iter_mut().enumerate() {
                let mine = (first..first + at_once).filter(|number| number % 3 == place).count();
                // In the second in which it is answered: a window ends in the midst of what comes at once.
                let ask =
                    move || (0..mine).filter_map(|_| client.goes_through().then(second)).collect::<Vec<_>>();
                running.push(scope.spawn(ask));
            }
            running.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        for second in through {
            if let Some(count) = counts.get_mut(second) {
                *count += 1;
            }
        }
        first += at_once;
        pause_until(start, at + Duration::from_millis(at_once as u64 * 10));
    }
    counts
}

fn a_limit_of_200_in_10_s_lets_200_through(at_once: usize) {
    let server = Server::named("s1");
    let binds = addresses();
    let limit =
        "limit = [{ table = \"clients\", http_req_rate = 200, period = \"10s\", scope = \"cluster\" }]";
    let gateways = [0, 1, 2].map(|place| start(place, &binds, server.address, limit));
    all_hear_each_other(&gateways);
    let seconds = through(&gateways, at_once);
    let windows: Vec<usize> = seconds.chunks(10).map(|window| window.iter().sum()).collect();
    assert!(windows.iter().all(|count| (190..=210).contains(count)), "{windows:?} in {seconds:?}");
}

#[test]
fn conditions_on_counters_see_what_all_nodes_have_counted_or_this_one_if_they_say_so() {
    let server = Server::named("s1");
    let binds = addresses();
    let rule = |path: &str, counter: &str| {
        format!(
            "[[frontend.rule]]\nif = {{ path = \"{path}\", counter = {{ http_req_rate = {{ {counter}, ge = 100 }} }} }}\ndeny = 403\n"
        )
    };
    let frontend = [
        "limit = [{ table = \"clients\", http_req_rate = 100000, period = \"1h\", scope = \"cluster\" }]\n"
            .to_owned(),
        "[[frontend.rule]]\nif = { path = \"/tracked\" }\ntrack = { sc = 0, table = \"clients\" }\n"
            .to_owned(),
        rule("/tracked", "sc = 0"),
        rule("/all", "table = \"clients\""),
        rule("/own", "table = \"clients\", scope = \"node\""),
    ];
    let gateways = [0, 1, 2].map(|place| start(place, &binds, server.address, &frontend.concat()));
    all_hear_each_other(&gateways);
    let mut client = Client::new(&gateways[0]);
    assert!((0..100).all(|_| client.goes_through()));
    for (gateway, path) in [(&gateways[1], "/all"), (&gateways[2], "/tracked")] {
        wait_until("it sees what the other has counted", || gateway.get(path).starts_with("HTTP/1.1 403"));
        assert!(gateway.get("/own").starts_with("HTTP/1.1 200"), "it has not counted as much itself");
    }
    assert!(gateways[0].get("/own").starts_with("HTTP/1.1 403"));
}

#[test]
fn what_runs_at_once_is_counted_over_all_nodes_and_forgotten_with_the_node_it_ran_on() {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    #[expect(clippy::disallowed_methods, reason = "a server that is slow")]
    let server = Server::start(|_, _| {
        let now = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
        MOST.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(2));
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        Some(ok("slow"))
    });
    let binds = addresses();
    let limit = "limit = [{ table = \"clients\", conn_cur = 30, scope = \"cluster\" }]";
    let mut gateways = [0, 1, 2].map(|place| start(place, &binds, server.address, limit));
    all_hear_each_other(&gateways);
    let fronts = gateways.each_ref().map(|gateway| gateway.front);
    let start_of_all = SystemTime::now();
    let open = |number: usize| {
        let mut stream = connect(fronts[number % 3]);
        std::thread::spawn(move || {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = read_answer(&mut BufReader::new(stream));
            answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        })
    };
    let mut threads = Vec::new();
    for number in 0..100 {
        pause_until(start_of_all, Duration::from_millis(number as u64 * 10));
        threads.push(open(number));
    }
    let through = threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|ok| *ok).count();
    let most = MOST.load(Ordering::SeqCst);
    assert!((30..=33).contains(&most) && (30..=33).contains(&through), "{most} at once, {through} through");

    // Ten run on the first node when it dies; what it ran counts for nobody any more.
    let held: Vec<_> = (0..10).map(|number| open(number * 3)).collect();
    wait_until("they run", || {
        gateways[1].ctl(&["show", "peers"]).contains("live=1") && RUNNING.load(Ordering::SeqCst) >= 10
    });
    let _ = gateways[0].process.kill();
    let _ = gateways[0].process.wait();
    gateways[0] = start(0, &binds, server.address, limit);
    wait_until("its first life is over for the others", || {
        let peers = gateways[1].ctl(&["show", "peers"]);
        peers.lines().filter(|line| line.starts_with("clients.gw1.") && line.contains("live=1")).count() <= 1
            && gateways[1].metric("headgate_cluster_nodes_heard") == 3.0
    });
    let through: Vec<_> = (0..30).map(|_| open(1)).collect();
    let through = through.into_iter().filter_map(|thread| thread.join().ok()).filter(|ok| *ok).count();
    assert_eq!(through, 30, "nothing of the dead process is left");
    drop(held);
}

/// Has ten requests run on a node; what is refused is tried again, as what ended just now may count for another moment.
fn ten_run(gateway: &Gateway, server: &Server) -> Vec<TcpStream> {
    let ran = || server.heads().iter().filter(|head| head.starts_with("GET /held")).count();
    let (before, mut held) = (ran(), Vec::new());
    wait_until("ten run", || {
        for _ in ran()..before + 10 {
            let mut stream = connect(gateway.front);
            stream.write_all(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is open");
            held.push(stream);
        }
        pause(Duration::from_millis(50));
        ran() == before + 10
    });
    held
}

#[test]
fn a_node_that_is_killed_and_back_within_100_ms_leaves_nothing_that_runs() {
    let release = Arc::new(AtomicBool::new(false));
    let released = Arc::clone(&release);
    let server = Server::start(move |head, _| {
        while head.starts_with("GET /held") && !released.load(Ordering::SeqCst) {
            pause(Duration::from_millis(10));
        }
        Some(ok("s1"))
    });
    let binds = addresses();
    let limit = "limit = [{ table = \"clients\", conn_cur = 10, scope = \"cluster\" }]";
    let mut gateways = [0, 1, 2].map(|place| start(place, &binds, server.address, limit));
    all_hear_each_other(&gateways);
    let is_full = |gateway: &Gateway| gateway.get("/").contains(" 429 ");
    for round in 1..=3 {
        let held = ten_run(&gateways[0], &server);
        for gateway in &gateways[1..] {
            wait_until("ten run on the first node", || is_full(gateway));
        }
        let killed = SystemTime::now();
        gateways[0].process.kill().expect("it runs");
        gateways[0].process.wait().expect("it ends");
        gateways[0].restart();
        let back = killed.elapsed().unwrap_or_default();
        for gateway in &gateways[1..] {
            wait_until("nothing of it runs any more", || !is_full(gateway));
        }
        let over = killed.elapsed().unwrap_or_default();
        eprintln!(
            "round {round}: back {back:?} after the kill; nothing of its first life ran {over:?} after it"
        );
        assert!(back < Duration::from_millis(100), "it was started again {back:?} after the kill");
        gateways[0].is_ready();
        all_hear_each_other(&gateways);
        // All of the limit is there again, for any node.
        let again = ten_run(&gateways[round % 3], &server);
        for gateway in &gateways {
            wait_until("the limit is reached", || is_full(gateway));
        }
        release.store(true, Ordering::SeqCst);
        for gateway in &gateways {
            wait_until("they have ended", || !is_full(gateway));
        }
        release.store(false, Ordering::SeqCst);
        drop((held, again));
    }
}

#[test]
fn alone_a_node_falls_back_to_its_share_where_told_so() {
    let server = Server::named("s1");
    let binds = addresses();
    let limit = "limit = [{ table = \"clients\", http_req_rate = 9, period = \"60s\", scope = \"cluster\", fallback = \"share\" }]";
    let alone = start(0, &binds, server.address, limit);
    assert_eq!(alone.metric("headgate_cluster_nodes_heard"), 1.0);
    let mut client = Client::new(&alone);
    assert_eq!((0..6).filter(|_| client.goes_through()).count(), 3);
}

#[test]
fn of_requests_in_the_same_millisecond_each_node_lets_at_most_the_limit_through() {
    #[expect(clippy::disallowed_methods, reason = "a server that is slow")]
    let server = Server::start(|_, _| {
        std::thread::sleep(Duration::from_secs(1));
        Some(ok("slow"))
    });
    let binds = addresses();
    let limit = "limit = [{ table = \"clients\", conn_cur = 30, scope = \"cluster\" }]";
    let gateways = [0, 1, 2].map(|place| start(place, &binds, server.address, limit));
    all_hear_each_other(&gateways);
    let mut streams: Vec<_> = (0..180).map(|number| connect(gateways[number % 3].front)).collect();
    for stream in &mut streams {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it is open");
    }
    let through = streams.into_iter().filter(|stream| {
        let answer = read_answer(&mut BufReader::new(stream));
        answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    });
    let through = through.count();
    eprintln!("{through} of 180 at once got through a limit of 30");
    assert!((30..=90).contains(&through), "{through}");
}

/// These keep a pace for 20 s, and want the machine for themselves.
mod long {
    use super::{Client, NAMES, a_limit_of_200_in_10_s_lets_200_through, pause_until};
    use crate::harness::{Server, pause, wait_until};
    use crate::peers::{Node, addresses};
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_client_that_takes_nodes_in_turn_gets_the_limit_once() {
        a_limit_of_200_in_10_s_lets_200_through(1);
    }

    #[test]
    fn a_client_that_asks_all_nodes_at_the_same_instant_gets_the_limit_once() {
        a_limit_of_200_in_10_s_lets_200_through(3);
    }

    #[test]
    fn a_client_that_comes_in_bursts_gets_the_limit_once() {
        a_limit_of_200_in_10_s_lets_200_through(20);
    }

    #[test]
    fn in_a_cut_each_side_keeps_its_bound_and_after_the_heal_the_cluster_has_one_again() {
        let server = Server::named("s1");
        let binds: [SocketAddr; 2] = addresses();
        // Each node reaches the other through a wire that can be cut.
        let wires = [Wire::to(binds[0]), Wire::to(binds[1])];
        let limit =
            "limit = [{ table = \"clients\", http_req_rate = 200, period = \"10s\", scope = \"cluster\" }]";
        let gateways = [0, 1].map(|place: usize| {
            let other = 1 - place;
            let node = Node {
                local: NAMES[place],
                bind: binds[place],
                peers: &[(NAMES[other], wires[other].address)],
                admin: "",
                section: "",
                frontend: limit,
                tables: "[[stick_table]]\nname = \"clients\"\npeers = \"lab\"\n",
                stick: "",
            };
            node.start(&[server.address])
        });
        let heard = |nodes: f64| {
            wait_until("the nodes hear each other, or not", || {
                gateways.iter().all(|gateway| gateway.metric("headgate_cluster_nodes_heard") == nodes)
            });
        };
        heard(2.0);
        let mut clients = gateways.each_ref().map(Client::new);
        // What each node lets through in so many seconds of 100 requests a second.
        let mut ask = |seconds: usize| {
            let start = SystemTime::now();
            let mut through = [0; 2];
            for number in 0..seconds * 100 {
                pause_until(start, Duration::from_millis(number as u64 * 10));
                through[number % 2] += usize::from(clients[number % 2].goes_through());
            }
            through
        };
        let whole = ask(10);
        assert!((190..=210).contains(&(whole[0] + whole[1])), "{whole:?}");
        wires.iter().for_each(|wire| wire.cut(true));
        heard(1.0);
        // What was let through before is known on both sides and ages out; then each has the limit for itself.
        ask(10);
        let apart = ask(10);
        assert!(apart.iter().all(|through| (190..=210).contains(through)), "{apart:?}");
        wires.iter().for_each(|wire| wire.cut(false));
        heard(2.0);
        // Both sides have had their limits, so together there is nothing left until half of that has faded; from
        // there on it fades twice as fast as one limit, so up to half as much again gets through. Apart it would be 400.
        ask(3);
        let healed = ask(10);
        assert!(healed[0] + healed[1] <= 300, "{healed:?}");
        let again = ask(10);
        assert!((190..=210).contains(&(again[0] + again[1])), "{again:?}");
    }

    /// A wire to a node's port: what comes is passed on both ways, but not while it is cut.
    struct Wire {
        address: SocketAddr,
        cut: Arc<AtomicBool>,
    }

    impl Wire {
        fn to(target: SocketAddr) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("it is bound");
            let cut = Arc::new(AtomicBool::new(false));
            let is_cut = Arc::clone(&cut);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let Ok(onward) = TcpStream::connect(target) else { continue };
                    for (from, to) in [(&stream, &onward), (&onward, &stream)] {
                        let (from, to) =
                            (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
                        let is_cut = Arc::clone(&is_cut);
                        std::thread::spawn(move || pass(from, to, &is_cut));
                    }
                }
            });
            Self { address, cut }
        }

        fn cut(&self, cut: bool) {
            self.cut.store(cut, Ordering::SeqCst);
        }
    }

    fn pass(mut from: TcpStream, mut to: TcpStream, is_cut: &AtomicBool) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            while is_cut.load(Ordering::SeqCst) {
                pause(Duration::from_millis(5));
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
        let _ = from.shutdown(std::net::Shutdown::Both);
    }
}
