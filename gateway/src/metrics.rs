//! What is counted on the way, ready to be read: handles are looked up at the start, not per request.

mod checks;
mod resolvers;

use crate::state::Gateway;
use gateway_core::Config;
use gateway_core::names;
use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::sync::atomic::{AtomicU64, Ordering};

/// All counters of the gateway.
pub(crate) struct Metrics {
    registry: Registry,
    refused: IntCounterVec,
    retries: IntCounterVec,
    scanners: IntCounterVec,
    tcp_sessions: IntCounterVec,
    tcp_bytes: IntCounterVec,
    dry_runs: IntCounterVec,
    marks: IntCounterVec,
    failures: IntCounterVec,
    pub(crate) frontends: Vec<FrontendMetrics>,
    pub(crate) backends: Vec<BackendMetrics>,
}

/// Counters of one frontend.
pub(crate) struct FrontendMetrics {
    name: String,
    /// Client connections that are open.
    pub(crate) open: AtomicU64,
    /// Requests in a tarpit.
    pub(crate) tarpits: AtomicU64,
    pub(crate) accepted: IntCounter,
    pub(crate) accept_errors: IntCounter,
    pub(crate) tls_failures: IntCounter,
    pub(crate) limit_queued: IntCounter,
    /// Whole ones, and those that went on with a session.
    handshakes: [IntCounter; 2],
    pub(crate) duration: Histogram,
    /// By the first digit of the status; 0 is no answer.
    classes: [IntCounter; 6],
}

/// Counters of one backend.
pub(crate) struct BackendMetrics {
    name: String,
    pub(crate) queued: IntCounter,
    /// Waits in line of those that had to wait.
    pub(crate) queue_time: Histogram,
    /// Until the answer began.
    pub(crate) response: Histogram,
    /// Until it had ended.
    pub(crate) total: Histogram,
}

impl Metrics {
    pub(crate) fn new(config: &Config) -> Self {
        let registry = Registry::new();
        let per_frontend =
            |name, help| register(&registry, IntCounterVec::new(opts(name, help), &["frontend"]));
        let accepted = per_frontend(names::CONNECTIONS_TOTAL, "Client connections accepted");
        let accept_errors =
            per_frontend(names::ACCEPT_ERRORS_TOTAL, "Connections that could not be accepted");
        let tls_failures = per_frontend(names::TLS_FAILURES_TOTAL, "TLS handshakes that failed");
        let handshakes =
            opts(names::TLS_HANDSHAKES_TOTAL, "TLS handshakes, whole or going on with a session");
        let handshakes = register(&registry, IntCounterVec::new(handshakes, &["frontend", "kind"]));
        let failures = opts(names::FAILURES_TOTAL, "Requests that did not end as they should");
        let failures = register(&registry, IntCounterVec::new(failures, &["frontend", "termination"]));
        let requests = opts(names::REQUESTS_TOTAL, "Requests by class of the answer's status");
        let requests = register(&registry, IntCounterVec::new(requests, &["frontend", "code"]));
        let duration =
            HistogramOpts::new(names::REQUEST_DURATION, "From the request to the end of its answer")
                .buckets(DURATION_BUCKETS.to_vec());
        let duration = register(&registry, HistogramVec::new(duration, &["frontend"]));
        let refused = opts(names::REFUSED_TOTAL, "Requests refused, by reason");
        let refused = register(&registry, IntCounterVec::new(refused, &["frontend", "reason"]));
        let scanners = opts(names::SCANNERS_TOTAL, "Requests that only scanners make, by reason");
        let scanners = register(&registry, IntCounterVec::new(scanners, &["frontend", "reason"]));
        let tcp_sessions = opts(names::TCP_SESSIONS_TOTAL, "Connections of mode tcp, by how they ended");
        let tcp_sessions =
            register(&registry, IntCounterVec::new(tcp_sessions, &["frontend", "termination"]));
        let tcp_bytes = opts(names::TCP_BYTES_TOTAL, "Bytes of mode tcp, in from clients and out to them");
        let tcp_bytes = register(&registry, IntCounterVec::new(tcp_bytes, &["frontend", "direction"]));
        let dry_runs = opts(names::LIMIT_DRY_RUNS_TOTAL, "Requests that a limit would refuse, by reason");
        let dry_runs = register(&registry, IntCounterVec::new(dry_runs, &["frontend", "reason"]));
        let marks = opts(names::LIMIT_MARKS_TOTAL, "Requests that a limit has marked, by reason");
        let marks = register(&registry, IntCounterVec::new(marks, &["frontend", "reason"]));
        let limit_queued =
            per_frontend(names::LIMIT_QUEUED_TOTAL, "Requests that had to wait for their turn under a limit");
        let retries = opts(names::RETRIES_TOTAL, "Tries after the first");
        let retries = register(&registry, IntCounterVec::new(retries, &["backend", "reason"]));
        let frontend = |name: &String| FrontendMetrics {
            open: AtomicU64::new(0),
            tarpits: AtomicU64::new(0),
            accepted: accepted.with_label_values(&[name]),
            accept_errors: accept_errors.with_label_values(&[name]),
            tls_failures: tls_failures.with_label_values(&[name]),
            limit_queued: limit_queued.with_label_values(&[name]),
            handshakes: ["full", "resumed"].map(|kind| handshakes.with_label_values(&[name.as_str(), kind])),
            duration: duration.with_label_values(&[name]),
            classes: CLASSES.map(|class| requests.with_label_values(&[name.as_str(), class])),
            name: name.clone(),
        };
        let queued = opts(names::QUEUED_TOTAL, "Requests that had to wait for a place on a server");
        let queued = register(&registry, IntCounterVec::new(queued, &["backend"]));
        let per_backend = |name, help| {
            let opts = HistogramOpts::new(name, help).buckets(DURATION_BUCKETS.to_vec());
            register(&registry, HistogramVec::new(opts, &["backend"]))
        };
        let queue_time = per_backend(names::QUEUE_SECONDS, "Waits for a place on a server");
        let response =
            per_backend(names::RESPONSE_SECONDS, "From a request to a server until its answer began");
        let total = per_backend(names::TOTAL_SECONDS, "From a request until its answer had ended");
        let backend = |name: &String| BackendMetrics {
            name: name.clone(),
            queued: queued.with_label_values(&[name]),
            queue_time: queue_time.with_label_values(&[name]),
            response: response.with_label_values(&[name]),
            total: total.with_label_values(&[name]),
        };
        Self {
            refused,
            retries,
            scanners,
            tcp_sessions,
            tcp_bytes,
            dry_runs,
            marks,
            failures,
            frontends: config.frontends.iter().map(|config| frontend(&config.name)).collect(),
            backends: config.backends.iter().map(|config| backend(&config.name)).collect(),
            registry,
        }
    }

