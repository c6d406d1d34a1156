//! Reads into a buffer that all connections of a worker share: one that waits for its next bytes holds no memory for
//! them, and what has come takes no more than it needs.

use bytes::BytesMut;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Waits for bytes, and takes those that are there. None: the other side has ended.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin + ?Sized)) -> io::Result<BytesMut> {
    poll_fn(|cx| {
        SHARED.with_borrow_mut(|shared| {
            let mut buffer = ReadBuf::new(&mut shared[..]);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            Poll::Ready(read.map(|()| BytesMut::from(buffer.filled())))
        })
    })
    .await
}

thread_local! {
    static SHARED: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into_boxed_slice());
}

/// What most heads fit in, with the small bodies behind them.
const BUFFER: usize = 8 * 1024;
