//! Looks into the first bytes of a connection without taking them.

use crate::accept::stream::Buffered;
use bytes::BytesMut;
use gateway_core::client_hello::{self, Seen};
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// The name that a TLS client asks for, if it says one in time; all that came is left to be read again.
pub(crate) async fn server_name(io: &mut Buffered, within: Duration) -> Option<String> {
    let mut bytes = BytesMut::with_capacity(BUFFER);
    let name = tokio::time::timeout(within, read(io, &mut bytes)).await;
    io.unread(bytes);
    name.ok().flatten()
}

async fn read(io: &mut Buffered, bytes: &mut BytesMut) -> Option<String> {
    loop {
        match io.read_buf(bytes).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return None,
        }
        match client_hello::inspect(bytes) {
            Seen::More => {}
            Seen::NotTls => return None,
            Seen::Hello(name) => return name,
        }
    }
}

/// Takes the hello of most clients.
const BUFFER: usize = 2048;
