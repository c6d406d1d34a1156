//! Stands in for routers: as many as wanted, each a listener on an address of its own.

use anyhow::{Context, Result, bail, ensure};
use base::Clock;
use base_core::Time;
use bgp_core::wire::attribute::PathAttributes;
use bgp_core::wire::prefix::Family;
use bgp_core::wire::{self, Message, Open, RouteRefresh, update};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// A router that waits for the speaker.
pub(crate) struct Router {
    listener: TcpListener,
}

/// A session with the speaker, on the router's side.
pub(crate) struct Session {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    buffer: Vec<u8>,
    /// Routes that it holds.
    held: usize,
    clock: Clock,
    keepalive: Time,
    longest: Duration,
}

impl Router {
    pub(crate) async fn listen(count: usize) -> Result<Vec<Self>> {
        let mut routers = Vec::new();
        for number in 0..count {
            let [.., high, low] = u32::try_from(number)?.to_be_bytes();
            let address = SocketAddr::from((Ipv4Addr::new(127, 77, high, low + 1), 0));
            routers.push(Self { listener: TcpListener::bind(address).await? });
        }
        Ok(routers)
    }

    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// The speaker's session, established.
    pub(crate) async fn session(&self, hold: u16) -> Result<Session> {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        let (stream, _) = accepted.context("the speaker does not come")??;
        stream.set_nodelay(true)?;
        let (read, mut write) = stream.into_split();
        let hello = [Open::ours(65000, hold, [10, 0, 0, 1].into()).encode(), wire::keepalive()].concat();
        write.write_all(&hello).await?;
        let clock = Clock::start();
        let keepalive = clock.now();
        Ok(Session { clock, read, write, buffer: Vec::new(), held: 0, keepalive, longest: Duration::ZERO })
    }
}

impl Session {
    /// Until so many routes are held.
    pub(crate) async fn announced(&mut self, count: usize) -> Result<()> {
        while self.held != count {
            self.read().await?;
        }
        Ok(())
    }

    /// Until so many routes are gone, which are all.
    pub(crate) async fn withdrawn(&mut self, count: usize) -> Result<()> {
        while self.held > 0 {
            self.read().await?;
        }
        if self.held != 0 { bail!("{} of {count} are left", self.held) } else { Ok(()) }
    }

    /// Sends the messages and a refresh, and reads until that is answered: all was read.
    pub(crate) async fn feed(&mut self, messages: &[u8]) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        let mut rest = messages;
        while !rest.is_empty() {
            let (read, write) = (&mut self.read, &mut self.write);
            let mut bytes = [0; 4096];
            tokio::select! {
                sent = write.write(rest) => rest = &rest[sent?..],
                count = read.read(&mut bytes) => {
                    let count = count?;
                    self.take(&bytes[..count])?;
                }
            }
        }
        // What came of itself would be taken for the answer.
        ensure!(self.held == 0, "the speaker announced {} routes unasked", self.held);
        self.write.write_all(&RouteRefresh::encode(Family::Ipv4)).await?;
        self.announced(held).await
    }

    /// Between two KEEPALIVEs since it was last asked.
    pub(crate) fn longest_silence(&mut self) -> Duration {
        std::mem::take(&mut self.longest)
    }

    async fn read(&mut self) -> Result<()> {
        let mut bytes = [0; 16 * 1024];
        let count = tokio::time::timeout(PATIENCE, self.read.read(&mut bytes)).await;
        let count = count.context("the speaker says nothing")??;
        self.take(&bytes[..count])
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            bail!("the speaker has gone");
        }
        self.buffer.extend(bytes);
        let mut start = 0;
        while let Ok(Some(length)) = wire::frame(&self.buffer[start..]) {
            match wire::decode(&self.buffer[start..start + length]) {
                Ok(Message::Update(update)) => {
                    self.held += update.nlri().count();
                    self.held -= update.withdrawn().count().min(self.held);
                }
                Ok(Message::Keepalive) => {
                    let now = self.clock.now();
                    let before = std::mem::replace(&mut self.keepalive, now);
                    self.longest = self.longest.max(now - before);
                }
                Ok(Message::Notification(notification)) => bail!("the speaker ends it: {notification}"),
                _ => {}
            }
            start += length;
        }
        self.buffer.drain(..start);
        Ok(())
    }
}

/// UPDATEs that announce so many prefixes.
pub(crate) fn full_table(routes: u32) -> Vec<u8> {
    let attributes = PathAttributes {
        as_path: vec![65000, 64999, 64998],
        next_hop: [127, 77, 0, 1].into(),
        med: Some(1),
        local_pref: None,
        communities: vec![0xfde8_0001],
        large_communities: vec![],
        extended_communities: vec![],
    };
    let prefixes: Vec<_> =
        (0..routes).map(|number| IpAddr::V4((0x0b00_0000 + number).into()).into()).collect();
    update::announce(&attributes, &prefixes, true).concat()
}

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);
