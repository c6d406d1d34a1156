//! Asks a server's agent: connects, sends what is to be sent, and reads one line.

use crate::probe::by;
use base::Clock;
use base_core::Time;
use healthcheck_core::agent::{MAX_LINE, Report};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What an agent said, or why nothing is known.
pub async fn ask(target: SocketAddr, send: &[u8], clock: Clock, deadline: Time) -> Result<Report, String> {
    let line = by(clock, deadline, line(target, send)).await.ok_or("no answer in time")?;
    let line = line.map_err(|error| error.to_string())?;
    Report::parse(&line).map_err(|word| format!("`{word}` is no word of an agent"))
}

async fn line(target: SocketAddr, send: &[u8]) -> io::Result<String> {
    let mut stream = TcpStream::connect(target).await?;
    stream.write_all(send).await?;
    let mut line = Vec::new();
    while !line.ends_with(b"\n") && line.len() <= MAX_LINE {
        match stream.read_u8().await {
            Ok(byte) => line.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    if line.len() > MAX_LINE {
        return Err(io::Error::other("a line without an end"));
    }
    String::from_utf8(line).map_err(|_| io::Error::other("no text"))
}
