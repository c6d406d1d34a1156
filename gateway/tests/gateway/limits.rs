//! What limits do with what is too much, and that each of them counts what it says, on real traffic.

use crate::harness::{Gateway, Server, connect, ok, pause, read_answer, wait_until};
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

fn limited(server: &Server, limit: &str) -> Gateway {
    Gateway::before(&[server.address], &format!("limit = [{{ table = \"clients\", {limit} }}]"))
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

fn statuses<const N: usize>(gateway: &Gateway, path: &str) -> [u16; N] {
    [(); N].map(|()| status(&gateway.get(path)))
}

fn refused(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric(&format!("headgate_refused_total{{frontend=\"fe\",reason=\"{reason}\"}}"))
}

/// Whether one of so many lines of the log says so.
fn logged(gateway: &Gateway, lines: usize, text: &str) -> bool {
    gateway.log_lines(lines).iter().any(|line| line.contains(text))
}

/// Tw of a line: milliseconds, or -1.
fn waited(line: &str) -> i64 {
    let timers = line.split(' ').find(|part| part.split('/').count() == 5 && !part.contains(':'));
    timers.and_then(|timers| timers.split('/').nth(1)?.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

/// Asks until it is refused: what a request was counts when it has ended, which may be a moment after its answer has
/// come.
fn until_refused(gateway: &Gateway, path: &str) {
    wait_until("it is refused", || status(&gateway.get(path)) == 429);
}

/// So many requests at the same time, and how each ended.
fn at_once(gateway: &Gateway, count: usize) -> Vec<u16> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|number| scope.spawn(move || status(&gateway.get(&format!("/{number}")))))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

#[test]
fn gcra_lets_a_burst_through_and_says_to_the_second_when_the_next_may_come() {
    let server = Server::named("s1");
    let gateway = limited(&server, "http_req_rate = 2, period = \"10s\", algorithm = \"gcra\", burst = 3");
    assert_eq!(statuses(&gateway, "/"), [200; 3]);
    let answer = gateway.get("/").to_ascii_lowercase();
    assert!(answer.contains("\r\nretry-after: 5\r\n"), "{answer}");
    assert!(answer.contains("\r\nratelimit-policy: \"http_req_rate\";q=2;w=10\r\n"), "{answer}");
    assert!(answer.contains("\r\nratelimit: \"http_req_rate\";r=0;t=5\r\n"), "{answer}");
    wait_until("the pace allows one more", || status(&gateway.get("/")) == 200);
    assert_eq!(statuses(&gateway, "/"), [429]);
}

#[test]
fn who_queues_under_a_rate_goes_in_turn_at_its_pace() {
    let server = Server::named("s1");
    let gateway = limited(
        &server,
        "http_req_rate = 10, period = \"1s\", algorithm = \"gcra\", burst = 1, action = \"queue\", timeout = \"10s\"",
    );
    let begun = SystemTime::now();
    assert_eq!(at_once(&gateway, 6), [200; 6]);
    let took = begun.elapsed().unwrap_or_default();
    assert!(took >= Duration::from_millis(450), "{took:?}");
    let waits: Vec<_> = gateway.log_lines(6).iter().map(|line| waited(line)).collect();
    assert!(waits.iter().any(|wait| *wait >= 350) && waits.iter().any(|wait| *wait < 200), "{waits:?}");
    assert_eq!(gateway.metric("headgate_limit_queued_total{frontend=\"fe\"}"), 5.0);
}

#[test]
fn who_queues_for_one_at_a_time_goes_when_the_one_before_has_ended() {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let server = Server::start(|_, _| {
        MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        pause(Duration::from_millis(100));
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        Some(ok("done"))
    });
    let gateway = limited(&server, "conn_cur = 1, action = \"queue\", timeout = \"10s\"");
    assert_eq!(at_once(&gateway, 5), [200; 5]);
    assert_eq!(MOST.load(Ordering::SeqCst), 1);
}

#[test]
fn a_line_has_a_deadline_and_an_end() {
    let server = Server::start(|head, _| {
        pause(Duration::from_millis(if head.contains("/slow") { 1500 } else { 0 }));
        Some(ok("done"))
    });
    let gateway = limited(&server, "conn_cur = 1, action = \"queue\", timeout = \"300ms\", max_queue = 2");
    let slow = std::thread::scope(|scope| {
        let slow = scope.spawn(|| status(&gateway.get("/slow")));
        wait_until("it runs", || !server.heads().is_empty());
        let mut ended = at_once(&gateway, 4);
        ended.sort_unstable();
        assert_eq!(ended, [429; 4]);
        slow.join().expect("no panic")
    });
    assert_eq!(slow, 200);
    assert_eq!([refused(&gateway, "limit_queue_timeout"), refused(&gateway, "limit_queue_full")], [2.0; 2]);
    let waits = gateway.log_lines(5).iter().map(|line| waited(line)).collect::<Vec<_>>();
    assert_eq!(waits.iter().filter(|wait| (300..2_000).contains(*wait)).count(), 2, "{waits:?}");
    // Who gives up leaves the line.
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| status(&gateway.get("/slow")));
        wait_until("it runs", || server.heads().len() == 2);
        drop(gateway.connect().write_all(b"GET /gone HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(slow.join().expect("no panic"), 200);
    });
    wait_until("it is gone", || gateway.log_lines(7).iter().any(|line| line.contains(" CQ-- ")));
}

#[test]
fn what_is_marked_goes_through_and_server_log_and_metric_know() {
    let server = Server::named("s1");
    let gateway = limited(&server, "http_req_rate = 1, period = \"60s\", action = \"mark\"");
    let get = b"GET / HTTP/1.1\r\nHost: a\r\nX-Headgate_Limit: forged\r\nConnection: close, X-Headgate-Limit\r\n\r\n";
    assert_eq!([status(&gateway.raw(get)), status(&gateway.raw(get))], [200; 2]);
    let heads: Vec<_> = server.heads().iter().map(|head| head.to_ascii_lowercase()).collect();
    assert!(!heads[0].contains("limit"), "{}", heads[0]);
    assert!(
        heads[1].contains("x-headgate-limit: http_req_rate\r\n") && !heads[1].contains("forged"),
        "{}",
        heads[1]
    );
    let marked = "headgate_limit_marks_total{frontend=\"fe\",reason=\"http_req_rate\"}";
    assert_eq!(gateway.metric(marked), 1.0);
    assert!(logged(&gateway, 2, " {|http_req_rate} \"GET"));
    assert!(logged(&gateway, 2, "/0 \"GET"), "who is not marked has nothing there");
}

#[test]
fn a_limit_has_a_tarpit() {
    let server = Server::named("s1");
    let gateway =
        limited(&server, "http_req_rate = 1, period = \"60s\", action = \"tarpit\", timeout = \"400ms\"");
    assert_eq!(statuses(&gateway, "/"), [200]);
    let begun = SystemTime::now();
    assert_eq!(statuses(&gateway, "/"), [429]);
    assert!(begun.elapsed().unwrap_or_default() >= Duration::from_millis(400));
    assert!(logged(&gateway, 2, " PT-- "));
}

#[test]
fn a_limit_drops_silently() {
    let server = Server::named("s1");
    let gateway = limited(&server, "http_req_rate = 1, period = \"60s\", action = \"silent_drop\"");
    assert_eq!(statuses(&gateway, "/"), [200]);
    let mut stream = gateway.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    assert!(logged(&gateway, 2, " -1 0 - - PR-- "));
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a deadline");
    let told = stream.read(&mut [0; 10]);
    // Without the privilege there is a reset.
    assert!(told.is_err(), "{told:?}");
}

/// One request on a connection that stays open, or the reset.
fn asks(stream: &mut TcpStream) -> bool {
    let sent = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    sent.is_ok() && read_answer(&mut BufReader::new(stream)).is_some_and(|answer| status(&answer) == 200)
}

#[test]
fn connections_at_once_are_limited_where_requests_come_on_them() {
    let server = Server::named("s1");
    let gateway = limited(&server, "on = \"connection\", conn_cur = 2");
    let (mut one, mut two) = (gateway.connect(), gateway.connect());
    // Requests are not connections.
    assert!((0..3).all(|_| asks(&mut one) && asks(&mut two)));
    let mut three = connect(gateway.front);
    let told = three.read(&mut [0; 10]);
    assert!(told.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{told:?}");
    assert_eq!(refused(&gateway, "conn_cur"), 1.0);
    drop(one);
    wait_until("the place of who left is free", || asks(&mut gateway.connect()));
    assert!(asks(&mut two));
}

#[test]
fn new_connections_in_a_period_are_limited_where_requests_come_on_them() {
    let server = Server::named("s1");
    let gateway = limited(&server, "on = \"connection\", conn_rate = 3, period = \"60s\"");
    let went = [(); 5].map(|()| asks(&mut gateway.connect()));
    assert_eq!(went, [true, true, true, false, false]);
    assert_eq!(refused(&gateway, "conn_rate"), 2.0);
}

#[test]
fn bytes_of_answers_are_limited() {
    let server = Server::start(|_, _| Some(ok(&"x".repeat(10_000))));
    let gateway = limited(&server, "bytes_out_rate = 15000, period = \"60s\"");
    assert_eq!(statuses(&gateway, "/"), [200]);
    until_refused(&gateway, "/");
    assert!((2..=4).contains(&server.heads().len()), "{}", server.heads().len());
    let answer = gateway.get("/").to_ascii_lowercase();
    let policy = "ratelimit-policy: \"bytes_out_rate\";q=15000;qu=\"content-bytes\";w=60\r\n";
    assert!(answer.contains(policy), "{answer}");
}

#[test]
fn bytes_of_requests_are_limited() {
    // The body ends as a head does, and is read as one.
    let server =
        Server::start(|head, _| Some(if head.starts_with("POST") { ok("thanks") } else { Vec::new() }));
    let gateway = limited(&server, "bytes_in_rate = 8000, period = \"60s\"");
    let post = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5000\r\n\r\n{}\r\n\r\n",
        "x".repeat(4996)
    );
    assert_eq!(status(&gateway.raw(post.as_bytes())), 200);
    wait_until("it is refused", || status(&gateway.raw(post.as_bytes())) == 429);
}

#[test]
fn errors_are_limited_and_good_answers_are_not() {
    let server = Server::start(|head, _| {
        let answer = match head.split(' ').nth(1).unwrap_or("") {
            "/missing" => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "/broken" => "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        };
        Some(answer.into())
    });
    let gateway = limited(&server, "http_err_rate = 2, http_fail_rate = 3, period = \"60s\"");
    assert_eq!(statuses(&gateway, "/"), [200; 5]);
    assert_eq!(statuses(&gateway, "/broken"), [500; 2]);
    assert_eq!(statuses(&gateway, "/missing"), [404, 404]);
    until_refused(&gateway, "/");
    assert_eq!(refused(&gateway, "http_err_rate"), 1.0);
}

#[test]
fn what_has_been_counted_in_all_is_limited() {
    let server = Arc::new(Server::named("s1"));
    let gateway = limited(&server, "http_req_cnt = 3");
    assert_eq!(statuses(&gateway, "/"), [200, 200, 200, 429]);
    gateway.ctl(&["clear", "table", "clients", "--key", "::ffff:127.0.0.1"]);
    assert_eq!(statuses(&gateway, "/"), [200]);
}

#[test]
fn answers_of_5xx_are_limited_and_others_are_not() {
    let server = Server::start(|head, _| {
        let status = match head.split(' ').nth(1).unwrap_or("") {
            "/missing" => "404 Not Found",
            "/broken" => "503 Oh",
            _ => "200 OK",
        };
        Some(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes())
    });
    let gateway = limited(&server, "http_fail_rate = 3, http_err_rate = 1000, period = \"60s\"");
    assert_eq!(statuses(&gateway, "/"), [200; 4]);
    assert_eq!(statuses(&gateway, "/missing"), [404; 4]);
    assert_eq!(statuses(&gateway, "/broken"), [503; 3]);
    until_refused(&gateway, "/");
    assert_eq!(refused(&gateway, "http_fail_rate"), 1.0);
    assert_eq!(statuses(&gateway, "/missing"), [429]);
    let shown = gateway.ctl(&["show", "table", "clients"]);
    assert!(
        shown.contains(" http_fail_rate(60000)=3") && shown.contains(" http_err_rate(60000)=4"),
        "{shown}"
    );
}

#[test]
fn general_counters_that_rules_write_are_limited() {
    let server = Server::named("s1");
    for (counter, gpc) in [("gpc0", 0), ("gpc1", 1)] {
        let gateway = Gateway::before(
            &[server.address],
            &format!(
                "limit = [{{ table = \"clients\", {counter} = 2 }}]\n\
                 [[frontend.rule]]\ntrack = {{ sc = 0, table = \"clients\" }}\n\
                 [[frontend.rule]]\nif = {{ path = \"/trap\" }}\nsc_inc_gpc = {{ sc = 0, gpc = {gpc} }}\n"
            ),
        );
        assert_eq!(statuses(&gateway, "/"), [200; 4]);
        assert_eq!(statuses(&gateway, "/trap"), [200; 2]);
        assert_eq!(statuses(&gateway, "/"), [429; 2], "it has walked into the trap twice");
        assert_eq!(refused(&gateway, counter), 2.0);
        gateway.ctl(&[
            "set",
            "table",
            "clients",
            "--key",
            "::ffff:127.0.0.1",
            "--data",
            &format!("{counter} 1"),
        ]);
        assert_eq!(statuses(&gateway, "/"), [200; 2]);
    }
}
