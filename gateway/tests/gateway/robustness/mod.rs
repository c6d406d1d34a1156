//! What others get wrong with bytes that are wrong: from clients, from servers, frame by frame over
//! HTTP/2. Sockets on both sides are raw: what the client gets, what the server saw, and whether the
//! connection goes on.

mod answers;
mod bodies;
mod bodiless;
mod calm;
mod connections;
mod floods;
mod heads;
mod readers;
mod servers;
mod translation;
mod wire;

use crate::harness::{DEADLINE, connect};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A server that keeps every byte which it gets, and says the same to every connection as soon as a head is
/// there.
struct Tap {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Tap {
    /// `answer` is sent once a head has come; then the connection stays open for as long as `stays`, or is
    /// closed at once.
    fn start(answer: &[u8], stays: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let (all, answer) = (Arc::clone(&seen), answer.to_vec());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (all, answer) = (Arc::clone(&all), answer.clone());
                std::thread::spawn(move || {
                    let place = {
                        let mut all = all.lock().expect("no test panicked here");
                        all.push(Vec::new());
                        all.len() - 1
                    };
                    let _ = stream.set_read_timeout(Some(DEADLINE));
                    let mut bytes = [0; 4096];
                    let mut answered = false;
                    while let Ok(read @ 1..) = stream.read(&mut bytes) {
                        let mut all = all.lock().expect("no test panicked here");
                        // Whoever forgets what came has it answer again.
                        answered &= !all[place].is_empty();
                        all[place].extend_from_slice(&bytes[..read]);
                        let has_head = all[place].windows(4).any(|end| end == b"\r\n\r\n");
                        drop(all);
                        if has_head && !answered {
                            answered = true;
                            if stream.write_all(&answer).is_err() || !stays {
                                return;
                            }
                        }
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// All that came, on all connections.
    fn seen(&self) -> String {
        let seen = self.seen.lock().expect("no test panicked here");
        String::from_utf8_lossy(&seen.concat()).into_owned()
    }

    /// All that came on the connection on which there is this, once there is one.
    fn seen_with(&self, mark: &str) -> String {
        let seen = self.seen.lock().expect("no test panicked here");
        let all = seen.iter().map(|one| String::from_utf8_lossy(one).into_owned());
        all.filter(|one| one.contains(mark)).collect()
    }

    fn forget(&self) {
        self.seen.lock().expect("no test panicked here").iter_mut().for_each(Vec::clear);
    }
}

/// What comes back for these bytes, and whether the connection was closed within `patience`.
fn say(front: SocketAddr, bytes: &[u8], patience: Duration) -> (String, bool) {
    let mut stream = connect(front);
    stream.set_read_timeout(Some(patience)).expect("a deadline");
    // It may be cut off in the middle.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    let closed = loop {
        match stream.read(&mut piece) {
            Ok(0) => break true,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
            Err(error) => break error.kind() != std::io::ErrorKind::WouldBlock,
        }
    };
    (String::from_utf8_lossy(&answer).into_owned(), closed)
}

/// The same, with a pause between the one part and the other, so that they come apart.
fn say_in_two(front: SocketAddr, one: &[u8], other: &[u8], patience: Duration) -> (String, bool) {
    let mut stream = connect(front);
    stream.set_nodelay(true).expect("an option");
    stream.set_read_timeout(Some(patience)).expect("a deadline");
    let _ = stream.write_all(one);
    crate::harness::pause(Duration::from_millis(20));
    // One byte, and then the rest.
    let (first, rest) = other.split_at(1);
    let _ = stream.write_all(first);
    crate::harness::pause(Duration::from_millis(5));
    let _ = stream.write_all(rest);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    let closed = loop {
        match stream.read(&mut piece) {
            Ok(0) => break true,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
            Err(error) => break error.kind() != std::io::ErrorKind::WouldBlock,
        }
    };
    (String::from_utf8_lossy(&answer).into_owned(), closed)
}

/// What comes back for two requests on one connection, the second of which is sent when there is something of the
/// answer to the first; and whether the connection was closed.
fn say_in_turn(front: SocketAddr, one: &[u8], other: &[u8], patience: Duration) -> (String, bool) {
    let mut stream = connect(front);
    stream.set_read_timeout(Some(patience)).expect("a deadline");
    let _ = stream.write_all(one);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    let mut asked = false;
    let closed = loop {
        match stream.read(&mut piece) {
            Ok(0) => break true,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
            Err(error) => break error.kind() != std::io::ErrorKind::WouldBlock,
        }
        if !asked && answer.windows(4).any(|end| end == b"\r\n\r\n") {
            asked = true;
            let _ = stream.write_all(other);
        }
    };
    (String::from_utf8_lossy(&answer).into_owned(), closed)
}

/// What comes back, until nothing has come for a moment after there was something, or the connection is closed.
fn say_until_quiet(front: SocketAddr, one: &[u8], other: &[u8]) -> String {
    let mut stream = connect(front);
    let _ = stream.write_all(one);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    let mut asked = other.is_empty();
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..read]);
        if !asked && answer.windows(4).any(|end| end == b"\r\n\r\n") {
            asked = true;
            let _ = stream.write_all(other);
        }
        stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a deadline");
    }
    String::from_utf8_lossy(&answer).into_owned()
}
