//! Stands in for a gateway: serves the health stream and does to it what the test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) struct Gateway {
    address: SocketAddr,
    commands: SyncSender<Command>,
    beats: Receiver<()>,
    /// What the speaker said of its VIPs; `None`: it is answered that there are no others, and nothing is kept.
    told: Arc<Mutex<Option<Vec<String>>>>,
}

enum Command {
    Say(&'static str),
    Hang,
    Die,
}

impl Gateway {
    /// Says nothing before it is told what.
    pub(crate) fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let (commands, inbox) = sync_channel(16);
        let (beat, beats) = sync_channel(1);
        let (pass, streams) = sync_channel(16);
        let told = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&told);
        std::thread::spawn(move || sort(&listener, &pass, &keep));
        std::thread::spawn(move || serve(&streams, &inbox, &beat));
        Self { address, commands, beats, told }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it keeps what the speaker says of its VIPs.
    pub(crate) fn exchange(&self) {
        self.told.lock().expect("no panic").get_or_insert_default();
    }

    /// What the speaker has said of its VIPs since this was last asked.
    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().expect("no panic").as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// From now on this is its state.
    pub(crate) fn say(&self, state: &'static str) {
        self.commands.send(Command::Say(state)).expect("the gateway runs");
    }

    /// Says nothing more, and keeps the connection.
    pub(crate) fn hang(&self) {
        self.commands.send(Command::Hang).expect("the gateway runs");
    }

    /// Ends the stream without a word.
    pub(crate) fn die(&self) {
        self.commands.send(Command::Die).expect("the gateway runs");
    }

    /// Waits for so many beats.
    pub(crate) fn beats(&self, count: usize) {
        while self.beats.try_recv().is_ok() {}
        (0..count).for_each(|_| self.beats.recv_timeout(super::rig::DEADLINE).expect("a beat"));
    }
}

/// Passes on who wants the stream; who asks for other nodes hears that there are none.
fn sort(listener: &TcpListener, pass: &SyncSender<TcpStream>, told: &Mutex<Option<Vec<String>>>) {
    for mut stream in listener.incoming().map_while(Result::ok) {
        let mut verb = [0];
        if !matches!(stream.peek(&mut verb), Ok(1)) || &verb != b"P" {
            if pass.send(stream).is_err() {
                return;
            }
            continue;
        }
        let mut told = told.lock().expect("no panic");
        let (status, body) = match &mut *told {
            Some(told) => {
                told.extend(body(&stream));
                ("200 OK", r#"{"node":"gw1","peers":[]}"#)
            }
            None => ("404 Not Found", ""),
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat());
    }
}

fn body(stream: &TcpStream) -> Option<String> {
    let (mut reader, mut length, mut line) = (BufReader::new(stream), 0, String::new());
    while reader.read_line(&mut line).ok()? > 2 {
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}

/// Every speaker that comes is served until the test says that the gateway dies.
fn serve(streams: &Receiver<TcpStream>, inbox: &Receiver<Command>, beat: &SyncSender<()>) {
    let mut state = None;
    while let Ok(stream) = streams.recv() {
        if stream_to(stream, inbox, beat, &mut state).is_none() {
            return;
        }
    }
}

/// `None`: the test is over.
fn stream_to(
    mut stream: TcpStream,
    inbox: &Receiver<Command>,
    beat: &SyncSender<()>,
    state: &mut Option<&'static str>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
        line.clear();
    }
    stream
        .write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .ok()?;
    loop {
        match inbox.recv_timeout(Duration::from_millis(100)) {
            Ok(Command::Say(word)) => *state = Some(word),
            Ok(Command::Hang) => {
                // The last word was up to one beat ago, as in life.
                *state = None;
                continue;
            }
            Ok(Command::Die) => {
                *state = None;
                return Some(());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
        // A speaker that has gone leaves its place to the next at once.
        let mut nothing = [0];
        stream.set_nonblocking(true).ok()?;
        let gone = matches!(stream.peek(&mut nothing), Ok(0));
        stream.set_nonblocking(false).ok()?;
        if gone {
            return Some(());
        }
        let Some(word) = state else { continue };
        let line = format!("{{\"state\":\"{word}\",\"reasons\":[]}}\n");
        if write!(stream, "{:x}\r\n{line}\r\n", line.len()).is_err() {
            return Some(());
        }
        let _ = beat.try_send(());
    }
}
