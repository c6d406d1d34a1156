//! One health request.
//!
//! Promises: it ends by its deadline, whatever the other side does; it keeps nothing open; it runs on whatever
//! tokio runtime it is called on. It can be dropped at any point.

mod command;
mod file;
mod group;
mod grpc;
mod talk;
mod tcp;
mod tls;

pub use command::Names;

use crate::tls::TlsError;
use base::Clock;
use base_core::Time;
use healthcheck_core::{CheckStatus, Finding, Kind, Outcome, TlsCheck};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tls::Connector;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Asks one kind of question, as often as wanted.
#[derive(Clone, Debug)]
pub struct Prober {
    kind: Kind,
    tls: Option<Connector>,
    names: Names,
    announces: Option<Header>,
    path: Option<PathBuf>,
}

/// What a connection begins with, TLS included, from `source` to `destination`.
pub type Header = fn(source: SocketAddr, destination: SocketAddr) -> Vec<u8>;

impl Prober {
    /// Loads what TLS needs, if it is spoken. `names` are told to commands.
    pub fn new(kind: Kind, tls: Option<&TlsCheck>, names: Names) -> Result<Self, TlsError> {
        let implied = TlsCheck::default();
        let tls = tls.or_else(|| matches!(kind, Kind::Tls).then_some(&implied));
        let tls = tls.map(|tls| Connector::new(tls, &kind)).transpose()?;
        Ok(Self { kind, tls, names, announces: None, path: None })
    }

    /// The same, for a command that is told these names.
    #[must_use]
    pub fn with_names(self, names: Names) -> Self {
        Self { names, ..self }
    }

    /// The same, with connections that begin with a header.
    #[must_use]
    pub fn announcing(self, announces: Option<Header>) -> Self {
        Self { announces, ..self }
    }

    /// The same, over the UNIX socket at `path`, if there is one: without TLS, and what it asks is called by its target.
    #[must_use]
    pub fn on(self, path: Option<PathBuf>) -> Self {
        Self { path, ..self }
    }

    /// Asks `target` once, and ends by `deadline`.
    pub async fn probe(&self, target: SocketAddr, clock: Clock, deadline: Time) -> Outcome {
        let started = clock.now();
        let Finding { status, code, note } = match &self.kind {
            Kind::Command(command) => command::run(command, &self.names, target, clock, deadline).await,
            Kind::File { path, absent } => file::look(path.clone(), *absent, clock, deadline).await,
            _ => match &self.path {
                Some(path) => self.local(path, target, clock, deadline).await,
                None => self.remote(target, clock, deadline).await,
            },
        };
        Outcome { status, code, note, duration: clock.now().since(started) }
    }

    async fn remote(&self, target: SocketAddr, clock: Clock, deadline: Time) -> Finding {
        let mut stream = match tcp::connect(target, clock, deadline).await {
            Ok(stream) => stream,
            Err(status) => return finding(status),
        };
        let source = stream.local_addr().ok();
        match self.announce(&mut stream, source, target, clock, deadline).await {
            false => finding(CheckStatus::L4Connection),
            true => self.over(stream, target, clock, deadline).await,
        }
    }

    async fn local(&self, path: &Path, target: SocketAddr, clock: Clock, deadline: Time) -> Finding {
        let mut stream = match tcp::connect_on(path, clock, deadline).await {
            Ok(stream) => stream,
            Err(status) => return finding(status),
        };
        match self.announce(&mut stream, Some(target), target, clock, deadline).await {
            false => finding(CheckStatus::L4Connection),
            true => self.ask(stream, target, clock, deadline).await.0,
        }
    }

    /// Whether the connection has begun as it should.
    async fn announce(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        source: Option<SocketAddr>,
        target: SocketAddr,
        clock: Clock,
        deadline: Time,
    ) -> bool {
        let Some(header) = self.announces else { return true };
        let Some(source) = source else { return false };
        let header = header(source, target);
        matches!(by(clock, deadline, stream.write_all(&header)).await, Some(Ok(())))
    }

    async fn over(&self, stream: TcpStream, target: SocketAddr, clock: Clock, deadline: Time) -> Finding {
        let Some(tls) = &self.tls else {
            let (finding, stream) = self.ask(stream, target, clock, deadline).await;
            if let Some(stream) = stream {
                tcp::discard(&stream);
            }
            return finding;
        };
        match by(clock, deadline, tls.connect(stream, target)).await {
            None => finding(CheckStatus::L6Timeout),
            Some(Err(note)) => Finding { status: CheckStatus::L6Response, code: None, note },
            Some(Ok(stream)) => {
                let (finding, stream) = self.ask(stream, target, clock, deadline).await;
                if let Some(mut stream) = stream {
                    tls::close(&mut stream, clock, deadline).await;
                }
                finding
            }
        }
    }

    /// Asks over a connection, and gives it back where it is still whole.
    async fn ask<S>(
        &self,
        mut stream: S,
        target: SocketAddr,
        clock: Clock,
        deadline: Time,
    ) -> (Finding, Option<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let found = match &self.kind {
            Kind::Grpc { service } => {
                return (grpc::ask(stream, service, target, clock, deadline).await, None);
            }
            kind => match healthcheck_core::talk::start(kind, target, talk::sha1) {
                Some(mut talk) => talk::carry(&mut stream, talk.as_mut(), clock, deadline).await,
                None if self.tls.is_some() => finding(CheckStatus::L6Ok),
                None => finding(CheckStatus::L4Ok),
            },
        };
        (found, Some(stream))
    }
}

const fn finding(status: CheckStatus) -> Finding {
    Finding { status, code: None, note: "" }
}

/// What `work` says, or `None` at `deadline`. An answer that has arrived by then counts, even if this process was
/// stopped and reads it late.
pub(crate) async fn by<T>(clock: Clock, deadline: Time, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        clock.sleep_until(deadline).await;
        // The runtime looks at its sockets before it comes back here.
        tokio::task::yield_now().await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = late => None,
    }
}
