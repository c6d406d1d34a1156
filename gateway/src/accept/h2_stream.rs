//! One request of HTTP/2 and its answer, as a session of pingora's proxy. pingora has one of its own, which drops what only
//! informs: answers before the answer (1xx, RFC 9110 §15.2), so that no client would be told to go on with its body.
//!
//! Promises: of a request's body at most 64 KiB are kept to be sent again; a stream that is dropped before its answer has
//! ended is reset, and no other stream hears of it.

use ::h2::server::{Connection, SendResponse};
use ::h2::{Reason, RecvStream, SendStream};
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::{Response, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::body_buffer::FixedBuffer;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::date::get_cached_date;
use pingora::protocols::http::v2::write_body;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::{Digest, Stream};
use pingora::{Error, ErrorType, OrErr, Result};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A request whose head has been read.
pub(super) struct H2Stream {
    head: RequestHeader,
    body: RecvStream,
    respond: SendResponse<Bytes>,
    /// The answer's body, once its head is written.
    answer: Option<SendStream<Bytes>>,
    written: Option<Box<ResponseHeader>>,
    /// Whether the answer has ended.
    ended: bool,
    /// Bytes of the request's body that have been read, and of the answer's that have been written.
    read: usize,
    sent: usize,
    /// What of the request's body can be sent again.
    again: Option<FixedBuffer>,
    digest: Arc<Digest>,
    /// How long the client may take nothing, and how long a body may take that nobody wants.
    write_timeout: Option<Duration>,
    drain_timeout: Option<Duration>,
}

impl H2Stream {
    /// The next one of a connection, which is carried out meanwhile; `None` at its end. May be dropped, and called again.
    pub(super) async fn accept(
        connection: &mut Connection<Stream, Bytes>,
        digest: &Arc<Digest>,
        client_timeout: Duration,
    ) -> Result<Option<Self>, ::h2::Error> {
        let Some((request, respond)) = connection.accept().await.transpose()? else { return Ok(None) };
        let (head, body) = request.into_parts();
        Ok(Some(Self {
            head: head.into(),
            body,
            respond,
            answer: None,
            written: None,
            ended: false,
            read: 0,
            sent: 0,
            again: None,
            digest: Arc::clone(digest),
            write_timeout: Some(client_timeout),
            drain_timeout: Some(client_timeout),
        }))
    }

    /// What only informs, or the answer's head.
    fn respond(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Result<()> {
        if self.ended || self.written.is_some() {
            return Ok(());
        }
        ONE_CONNECTIONS.iter().for_each(|field| drop(head.remove_header(field)));
        if head.status.is_informational() {
            // RFC 9113 §8.6: there is no switching of protocols.
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(());
            }
            let informs = Response::from_parts(head.as_owned_parts(), ());
            return self.respond.send_informational(informs).or_err(ErrorType::WriteError, "what informs");
        }
        head.insert_header(DATE, get_cached_date())?;
        let answer = Response::from_parts(head.as_owned_parts(), ());
        let body =
            self.respond.send_response(answer, end).or_err(ErrorType::WriteError, "an answer's head")?;
        (self.written, self.answer, self.ended) = (Some(head), Some(body), end);
        Ok(())
    }

    async fn write(&mut self, data: Bytes, end: bool) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let body = self.answer.as_mut().ok_or_else(no_head)?;
        let length = data.len();
        let patience = self.write_timeout.unwrap_or(Duration::MAX);
        let late = |_| Error::explain(ErrorType::WriteTimedout, "a piece of an answer");
        timeout(patience, write_body(body, data, end, None)).await.map_err(late)??;
        (self.sent, self.ended) = (self.sent + length, end);
        Ok(())
    }

    fn trail(&mut self, fields: HeaderMap) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let body = self.answer.as_mut().ok_or_else(no_head)?;
        body.send_trailers(fields).or_err(ErrorType::WriteError, "an answer's trailers")?;
        self.ended = true;
        Ok(())
    }

    /// Ends the answer, if its head is written; else the stream is reset when it is dropped.
    fn end(&mut self) -> Result<()> {
        if let Some(body) = self.answer.as_mut().filter(|_| !self.ended) {
            body.send_data(Bytes::new(), true).or_err(ErrorType::WriteError, "an answer's end")?;
            self.ended = true;
        }
        Ok(())
    }

    /// Carries out one task; whether it is the last.
    async fn carry_out(&mut self, task: HttpTask) -> Result<bool> {
        let (done, ends) = match task {
            HttpTask::Header(head, end) => (self.respond(head, end), end),
            HttpTask::Body(Some(data), end) if !data.is_empty() => (self.write(data, end).await, end),
            HttpTask::Body(_, end) => (Ok(()), end),
            HttpTask::UpgradedBody(..) => {
                return Err(Error::explain(ErrorType::InternalError, "a tunnel in HTTP/2").into_in());
            }
            HttpTask::Trailer(Some(fields)) => (self.trail(*fields), true),
            HttpTask::Trailer(None) | HttpTask::Done => (Ok(()), true),
            HttpTask::Failed(error) => return Err(error),
        };
        done.map(|()| ends).map_err(|error| error.into_down())
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>> {
        let data = self.body.data().await.transpose().or_err(ErrorType::ReadError, "a request's body")?;
        if let Some(data) = &data {
            self.read += data.len();
            if let Some(again) = &mut self.again {
                again.write_to_buffer(data);
            }
            // It fails only for a stream that has ended, where nobody waits for room.
            let _ = self.body.flow_control().release_capacity(data.len());
        }
        Ok(data)
    }

    fn has_no_body(&self) -> bool {
        let says_none = || self.head.headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0");
        self.read == 0 && (self.body.is_end_stream() || says_none())
    }

    fn has_all_of_body(&self) -> bool {
        self.has_no_body() || self.body.is_end_stream()
    }

    /// Ends when the client gives the stream up, or its connection ends.
    async fn given_up(&mut self) -> Result<Reason> {
        let reason = poll_fn(|cx| match &mut self.answer {
            Some(body) => body.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        });
        reason.await.or_err(ErrorType::H2Error, "while a client waits")
    }
}

