//! Every metric of the speaker, and the page that shows them.

use crate::bfd;
use bgp_core::fsm::{Received, State};
use bgp_core::gate::Standing;
use bgp_core::wire::{self, HEADER};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// The registry and the families in it.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    session: IntGaugeVec,
    held: IntGaugeVec,
    messages: IntCounterVec,
    rejected: IntCounterVec,
    dropped: IntCounterVec,
    vip: IntGaugeVec,
    change: Histogram,
    gone: Histogram,
    stuck: IntGaugeVec,
    traffic: IntGaugeVec,
    text_api: TextApiMetrics,
    pub(crate) bfd: bfd::Metrics,
}

/// The metrics of the text API.
#[derive(Clone)]
pub(crate) struct TextApiMetrics {
    routes: IntGauge,
    lines: IntCounterVec,
}

/// The metrics of one neighbor, looked up once.
pub(crate) struct NeighborMetrics {
    session: IntGauge,
    held: IntGauge,
    sent: [IntCounter; 5],
    received: [IntCounter; 5],
    rejected: IntCounter,
    dropped: IntCounter,
    change: Histogram,
    gone: Histogram,
    stuck: IntGauge,
}

/// The metrics of the gate.
pub(crate) struct GateMetrics {
    vip: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            prometheus::Result::Ok(counter)
        };
        let change = Histogram::with_opts(
            HistogramOpts::new(
                "headgate_bgp_change_seconds",
                "From the moment a change was seen to its bytes being written to a neighbor",
            )
            .buckets(CHANGE_BUCKETS.to_vec()),
        )?;
        registry.register(Box::new(change.clone()))?;
        let gone = Histogram::with_opts(
            HistogramOpts::new(
                "headgate_bgp_withdraw_true_seconds",
                "From a withdraw being decided to a looking glass showing another path or none",
            )
            .buckets(GONE_BUCKETS.to_vec()),
        )?;
        registry.register(Box::new(gone.clone()))?;
        let routes =
            IntGauge::new("headgate_bgp_text_api_routes", "Routes of the text API, over all neighbors")?;
        registry.register(Box::new(routes.clone()))?;
        Ok(Self {
            session: gauge(
                "headgate_bgp_session_state",
                "0 Idle, 1 Connect, 2 Active, 3 OpenSent, 4 OpenConfirm, 5 Established",
                &["neighbor"],
            )?,
            held: gauge("headgate_bgp_routes_held", "Our routes that the neighbor holds", &["neighbor"])?,
            messages: counter(
                "headgate_bgp_messages_total",
                "Messages by direction and type",
                &["neighbor", "direction", "type"],
            )?,
            rejected: counter(
                "headgate_bgp_updates_rejected_total",
                "Received UPDATEs with a bad path attribute (RFC 7606)",
                &["neighbor"],
            )?,
            dropped: counter(
                "headgate_bgp_prefixes_dropped_total",
                "Received prefixes; none is ever accepted (RFC 8212)",
                &["neighbor"],
            )?,
            vip: gauge(
                "headgate_bgp_vip_state",
                "0 withdrawn, 1 last choice (backup or worsened), 2 announced",
                &["vip"],
            )?,
            stuck: gauge(
                "headgate_bgp_stuck_routes",
                "Withdrawn routes of this node that a looking glass still shows",
                &["neighbor"],
            )?,
            traffic: gauge(
                "headgate_bgp_withdrawn_connections",
                "Connections that were made to a VIP after it had been withdrawn",
                &["vip"],
            )?,
            change,
            gone,
            text_api: TextApiMetrics {
                routes,
                lines: counter("headgate_bgp_text_api_lines_total", "Lines by answer", &["answer"])?,
            },
            bfd: bfd::Metrics::register(&registry)?,
            registry,
        })
    }

    pub(crate) fn neighbor(&self, name: &str) -> NeighborMetrics {
        let messages =
            |direction: &str| TYPES.map(|kind| self.messages.with_label_values(&[name, direction, kind]));
        NeighborMetrics {
            session: self.session.with_label_values(&[name]),
            held: self.held.with_label_values(&[name]),
            sent: messages("sent"),
            received: messages("received"),
            rejected: self.rejected.with_label_values(&[name]),
            dropped: self.dropped.with_label_values(&[name]),
            change: self.change.clone(),
            gone: self.gone.clone(),
            stuck: self.stuck.with_label_values(&[name]),
        }
    }

    pub(crate) fn traffic(&self, vip: IpAddr, connections: usize) {
        let gauge = self.traffic.with_label_values(&[&vip.to_string()]);
        gauge.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }

    pub(crate) fn text_api(&self) -> TextApiMetrics {
        self.text_api.clone()
    }

    pub(crate) fn gate(&self, vips: impl Iterator<Item = IpAddr>) -> GateMetrics {
        let metrics = GateMetrics { vip: self.vip.clone() };
        vips.for_each(|vip| metrics.decided(vip, Standing::Withdrawn));
        metrics
    }

    fn page(&self) -> Vec<u8> {
        let mut page = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut page) {
            tracing::warn!(%error, "metrics");
        }
        page
    }
}

