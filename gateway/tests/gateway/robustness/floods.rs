//! Floods that HTTP/2 invites, frame by frame: each costs its sender the connection and its neighbour
//! nothing.

use super::wire::*;
use crate::harness::{DEADLINE, Gateway, Server, wait_until};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// Repeats what `burst` makes until the gateway cuts the connection; false if it has not by `most`.
/// What the gateway says is read, unless the flood is of one who does not read.
fn flood(stream: &mut TcpStream, reads: bool, most: Duration, burst: impl Fn(u32) -> Vec<u8>) -> bool {
    stream.set_write_timeout(Some(most)).expect("a deadline");
    let reader = reads.then(|| {
        let mut stream = stream.try_clone().expect("a second handle");
        std::thread::spawn(move || {
            let mut bytes = [0; 16384];
            while stream.read(&mut bytes).is_ok_and(|read| read > 0) {}
        })
    });
    let begun = SystemTime::now();
    let in_time = || begun.elapsed().is_ok_and(|took| took < most);
    let failed = (0..).take_while(|_| in_time()).find_map(|number| stream.write_all(&burst(number)).err());
    let cut =
        failed.is_some_and(|error| !matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock));
    let _ = stream.shutdown(std::net::Shutdown::Both);
    if let Some(reader) = reader {
        reader.join().expect("it only reads");
    }
    cut
}

/// Runs `attack` while a neighbour makes requests; all of those are answered, none slowly.
fn beside_a_neighbour(gateway: &Gateway, attack: impl FnOnce()) {
    struct Done<'a>(&'a AtomicBool);
    // An attack that fails ends the neighbour, too.
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            let mut answered = 0;
            while !done.load(Ordering::Relaxed) || answered == 0 {
                let begun = SystemTime::now();
                assert!(gateway.get("/neighbour").contains("200 OK"));
                slowest = slowest.max(begun.elapsed().unwrap_or_default());
                answered += 1;
            }
            slowest
        });
        {
            let _done = Done(&done);
            attack();
        }
        let slowest = neighbour.join().expect("every request of the neighbour was answered");
        // A flood is much work for one worker, but the machine may have others to do as well.
        assert!(slowest < Duration::from_secs(2), "the neighbour waited for {slowest:?}");
    });
    wait_until("the sender's connection is gone", || {
        gateway.metric("headgate_connections{frontend=\"fe\"}") == 0.0
    });
}

fn gateway(server: &Server) -> Gateway {
    Gateway::before(
        &[server.address],
        "h2c = true\nclient_timeout = \"2s\"\nhttp_request_timeout = \"2s\"\nkeep_alive_timeout = \"2s\"",
    )
}

