//! One record for each request, and how it is told: HAProxy's httplog line (HAProxy manual, "HTTP
//! log format"), or in mode tcp one for each connection: tcplog.

mod json;
mod line;
mod tcplog;

use crate::capture::Captured;
use chrono::{DateTime, FixedOffset};
use line::{captured, escape, number, timer};
use std::net::SocketAddr;
use std::time::Duration;

/// What is known of a request when it is over.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// The client, with the port of its connection.
    pub client: SocketAddr,
    /// When the request began, in the local time of the node.
    pub accept_date: DateTime<FixedOffset>,
    /// The frontend's name.
    pub frontend: &'a str,
    /// Whether the frontend speaks TLS: HAProxy marks it with `~`.
    pub tls: bool,
    /// The backend's name; the frontend's if none was chosen.
    pub backend: &'a str,
    /// The server's name; `None` if none was chosen.
    pub server: Option<&'a str>,
    /// How long each part took.
    pub timers: Timers,
    /// The status that the client got; `None` if it got none.
    pub status: Option<u16>,
    /// Bytes sent to the client, head and body.
    pub bytes: u64,
    /// How it ended.
    pub termination: Termination,
    /// What became of the cookie by which clients keep their servers, where there is one: what came with the request,
    /// and what went with the answer, by HAProxy's letters.
    pub persistence: Option<(char, char)>,
    /// The reason word, if it was refused.
    pub reason: Option<&'a str>,
    /// What its client has had too much of, where that is only marked.
    pub mark: Option<&'a str>,
    /// What was captured of it, where anything is.
    pub captured: Option<Captured<'a>>,
    /// The request's id; `None` where it has none.
    pub id: Option<&'a [u8]>,
    /// How many others there were when it ended.
    pub counts: Counts,
    /// The request line: method, target as it came, version; `None` if no proper one came.
    pub request: Option<(&'a str, &'a [u8], &'a str)>,
}

/// HAProxy's TR, Tw, Tc, Tr and Ta; `None` is -1: it did not come to that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timers {
    /// TR: until the whole request head was there.
    pub request: Option<Duration>,
    /// Tw: in queues.
    pub queue: Option<Duration>,
    /// Tc: until the connection to the server was there.
    pub connect: Option<Duration>,
    /// Tr: until the server's answer began.
    pub response: Option<Duration>,
    /// Ta: all of it.
    pub total: Duration,
}

/// The first two characters of HAProxy's termination state: who ended it, and in which phase (HAProxy
/// manual, "Session state at disconnection").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Termination {
    /// `----`: it ended as it should.
    #[default]
    Normal,
    /// `PR--`: refused here, by a rule or since it was no proper request.
    Refused,
    /// `PT--`: refused here, after a wait in a tarpit.
    Tarpit,
    /// `LR--`: answered here, by a rule.
    Local,
    /// `CR--`: the client went away before its request was whole.
    ClientInRequest,
    /// `cR--`: the client did not send its request in time.
    ClientTimeoutInRequest,
    /// `CH--`: the client went away while the server had not answered.
    ClientInHeaders,
    /// `cH--`: the client fell silent in the middle of its request's body.
    ClientTimeoutInHeaders,
    /// `CD--`: the client went away while the answer was under way.
    ClientInData,
    /// `cD--`: the client took no more of the answer, or sent no more of its body, for too long.
    ClientTimeoutInData,
    /// `CC--`: the client went away before there was a connection to a server.
    ClientInConnect,
    /// `CQ--`: the client went away while its request waited for a place on a server.
    ClientInQueue,
    /// `SQ--`: as many waited already as may.
    QueueFull,
    /// `sQ--`: no place on a server came free in time.
    TimeoutInQueue,
    /// `SC--`: no server could be reached.
    ServerInConnect,
    /// `sC--`: no server could be reached in time.
    TimeoutInConnect,
    /// `RC--`: this node had no file, port or memory left to reach one with.
    NoResources,
    /// `SH--`: the server went away, or spoke nonsense, before its answer.
    ServerInHeaders,
    /// `sH--`: the server did not answer in time.
    TimeoutInHeaders,
    /// `SD--`: the server went away in the middle of its answer.
    ServerInData,
    /// `sD--`: the server fell silent in the middle of its answer.
    TimeoutInData,
    /// `KD--`: cut off, as the gateway ended.
    Killed,
    /// `I---`: a fault of the gateway itself.
    Internal,
}

