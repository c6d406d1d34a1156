//! A connection to a server, for one request and its answer (RFC 9112 §2 to §9).
//!
//! The head of the answer is read as leniently as pingora reads it, for servers differ; whether it has one reading
//! is judged by the same stage ([`crate::answers`]). Where its body ends is taken from fields that were judged, and
//! chunks are read strictly: what comes behind them would be the next client's answer.

use crate::scratch;
use crate::upstream::Connection;
use bytes::{Buf, Bytes, BytesMut};
use gateway_core::strict::chunks::Chunks;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Method, StatusCode, Version};
use pingora::http::{ResponseHeader, header_value_from_raw};
use pingora::{Error, ErrorType, OrErr, Result};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// The connection, while a request runs on it.
pub(super) struct Server {
    stream: Connection,
    /// How long it may be silent, and not take what it is sent.
    patience: Duration,
    /// What has been read and not been used.
    read: BytesMut,
    body: Body,
    /// What of `read` is handed out.
    lent: usize,
    /// Whether the connection can be used again when the body has ended.
    stays: bool,
}

/// What is left of the answer's body.
enum Body {
    /// Nothing.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunks(Chunks),
    /// Whatever comes until the connection ends.
    UntilEnd,
}

impl Server {
    pub(super) fn new(stream: Connection, patience: Duration) -> Self {
        Self { stream, patience, read: BytesMut::new(), body: Body::None, lent: 0, stays: false }
    }

    pub(super) fn socket(&self) -> RawFd {
        self.stream.socket()
    }

    /// Whether the answer has been read to its end.
    pub(super) fn is_done(&self) -> bool {
        match &self.body {
            Body::None | Body::Length(0) => true,
            Body::Length(_) | Body::UntilEnd => false,
            Body::Chunks(chunks) => chunks.is_done(),
        }
    }

    /// The connection, if the next request may use it.
    pub(super) fn rest(self) -> Option<Connection> {
        (self.stays && self.is_done() && self.read.len() == self.lent).then_some(self.stream)
    }

    /// Sends the head of a request.
    pub(super) async fn send(&mut self, head: &[u8]) -> Result<()> {
        let write = async {
            self.stream.write_all(head).await?;
            self.stream.flush().await
        };
        match timeout(self.patience, pin!(write)).await {
            Ok(written) => written.or_err(ErrorType::WriteError, "a request's head"),
            Err(_) => Err(Error::explain(ErrorType::WriteTimedout, "a request's head")),
        }
    }

    /// Reads the head of an answer, of which there is more than one where the first only inform.
    pub(super) async fn answer(&mut self) -> Result<Box<ResponseHeader>> {
        loop {
            if !self.read.is_empty()
                && let Some(answer) = self.parse()?
            {
                return Ok(answer);
            }
            if self.read.len() > MAX_HEAD {
                return Err(Error::explain(ErrorType::InvalidHTTPHeader, "an answer's head has no end"));
            }
            let patience = self.patience;
            let more = in_time(patience, pin!(scratch::read(&mut self.stream))).await?;
            if more.is_empty() {
                return Err(Error::explain(ErrorType::ConnectionClosed, "before an answer's head"));
            }
            self.read.unsplit(more);
        }
    }

    /// Says how the body of this answer ends, which is the last to its request.
    pub(super) fn expect(&mut self, answer: &ResponseHeader, asked: &Method) {
        let fields = &answer.headers;
        let has_none = matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let length = fields.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.trim().parse().ok());
        self.body = match length {
            _ if has_none || asked == Method::HEAD => Body::None,
            _ if fields.contains_key(TRANSFER_ENCODING) => Body::Chunks(Chunks::default()),
            Some(length) => Body::Length(length),
            None => Body::UntilEnd,
        };
        let says = |option: &[u8]| {
            let lines = fields.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
            let mut options = lines.flat_map(|line| line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
            options.any(|said| said.eq_ignore_ascii_case(option))
        };
        let stays = !says(b"close") && (answer.version == Version::HTTP_11 || says(b"keep-alive"));
        self.stays = stays && !matches!(self.body, Body::UntilEnd);
    }

