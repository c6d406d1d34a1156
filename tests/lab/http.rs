//! The lab's HTTP client: one request, one deadline, one outcome.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

/// A request to make.
#[derive(Clone, Debug)]
pub struct Request {
    /// The address that it goes to.
    pub to: SocketAddr,
    /// The address that it comes from; `None`: whatever the system picks.
    pub from: Option<Ipv4Addr>,
    /// The method.
    pub method: Method,
    /// The host that it asks for.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// More header fields.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// From the first packet to the last byte of the answer.
    pub deadline: Duration,
}

impl Request {
    /// `GET path` of `host`, at `to`, within two seconds.
    pub fn get(to: impl Into<SocketAddr>, host: &str, path: &str) -> Self {
        Self {
            to: to.into(),
            from: None,
            method: Method::GET,
            host: host.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            deadline: Duration::from_secs(2),
        }
    }

    /// As this client.
    #[must_use]
    pub const fn from(mut self, client: Ipv4Addr) -> Self {
        self.from = Some(client);
        self
    }

    /// With one more header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body, as POST.
    #[must_use]
    pub fn post(mut self, body: impl Into<Bytes>) -> Self {
        self.method = Method::POST;
        self.body = body.into();
        self
    }

    /// Within another time.
    #[must_use]
    pub const fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

/// A whole answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// A header field's value; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Which server of the lab answered.
    pub fn server(&self) -> &str {
        self.header(SERVER.as_str())
    }

    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Why there is no whole answer with a 2xx status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// No connection: refused, reset or unreachable.
    Connect,
    /// The connection broke before the answer was whole.
    Broken,
    /// The deadline passed.
    Timeout,
    /// A whole answer with another status.
    Status(u16),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("no connection"),
            Self::Broken => f.write_str("broken"),
            Self::Timeout => f.write_str("timeout"),
            Self::Status(status) => write!(f, "{status}"),
        }
    }
}

/// The server of the lab that answered.
pub static SERVER: HeaderName = HeaderName::from_static("x-lab-server");

/// Makes one request on a connection of its own.
pub async fn fetch(request: Request) -> Result<Answer, Failure> {
    let deadline = request.deadline;
    let exchange = async {
        let mut connection = Connection::open(request.to, request.from).await?;
        connection.exchange(&request.header(CONNECTION.as_str(), "close")).await
    };
    tokio::time::timeout(deadline, exchange).await.unwrap_or(Err(Failure::Timeout))
}

/// A connection that carries one request after the other.
pub struct Connection {
    send: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects, from `from` if that is given.
    pub async fn open(to: SocketAddr, from: Option<Ipv4Addr>) -> Result<Self, Failure> {
        let stream = connect(to, from).await.map_err(|_| Failure::Connect)?;
        let (send, connection) = handshake(TokioIo::new(stream)).await.map_err(|_| Failure::Connect)?;
        // Ends with the connection; what breaks it is seen by the request that was on it.
        tokio::spawn(async move { connection.await.unwrap_or_default() });
        Ok(Self { send })
    }

    /// One request, within its deadline.
    pub async fn fetch(&mut self, request: &Request) -> Result<Answer, Failure> {
        tokio::time::timeout(request.deadline, self.exchange(request)).await.unwrap_or(Err(Failure::Timeout))
    }

    /// Whether the other side has closed it in order.
    pub fn is_closed(&self) -> bool {
        self.send.is_closed()
    }

    async fn exchange(&mut self, request: &Request) -> Result<Answer, Failure> {
        let mut message = hyper::Request::builder()
            .method(request.method.clone())
            .uri(&request.path)
            .header(HOST, &request.host);
        for (name, value) in &request.headers {
            message = message.header(name, value);
        }
        let message = message.body(Full::new(request.body.clone())).map_err(|_| Failure::Broken)?;
        let answer = self.send.send_request(message).await.map_err(|_| Failure::Broken)?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|_| Failure::Broken)?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

async fn connect(to: SocketAddr, from: Option<Ipv4Addr>) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(from) = from {
        socket.bind((from, 0).into())?;
    }
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
