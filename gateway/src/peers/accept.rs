//! Peers that dial in: who are they, and do they want to talk to this node?

use super::session::Accepted;
use super::tls::may_be;
use super::{HEADGATE, Stream};
use crate::state::Gateway;
use gateway_core::config::Peer;
use gateway_core::peers::{Hello, Status};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};

/// Listens as long as this process is the one that talks to peers, and again when it is that again.
pub(super) async fn run(
    gateway: Arc<Gateway>,
    listener: std::net::TcpListener,
    inboxes: Arc<[mpsc::Sender<Accepted>]>,
    mut talking: watch::Receiver<bool>,
) {
    let mut listener = Some(listener);
    loop {
        match listener.take().map(TcpListener::from_std) {
            Some(Ok(listener)) => tokio::select! {
                () = listen(&gateway, listener, &inboxes) => {}
                Ok(_) = talking.wait_for(|talks| !talks) => {}
            },
            Some(Err(error)) => tracing::error!(%error, "peers can't be heard"),
            None => {}
        }
        if talking.wait_for(|talks| *talks).await.is_err() {
            return;
        }
        match super::bind(&gateway.config) {
            Ok(socket) => listener = socket,
            Err(error) => {
                tracing::warn!(%error, "peers can't be heard");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn listen(gateway: &Arc<Gateway>, listener: TcpListener, inboxes: &Arc<[mpsc::Sender<Accepted>]>) {
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    loop {
        let Ok(permit) = Arc::clone(&strangers).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let (gateway, inboxes) = (Arc::clone(gateway), Arc::clone(inboxes));
                tokio::spawn(async move {
                    let welcome = tokio::time::timeout(HELLO_TIMEOUT, welcome(&gateway, stream, &inboxes));
                    match welcome.await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::info!(%from, error, "not a peer"),
                        Err(_) => tracing::info!(%from, "a peer does not say who it is"),
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a peer can't be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn welcome(
    gateway: &Gateway,
    stream: TcpStream,
    inboxes: &[mpsc::Sender<Accepted>],
) -> Result<(), String> {
    let Some((config, peers)) = gateway.config.peers.as_ref().zip(gateway.peers.as_ref()) else {
        return Err("there are no peers".to_owned());
    };
    let _ = stream.set_nodelay(true);
    let mut certificate = None;
    let mut stream: Box<dyn Stream> = match &peers.tls {
        Some(tls) => {
            let stream = tls.accept(stream).await.map_err(|error| error.to_string())?;
            let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            certificate = shown.map(|shown| shown.clone().into_owned());
            Box::new(stream)
        }
        None => Box::new(stream),
    };
    let mut bytes = Vec::with_capacity(256);
    let (hello, used) = loop {
        match Hello::take(&bytes) {
            None => {}
            Some(Ok(hello)) => break hello,
            Some(Err(status)) => return refuse(&mut stream, status).await,
        }
        if stream.read_buf(&mut bytes).await.map_err(|error| error.to_string())? == 0 {
            return Err("it has gone".to_owned());
        }
    };
    if hello.to != peers.cluster.local() {
        return refuse(&mut stream, Status::LocalIdMismatch).await;
    }
    let is_it = |peer: &Peer| peer.name == hello.from && may_be(peer, certificate.as_ref());
    let place = config.peers.iter().position(is_it);
    let Some(inbox) = place.and_then(|place| inboxes.get(place)) else {
        return refuse(&mut stream, Status::RemoteIdMismatch).await;
    };
    stream.write_all(&Status::Succeeded.encode()).await.map_err(|error| error.to_string())?;
    let headgate = hello.process.starts_with(HEADGATE);
    let accepted = Accepted { stream, rest: bytes.split_off(used), timed: hello.timed, headgate };
    inbox.try_send(accepted).map_err(|_| format!("{} dials too often", hello.from))
}

async fn refuse(stream: &mut Box<dyn Stream>, status: Status) -> Result<(), String> {
    let _ = stream.write_all(&status.encode()).await;
    let _ = stream.shutdown().await;
    Err(format!("refused with {}", status.number()))
}

/// Connections that have not said yet who they are.
const STRANGERS: usize = 32;
/// Longest hello, with the handshake of TLS.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Until the next try, when there are no descriptors left, say.
const PAUSE: Duration = Duration::from_millis(100);