    /// The next bytes of the body; `None` at its end.
    pub(super) async fn piece(&mut self) -> Result<Option<&[u8]>> {
        loop {
            self.read.advance(std::mem::take(&mut self.lent));
            if self.is_done() {
                return Ok(None);
            }
            if self.read.is_empty() && self.fill().await? == 0 {
                if matches!(self.body, Body::UntilEnd) {
                    self.body = Body::None;
                    return Ok(None);
                }
                return Err(Error::explain(ErrorType::ConnectionClosed, "within an answer's body"));
            }
            let (data, seen) = self.data()?;
            self.lent = seen;
            if data > 0 {
                return Ok(self.read.get(..data));
            }
        }
    }

    /// How much data of the body what was read begins with, and how much of it has been used then.
    fn data(&mut self) -> Result<(usize, usize)> {
        let whole = self.read.len();
        match &mut self.body {
            Body::None => Ok((0, 0)),
            Body::UntilEnd => Ok((whole, whole)),
            Body::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(whole);
                *left -= taken as u64;
                Ok((taken, taken))
            }
            Body::Chunks(chunks) => {
                // What belongs together moves together, or each chunk would be a system call.
                let (mut seen, mut taken) = (0, 0);
                loop {
                    let data = chunks.data(self.read.get(seen..).unwrap_or_default());
                    let data = data.map_err(|reason| Error::explain(ErrorType::InvalidHTTPHeader, reason))?;
                    let (from, to) = (seen + data.start, seen + data.end);
                    self.read.copy_within(from..to, taken);
                    (seen, taken) = (to, taken + data.len());
                    if data.is_empty() {
                        return Ok((taken, seen));
                    }
                }
            }
        }
    }

    /// Reads once.
    async fn fill(&mut self) -> Result<usize> {
        self.read.reserve(PIECE);
        in_time(self.patience, pin!(self.stream.read_buf(&mut self.read))).await
    }

    fn parse(&mut self) -> Result<Option<Box<ResponseHeader>>> {
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let mut config = httparse::ParserConfig::default();
        config.allow_spaces_after_header_name_in_responses(true);
        config.allow_obsolete_multiline_headers_in_responses(true);
        let told = config.parse_response_with_uninit_headers(&mut parsed, &self.read, &mut fields);
        let told = told.or_err(ErrorType::InvalidHTTPHeader, "an answer's head")?;
        let httparse::Status::Complete(length) = told else { return Ok(None) };
        let mut answer =
            ResponseHeader::build(parsed.code.unwrap_or(0), Some(parsed.headers.len() + OUR_FIELDS))?;
        answer.set_version(if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 });
        answer.set_reason_phrase(parsed.reason)?;
        let base = self.read.as_ptr() as usize;
        let places: Vec<[usize; 4]> = parsed
            .headers
            .iter()
            .map(|field| {
                let (name, value) =
                    (field.name.as_ptr() as usize - base, field.value.as_ptr() as usize - base);
                [name, name + field.name.len(), value, value + field.value.len()]
            })
            .collect();
        // Names and values are parts of one piece of memory, as they came.
        let head: Bytes = self.read.split_to(length).freeze();
        for [name, name_end, value, value_end] in places {
            let value = header_value_from_raw(head.slice(value..value_end));
            answer.append_header(head.slice(name..name_end), value)?;
        }
        if answer.headers.contains_key(TRANSFER_ENCODING) {
            // RFC 9112 §6.3: it comes before a length.
            answer.remove_header(&CONTENT_LENGTH);
        }
        Ok(Some(Box::new(answer)))
    }
}

/// What a server sends, if it does so in time.
async fn in_time<T>(patience: Duration, read: Pin<&mut impl Future<Output = io::Result<T>>>) -> Result<T> {
    match timeout(patience, read).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => Err(Error::because(ErrorType::ReadError, "an answer", error)),
        Err(_) => Err(Error::explain(ErrorType::ReadTimedout, "an answer")),
    }
}

/// What a body is read into: so few system calls that they do not count.
const PIECE: usize = 64 * 1024;
/// Bytes of an answer's head, as pingora has it.
const MAX_HEAD: usize = 1024 * 1024;
/// Fields of an answer's head, likewise.
const MAX_FIELDS: usize = 256;
/// Fields that are added on the way: room for them from the start spares a second table.
const OUR_FIELDS: usize = 3;