#[async_trait]
impl Session for H2Stream {
    fn req_header(&self) -> &RequestHeader {
        &self.head
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.head
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.next_piece().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        if self.has_all_of_body() {
            return Ok(());
        }
        let patience = self.drain_timeout.unwrap_or(Duration::MAX);
        let drain = async {
            while self.next_piece().await?.is_some() {}
            Ok(())
        };
        let late = |_| Error::explain(ErrorType::ReadTimedout, "a body that nobody wants");
        timeout(patience, drain).await.map_err(late)?
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.respond(head, end)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.respond(Box::new(head.clone()), end)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.write(data, end).await
    }

    async fn write_trailers(&mut self, fields: HeaderMap) -> Result<()> {
        self.trail(fields)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut ends = false;
        for task in tasks {
            ends |= self.carry_out(task).await?;
        }
        if ends {
            self.end().map_err(|error| error.into_down())?;
        }
        Ok(ends)
    }

    fn set_read_timeout(&mut self, _timeout: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.write_timeout = timeout;
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.write_timeout
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.drain_timeout = timeout;
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.drain_timeout
    }

    fn request_summary(&self) -> String {
        format!("{} {}", self.head.method, self.head.uri)
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.written.as_deref()
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {
        if !self.ended {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }

    fn is_body_done(&mut self) -> bool {
        self.has_all_of_body()
    }

    async fn finish(&mut self) -> Result<()> {
        self.end()
    }

    fn is_body_empty(&mut self) -> bool {
        self.has_no_body()
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !no_body_expected && !self.has_all_of_body() {
            return self.next_piece().await;
        }
        let reason = self.given_up().await?;
        Err(Error::explain(ErrorType::H2Error, format!("the client has given it up: {reason}")))
    }

    fn body_bytes_sent(&self) -> usize {
        self.sent
    }

    fn body_bytes_read(&self) -> usize {
        self.read
    }

    fn digest(&self) -> Option<&Digest> {
        Some(&self.digest)
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        Arc::get_mut(&mut self.digest)
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.peer_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.local_addr()
    }

    /// Only asked for by requests that pingora makes of others, of which there are none.
    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        Bytes::new()
    }

    fn enable_retry_buffering(&mut self) {
        self.again.get_or_insert_with(|| FixedBuffer::new(KEPT));
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.again.as_ref().is_some_and(FixedBuffer::is_truncated)
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.again.as_ref().filter(|again| !again.is_truncated())?.get_buffer()
    }

    // What follows is for protocols with messages beside requests.

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<Messages> {
        None
    }

    fn restore_custom_message_reader(&mut self, _reader: Messages) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _writer: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}

fn no_head() -> Box<Error> {
    Error::explain(ErrorType::H2Error, "a body before its head")
}

type Messages = Box<dyn futures_core::Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>;

/// Bytes of a body that can be sent again, as of one of HTTP/1.
const KEPT: usize = 64 * 1024;
/// Fields of one connection, which HTTP/2 does not have (RFC 9113 §8.2.2).
const ONE_CONNECTIONS: [HeaderName; 5] = [
    TRANSFER_ENCODING,
    CONNECTION,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];
