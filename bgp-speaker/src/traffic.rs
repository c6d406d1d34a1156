//! Looks whether connections are still made to VIPs that were withdrawn, as the kernel has them. Only while there are such VIPs.

use crate::board::Decisions;
use crate::journal::{Entry, Journal};
use crate::metrics::Metrics;
use base::Clock;
use bgp_core::gate::Standing;
use bgp_core::mirror::traffic::{Connections, Open, Traffic};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::watch;

pub(crate) struct Watch {
    /// How long after a withdraw is looked for the first time, and how often from then on.
    pub(crate) every: Duration,
    pub(crate) clock: Clock,
    pub(crate) journal: Journal,
    pub(crate) metrics: Metrics,
}

impl Watch {
    /// Goes on for ever.
    pub(crate) async fn run(self, decisions: watch::Receiver<Decisions>) {
        let (mut traffic, mut told) = (Traffic::default(), BTreeSet::new());
        loop {
            tokio::time::sleep(self.every).await;
            let Some(standings) = decisions.borrow().clone() else { continue };
            let now = self.clock.now();
            let mut gone = BTreeSet::new();
            for (vip, decision) in standings.iter() {
                if decision.standing == Standing::Withdrawn {
                    gone.extend((decision.since + self.every <= now).then_some(*vip));
                } else if traffic.forget(*vip) {
                    told.remove(vip);
                    self.metrics.traffic(*vip, 0);
                }
            }
            if gone.is_empty() {
                continue;
            }
            // On a thread of its own: with many connections the kernel takes its time.
            let open = tokio::task::spawn_blocking(move || open(gone)).await.unwrap_or_default();
            for (vip, open) in open {
                let made = traffic.look(vip, open);
                self.metrics.traffic(vip, made);
                if made > 0 && told.insert(vip) {
                    tracing::warn!(%vip, connections = made, "connections are made to a VIP that was withdrawn");
                    self.journal.record(Entry::Traffic { vip, connections: made });
                }
            }
        }
    }
}

fn open(vips: BTreeSet<IpAddr>) -> Vec<(IpAddr, Option<Open>)> {
    let mut connections = Connections::to(vips);
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // Without IPv6 there is only one of them.
        let Ok(file) = File::open(table) else { continue };
        let (mut lines, mut line) = (BufReader::with_capacity(BUFFER, file), String::new());
        while lines.read_line(&mut line).is_ok_and(|length| length > 0) {
            connections.line(&line);
            line.clear();
        }
    }
    connections.open().collect()
}

/// Bytes that are read at once; the kernel gives at most a page.
const BUFFER: usize = 16 * 1024;
