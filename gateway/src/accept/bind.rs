//! Listening sockets: for each address one for each worker, among which the kernel spreads new
//! connections (SO_REUSEPORT). A UNIX socket, or one that was there at the start, is one that all workers accept on.

use super::{tls, unix};
use crate::load::{Loaded, StartError};
use base_core::diagnose::Diagnostic;
use gateway_core::config::{Bind, Frontend, Place, SocketOptions};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// A bound, listening socket of one worker.
pub(crate) struct Listener {
    /// Its frontend's place in the configuration.
    pub(crate) frontend: usize,
    pub(crate) socket: Socket,
    pub(crate) tls: Option<tls::Acceptor>,
}

/// Binds every address of every frontend once for each worker.
pub(crate) fn bind_all(loaded: &Loaded, workers: usize) -> Result<Vec<Vec<Listener>>, StartError> {
    let mut by_worker: Vec<Vec<Listener>> = (0..workers).map(|_| Vec::new()).collect();
    for (place, (frontend, tls)) in loaded.config.frontends.iter().zip(&loaded.tls).enumerate() {
        let tls = tls.as_ref().map(tls::Acceptor::new);
        for bind in &frontend.binds {
            let sockets = sockets(&bind.on, frontend, workers);
            let sockets = sockets.map_err(|error| taken(&bind.origin, &bind.on, &error))?;
            for (listeners, socket) in by_worker.iter_mut().zip(sockets) {
                listeners.push(Listener { frontend: place, socket, tls: tls.clone() });
            }
        }
    }
    Ok(by_worker)
}

/// A socket for the admin listener, which nobody shares.
pub(crate) fn bind_alone(bind: &Bind) -> Result<TcpListener, StartError> {
    let socket = listen(bind.address, &ADMIN, false).map(Into::into);
    socket.map_err(|error| taken(&bind.origin, &Place::Address(bind.address), &error))
}

/// A socket on which the next process of this node may listen too, while it takes over.
pub(crate) fn bind_with_next(bind: &Bind) -> Result<TcpListener, StartError> {
    let socket = listen(bind.address, &ADMIN, true).map(Into::into);
    socket.map_err(|error| taken(&bind.origin, &Place::Address(bind.address), &error))
}

/// One for each worker.
fn sockets(place: &Place, frontend: &Frontend, workers: usize) -> io::Result<Vec<Socket>> {
    let options = &frontend.sockets;
    let one = match place {
        Place::Address(address) => {
            // Sockets that share a port would also share it with another process of the same user, which would
            // then get half of the connections: so one that does not share asks first.
            drop(listen(*address, options, false)?);
            return (0..workers).map(|_| listen(*address, options, true)).collect();
        }
        Place::Unix(path) => unix::listen(path, &frontend.unix_bind, options)?,
        Place::Descriptor(number) => unix::inherited(*number)?,
    };
    (0..workers).map(|_| one.try_clone()).collect()
}

fn listen(address: SocketAddr, options: &SocketOptions, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    // A VIP may come after the process that serves it.
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            socket.set_freebind_v6(true)?;
            socket.set_only_v6(!options.v4v6)?;
        }
    }
    socket.bind(&address.into())?;
    // Connections have them from the socket that they come through.
    if let Some(mss) = options.mss {
        socket.set_tcp_mss(mss)?;
    }
    if let Some(time) = options.tcp_ut {
        socket.set_tcp_user_timeout(Some(time))?;
    }
    if let Some(time) = options.keepalive {
        let keepalive = TcpKeepalive::new().with_time(time).with_interval(KEEPALIVE_INTERVAL);
        socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_RETRIES))?;
    }
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(socket)
}

fn taken(origin: &Diagnostic, place: &Place, error: &io::Error) -> StartError {
    let mut diagnostic = origin.clone();
    diagnostic.message = format!("can't listen on {place}: {error}");
    let help = match (place, error.kind()) {
        (Place::Unix(path), io::ErrorKind::AddrInUse) => {
            format!("another process listens there: ss -lxp src {}", path.display())
        }
        (Place::Unix(_), io::ErrorKind::AlreadyExists) => "what is there is no socket".to_owned(),
        (Place::Unix(_), _) => "expected a folder that this user may write to".to_owned(),
        (Place::Descriptor(_), _) => {
            "expected a listening socket that the process was started with".to_owned()
        }
        (Place::Address(address), io::ErrorKind::AddrInUse) => {
            format!("another process listens there: ss -ltnp 'sport = :{}'", address.port())
        }
        (Place::Address(_), io::ErrorKind::PermissionDenied) => {
            "ports below 1024 need root or CAP_NET_BIND_SERVICE".to_owned()
        }
        (Place::Address(_), _) => "expected an address of this machine".to_owned(),
    };
    StartError::Config(Box::new(diagnostic.help(help)))
}

/// The admin listener's.
const ADMIN: SocketOptions =
    SocketOptions { backlog: 256, mss: None, tcp_ut: None, keepalive: None, v4v6: false };
/// Between questions to a client that says nothing.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Questions without an answer until it is gone.
const KEEPALIVE_RETRIES: u32 = 3;
