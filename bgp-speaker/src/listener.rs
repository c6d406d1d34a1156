//! Takes connections of neighbors that may connect, and gives each to its neighbor's task.
//!
//! It answers nobody else: a connection from an address that is not configured is closed before a byte of it is read. One
//! connection waits for each neighbor; more are closed.

use crate::socket;
use bgp_core::config::{Config, DEFAULT_PORT, Neighbor};
use nix::net::if_::if_indextoname;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Who may connect, and where its task takes the connection.
#[derive(Clone)]
pub(crate) struct Door {
    neighbor: Neighbor,
    hold_time: u16,
    task: mpsc::Sender<TcpStream>,
}

impl Door {
    /// The door of a neighbor that may connect, and its other side.
    pub(crate) fn new(neighbor: &Neighbor, hold_time: u16) -> (Self, mpsc::Receiver<TcpStream>) {
        let (task, arrivals) = mpsc::channel(1);
        (Self { neighbor: neighbor.clone(), hold_time, task }, arrivals)
    }

    fn fits(&self, remote: SocketAddr, local: Option<IpAddr>) -> bool {
        let Neighbor { address, interface, source, mode, .. } = &self.neighbor;
        let link = match (remote, interface) {
            (SocketAddr::V6(remote), Some(name)) => {
                if_indextoname(remote.scope_id()).is_ok_and(|found| found.to_bytes() == name.as_bytes())
            }
            _ => true,
        };
        mode.accepts()
            && remote.ip() == *address
            && link
            && source.is_none_or(|source| local.is_none_or(|local| local == source))
    }

    fn give(&self, stream: TcpStream) {
        let name = &self.neighbor.name;
        if let Err(error) = socket::adopt(&stream, &self.neighbor, self.hold_time) {
            tracing::warn!(neighbor = %name, %error, "an incoming connection cannot be used");
        } else if self.task.try_send(stream).is_err() {
            tracing::debug!(neighbor = %name, "more incoming connections than one");
        }
    }
}

/// Where to listen: as configured, else at the port of BGP if somebody may connect.
pub(crate) fn places(config: &Config) -> Vec<(SocketAddr, std::ops::Range<usize>)> {
    let may = |ipv4| {
        let mut neighbors = config.neighbors.iter();
        neighbors.any(|neighbor| neighbor.mode.accepts() && neighbor.address.is_ipv4() == ipv4)
    };
    if !config.bgp.listen.is_empty() {
        return config.bgp.listen.iter().map(|at| (*at.get_ref(), at.span())).collect();
    }
    let any = [(may(true), IpAddr::from(Ipv4Addr::UNSPECIFIED)), (may(false), Ipv6Addr::UNSPECIFIED.into())];
    any.into_iter().filter(|(may, _)| *may).map(|(_, ip)| (SocketAddr::new(ip, DEFAULT_PORT), 0..0)).collect()
}

/// Opens a listener for those of `config` that may come to `at`.
pub(crate) fn open(
    at: SocketAddr,
    config: &Config,
    inherited: Option<OwnedFd>,
) -> io::Result<std::net::TcpListener> {
    let may = |neighbor: &&Neighbor| neighbor.mode.accepts() && neighbor.address.is_ipv4() == at.is_ipv4();
    socket::listen(at, config.neighbors.iter().filter(may), inherited)
}

/// Accepts for ever.
pub(crate) async fn serve(listener: TcpListener, doors: std::sync::Arc<[Door]>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                let local = stream.local_addr().ok().map(|address| address.ip());
                match doors.iter().find(|door| door.fits(remote, local)) {
                    Some(door) => door.give(stream),
                    None => tracing::debug!(%remote, "a connection of nobody who may connect"),
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the BGP listener does not accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Pause after a failed accept, so that it is not a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
