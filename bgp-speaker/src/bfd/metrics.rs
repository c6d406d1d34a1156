//! What can be seen of BFD from outside. All are atomics: the thread counts without waiting for who reads.

use bgp_core::bfd::{Discard, State};
use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use std::time::Duration;

/// The families.
#[derive(Clone)]
pub(crate) struct Metrics {
    state: IntGaugeVec,
    packets: IntCounterVec,
    unsent: IntCounterVec,
    discarded: IntCounterVec,
    late: GaugeVec,
    latest: GaugeVec,
}

/// The metrics of one session, looked up once.
pub(crate) struct PeerMetrics {
    state: IntGauge,
    sent: IntCounter,
    received: IntCounter,
    unsent: IntCounter,
    late: Gauge,
    latest: Gauge,
    /// The largest lateness so far, in seconds.
    most: f64,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| {
            let gauge = GaugeVec::new(Opts::new(name, help), &["neighbor"])?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            prometheus::Result::Ok(counter)
        };
        let state = IntGaugeVec::new(
            Opts::new("headgate_bfd_session_state", "0 AdminDown, 1 Down, 2 Init, 3 Up"),
            &["neighbor"],
        )?;
        registry.register(Box::new(state.clone()))?;
        Ok(Self {
            state,
            packets: counter(
                "headgate_bfd_packets_total",
                "Control packets by direction; received ones that were accepted",
                &["neighbor", "direction"],
            )?,
            unsent: counter(
                "headgate_bfd_packets_unsent_total",
                "Control packets that the system refused to send",
                &["neighbor"],
            )?,
            discarded: counter(
                "headgate_bfd_packets_discarded_total",
                "Received datagrams that were discarded, by reason (RFC 5880 section 6.8.6)",
                &["reason"],
            )?,
            late: gauge("headgate_bfd_transmit_late_seconds", "How late the last control packet was sent")?,
            latest: gauge("headgate_bfd_transmit_late_max_seconds", "How late one was sent at most")?,
        })
    }

    pub(crate) fn peer(&self, neighbor: &str) -> PeerMetrics {
        PeerMetrics {
            state: self.state.with_label_values(&[neighbor]),
            sent: self.packets.with_label_values(&[neighbor, "sent"]),
            received: self.packets.with_label_values(&[neighbor, "received"]),
            unsent: self.unsent.with_label_values(&[neighbor]),
            late: self.late.with_label_values(&[neighbor]),
            latest: self.latest.with_label_values(&[neighbor]),
            most: 0.0,
        }
    }

    pub(crate) fn discarded(&self) -> [IntCounter; REASONS] {
        Discard::ALL.map(|reason| self.discarded.with_label_values(&[reason.name()]))
    }
}

impl PeerMetrics {
    pub(super) fn state(&self, state: State) {
        self.state.set(state.code().into());
    }

    pub(super) fn sent(&self, taken: bool) {
        if taken { self.sent.inc() } else { self.unsent.inc() }
    }

    pub(super) fn received(&self) {
        self.received.inc();
    }

    pub(super) fn late(&mut self, by: Duration) {
        let seconds = by.as_secs_f64();
        self.late.set(seconds);
        if seconds > self.most {
            self.most = seconds;
            self.latest.set(seconds);
        }
    }
}

/// So many reasons to discard a datagram.
pub(crate) const REASONS: usize = Discard::ALL.len();
