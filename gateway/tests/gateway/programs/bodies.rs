//! Large bodies arrive as they were sent, and the gateway holds only a little of them at a time.

use super::installed;
use crate::harness::Gateway;
use ring::digest::{Context, SHA256};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

const MIB: u64 = 1024 * 1024;
/// What the gateway may grow by, whatever the size of a body.
const ROOM: u64 = 16 * MIB;

#[test]
fn a_body_of_256_mib_arrives_unchanged_both_ways() {
    there_and_back(256 * MIB, "--http1.1", "");
}

#[test]
fn a_body_of_128_mib_arrives_unchanged_both_ways_over_h2() {
    there_and_back(128 * MIB, "--http2-prior-knowledge", "h2c = true");
}

/// The second tier: minutes where nothing is optimised.
mod long {
    use super::{MIB, there_and_back};

    #[test]
    fn a_body_of_2_gib_arrives_unchanged_both_ways() {
        there_and_back(2048 * MIB, "--http1.1", "");
    }

    #[test]
    fn a_body_of_2_gib_arrives_unchanged_both_ways_over_h2() {
        there_and_back(2048 * MIB, "--http2-prior-knowledge", "h2c = true");
    }
}

/// curl sends `size` bytes to a server that returns as many others, and both tell what they got by its sum.
fn there_and_back(size: u64, version: &str, more: &str) {
    if !installed("curl") {
        return;
    }
    let (server, received) = server(size);
    let gateway = Gateway::before(&[server], more);
    // What the first request allocates belongs to none in particular.
    assert!(gateway.get("/warm").starts_with("HTTP/1.1 200"));
    let memory = Memory::watch(gateway.process.id());
    let mut curl = Command::new("curl")
        .args(["-sS", version, "-T", "-", "-H", "Expect:", &format!("http://{}/large", gateway.front)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl runs");
    let mut stdin = curl.stdin.take().expect("a pipe");
    let sent = std::thread::spawn(move || generate(&mut stdin, size, UP));
    assert_eq!(received.recv().expect("the server has it all"), sent.join().expect("it is sent"), "up");
    let back = sum(&mut curl.stdout.take().expect("a pipe"), size);
    assert_eq!(back, generate(&mut std::io::sink(), size, DOWN), "down");
    assert!(ended_well(curl));
    let growth = memory.growth();
    assert!(growth < ROOM, "it grew by {} KiB", growth / 1024);
    let line = gateway.log_lines(2).pop().expect("a line");
    assert!(line.contains(" 200 ") && line.contains(" ---- "), "{line}");
}

fn ended_well(mut child: Child) -> bool {
    child.wait().is_ok_and(|status| status.success())
}

/// What differs in the two directions.
const UP: u64 = 1;
const DOWN: u64 = 2;
/// Of what is made and read at a time.
const CHUNK: usize = 64 * 1024;

/// Writes `size` bytes of which no two chunks are the same, and returns their sum.
fn generate(to: &mut impl Write, size: u64, seed: u64) -> Vec<u8> {
    let mut chunk: Vec<u8> = (0..CHUNK).map(|place| (place * 31 + place / 251) as u8).collect();
    let mut context = Context::new(&SHA256);
    for number in 0..size / CHUNK as u64 {
        chunk[..8].copy_from_slice(&(number * 2 + seed).to_le_bytes());
        context.update(&chunk);
        to.write_all(&chunk).expect("the other side reads");
    }
    context.finish().as_ref().to_vec()
}

/// Reads `size` bytes and returns their sum.
fn sum(from: &mut impl Read, size: u64) -> Vec<u8> {
    let (mut chunk, mut context, mut left) = (vec![0; CHUNK], Context::new(&SHA256), size);
    while left > 0 {
        let read = from.read(&mut chunk).expect("more comes");
        assert!(read > 0 && read as u64 <= left, "{left} bytes too few, or {read} too many");
        context.update(&chunk[..read]);
        left -= read as u64;
    }
    context.finish().as_ref().to_vec()
}

/// A server that tells what it got, and answers with as much.
fn server(size: u64) -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || answer(&stream, size, &sender));
        }
    });
    (address, receiver)
}

fn answer(stream: &TcpStream, size: u64, received: &SyncSender<Vec<u8>>) {
    let (mut read, mut write) = (BufReader::with_capacity(CHUNK, stream), stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if read.read_line(&mut head).is_ok_and(|read| read == 0) {
                return;
            }
        }
        let large = head.starts_with("PUT /large ");
        if large {
            assert!(head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked\r\n"), "{head}");
            received.send(sum(&mut Chunked { from: &mut read, left: 0 }, size)).expect("the test waits");
            let mut end = String::new();
            read.read_line(&mut end).and_then(|_| read.read_line(&mut end)).expect("the last chunk");
        }
        let length = if large { size } else { 0 };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        write.write_all(head.as_bytes()).expect("the gateway reads");
        generate(&mut write, length, DOWN);
    }
}

/// A body in chunks (RFC 9112 §7.1), without the last.
struct Chunked<R> {
    from: R,
    left: usize,
}

impl<R: BufRead> Read for Chunked<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let mut line = String::new();
        if self.left == 0 {
            self.from.read_line(&mut line)?;
            self.left = usize::from_str_radix(line.trim(), 16).expect("a size");
        }
        let most = into.len().min(self.left);
        let read = self.from.read(&mut into[..most])?;
        self.left -= read;
        if self.left == 0 && read > 0 {
            self.from.read_line(&mut line)?;
        }
        Ok(read)
    }
}

/// Watches how much memory a process has.
struct Memory {
    before: u64,
    most: &'static AtomicU64,
    stop: &'static AtomicBool,
}

impl Memory {
    fn watch(process: u32) -> Self {
        let (most, stop): (&AtomicU64, &AtomicBool) = (Box::leak(Box::default()), Box::leak(Box::default()));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                most.fetch_max(resident(process), Ordering::Relaxed);
                pause();
            }
        });
        Self { before: resident(process), most, stop }
    }

    fn growth(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.most.load(Ordering::Relaxed).saturating_sub(self.before)
    }
}

#[expect(clippy::disallowed_methods, reason = "samples what has no event")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Resident bytes of a process.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}