    /// Counts a request that did not end as it should: rare, so it may look up its labels.
    pub(crate) fn failed(&self, frontend: usize, termination: &str) {
        self.failures.with_label_values(&[self.frontends[frontend].name.as_str(), termination]).inc();
    }

    /// Counts a request that only scanners make.
    pub(crate) fn scanner(&self, frontend: usize, reason: &str) {
        self.scanners.with_label_values(&[self.frontends[frontend].name.as_str(), reason]).inc();
    }

    /// Counts a connection of mode tcp that has ended.
    pub(crate) fn session(&self, frontend: usize, termination: &str, bytes_in: u64, bytes_out: u64) {
        let name = self.frontends[frontend].name.as_str();
        self.tcp_sessions.with_label_values(&[name, termination]).inc();
        self.tcp_bytes.with_label_values(&[name, "in"]).inc_by(bytes_in);
        self.tcp_bytes.with_label_values(&[name, "out"]).inc_by(bytes_out);
    }

    /// Counts a try after the first: rare as well.
    pub(crate) fn retried(&self, backend: usize, reason: &str) {
        self.retries.with_label_values(&[self.backends[backend].name.as_str(), reason]).inc();
    }

    /// Counts what a limit would refuse if it were no dry run.
    pub(crate) fn dry_run(&self, frontend: usize, reason: &str) {
        self.dry_runs.with_label_values(&[self.frontends[frontend].name.as_str(), reason]).inc();
    }

    /// Counts what a limit has marked.
    pub(crate) fn marked(&self, frontend: usize, reason: &str) {
        self.marks.with_label_values(&[self.frontends[frontend].name.as_str(), reason]).inc();
    }

    /// Counts a refusal: rare, so it may look up its labels.
    pub(crate) fn refused(&self, frontend: usize, reason: &str) {
        self.refused.with_label_values(&[self.frontends[frontend].name.as_str(), reason]).inc();
    }
}

impl FrontendMetrics {
    /// Counts a TLS handshake.
    pub(crate) fn shook_hands(&self, resumed: bool) {
        self.handshakes[usize::from(resumed)].inc();
    }

    /// Counts an answer, or that there was none.
    pub(crate) fn answered(&self, status: Option<u16>) {
        let class = usize::from(status.unwrap_or(0) / 100);
        self.classes.get(class).unwrap_or(&self.classes[0]).inc();
    }
}

