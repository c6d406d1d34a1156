//! Probes against real sockets: each way in which a server can fail has its word, and none outlasts its deadline.

mod common;

use base::Clock;
use common::{PATIENCE, answers, hangs, never_ends, nobody, read_request, server, soon};
use healthcheck::Prober;
use healthcheck::probe::Names;
use healthcheck_core::{CheckStatus, HttpCheck, Kind, Outcome};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

const SHORT: Duration = Duration::from_millis(150);

async fn run(kind: Kind, target: SocketAddr, timeout: Duration) -> Outcome {
    let clock = Clock::start();
    let prober = Prober::new(kind, None, Names::default()).expect("no TLS");
    soon(prober.probe(target, clock, clock.now() + timeout)).await
}

/// A probe that must end by itself, long before its deadline.
async fn http(target: SocketAddr) -> (CheckStatus, Option<u16>) {
    let outcome = run(Kind::Http(HttpCheck::default()), target, PATIENCE).await;
    assert!(outcome.duration < PATIENCE / 2, "{outcome:?}");
    (outcome.status, outcome.code)
}

/// A probe that must be ended by its deadline.
async fn times_out(kind: Kind, target: SocketAddr) -> (CheckStatus, Option<u16>) {
    let outcome = run(kind, target, SHORT).await;
    assert!(outcome.duration >= SHORT && outcome.duration < SHORT * 10, "{outcome:?}");
    (outcome.status, outcome.code)
}

#[tokio::test]
async fn a_server_that_answers_as_expected_passes() {
    let ok = answers(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(http(ok).await, (CheckStatus::L7Ok, Some(200)));
    assert_eq!(run(Kind::Tcp, ok, PATIENCE).await.status, CheckStatus::L4Ok);
    let teapot = answers(b"HTTP/1.1 418 x\r\n\r\n").await;
    let check = HttpCheck { expect: "418".parse().expect("a status"), ..HttpCheck::default() };
    assert_eq!(run(Kind::Http(check), teapot, PATIENCE).await.to_string(), "L7OK 418");
}

#[tokio::test]
async fn an_unexpected_status_is_l7sts() {
    let busy = answers(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
    assert_eq!(http(busy).await, (CheckStatus::L7Status, Some(503)));
}

#[tokio::test]
async fn a_refused_connection_is_l4con() {
    let nobody = nobody().await;
    assert_eq!(http(nobody).await, (CheckStatus::L4Connection, None));
    assert_eq!(run(Kind::Tcp, nobody, PATIENCE).await.status, CheckStatus::L4Connection);
}

#[tokio::test]
async fn a_connection_that_is_never_accepted_is_l4tout() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("loopback has ports");
    let listener = socket.listen(1).expect("it is bound");
    let full = listener.local_addr().expect("it is bound");
    let mut queued = Vec::new();
    while let Ok(stream) = tokio::time::timeout(SHORT, TcpStream::connect(full)).await {
        queued.push(stream.expect("it waits in the queue"));
        assert!(queued.len() < 10, "the queue has a bound");
    }
    assert_eq!(times_out(Kind::Tcp, full).await, (CheckStatus::L4Timeout, None));
    assert_eq!(times_out(Kind::Http(HttpCheck::default()), full).await, (CheckStatus::L4Timeout, None));
}

#[tokio::test]
async fn no_answer_is_l7tout_for_http_and_fine_for_tcp() {
    let hangs = hangs().await;
    assert_eq!(times_out(Kind::Http(HttpCheck::default()), hangs).await, (CheckStatus::L7Timeout, None));
    assert_eq!(run(Kind::Tcp, hangs, PATIENCE).await.status, CheckStatus::L4Ok);
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_held_to_the_deadline() {
    let slow = never_ends(b"HTTP/1.1 200 OK\r\n", b"x", Duration::from_millis(5)).await;
    let found = times_out(Kind::Http(HttpCheck::default()), slow).await;
    assert_eq!(found, (CheckStatus::L7Timeout, Some(200)));
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_l7rsp_at_once() {
    let ssh = never_ends(b"SSH-2.0-OpenSSH_9.2\r\n", b"", PATIENCE).await;
    assert_eq!(http(ssh).await, (CheckStatus::L7Response, None));
    let binary = answers(&[0xff; 100_000]).await;
    assert_eq!(http(binary).await, (CheckStatus::L7Response, None));
}

#[tokio::test]
async fn a_head_without_end_is_l7rsp() {
    let endless = never_ends(b"HTTP/1.1 200 OK\r\n", b"x-filler: 0123456789\r\n", Duration::ZERO).await;
    assert_eq!(http(endless).await, (CheckStatus::L7Response, Some(200)));
}

#[tokio::test]
async fn a_connection_that_closes_without_a_whole_answer_is_l7rsp() {
    let closes = server(|stream| async move {
        drop(stream);
        Ok(())
    })
    .await;
    assert_eq!(http(closes).await, (CheckStatus::L7Response, None));
    assert_eq!(http(answers(b"").await).await, (CheckStatus::L7Response, None));
    assert_eq!(
        http(answers(b"HTTP/1.1 200 OK\r\nx: y\r\n").await).await,
        (CheckStatus::L7Response, Some(200))
    );
}

#[tokio::test]
async fn a_body_however_long_changes_nothing() {
    let endless = never_ends(b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 10_000], Duration::ZERO).await;
    assert_eq!(http(endless).await, (CheckStatus::L7Ok, Some(200)));
}

#[tokio::test]
async fn a_server_that_answered_at_once_sees_an_orderly_close() {
    let (seen, mut ends) = mpsc::channel(1);
    let address = server(move |mut stream| {
        let seen = seen.clone();
        async move {
            read_request(&mut stream).await?;
            let answer = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[b'x'; 8000]].concat();
            stream.write_all(&answer).await?;
            let end = stream.read(&mut [0; 16]).await.map_err(|error| error.kind());
            seen.try_send(end).expect("the test takes it");
            Ok(())
        }
    })
    .await;
    assert_eq!(http(address).await, (CheckStatus::L7Ok, Some(200)));
    assert_eq!(soon(ends.recv()).await, Some(Ok(0)), "no reset, which servers log as an error");
}

#[tokio::test]
async fn an_answer_before_the_request_counts() {
    let eager = server(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 429 Too Many Requests\r\n\r\n").await?;
        stream.shutdown().await
    })
    .await;
    assert_eq!(http(eager).await, (CheckStatus::L7Status, Some(429)));
}
