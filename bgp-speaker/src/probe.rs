//! A real request through a VIP, or a question about the node: is the answer good?

use base::Clock;
use bgp_core::config::{Ask, Config};
use bgp_core::gate::Subject;
use healthcheck::Prober;
use healthcheck::probe::Names;
use healthcheck::tls::TlsError;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// All questions, by what they are about.
pub(crate) type Probes = BTreeMap<Subject, Probe>;

/// The question, and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    target: SocketAddr,
    prober: Arc<Prober>,
    timeout: Duration,
}

/// Everything that `config` wants asked. The error is what a question's TLS lacks.
pub(crate) fn all(config: &Config) -> Result<Probes, TlsError> {
    let vips = config.vips.iter().filter_map(|vip| Some((Subject::Vip(vip.address), vip.probe.as_ref()?)));
    let gates = config.gates.iter().enumerate().map(|(place, ask)| (Subject::Gate(place), ask));
    let probe = |(subject, ask)| Ok((subject, Probe::new(ask, config.probe.timeout)?));
    vips.chain(gates).map(probe).collect()
}

impl Probe {
    fn new(ask: &Ask, timeout: Duration) -> Result<Self, TlsError> {
        let prober = Prober::new(ask.check.kind.clone(), ask.check.tls.as_ref(), Names::default())?;
        Ok(Self { target: ask.target, prober: Arc::new(prober), timeout })
    }

    /// Asks once, over a connection of its own. `None`: this side could not even ask.
    pub(crate) async fn ask(&self, clock: Clock) -> Option<bool> {
        let outcome = self.prober.probe(self.target, clock, clock.now() + self.timeout).await;
        (!outcome.status.inconclusive()).then(|| outcome.passed())
    }
}
