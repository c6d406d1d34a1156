//! Looks whether connections are still made to VIPs that were withdrawn, as the kernel has them. Only while there are such VIPs.

use crate::board::Decisions;
use crate::journal::{Entry, Journal};
use crate::metrics::Metrics;
use base::Clock;
use bgp_core::gate::Standing;
use bgp_core::mirror::traffic::{Traffic, connections};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
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
            // On a thread of its own: with many connections this takes milliseconds.
            let vips = gone.clone();
            let open = tokio::task::spawn_blocking(move || open(&vips)).await.unwrap_or_default();
            for vip in gone {
                let made = traffic.look(vip, open.get(&vip).cloned().unwrap_or_default());
                self.metrics.traffic(vip, made);
                if made > 0 && told.insert(vip) {
                    tracing::warn!(%vip, connections = made, "connections are made to a VIP that was withdrawn");
                    self.journal.record(Entry::Traffic { vip, connections: made });
                }
            }
        }
    }
}

fn open(vips: &BTreeSet<IpAddr>) -> BTreeMap<IpAddr, BTreeSet<SocketAddr>> {
    let mut all: BTreeMap<IpAddr, BTreeSet<SocketAddr>> = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // Without IPv6 there is only one of them.
        let Ok(text) = std::fs::read_to_string(table) else { continue };
        for (vip, remotes) in connections(&text, vips) {
            all.entry(vip).or_default().extend(remotes);
        }
    }
    all
}
