//! How the listening sockets of a frontend are made.

use super::Result;
use super::values::{duration, in_range};
use crate::config::SocketOptions;
use crate::config::schema::Frontend;
use base_core::diagnose::Source;

pub(super) fn options(source: &Source, frontend: &Frontend) -> Result<SocketOptions> {
    in_range(source, &frontend.backlog, 1..=MAX_BACKLOG, "backlog")?;
    if let Some(mss) = &frontend.mss {
        in_range(source, mss, MIN_MSS..=MAX_MSS, "mss")?;
    }
    let tcp_ut = frontend.tcp_ut.as_ref().map(|written| duration(source, written, "tcp_ut")).transpose()?;
    let keepalive = match &frontend.clitcpka {
        None => None,
        Some(written) if written.get_ref().0.as_secs() == 0 => {
            return Err(source
                .at(written.span(), "the kernel counts in seconds")
                .help("expected 1s or more"));
        }
        Some(written) => Some(duration(source, written, "clitcpka")?),
    };
    Ok(SocketOptions {
        backlog: *frontend.backlog.get_ref(),
        mss: frontend.mss.as_ref().map(|written| *written.get_ref()),
        tcp_ut,
        keepalive,
        v4v6: frontend.v4v6,
    })
}

/// Connections that wait; the kernel cuts it to net.core.somaxconn.
const MAX_BACKLOG: u32 = 1_000_000;
/// The kernel refuses less.
const MIN_MSS: u32 = 88;
/// The kernel's largest.
const MAX_MSS: u32 = 32_767;
