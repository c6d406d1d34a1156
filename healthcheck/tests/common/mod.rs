//! Servers on loopback that answer in every wrong way.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for `work`, but not for ever.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it takes too long")
}

/// Serves each connection with `serve`; ends with the runtime of the test.
pub async fn server<F, S>(serve: S) -> SocketAddr
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
    S: Fn(TcpStream) -> F + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Reads a request, answers with these bytes, closes.
pub async fn answers(bytes: &'static [u8]) -> SocketAddr {
    server(move |mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(bytes).await?;
        stream.shutdown().await
    })
    .await
}

/// Reads a request, then writes `bytes` for ever, one piece each `pause`.
pub async fn never_ends(start: &'static [u8], bytes: &'static [u8], pause: Duration) -> SocketAddr {
    server(move |mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(start).await?;
        loop {
            stream.write_all(bytes).await?;
            tokio::time::sleep(pause).await;
        }
    })
    .await
}

/// Accepts, and never says a word.
pub async fn hangs() -> SocketAddr {
    server(|mut stream| async move {
        let mut buffer = [0; 1024];
        while stream.read(&mut buffer).await? > 0 {}
        Ok(())
    })
    .await
}

/// A port that nobody listens on.
pub async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    listener.local_addr().expect("it is bound")
}

pub async fn read_request(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&request).into_owned())
}
