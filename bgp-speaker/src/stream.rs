//! The gateway's health stream: one HTTP request whose answer never ends, one JSON line for each word.
//!
//! Everything runs inside the task that polls it, connection included: when that task asks, what lies in
//! the socket has become events before anybody looks at the clock.

use bgp_core::config::Url;
use bgp_core::gate::{Event, Reading};
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

type Watch = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// The health streams that are open; two at most, while the gateway is replaced.
pub(crate) struct Streams {
    url: Url,
    open: Vec<(u64, Watch)>,
    sender: mpsc::Sender<Event>,
    lines: mpsc::Receiver<Event>,
    ended: VecDeque<Event>,
    /// Why a stream ended, until it is told.
    trouble: Option<String>,
    told: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    state: String,
}

impl Streams {
    pub(crate) fn new(url: Url) -> Self {
        let (sender, lines) = mpsc::channel(LINES);
        Self { url, open: Vec::new(), sender, lines, ended: VecDeque::new(), trouble: None, told: None }
    }

    pub(crate) fn open(&mut self, number: u64) {
        let (url, sender) = (self.url.clone(), self.sender.clone());
        let watch = async move { watch(&url, number, &sender).await };
        self.open.push((number, Box::pin(watch)));
    }

    pub(crate) fn close(&mut self, number: u64) {
        self.open.retain(|(open, _)| *open != number);
    }

    /// Logs why a stream ended, unless that is what was logged last: a gateway that stays away is asked many times.
    pub(crate) fn complain(&mut self) {
        if let Some(trouble) = self.trouble.take().filter(|trouble| self.told.as_ref() != Some(trouble)) {
            tracing::warn!(url = %self.url, error = trouble, "health stream");
            self.told = Some(trouble);
        }
    }

    /// The next thing that a stream says. Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> Event {
        poll_fn(|context| self.poll_next(context)).await
    }

    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        let (ended, trouble) = (&mut self.ended, &mut self.trouble);
        self.open.retain_mut(|(number, watch)| match watch.as_mut().poll(context) {
            Poll::Ready(outcome) => {
                ended.push_back(Event::Closed { stream: *number });
                *trouble = Some(outcome.err().unwrap_or_else(|| "ended".to_owned()));
                false
            }
            Poll::Pending => true,
        });
        // What a stream said last comes before its end.
        match self.lines.poll_recv(context) {
            Poll::Ready(Some(event)) => Poll::Ready(event),
            _ => self.ended.pop_front().map_or(Poll::Pending, Poll::Ready),
        }
    }
}

async fn watch(url: &Url, stream: u64, events: &mpsc::Sender<Event>) -> Result<(), String> {
    let tcp = TcpStream::connect(url.address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(tcp)).await.map_err(|error| error.to_string())?;
    let request = Request::get(&url.path)
        .header(HOST, url.address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let talk = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        if response.status() != 200 {
            return Err(format!("answered {}", response.status()));
        }
        let _ = events.send(Event::Opened { stream }).await;
        listen(response.into_body(), stream, events).await
    };
    while_it_lasts(connection, talk).await
}

/// Talks until that has come to its end, or the connection to its. The connection comes first: what it fetches from the
/// socket is read in the same turn, and what has arrived when it ends is read to its end.
pub(crate) async fn while_it_lasts(
    connection: impl Future,
    talk: impl Future<Output = Result<(), String>>,
) -> Result<(), String> {
    let carry = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = carry => Ok(()),
        outcome = talk => outcome,
    }
}

async fn listen(
    mut body: hyper::body::Incoming,
    stream: u64,
    events: &mpsc::Sender<Event>,
) -> Result<(), String> {
    let mut buffer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() else { continue };
        buffer.extend_from_slice(&data);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line = buffer.split_to(end);
            buffer.advance(1);
            match read(&line) {
                Some(reading) => drop(events.send(Event::Line { stream, reading }).await),
                // What cannot be understood is no sign of life.
                None => {
                    tracing::debug!(line = %String::from_utf8_lossy(&line).escape_debug(), "unknown health line");
                }
            }
        }
        if buffer.len() > MAX_LINE {
            return Err(format!("a line of more than {MAX_LINE} bytes"));
        }
    }
    Ok(())
}

fn read(line: &[u8]) -> Option<Reading> {
    let line: Line = serde_json::from_slice(line).ok()?;
    Reading::from_word(&line.state)
}

/// Words that wait to be taken; when full, the stream is not read on until they are.
const LINES: usize = 64;
/// Longest line in bytes.
const MAX_LINE: usize = 16 * 1024;
