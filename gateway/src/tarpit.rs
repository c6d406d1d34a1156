//! Clients that have to wait: few enough at once, never for long, and not past a drain.

use crate::metrics::FrontendMetrics;
use crate::state::Gateway;
use pingora::ErrorType;
use pingora::proxy::Session;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// In time, or since the node drains.
    Waited,
    /// There was no room for one more.
    Full,
    /// The client did not wait so long.
    ClientGone,
}

/// Lets the client of `session` wait for as long as `timeout`.
pub(crate) async fn hold(
    gateway: &Gateway,
    session: &mut Session,
    frontend: usize,
    timeout: Duration,
) -> Held {
    let most = gateway.config.frontends[frontend].tarpit_max;
    let Some(_place) = Place::take(&gateway.metrics.frontends[frontend], most.into()) else {
        return Held::Full;
    };
    tokio::select! {
        () = patience(gateway, timeout) => Held::Waited,
        () = gone(session) => Held::ClientGone,
    }
}

async fn patience(gateway: &Gateway, timeout: Duration) {
    let mut left = timeout;
    while !left.is_zero() && !gateway.is_draining() {
        let step = left.min(LOOK);
        tokio::time::sleep(step).await;
        left -= step;
    }
}

/// Ends when the client closes its connection. A client that sends on is not watched any more.
async fn gone(session: &mut Session) {
    if session.is_body_empty()
        && let Err(error) = session.read_body_or_idle(true).await
        && matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError)
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// A place in the tarpit of a frontend.
struct Place<'a>(&'a FrontendMetrics);

impl<'a> Place<'a> {
    fn take(metrics: &'a FrontendMetrics, most: u64) -> Option<Self> {
        let place = Self(metrics);
        // More than allowed for a moment: the one that is too many goes at once, with its place.
        (metrics.tarpits.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.tarpits.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How often a wait looks whether the node drains.
const LOOK: Duration = Duration::from_millis(100);