impl TextApiMetrics {
    pub(crate) fn line(&self, done: bool) {
        self.lines.with_label_values(&[if done { "done" } else { "error" }]).inc();
    }

    pub(crate) fn routes(&self, count: usize) {
        self.routes.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

impl NeighborMetrics {
    pub(crate) fn state(&self, state: State) {
        self.session.set(match state {
            State::Idle => 0,
            State::Connect => 1,
            State::Active => 2,
            State::OpenSent => 3,
            State::OpenConfirm => 4,
            State::Established => 5,
        });
    }

    pub(crate) fn held(&self, routes: usize) {
        self.held.set(i64::try_from(routes).unwrap_or(i64::MAX));
    }

    pub(crate) fn sent(&self, message: &[u8]) {
        let kind = message.get(HEADER - 1).copied().unwrap_or_default();
        count(&self.sent, kind);
    }

    pub(crate) fn received(&self, message: &Received) {
        match message {
            Received::Open(_) => count(&self.received, wire::OPEN),
            Received::Notification(_) => count(&self.received, wire::NOTIFICATION),
            Received::Keepalive => count(&self.received, wire::KEEPALIVE),
            Received::RouteRefresh(_) => count(&self.received, wire::ROUTE_REFRESH),
            Received::Update(summary) => {
                count(&self.received, wire::UPDATE);
                self.dropped.inc_by(summary.announced.into());
                self.rejected.inc_by(summary.fault.is_some().into());
            }
            Received::Bad(_) => self.rejected.inc(),
        }
    }

    pub(crate) fn gone(&self, after: Duration) {
        self.gone.observe(after.as_secs_f64());
    }

    pub(crate) fn stuck(&self, stuck: bool) {
        if stuck { self.stuck.inc() } else { self.stuck.dec() }
    }

    pub(crate) fn told(&self, after: Duration) {
        self.change.observe(after.as_secs_f64());
    }
}

impl GateMetrics {
    pub(crate) fn decided(&self, vip: IpAddr, standing: Standing) {
        self.vip.with_label_values(&[&vip.to_string()]).set(match standing {
            Standing::Withdrawn => 0,
            Standing::Backup | Standing::Worsened => 1,
            Standing::Announced => 2,
        });
    }
}

/// Answers `GET /metrics` for ever.
pub(crate) async fn serve(listener: TcpListener, metrics: Metrics) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the metrics listener does not accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let metrics = metrics.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| std::future::ready(answer(&request, &metrics)));
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(CLIENT_TIMEOUT).keep_alive(false);
            let connection = http.serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(CLIENT_TIMEOUT, connection).await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, page) = match request.uri().path() {
        "/metrics" => (200, metrics.page()),
        _ => (404, b"there is only /metrics\n".to_vec()),
    };
    let mut response = Response::new(Full::new(page.into()));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    if let Ok(value) = hyper::header::HeaderValue::from_str(TextEncoder::new().format_type()) {
        response.headers_mut().insert(hyper::header::CONTENT_TYPE, value);
    }
    Ok(response)
}

fn count(counters: &[IntCounter; 5], kind: u8) {
    if let Some(counter) = usize::from(kind).checked_sub(1).and_then(|index| counters.get(index)) {
        counter.inc();
    }
}

/// By message type, from 1.
const TYPES: [&str; 5] = ["open", "update", "notification", "keepalive", "route_refresh"];
/// Seconds. Ordinary is well under a millisecond; the upper end shows a neighbor that does not read.
const CHANGE_BUCKETS: [f64; 9] = [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.02, 0.1, 1.0];
/// Seconds. BIRD takes a millisecond, FRR 60; the upper end is a route that was stuck.
const GONE_BUCKETS: [f64; 10] = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0];
/// Metrics are asked by few; more wait.
const MAX_CLIENTS: usize = 16;
/// A client gets this long for everything.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed accept, so that it is not a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
