//! A gRPC probe: one call of `grpc.health.v1.Health/Check` on a connection of its own.

use super::{by, finding};
use base::Clock;
use base_core::Time;
use bytes::Bytes;
use h2::client;
use healthcheck_core::grpc::{self, Answer};
use healthcheck_core::{CheckStatus, Finding};
use http::{HeaderMap, Request};
use std::net::SocketAddr;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncWrite};

pub(super) async fn ask<S>(
    stream: S,
    service: &str,
    target: SocketAddr,
    clock: Clock,
    deadline: Time,
) -> Finding
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match by(clock, deadline, call(stream, service, target)).await {
        None => finding(CheckStatus::L7Timeout),
        Some(Ok(finding)) => finding,
        Some(Err(_)) => Finding { status: CheckStatus::L7Response, code: None, note: "not_h2" },
    }
}

async fn call<S>(stream: S, service: &str, target: SocketAddr) -> Result<Finding, h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (send, connection) = client::Builder::new()
        .enable_push(false)
        .max_header_list_size(MAX_HEADER_LIST)
        .handshake::<_, Bytes>(stream)
        .await?;
    let mut connection = pin!(connection);
    let mut exchange = pin!(exchange(send, service, target));
    tokio::select! {
        biased;
        found = &mut exchange => found,
        // What it has read by then is still there.
        _ = &mut connection => exchange.await,
    }
}

async fn exchange(
    mut send: client::SendRequest<Bytes>,
    service: &str,
    target: SocketAddr,
) -> Result<Finding, h2::Error> {
    let request = Request::post(format!("http://{target}{}", grpc::PATH))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "headgate-probe")
        .body(());
    let Ok(request) = request else { return Ok(finding(CheckStatus::SocketError)) };
    std::future::poll_fn(|context| send.poll_ready(context)).await?;
    let (response, mut body) = send.send_request(request, false)?;
    body.send_data(grpc::request(service).into(), true)?;
    let (head, mut body) = response.await?.into_parts();
    let mut answer = Answer::default();
    while let Some(data) = body.data().await {
        let data = data?;
        let _ = body.flow_control().release_capacity(data.len());
        if let Err(finding) = answer.push(&data) {
            return Ok(finding);
        }
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    let status = status(&trailers).or_else(|| status(&head.headers));
    Ok(answer.judge(head.status.as_u16(), status))
}

fn status(fields: &HeaderMap) -> Option<u16> {
    fields.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// Longest list of header fields that is taken, in bytes.
const MAX_HEADER_LIST: u32 = 16 * 1024;