/// Everything in Prometheus' text format: what was counted, and what is so now.
pub(crate) fn encode(gateway: &Gateway, ready: bool) -> Vec<u8> {
    let now = Registry::new();
    gauge(&now, names::READY, "1 while ready", &[]).with_label_values::<&str>(&[]).set(i64::from(ready));
    let open = gauge(&now, names::CONNECTIONS, "Client connections that are open", &["frontend"]);
    for frontend in &gateway.metrics.frontends {
        open.with_label_values(&[&frontend.name]).set(signed(frontend.open.load(Ordering::Relaxed)));
    }
    let broken =
        gauge(&now, names::TLS_CERTIFICATES_BROKEN, "Certificates that can't be renewed", &["frontend"]);
    for (frontend, tls) in gateway.metrics.frontends.iter().zip(&gateway.tls) {
        if let Some(tls) = tls {
            broken.with_label_values(&[&frontend.name]).set(signed(tls.broken()));
        }
    }
    let tarpits = gauge(&now, names::TARPITS, "Requests in a tarpit", &["frontend"]);
    for frontend in &gateway.metrics.frontends {
        tarpits.with_label_values(&[&frontend.name]).set(signed(frontend.tarpits.load(Ordering::Relaxed)));
    }
    servers(gateway, &now);
    resolvers::encode(gateway, &now);
    checks::encode(gateway, &now);
    peers(gateway, &now);
    let entries = gauge(&now, names::TABLE_ENTRIES, "Entries in the stick table", &["table"]);
    let evicted = opts(names::TABLE_EVICTED_TOTAL, "Entries that went before their time");
    let evicted = register(&now, IntCounterVec::new(evicted, &["table"]));
    let refused = opts(names::TABLE_REFUSED_TOTAL, "Entries not made, as all were busy");
    let refused = register(&now, IntCounterVec::new(refused, &["table"]));
    for (config, table) in gateway.config.tables.iter().zip(&gateway.tables) {
        entries.with_label_values(&[&config.name]).set(signed(table.len() as u64));
        evicted.with_label_values(&[&config.name]).inc_by(table.evicted());
        refused.with_label_values(&[&config.name]).inc_by(table.refused());
    }
    lists(gateway, &now);
    identities(gateway, &now);
    if let Some(tracer) = &gateway.tracer {
        let exported = opts(names::SPANS_EXPORTED_TOTAL, "Spans that the collector has taken");
        register(&now, IntCounter::with_opts(exported)).inc_by(tracer.exported());
        let dropped = opts(names::SPANS_DROPPED_TOTAL, "Spans dropped");
        register(&now, IntCounter::with_opts(dropped)).inc_by(tracer.dropped());
    }
    let dropped = opts(names::LOG_DROPPED_TOTAL, "Access log lines dropped");
    register(&now, IntCounter::with_opts(dropped)).inc_by(gateway.access_log.dropped());

    let mut families = gateway.metrics.registry.gather();
    families.extend(now.gather());
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
        tracing::error!(%error, "metrics can't be encoded");
    }
    text
}

fn lists(gateway: &Gateway, registry: &Registry) {
    let lines = gauge(registry, names::LIST_ENTRIES, "Lines of the list or map in use", &["list"]);
    let broken = gauge(registry, names::LIST_BROKEN, "1 while its file can't be used", &["list"]);
    let reloads = opts(names::LIST_RELOADS_TOTAL, "Times its file was read again");
    let reloads = register(registry, IntCounterVec::new(reloads, &["list"]));
    for (file, list) in gateway.config.lists.iter().zip(&gateway.lists) {
        lines.with_label_values(&[&file.name]).set(signed(list.lines()));
        broken.with_label_values(&[&file.name]).set(i64::from(list.is_broken()));
        reloads.with_label_values(&[&file.name]).inc_by(list.reloads());
    }
}

fn identities(gateway: &Gateway, registry: &Registry) {
    let proofs = gauge(registry, names::IDENTITY_PROOFS, "Credentials whose owner is known", &["identity"]);
    let broken = gauge(registry, names::IDENTITY_BROKEN, "1 while its keys can't be used", &["identity"]);
    for (config, identity) in gateway.config.identities.iter().zip(&gateway.identities) {
        proofs.with_label_values(&[&config.name]).set(signed(identity.known() as u64));
        broken.with_label_values(&[&config.name]).set(i64::from(identity.is_broken()));
    }
}

