//! What DNS has said about servers.

use super::{gauge, opts, register, signed};
use crate::state::Gateway;
use gateway_core::names;
use prometheus::{Gauge, GaugeVec, IntCounterVec, Registry};
use std::sync::atomic::Ordering;

pub(super) fn encode(gateway: &Gateway, registry: &Registry) {
    const LABELS: &[&str] = &["backend", "name"];
    if gateway.config.backends.iter().all(|backend| backend.named.is_empty()) {
        return;
    }
    let answers = opts(names::RESOLVER_ANSWERS_TOTAL, "Questions for a name of servers, by how they ended");
    let answers = register(registry, IntCounterVec::new(answers, &["backend", "name", "result"]));
    let age = opts(names::RESOLVER_AGE_SECONDS, "Time since the last valid answer");
    let age = register(registry, GaugeVec::new(age, LABELS));
    let left_over = gauge(registry, names::RESOLVER_LEFT_OVER, "Addresses without a server", LABELS);
    for (config, backend) in gateway.config.backends.iter().zip(&gateway.backends) {
        for (named, known) in config.named.iter().zip(&backend.names) {
            let name = named.question.to_string();
            let labels = [config.name.as_str(), name.as_str()];
            for (result, count) in known.results() {
                answers.with_label_values(&[labels[0], labels[1], result]).inc_by(count);
            }
            if let Some(passed) = known.age(gateway) {
                let age: Gauge = age.with_label_values(&labels);
                age.set(passed.as_secs_f64());
            }
            let left = known.left_over.load(Ordering::Relaxed);
            left_over.with_label_values(&labels).set(signed(left));
        }
    }
}