/// What else was going on when the request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections of the whole gateway.
    pub actconn: u64,
    /// Connections of the frontend.
    pub feconn: u64,
    /// Requests of the backend.
    pub beconn: u64,
    /// Requests of the server.
    pub srv_conn: u64,
    /// Times it was tried again.
    pub retries: u32,
    /// Whether the last try went to another server than the first.
    pub redispatched: bool,
    /// Where in the server's line it stood when it joined, from 1; 0: it did not wait there.
    pub srv_queue: usize,
    /// The same for the line for any server.
    pub backend_queue: usize,
}

impl Termination {
    /// Its two characters.
    pub fn code(self) -> &'static str {
        match self {
            Self::Normal => "--",
            Self::Refused => "PR",
            Self::Tarpit => "PT",
            Self::Local => "LR",
            Self::ClientInRequest => "CR",
            Self::ClientTimeoutInRequest => "cR",
            Self::ClientInHeaders => "CH",
            Self::ClientTimeoutInHeaders => "cH",
            Self::ClientInData => "CD",
            Self::ClientTimeoutInData => "cD",
            Self::ClientInConnect => "CC",
            Self::ClientInQueue => "CQ",
            Self::QueueFull => "SQ",
            Self::TimeoutInQueue => "sQ",
            Self::ServerInConnect => "SC",
            Self::TimeoutInConnect => "sC",
            Self::NoResources => "RC",
            Self::ServerInHeaders => "SH",
            Self::TimeoutInHeaders => "sH",
            Self::ServerInData => "SD",
            Self::TimeoutInData => "sD",
            Self::Killed => "KD",
            Self::Internal => "I-",
        }
    }
}

impl Record<'_> {
    /// Appends the record to `out` as one line of httplog, with its line end.
    pub fn write_httplog(&self, out: &mut String) {
        self.begin(out);
        let timers = &self.timers;
        for part in [timers.request, timers.queue, timers.connect, timers.response] {
            timer(out, part);
            out.push('/');
        }
        timer(out, Some(timers.total));
        out.push(' ');
        match self.status {
            Some(status) => number(out, status.into()),
            None => out.push_str("-1"),
        }
        out.push(' ');
        number(out, self.bytes);
        for cookie in [Captured::request_cookie, Captured::response_cookie] {
            out.push(' ');
            match self.captured.and_then(cookie) {
                Some(cookie) => captured(cookie, out),
                None => out.push('-'),
            }
        }
        out.push(' ');
        out.push_str(self.termination.code());
        let (came, gave) = self.persistence.unwrap_or(('-', '-'));
        out.extend([came, gave, ' ']);
        self.counts.write(out);
        self.write_captured(out);
        out.push_str(" \"");
        match self.request {
            None => out.push_str("<BADREQ>"),
            Some((method, target, version)) => {
                escape(method.as_bytes(), out);
                out.push(' ');
                escape(target, out);
                out.push(' ');
                escape(version.as_bytes(), out);
            }
        }
        out.push_str("\"\n");
    }

    /// `{id|mark|field|…} {field|…}`, each block only where there can be something in it.
    fn write_captured(&self, out: &mut String) {
        let own = [self.id, self.mark.map(str::as_bytes)];
        let own = own
            .into_iter()
            .enumerate()
            .filter(|(place, text)| text.is_some() || *place == 0 && self.mark.is_some());
        let own = own.map(|(_, text)| text.unwrap_or_default());
        let request = self.captured.into_iter().flat_map(Captured::request).map(|(_, value)| value);
        block(own.chain(request), out);
        block(self.captured.into_iter().flat_map(Captured::response).map(|(_, value)| value), out);
    }
}

