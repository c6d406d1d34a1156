//! Where lines of the access log go: standard output, a file, syslog servers.

use crate::load::StartError;
use chrono::Local;
use gateway_core::Config;
use gateway_core::config::LogTarget;
use gateway_core::syslog::{Address, Target};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// A place that lines are written to. It may block: it has a thread of its own.
pub(super) trait Sink: Send {
    /// Writes whole lines.
    fn write(&mut self, lines: &str) -> Result<(), Lost>;
    /// What it is called in messages.
    fn name(&self) -> &str;
}

/// Lines that could not be written.
pub(super) struct Lost {
    /// How many; `None`: as many as there were.
    pub(super) all: Option<u64>,
    pub(super) error: io::Error,
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self { all: None, error }
    }
}

/// The places that a configuration names.
pub(super) fn all(config: &Config, node: &str) -> Result<Vec<Box<dyn Sink>>, StartError> {
    let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
    match &config.log {
        LogTarget::None => {}
        LogTarget::Stdout => sinks.push(Box::new(Stdout)),
        LogTarget::File(path) => {
            let file = LogFile::open(path);
            let failed = |source| StartError::AccessLog { path: path.clone(), source };
            sinks.push(Box::new(file.map_err(failed)?));
        }
    }
    for target in &config.syslog {
        let syslog = Syslog::new(target, node);
        sinks.push(Box::new(syslog.map_err(|source| StartError::System { what: "syslog", source })?));
    }
    Ok(sinks)
}

struct Stdout;

impl Sink for Stdout {
    fn write(&mut self, lines: &str) -> Result<(), Lost> {
        let mut out = io::stdout();
        out.write_all(lines.as_bytes())?;
        Ok(out.flush()?)
    }

    fn name(&self) -> &str {
        "stdout"
    }
}

/// A file, opened again when it has been moved or deleted, so that whoever rotates logs needs tell nobody.
struct LogFile {
    path: PathBuf,
    name: String,
    file: File,
    /// Whether it ends within a line, as a write broke off.
    torn: bool,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), name: path.display().to_string(), file: append(path)?, torn: false })
    }

    fn was_moved(&self) -> bool {
        let identity =
            |found: io::Result<std::fs::Metadata>| found.map(|found| (found.dev(), found.ino())).ok();
        identity(std::fs::metadata(&self.path)) != identity(self.file.metadata())
    }
}

impl Sink for LogFile {
    fn write(&mut self, lines: &str) -> Result<(), Lost> {
        if self.was_moved() {
            // Where none can be opened, the one before is still better than nothing.
            if let Ok(file) = append(&self.path) {
                (self.file, self.torn) = (file, false);
            }
        }
        if self.torn {
            self.file.write_all(b"\n")?;
        }
        self.torn = true;
        self.file.write_all(lines.as_bytes())?;
        self.torn = false;
        Ok(())
    }

    fn name(&self) -> &str {
        &self.name
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// A syslog server: a datagram for each line, which waits for nobody. One that is not there, or does not
/// keep up, loses lines; one that is back gets the next.
struct Syslog {
    target: Target,
    node: String,
    socket: Socket,
    name: String,
    buffer: Vec<u8>,
}

enum Socket {
    Udp(UdpSocket, SocketAddr),
    Unix(UnixDatagram, PathBuf),
}

impl Syslog {
    fn new(target: &Target, node: &str) -> io::Result<Self> {
        let (socket, name) = match &target.address {
            Address::Udp(address) => {
                let any: SocketAddr = match address {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(any)?;
                socket.set_nonblocking(true)?;
                (Socket::Udp(socket, *address), address.to_string())
            }
            Address::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                (Socket::Unix(socket, path.clone()), path.display().to_string())
            }
        };
        Ok(Self { target: target.clone(), node: node.to_owned(), socket, name, buffer: Vec::new() })
    }
}

impl Sink for Syslog {
    fn write(&mut self, lines: &str) -> Result<(), Lost> {
        let header = self.target.header(Local::now().fixed_offset(), &self.node, std::process::id());
        let (mut lost, mut failed) = (0, None);
        for line in lines.lines() {
            let datagram = self.target.datagram(&header, line, &mut self.buffer);
            let sent = match &self.socket {
                Socket::Udp(socket, address) => socket.send_to(datagram, address),
                Socket::Unix(socket, path) => socket.send_to(datagram, path),
            };
            if let Err(error) = sent {
                lost += 1;
                failed = Some(error);
            }
        }
        match failed {
            None => Ok(()),
            Some(error) => Err(Lost { all: Some(lost), error }),
        }
    }

    fn name(&self) -> &str {
        &self.name
    }
}
