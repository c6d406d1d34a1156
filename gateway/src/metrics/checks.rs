//! What checks of servers have found.

use super::{gauge, opts, register};
use crate::state::Gateway;
use gateway_core::config::Watch;
use gateway_core::names;
use prometheus::{GaugeVec, IntCounterVec, Registry};

pub(super) fn encode(gateway: &Gateway, registry: &Registry) {
    const LABELS: &[&str] = &["backend", "server"];
    let by = |label| [LABELS[0], LABELS[1], label];
    let checks = opts(names::SERVER_CHECKS_TOTAL, "Probes of the server, passed or failed");
    let checks = register(registry, IntCounterVec::new(checks, &by("result")));
    let last = opts(names::SERVER_CHECK_SECONDS, "How long the last probe of the server took");
    let last = register(registry, GaugeVec::new(last, LABELS));
    let status = gauge(registry, names::SERVER_CHECK_STATUS, "1 for how the last probe ended", &by("status"));
    for (config, backend) in gateway.config.backends.iter().zip(&gateway.backends) {
        for (server, live) in config.servers.iter().zip(&backend.servers) {
            // A server that tracks another has no probes of its own.
            let Some(snapshot) = live.check().filter(|_| matches!(server.watch, Watch::Check { .. })) else {
                continue;
            };
            let (backend, server) = (config.name.as_str(), server.name.as_str());
            checks.with_label_values(&[backend, server, "passed"]).inc_by(snapshot.passed);
            checks.with_label_values(&[backend, server, "failed"]).inc_by(snapshot.failed);
            if let Some(outcome) = snapshot.last {
                last.with_label_values(&[backend, server]).set(outcome.duration.as_secs_f64());
                status.with_label_values(&[backend, server, outcome.status.as_str()]).set(1);
            }
        }
    }
}
