//! Stands in for a BGP router: accepts the speaker and reads what it says.

use super::rig::DEADLINE;
use base::Clock;
use bgp_core::wire::attribute::{PathAttributes, Value};
use bgp_core::wire::{self, Message, Notification, Open, Update};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

pub(crate) struct Router(TcpListener);

/// What the speaker said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Announced { vip: IpAddr, med: u32, graceful_shutdown: bool },
    Withdrawn { vip: IpAddr },
    EndOfRib,
    Notification(Notification),
    Other(&'static str),
    End,
}

/// A connection with the speaker.
pub(crate) struct Session {
    stream: TcpStream,
    buffer: Vec<u8>,
    heard: VecDeque<Heard>,
}

impl Router {
    pub(crate) fn listen() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a port"))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("its address")
    }

    /// The next connection that the speaker opens.
    pub(crate) fn accept(&self) -> Session {
        let (stream, _) = self.0.accept().expect("the speaker");
        Session::over(stream)
    }

    /// The next connection, up to the point at which routes flow.
    pub(crate) fn session(&self) -> Session {
        self.accept().begin()
    }
}

impl Session {
    /// On a connection, whoever opened it.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        Self { stream, buffer: Vec::new(), heard: VecDeque::new() }
    }

    /// Up to the point at which routes flow.
    pub(crate) fn begin(mut self) -> Self {
        self.write(&Open::ours(65000, 90, [10, 0, 0, 1].into()).encode());
        self.write(&wire::keepalive());
        assert_eq!(self.next(), Heard::Other("open"));
        self.skip_to(&Heard::Other("keepalive"));
        self
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the speaker reads");
    }

    /// The next thing that matters: not a KEEPALIVE.
    pub(crate) fn next(&mut self) -> Heard {
        loop {
            match self.next_any() {
                Heard::Other("keepalive") => {}
                heard => return heard,
            }
        }
    }

    /// The next thing that matters is this one.
    pub(crate) fn expect(&mut self, expected: Heard) {
        let heard = match self.next() {
            Heard::EndOfRib if expected != Heard::EndOfRib => return self.expect(expected),
            heard => heard,
        };
        assert_eq!(heard, expected);
    }

    /// This one comes, whatever comes before it.
    pub(crate) fn skip_to(&mut self, expected: &Heard) {
        loop {
            let heard = self.next_any();
            if heard == *expected {
                return;
            }
            assert_ne!(heard, Heard::End, "before {expected:?}");
        }
    }

    /// This one does not come for `time`.
    pub(crate) fn expect_none_of(&mut self, unexpected: &Heard, time: Duration) {
        let clock = Clock::start();
        let until = clock.now() + time;
        while clock.now() < until {
            let left = (until - clock.now()).max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left)).expect("a socket");
            if self.read() {
                self.heard.iter().for_each(|heard| assert_ne!(heard, unexpected));
            }
        }
        self.stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    }

    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.next(), Heard::End);
    }

    fn next_any(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            assert!(self.read(), "the speaker says nothing for {DEADLINE:?}");
        }
    }

    /// Reads once; `false` if nothing came in time.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.heard.push_back(Heard::End),
            Ok(count) => self.buffer.extend(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => return self.read(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(error) => panic!("{error}"),
        }
        while let Some(length) = wire::frame(&self.buffer).expect("BGP") {
            let message: Vec<u8> = self.buffer.drain(..length).collect();
            match wire::decode(&message).expect("BGP") {
                Message::Open(_) => self.heard.push_back(Heard::Other("open")),
                Message::Keepalive => self.heard.push_back(Heard::Other("keepalive")),
                Message::RouteRefresh(_) => self.heard.push_back(Heard::Other("refresh")),
                Message::Notification(notification) => {
                    self.heard.push_back(Heard::Notification(notification));
                }
                Message::Update(update) => self.heard.extend(read_update(&update)),
            }
        }
        true
    }
}

fn read_update(update: &Update<'_>) -> Vec<Heard> {
    let (mut med, mut graceful_shutdown) = (0, false);
    let mut heard: Vec<_> =
        update.withdrawn().map(|net| Heard::Withdrawn { vip: net.expect("a prefix").addr() }).collect();
    for attribute in update.attributes() {
        match attribute.and_then(|attribute| attribute.value(true)).expect("a good attribute") {
            Value::Med(value) => med = value,
            Value::Communities(bytes) => {
                graceful_shutdown = bytes.chunks(4).any(|bytes| bytes == [255, 255, 0, 0]);
            }
            _ => {}
        }
    }
    heard.extend(update.nlri().map(|net| {
        let vip = net.expect("a prefix").addr();
        Heard::Announced { vip, med, graceful_shutdown }
    }));
    if heard.is_empty() {
        heard.push(Heard::EndOfRib);
    }
    heard
}

/// Any valid attributes.
pub(crate) fn route() -> PathAttributes {
    PathAttributes {
        as_path: vec![65000, 64999],
        next_hop: [127, 0, 0, 1].into(),
        med: Some(1),
        local_pref: None,
        communities: vec![],
        large_communities: vec![],
        extended_communities: vec![],
    }
}
