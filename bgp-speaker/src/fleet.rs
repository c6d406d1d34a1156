//! What the other nodes announce and claim, by way of this node's gateway: one connection, on which this node says what
//! it does itself and hears what the others do, several times a second and whenever something changes here.
//!
//! A gateway without peers, or something else than a gateway, means that there are no others. One that cannot be asked
//! means nothing: the gate knows how old its knowledge is.

use crate::stream::while_it_lasts;
use bgp_core::config::Url;
use bgp_core::gate::{EXCHANGE, Event, LONGEST, PATIENCE};
use bytes::Bytes;
use healthcheck_core::fleet::{Fleet, Own, Row};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// What this node says of its VIPs.
pub(crate) type Rows = Arc<Vec<Row>>;

/// Goes on for ever. `watch` is the gateway's health stream: the exchange is beside it.
pub(crate) async fn run(watch: Url, mut rows: watch::Receiver<Rows>, gate: mpsc::Sender<Event>) {
    let (mut told, mut again) = (None, AGAIN);
    loop {
        let outcome = talk(&watch, &mut rows, &gate, &mut again).await;
        if let Err(error) = outcome
            && told.as_ref() != Some(&error)
        {
            tracing::info!(error, "the gateway says nothing of other nodes");
            told = Some(error);
        }
        tokio::time::sleep(again).await;
        again = (again * 2).min(SELDOM);
    }
}

/// Over one connection, until something is wrong with it. The pause before the next is short if it was of use.
async fn talk(
    url: &Url,
    rows: &mut watch::Receiver<Rows>,
    gate: &mpsc::Sender<Event>,
    again: &mut Duration,
) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let tcp = timeout(PATIENCE, TcpStream::connect(url.address)).await.map_err(|error| text(&error))?;
    let tcp = tcp.map_err(|error| text(&error))?;
    let _ = tcp.set_nodelay(true);
    let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await.map_err(|error| text(&error))?;
    let exchanges = async {
        loop {
            let own = Own { vips: rows.borrow_and_update().to_vec() };
            let pause = pause(own.vips.len());
            let answer = timeout(PATIENCE, exchange(url, &mut sender, &own)).await;
            let fleet = answer.map_err(|_| "no answer".to_owned())??;
            let others = fleet.is_some();
            *again = AGAIN;
            let pause = if others { pause } else { SELDOM };
            if gate.send(Event::Fleet(fleet)).await.is_err() {
                return Ok(());
            }
            let news = async {
                match others {
                    true => drop(rows.changed().await),
                    false => std::future::pending().await,
                }
            };
            let _ = timeout(pause, news).await;
        }
    };
    while_it_lasts(connection, exchanges).await
}

/// `None`: there are no others.
async fn exchange(
    url: &Url,
    sender: &mut SendRequest<Full<Bytes>>,
    own: &Own,
) -> Result<Option<Fleet>, String> {
    let body = serde_json::to_vec(own).map_err(|error| error.to_string())?;
    let request = Request::post(PATH)
        .header(HOST, url.address.to_string())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body.into()))
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body =
        Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
    match status {
        StatusCode::OK => {
            let fleet = serde_json::from_slice(&body.to_bytes());
            fleet.map(Some).map_err(|error| format!("answered nonsense: {error}"))
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(None),
        status => Err(format!("answered {status}")),
    }
}

/// So that nodes with thousands of VIPs are not busy with talking about them.
const fn pause(vips: usize) -> Duration {
    let slower = EXCHANGE.saturating_mul(1 + vips as u32 / 512);
    if slower.as_millis() < LONGEST.as_millis() { slower } else { LONGEST }
}

/// Where a gateway takes it.
const PATH: &str = "/vips";
/// Pause before the next connection; twice as long with each that leads to nothing.
const AGAIN: Duration = Duration::from_millis(100);
/// Pause at most, and where there is nobody to hear of.
const SELDOM: Duration = Duration::from_secs(2);
/// Bytes of an answer: 31 nodes with 4096 VIPs each.
const MAX_ANSWER: usize = 32 * 1024 * 1024;
