//! Stands in for the gateway's health stream: what it says is what the test wants, at once and every 100 ms.

use crate::inside::Inside;
use anyhow::Result;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Where it listens, in the speakers' namespace.
pub(super) const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8404);

/// The stream.
#[derive(Debug)]
pub struct Health {
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// `None`: nothing is said.
    word: Option<&'static str>,
    /// How often it died: each ends the connections of the life before.
    lives: u32,
}

impl Health {
    pub(super) fn start(inside: &Inside) -> Result<Self> {
        let (state, states) = watch::channel(State::default());
        let listener = inside.run(TcpListener::bind(ADDRESS))??;
        inside.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let states = states.clone();
                tokio::spawn(async move { drop(serve(stream, states).await) });
            }
        });
        Ok(Self { state })
    }

    /// From now on it says this: `ready`, `not_ready`, `draining`.
    pub fn say(&self, word: &'static str) {
        self.state.send_modify(|state| state.word = Some(word));
    }

    /// Every connection ends without a word, and those that come hear nothing until [`Health::say`].
    pub fn die(&self) {
        self.state.send_modify(|state| *state = State { word: None, lives: state.lives + 1 });
    }
}

async fn serve(mut stream: TcpStream, mut states: watch::Receiver<State>) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && request.len() < 4096 {
        request.push(stream.read_u8().await?);
    }
    if request.starts_with(b"POST") {
        // There are no other nodes.
        return stream
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .await;
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let life = states.borrow().lives;
    loop {
        let state = *states.borrow_and_update();
        if state.lives != life {
            return Ok(());
        }
        if let Some(word) = state.word {
            let line = format!("{{\"state\":\"{word}\",\"reasons\":[]}}\n");
            stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).await?;
        }
        // A beat is due when nothing changes.
        let _ = tokio::time::timeout(BEAT, states.changed()).await;
    }
}

const BEAT: Duration = Duration::from_millis(100);