fn block<'a>(values: impl Iterator<Item = &'a [u8]>, out: &mut String) {
    let mut begin = " {";
    for value in values {
        out.push_str(begin);
        captured(value, out);
        begin = "|";
    }
    if begin == "|" {
        out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    pub(super) fn record() -> Record<'static> {
        let zone = FixedOffset::east_opt(3600).expect("an hour");
        Record {
            client: "192.0.2.7:55544".parse().expect("an address"),
            accept_date: zone
                .with_ymd_and_hms(2026, 11, 21, 20, 47, 6)
                .single()
                .map(|date| date + Duration::from_millis(714))
                .expect("a date"),
            frontend: "fe",
            tls: false,
            backend: "be",
            server: Some("s1"),
            timers: Timers {
                request: Some(Duration::ZERO),
                queue: Some(Duration::ZERO),
                connect: Some(Duration::from_micros(1_900)),
                response: Some(Duration::from_millis(12)),
                total: Duration::from_millis(15),
            },
            status: Some(200),
            bytes: 217,
            termination: Termination::Normal,
            persistence: None,
            reason: None,
            mark: None,
            captured: None,
            id: None,
            counts: Counts {
                actconn: 4,
                feconn: 3,
                beconn: 2,
                srv_conn: 1,
                retries: 1,
                redispatched: true,
                srv_queue: 0,
                backend_queue: 5,
            },
            request: Some(("GET", b"/x", "HTTP/1.1")),
        }
    }

    fn line(record: &Record<'_>) -> String {
        let mut line = String::new();
        record.write_httplog(&mut line);
        line
    }

    #[test]
    fn a_line_is_as_haproxy_writes_it() {
        assert_eq!(
            line(&record()),
            "192.0.2.7:55544 [21/Nov/2026:20:47:06.714] fe be/s1 0/0/1/12/15 200 217 - - ---- 4/3/2/1/+1 0/5 \
             \"GET /x HTTP/1.1\"\n"
        );
    }

    #[test]
    fn an_id_stands_where_haproxy_has_what_it_captures() {
        let line = line(&Record { id: Some(b"7f3a-1"), ..record() });
        assert!(line.ends_with(" 4/3/2/1/+1 0/5 {7f3a-1} \"GET /x HTTP/1.1\"\n"), "{line}");
    }

    #[test]
    fn what_did_not_happen_is_minus_one() {
        let refused = Record {
            backend: "fe",
            server: None,
            timers: Timers { request: Some(Duration::ZERO), ..Timers::default() },
            status: None,
            termination: Termination::Refused,
            counts: Counts::default(),
            tls: true,
            ..record()
        };
        let line = line(&refused);
        assert!(line.contains(" fe~ fe/<NOSRV> 0/-1/-1/-1/0 -1 217 - - PR-- 0/0/0/0/0 0/0 "), "{line}");
    }

    #[test]
    fn what_is_no_request_is_said_to_be_none() {
        let slow = Record {
            backend: "fe",
            server: None,
            timers: Timers { total: Duration::from_millis(1002), ..Timers::default() },
            status: Some(408),
            bytes: 0,
            termination: Termination::ClientTimeoutInRequest,
            counts: Counts { actconn: 1, feconn: 1, ..Counts::default() },
            request: None,
            ..record()
        };
        let line = line(&slow);
        assert!(
            line.ends_with(" fe fe/<NOSRV> -1/-1/-1/-1/1002 408 0 - - cR-- 1/1/0/0/0 0/0 \"<BADREQ>\"\n"),
            "{line}"
        );
    }

    #[test]
    fn a_request_can_not_break_its_line() {
        let evil = Record { request: Some(("GET", b"/\"\n#\xff", "HTTP/1.1")), ..record() };
        let line = line(&evil);
        assert!(line.ends_with("\"GET /#22#0A#23#FF HTTP/1.1\"\n"), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
    }
}