fn peers(gateway: &Gateway, registry: &Registry) {
    let Some((config, peers)) = gateway.config.peers.as_ref().zip(gateway.peers.as_ref()) else { return };
    let heard = gauge(registry, names::CLUSTER_NODES_HEARD, "Nodes that are heard, with this one", &[]);
    heard.with_label_values::<&str>(&[]).set(peers.cluster.nodes().0.into());
    let up = gauge(registry, names::PEER_UP, "1 while the session with the peer stands", &["peer"]);
    let counter = |name, help| register(registry, IntCounterVec::new(opts(name, help), &["peer"]));
    let sessions = counter(names::PEER_SESSIONS_TOTAL, "Sessions with the peer");
    let faults = counter(names::PEER_FAULTS_TOTAL, "Sessions that the peer's silence or faults have ended");
    let updates = counter(names::PEER_UPDATES_TOTAL, "Entries taken from the peer");
    let sent = counter(names::PEER_SENT_BYTES_TOTAL, "Bytes sent to the peer");
    for (peer, state) in config.peers.iter().zip(&peers.states) {
        up.with_label_values(&[&peer.name]).set(i64::from(state.live.load(Ordering::Relaxed)));
        let counts = [
            (&sessions, &state.sessions),
            (&faults, &state.faults),
            (&updates, &state.received),
            (&sent, &state.sent),
        ];
        for (metric, count) in counts {
            metric.with_label_values(&[&peer.name]).inc_by(count.load(Ordering::Relaxed));
        }
    }
}

fn servers(gateway: &Gateway, registry: &Registry) {
    const LABELS: &[&str] = &["backend", "server"];
    let up = gauge(registry, names::SERVER_UP, "1 while the server may get work", LABELS);
    let weight = gauge(registry, names::SERVER_WEIGHT, "The server's weight now", LABELS);
    let silent = gauge(registry, names::SERVER_SILENT, "1 while left alone, as only others answer", LABELS);
    let broken = gauge(registry, names::SERVER_BREAKER_OPEN, "1 while its breaker is not closed", LABELS);
    let now = gateway.clock.now();
    let queue = gauge(registry, names::QUEUE, "Requests that wait for a place on a server", &["backend"]);
    let server_queue =
        gauge(registry, names::SERVER_QUEUE, "Requests that wait for this server and no other", LABELS);
    let active = gauge(registry, names::SERVER_ACTIVE, "Requests that run on the server", LABELS);
    let requests = opts(names::SERVER_REQUESTS_TOTAL, "Tries sent to the server");
    let requests = register(registry, IntCounterVec::new(requests, LABELS));
    let errors = opts(names::SERVER_ERRORS_TOTAL, "Tries that the server failed");
    let errors = register(registry, IntCounterVec::new(errors, LABELS));
    let agent_errors = opts(names::SERVER_AGENT_ERRORS_TOTAL, "Questions to the agent without an answer");
    let agent_errors = register(registry, IntCounterVec::new(agent_errors, LABELS));
    for (config, backend) in gateway.config.backends.iter().zip(&gateway.backends) {
        let line = backend.line();
        queue.with_label_values(&[&config.name]).set(signed(line.all as u64));
        for (place, (server_config, server)) in config.servers.iter().zip(&backend.servers).enumerate() {
            let labels = &[config.name.as_str(), server_config.name.as_str()];
            server_queue.with_label_values(labels).set(signed(line.servers[place] as u64));
            silent.with_label_values(labels).set(i64::from(backend.is_silent(place, now)));
            broken.with_label_values(labels).set(i64::from(backend.is_open(place)));
            weight.with_label_values(labels).set(i64::from(server.weight()));
            if server_config.agent.is_some() {
                agent_errors.with_label_values(labels).inc_by(server.agent_errors());
            }
            up.with_label_values(labels).set(i64::from(server.is_up()));
            active.with_label_values(labels).set(i64::from(server.active.load(Ordering::Relaxed)));
            requests.with_label_values(labels).inc_by(server.requests.load(Ordering::Relaxed));
            errors.with_label_values(labels).inc_by(server.errors.load(Ordering::Relaxed));
        }
    }
}

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(opts(name, help), labels))
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help)
}

/// Metrics are made from names in the source, each once: an error here is a bug that every start and
/// every test would show.
#[expect(clippy::expect_used, reason = "see above")]
fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("the metric's name and labels are well-formed");
    registry.register(Box::new(metric.clone())).expect("the metric's name is its own");
    metric
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The label for each first digit of a status.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// Seconds: from what a cache takes to what a client still waits for.
const DURATION_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
