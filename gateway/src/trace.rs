//! Spans of requests, sent to a collector in batches (OTLP over HTTP, in JSON). A collector that is slow or
//! gone loses spans, which are counted, and delays nobody.

use bytes::Bytes;
use gateway_core::trace::{Collector, Context, Tracing};
use http_body_util::Full;
use hyper::Request;
use hyper_util::rt::TokioIo;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A request, as its span tells it.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) context: Context,
    pub(crate) begun: SystemTime,
    pub(crate) took: Duration,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) client: String,
    pub(crate) frontend: String,
    pub(crate) backend: Option<String>,
    pub(crate) server: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) termination: &'static str,
}

/// Decides on traces, and takes spans.
#[derive(Debug)]
pub(crate) struct Tracer {
    tracing: Tracing,
    random: SystemRandom,
    spans: mpsc::Sender<Span>,
    queue: Mutex<Option<mpsc::Receiver<Span>>>,
    exported: AtomicU64,
    dropped: AtomicU64,
}

impl Tracer {
    pub(crate) fn new(tracing: &Tracing) -> Self {
        let (spans, queue) = mpsc::channel(QUEUE);
        Self {
            tracing: tracing.clone(),
            random: SystemRandom::new(),
            spans,
            queue: Mutex::new(Some(queue)),
            exported: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// What becomes of a request's trace.
    pub(crate) fn decide(&self, traceparent: Option<&[u8]>) -> Option<Context> {
        let mut random = [0; 24];
        // A system without randomness has other worries; requests go on without a trace.
        self.random.fill(&mut random).ok()?;
        self.tracing.decide(traceparent, random)
    }

    /// Hands a span over, or drops and counts it.
    pub(crate) fn record(&self, span: Span) {
        if self.tracing.otlp.is_some() && self.spans.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Sends what comes, in batches, for ever.
pub(crate) async fn export(tracer: Arc<Tracer>, node: String) {
    let queue = tracer.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (Some(mut queue), Some(collector)) = (queue, tracer.tracing.otlp.clone()) else { return };
    let mut spans = Vec::with_capacity(BATCH);
    let mut turn = tokio::time::interval(TURN);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut healthy = true;
    loop {
        turn.tick().await;
        while let Ok(span) = queue.try_recv() {
            spans.push(span);
            if spans.len() == BATCH {
                break;
            }
        }
        if spans.is_empty() {
            continue;
        }
        let count = spans.len() as u64;
        let body = body(&tracer.tracing.service, &node, spans.drain(..));
        match timeout(PATIENCE, post(&collector, body))
            .await
            .unwrap_or_else(|_| Err("it does not answer".to_owned()))
        {
            Ok(()) => {
                tracer.exported.fetch_add(count, Ordering::Relaxed);
                healthy = true;
            }
            Err(error) => {
                tracer.dropped.fetch_add(count, Ordering::Relaxed);
                if std::mem::take(&mut healthy) {
                    tracing::warn!(%error, collector = collector.authority, "spans are dropped and counted");
                }
            }
        }
    }
}

async fn post(collector: &Collector, body: Vec<u8>) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let socket = TcpStream::connect(&collector.authority).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(|error| failed(&error))?;
    let request = Request::post(&collector.path)
        .header("host", &collector.authority)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| failed(&error))?;
    // It ends with its sender, or with the collector.
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    driver.abort();
    let answer = answer.map_err(|error| failed(&error))?;
    if answer.status().is_success() { Ok(()) } else { Err(format!("it says {}", answer.status())) }
}

fn body(service: &str, node: &str, spans: impl Iterator<Item = Span>) -> Vec<u8> {
    let spans: Vec<Value> = spans.map(|span| json_of(&span)).collect();
    let resource = json!({ "attributes": [text("service.name", service), text("host.name", node)] });
    let scope = json!({ "name": "headgate", "version": env!("CARGO_PKG_VERSION") });
    let all = json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "scope": scope, "spans": spans }] }] });
    all.to_string().into_bytes()
}

fn json_of(span: &Span) -> Value {
    let nanos = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
    };
    let mut attributes = vec![
        text("http.request.method", &span.method),
        text("url.path", &span.path),
        text("client.address", &span.client),
        text("headgate.frontend", &span.frontend),
        text("headgate.termination", span.termination),
    ];
    if let Some(status) = span.status {
        attributes
            .push(json!({ "key": "http.response.status_code", "value": { "intValue": status.to_string() } }));
    }
    for (key, value) in [("headgate.backend", &span.backend), ("headgate.server", &span.server)] {
        attributes.extend(value.as_ref().map(|value| text(key, value)));
    }
    let failed = span.status.is_none_or(|status| status >= 500);
    json!({
        "traceId": format!("{:032x}", span.context.trace),
        "spanId": format!("{:016x}", span.context.span),
        "parentSpanId": span.context.parent.map_or_else(String::new, |parent| format!("{parent:016x}")),
        "name": span.method,
        "kind": SERVER,
        "startTimeUnixNano": nanos(span.begun),
        "endTimeUnixNano": nanos(span.begun + span.took),
        "attributes": attributes,
        "status": { "code": if failed { ERROR } else { UNSET } },
    })
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// Spans that may wait: at most a few MiB.
const QUEUE: usize = 4096;
/// Spans of a batch, as OpenTelemetry's own exporters have it.
const BATCH: usize = 512;
/// How often a batch goes.
const TURN: Duration = Duration::from_millis(200);
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// `SPAN_KIND_SERVER`.
const SERVER: u8 = 2;
/// `STATUS_CODE_UNSET` and `STATUS_CODE_ERROR`.
const UNSET: u8 = 0;
const ERROR: u8 = 2;
