//! The clients: each waits for an answer before it asks again.

use anyhow::{Context, Result, bail, ensure};
use rustls_pki_types::ServerName;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// What is asked of whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) port: u16,
    pub(crate) path: &'static str,
}

/// `requests` on `connections` that stay open.
pub(crate) async fn keep_alive(target: Target, connections: u32, requests: u32) -> Result<()> {
    all(connections, move || async move {
        let mut client = Client::connect(target).await?;
        for _ in 0..requests / connections {
            if !client.ask(false).await? {
                client = Client::connect(target).await?;
            }
        }
        Ok(())
    })
    .await
}

/// `requests`, each on a connection of its own, so many at once.
pub(crate) async fn new_connections(target: Target, at_once: u32, requests: u32) -> Result<()> {
    all(at_once, move || async move {
        for _ in 0..requests / at_once {
            Client::connect(target).await?.ask(true).await?;
        }
        Ok(())
    })
    .await
}

/// `requests`, each after a TLS handshake of its own.
pub(crate) async fn handshakes(
    target: Target,
    tls: &TlsConnector,
    at_once: u32,
    requests: u32,
) -> Result<()> {
    let tls = Arc::new(tls.clone());
    all(at_once, move || {
        let tls = Arc::clone(&tls);
        async move {
            for _ in 0..requests / at_once {
                let name = ServerName::try_from("localhost")?;
                let stream = tls.connect(name, connect(target).await?).await.context("the handshake")?;
                Client { stream, buffer: buffer(), target }.ask(true).await?;
            }
            Ok(())
        }
    })
    .await
}

/// Connections that have made one request and rest.
pub(crate) async fn idle(target: Target, connections: u32) -> Result<Vec<TcpStream>> {
    let mut resting = Vec::new();
    for _ in 0..connections {
        let mut client = Client::connect(target).await?;
        ensure!(client.ask(false).await?, "a connection was not kept");
        resting.push(client.stream);
    }
    Ok(resting)
}

async fn all<F>(at_once: u32, mut client: impl FnMut() -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut clients: JoinSet<_> = (0..at_once).map(|_| client()).collect();
    while let Some(ended) = timeout(DEADLINE, clients.join_next()).await.context("it takes too long")? {
        ended??;
    }
    Ok(())
}

/// A client on a connection.
struct Client<S> {
    stream: S,
    buffer: Vec<u8>,
    target: Target,
}

impl Client<TcpStream> {
    async fn connect(target: Target) -> Result<Self> {
        Ok(Self { stream: connect(target).await?, buffer: buffer(), target })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// One request and its answer; whether the connection can be used again.
    async fn ask(&mut self, close: bool) -> Result<bool> {
        let connection = if close { "Connection: close\r\n" } else { "" };
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n{connection}\r\n",
            self.target.path
        );
        self.stream.write_all(request.as_bytes()).await?;
        let mut filled = 0;
        let head = loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                bail!("closed after {filled} bytes of a head");
            }
            filled += read;
            if let Some(end) = self.buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        ensure!(text.starts_with("http/1.1 200 "), "{text}");
        let length = text.split_once("content-length:").and_then(|(_, rest)| rest.split("\r\n").next());
        let length: usize = length.context("no length")?.trim().parse()?;
        let stays = !text.contains("\r\nconnection: close\r\n");
        let mut left = (head + length).checked_sub(filled).context("too many bytes")?;
        while left > 0 {
            let most = left.min(self.buffer.len());
            let read = self.stream.read(&mut self.buffer[..most]).await?;
            ensure!(read > 0, "closed with {left} bytes to come");
            left -= read;
        }
        Ok(stays && !close)
    }
}

async fn connect(target: Target) -> Result<TcpStream> {
    let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, target.port))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn buffer() -> Vec<u8> {
    vec![0; 64 * 1024]
}

/// For all requests of a round, on a machine that does other things too.
const DEADLINE: Duration = Duration::from_secs(120);
