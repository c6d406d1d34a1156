//! UNIX sockets that are made for clients, and sockets that the process was started with.

use gateway_core::config::{SocketOptions, UnixBind};
use nix::sys::socket::{getsockopt, sockopt::AcceptConn};
use nix::unistd::{Gid, Group, Uid, User, chown};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// A socket at `path`. One that nobody listens on any more is replaced, in one step, so that a client finds the one
/// or the other; anything else that is there stays, and is an error.
pub(super) fn listen(path: &Path, bind: &UnixBind, options: &SocketOptions) -> io::Result<Socket> {
    is_free(path)?;
    let temporary = PathBuf::from(format!("{}.{}", path.display(), std::process::id()));
    let _ = fs::remove_file(&temporary);
    let made = make(&temporary, bind, options).and_then(|socket| {
        fs::rename(&temporary, path)?;
        Ok(socket)
    });
    if made.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    made
}

/// It is whose it shall be before anybody can connect.
fn make(path: &Path, bind: &UnixBind, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let user = bind.user.as_deref().map(user).transpose()?;
    let group = bind.group.as_deref().map(group).transpose()?;
    if user.is_some() || group.is_some() {
        chown(path, user, group)?;
    }
    fs::set_permissions(path, Permissions::from_mode(bind.mode))?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(socket)
}

fn is_free(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        },
    }
}

fn user(name: &str) -> io::Result<Uid> {
    let unknown = || io::Error::other(format!("there is no user `{name}`"));
    User::from_name(name)?.map(|user| user.uid).ok_or_else(unknown)
}

fn group(name: &str) -> io::Result<Gid> {
    let unknown = || io::Error::other(format!("there is no group `{name}`"));
    Group::from_name(name)?.map(|group| group.gid).ok_or_else(unknown)
}

/// The listening socket that the process was started with as this descriptor, such as systemd passes them.
pub(super) fn inherited(descriptor: i32) -> io::Result<Socket> {
    let socket = Socket::from(crate::sys::inherited(descriptor)?);
    let listens = getsockopt(&socket, AcceptConn).unwrap_or(false);
    let takes = socket.r#type().is_ok_and(|kind| kind == Type::STREAM);
    if !listens || !takes {
        return Err(io::Error::other("it is no listening stream socket"));
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