#[test]
fn rapid_resets_are_cut_off() {
    let server = Server::named("s1");
    let gateway = gateway(&server);
    beside_a_neighbour(&gateway, || {
        let mut stream = connected(&gateway, &[]);
        let cut = flood(&mut stream, true, DEADLINE, |number| {
            let id = 2 * number + 1;
            [frame(HEADERS, END_BOTH, id, GET), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat()
        });
        assert!(cut, "requests that were taken back at once");
    });
}

#[test]
fn made_you_reset_is_cut_off() {
    let server = Server::named("s1");
    let gateway = gateway(&server);
    beside_a_neighbour(&gateway, || {
        let mut stream = connected(&gateway, &[]);
        // A window that grows by nothing has the gateway reset the stream.
        let cut = flood(&mut stream, true, DEADLINE, |number| {
            let id = 2 * number + 1;
            [frame(HEADERS, END_BOTH, id, GET), frame(WINDOW_UPDATE, 0, id, &[0, 0, 0, 0])].concat()
        });
        assert!(cut, "requests that the gateway was made to reset");
    });
}

#[test]
fn a_head_in_endless_continuations_is_cut_off() {
    let server = Server::named("s1");
    let gateway = gateway(&server);
    for (what, payload) in
        [("empty", Vec::new()), ("full", [b"\x00\x01a\x7f\x00".as_slice(), &[b'x'; 127]].concat())]
    {
        beside_a_neighbour(&gateway, || {
            let mut stream = connected(&gateway, &[]);
            stream.write_all(&frame(HEADERS, 0, 1, GET)).expect("sent");
            assert!(
                flood(&mut stream, true, DEADLINE, |_| frame(CONTINUATION, 0, 1, &payload).repeat(10)),
                "{what}"
            );
        });
    }
    assert!(server.heads().iter().all(|head| head.contains("/neighbour")));
}

/// Repeats a frame on an open stream until that is cut off.
fn repeats(gateway: &Gateway, (kind, flags): (u8, u8), stream_id: u32, payload: &[u8], reads: bool) {
    let mut stream = connected(gateway, &[]);
    stream.write_all(&frame(HEADERS, END_HEADERS, 1, POST)).expect("sent");
    let cut = flood(&mut stream, reads, DEADLINE, |_| frame(kind, flags, stream_id, payload).repeat(20));
    assert!(cut, "frames of kind {kind}, reads: {reads}");
}

#[test]
fn frames_without_end_are_cut_off_whether_their_sender_reads_or_not() {
    let server = Server::named("s1");
    let gateway = gateway(&server);
    for (kind, id, payload, reason) in [
        (DATA, 1, &[][..], "h2_flood"),
        (PRIORITY, 3, &[0, 0, 0, 0, 16], "h2_priority_flood"),
        (SETTINGS, 0, &[], "h2_settings_flood"),
        (PING, 0, &[0; 8], "h2_ping_flood"),
        (WINDOW_UPDATE, 1, &[0, 0, 0, 1], "h2_window_update_flood"),
        (UNKNOWN, 0, &[1, 2, 3], "h2_unknown_frame_flood"),
    ] {
        for reads in [true, false] {
            beside_a_neighbour(&gateway, || repeats(&gateway, (kind, 0), id, payload, reads));
        }
        let name = format!("headgate_refused_total{{frontend=\"fe\",reason=\"{reason}\"}}");
        assert_eq!(gateway.metric(&name), 2.0, "{reason}");
    }
    // Data of nothing but padding is data without bytes; so is the answer to a ping that was not asked.
    beside_a_neighbour(&gateway, || repeats(&gateway, (DATA, PADDED), 1, &[3, 0, 0, 0], true));
    beside_a_neighbour(&gateway, || repeats(&gateway, (PING, ACK), 0, &[0; 8], true));
    wait_until("each has its line in the log", || {
        let is_cut = |line: &&String| line.contains(" fe fe/<NOSRV> ") && line.contains(" -1 0 - - PR-- ");
        gateway.log_lines(1).iter().filter(is_cut).count() == 14
    });
}

#[test]
fn the_sender_of_a_flood_is_told_to_calm_down_and_its_address_is_counted() {
    let server = Server::named("s1");
    let gateway = Gateway::start(&CALM.replace("SERVER", &server.address.to_string()));
    for number in 1..=3 {
        let mut stream = connected(&gateway, &[]);
        // A few more than may be, and then nothing, so that nothing is lost in a reset.
        stream.write_all(&frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 16]).repeat(60)).expect("sent");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let goaway = answer.windows(9).position(|head| head[3] == GOAWAY && head[4..] == [0; 5]);
        let code = goaway.and_then(|place| answer.get(place + 13..place + 17));
        assert_eq!(code, Some(&[0, 0, 0, 11][..]), "ENHANCE_YOUR_CALM in {answer:?}");
        wait_until("it is counted", || {
            let refused = "headgate_refused_total{frontend=\"fe\",reason=\"h2_priority_flood\"}";
            gateway.get_admin("/metrics").contains(&format!("{refused} {number}\n"))
        });
    }
    assert!(gateway.get("/").contains(" 429 "), "a limit goes by glitch_cnt");
}

const CALM: &str = "node = \"gw\"\nworkers = 4\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n\
    [log]\nto = \"none\"\n\
    [[stick_table]]\nname = \"clients\"\n\
    [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\nh2c = true\ndefault_backend = \"be\"\n\
    h2_glitches_threshold = 50\nh2_glitches_rate = 1\n\
    limit = [{ table = \"clients\", glitch_cnt = 3, glitch_rate = 100, period = \"10s\" }]\n\
    [[backend]]\nname = \"be\"\nserver = [{ name = \"s1\", address = \"SERVER\" }]\n";

#[test]
fn more_streams_than_allowed_are_refused_and_fields_without_end_too() {
    let server = Server::named("s1");
    let gateway = gateway(&server);
    beside_a_neighbour(&gateway, || {
        let mut stream = connected(&gateway, &[]);
        // One field of 4 KiB that the table keeps, and then a byte for each time that it is meant again.
        let field = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4000]].concat();
        let head = [GET, &field].concat();
        stream.write_all(&frame(HEADERS, END_BOTH, 1, &head)).expect("sent");
        let many = [GET, &[0xbe; 4000][..]].concat();
        for number in 1..20u32 {
            let _ = stream.write_all(&frame(HEADERS, END_BOTH, 2 * number + 1, &many));
        }
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert!(server.heads().iter().all(|head| head.len() < 40_000));
}
