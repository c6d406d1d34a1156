//! A real request through a VIP: does the listener behind it answer?

use base::Clock;
use bgp_core::config::Url;
use bgp_core::gate::PROBE_TIMEOUT;
use healthcheck_core::{HttpCheck, Kind};
use std::net::SocketAddr;
use std::sync::Arc;

/// The request, and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    target: SocketAddr,
    kind: Arc<Kind>,
}

impl Probe {
    pub(crate) fn new(url: &Url) -> Self {
        let check = HttpCheck { uri: url.path.clone(), method: "GET".to_owned(), ..HttpCheck::default() };
        Self { target: url.address, kind: Arc::new(Kind::Http(check)) }
    }

    /// Asks once, over a connection of its own. `None`: this side could not even ask.
    pub(crate) async fn ask(&self, clock: Clock) -> Option<bool> {
        let outcome =
            healthcheck::probe::run(&self.kind, self.target, clock, clock.now() + PROBE_TIMEOUT).await;
        (!outcome.status.inconclusive()).then(|| outcome.passed())
    }
}
