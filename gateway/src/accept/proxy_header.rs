//! What a proxy in front says about the connection that it passes on, before the first byte of it.

use super::stream::Buffered;
use bytes::{Buf, BytesMut};
use gateway_core::proxy_protocol;
use std::net::SocketAddr;
use tokio::io::AsyncReadExt;

/// Reads the PROXY header and leaves what follows it to be read next. Returns the client that it names,
/// if it names one; the error is a reason word.
pub(super) async fn read(io: &mut Buffered) -> Result<Option<SocketAddr>, &'static str> {
    let mut bytes = BytesMut::with_capacity(BUFFER);
    loop {
        match io.read_buf(&mut bytes).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err("no_proxy_header"),
        }
        if let Some(header) = proxy_protocol::decode(&bytes)? {
            bytes.advance(header.length);
            io.unread(bytes);
            return Ok(header.source);
        }
    }
}

/// Takes any header without many TLVs.
const BUFFER: usize = 512;
