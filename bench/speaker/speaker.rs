//! The speaker's process, and what it goes by: a health stream that says `ready` until it dies.

use crate::router::Router;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A running speaker; dropping it ends it.
pub(crate) struct Speaker {
    child: Child,
    _folder: TempDir,
}

impl Speaker {
    pub(crate) fn start(
        program: &Path,
        health: SocketAddr,
        routers: &[Router],
        vips: usize,
        hold: u16,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut config = format!(
            "[bgp]\nasn = 65010\nrouter_id = \"10.0.0.2\"\nretry_max = \"1s\"\nhold_time = \"{hold}s\"\nsocket = \"{}\"\n\
             [health]\nwatch = \"http://{health}/health/watch\"\n",
            folder.path().join("bgp.sock").display()
        );
        for router in routers {
            let address = router.address()?;
            let (ip, port) = (address.ip(), address.port());
            let _ = write!(config, "[[neighbor]]\naddress = \"{ip}\"\nport = {port}\nasn = 65000\n");
        }
        for number in 0..vips {
            let _ =
                write!(config, "[[vip]]\naddress = \"203.0.{}.{}\"\n", 100 + number / 250, 1 + number % 250);
        }
        let file = folder.path().join("bgp.toml");
        std::fs::write(&file, config)?;
        let mut command = Command::new(program);
        command.arg("run").arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| program.display().to_string())?;
        Ok(Self { child, _folder: folder })
    }

    /// MiB of memory that it holds.
    pub(crate) fn resident(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A health stream, and what makes it die: each change of the number ends the streams of the life before; a second later
/// it says `ready` again.
pub(crate) async fn health() -> Result<(SocketAddr, watch::Sender<u32>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (lives, life) = watch::channel(0);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, life.clone()));
        }
    });
    Ok((address, lives))
}

async fn serve(mut stream: TcpStream, mut life: watch::Receiver<u32>) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && request.len() < 4096 {
        request.push(stream.read_u8().await?);
    }
    if *life.borrow_and_update() > 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    loop {
        stream.write_all(b"1f\r\n{\"state\":\"ready\",\"reasons\":[]}\n\r\n").await?;
        if tokio::time::timeout(BEAT, life.changed()).await.is_ok() {
            return Ok(());
        }
    }
}

const BEAT: Duration = Duration::from_millis(100);
