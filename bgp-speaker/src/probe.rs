//! A real request through a VIP: does the listener behind it answer?

use base::Clock;
use bgp_core::config::Url;
use bgp_core::gate::PROBE_TIMEOUT;
use healthcheck::Prober;
use healthcheck::probe::Names;
use healthcheck_core::{HttpCheck, Kind};
use std::net::SocketAddr;
use std::sync::Arc;

/// The request, and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    target: SocketAddr,
    prober: Arc<Prober>,
}

impl Probe {
    /// `None` never: plaintext needs nothing that could be missing.
    pub(crate) fn new(url: &Url) -> Option<Self> {
        let check = HttpCheck { uri: url.path.clone(), method: "GET".to_owned(), ..HttpCheck::default() };
        let prober = Prober::new(Kind::Http(check), None, Names::default()).ok()?;
        Some(Self { target: url.address, prober: Arc::new(prober) })
    }

    /// Asks once, over a connection of its own. `None`: this side could not even ask.
    pub(crate) async fn ask(&self, clock: Clock) -> Option<bool> {
        let outcome = self.prober.probe(self.target, clock, clock.now() + PROBE_TIMEOUT).await;
        (!outcome.status.inconclusive()).then(|| outcome.passed())
    }
}
