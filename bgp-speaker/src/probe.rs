//! A real request through a VIP: does the listener behind it answer?

use bgp_core::config::Url;
use bgp_core::gate::PROBE_TIMEOUT;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Asks once, over a connection of its own. Any answer up to 399 in time is good.
pub(crate) async fn probe(url: &Url) -> bool {
    matches!(tokio::time::timeout(PROBE_TIMEOUT, ask(url)).await, Ok(Some(status)) if status < 400)
}

async fn ask(url: &Url) -> Option<u16> {
    let tcp = TcpStream::connect(url.address).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await.ok()?;
    let request = Request::get(&url.path)
        .header(HOST, url.address.to_string())
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .ok()?;
    tokio::select! {
        biased;
        response = sender.send_request(request) => response.ok().map(|response| response.status().as_u16()),
        _ = connection => None,
    }
}
