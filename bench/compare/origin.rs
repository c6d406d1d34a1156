//! The servers behind the proxies: they answer at once, with little or with much.

use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Starts one and returns its port.
pub(crate) async fn start() -> std::io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        }
    });
    Ok(port)
}

/// Requests have no bodies.
async fn serve(mut stream: TcpStream) -> Option<()> {
    let (small, large) = (answer(SMALL), answer(LARGE));
    let (mut buffer, mut filled) = (vec![0; 16 * 1024], 0);
    stream.set_nodelay(true).ok()?;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.ok().filter(|read| *read > 0)?;
        filled += read;
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            let answer = if buffer.starts_with(b"GET /large ") { &large } else { &small };
            stream.write_all(answer).await.ok()?;
            // Nobody else closes a connection that was only passed on.
            let head = buffer[..filled].to_ascii_lowercase();
            if head.windows(CLOSE.len()).any(|window| window == CLOSE) {
                return None;
            }
            filled = 0;
        }
    }
}

fn answer(length: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; length]].concat()
}

const CLOSE: &[u8] = b"\r\nconnection: close\r\n";
const SMALL: usize = 128;
const LARGE: usize = 1024 * 1024;
