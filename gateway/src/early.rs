//! What becomes of a connection before there is a request on it (HAProxy manual, "tcp-request connection",
//! "tcp-request session"). As in HAProxy a connection that ends here has no line in the access log, or a
//! flood would fill it: it is counted by its reason, and now and then a line of the gateway's own log says who
//! was rejected last, and how many there were.

use crate::facts::Asked;
use crate::request::Connection;
use crate::state::Gateway;
use crate::sys;
use crate::tls::identity::Handshake;
use crate::tracks::{self, Tracks};
use base_core::Time;
use gateway_core::config::Frontend;
use gateway_core::rules::{End, Moment, Rules};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Connections of a frontend that were rejected and not told yet.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    untold: AtomicU64,
    /// When the next line may come, in nanoseconds.
    next: AtomicU64,
}

/// Whether the frontend's `reject` is about whoever is at `peer`.
pub(crate) fn rejects(gateway: &Gateway, frontend: usize, peer: SocketAddr) -> bool {
    let Frontend { reject, tls, .. } = &gateway.config.frontends[frontend];
    let Some(whom) = reject else { return false };
    whom.holds(&asked(gateway, peer.ip().to_canonical(), tls.is_some(), None, None))
}

/// A connection was rejected.
pub(crate) fn rejected(gateway: &Gateway, frontend: usize, peer: SocketAddr, reason: &str) {
    gateway.metrics.refused(frontend, reason);
    if let Some(connections) = gateway.rejections[frontend].one(gateway.clock.now()) {
        let frontend = &gateway.config.frontends[frontend].name;
        tracing::warn!(frontend, connections, reason, last = %peer.ip().to_canonical(), "rejected");
    }
}

/// Goes through the rules of one moment of a connection; the reason word if one of them ends it.
pub(crate) fn apply<'a>(
    rules: &'a Rules,
    moment: Moment,
    gateway: &Arc<Gateway>,
    connection: Connection,
    handshake: Option<&Handshake>,
    own: &mut Option<Box<Tracks>>,
) -> Result<(), &'a str> {
    let source = connection.peer.ip().to_canonical();
    let tls = gateway.config.frontends[connection.frontend].tls.is_some();
    let mut from = 0;
    while let Some((place, rule)) = rules.next(from, &asked(gateway, source, tls, handshake, own.as_deref()))
    {
        from = place + 1;
        if !rule.acts.is_empty() {
            let facts = asked(gateway, source, tls, handshake, None);
            tracks::act(&rule.acts, moment, gateway, own, None, &facts);
        }
        if let Some(end) = &rule.end {
            if matches!(end, End::SilentDrop { .. }) {
                sys::forget(connection.socket);
            }
            return Err(end.reason().unwrap_or("rejected"));
        }
    }
    Ok(())
}

impl Rejections {
    /// One more; how many there were since the last line, if it is time for the next.
    fn one(&self, now: Time) -> Option<u64> {
        self.untold.fetch_add(1, Ordering::Relaxed);
        let next = self.next.load(Ordering::Relaxed);
        let after = (now + LINE_INTERVAL).as_nanos();
        let is_time = now.as_nanos() >= next
            && self.next.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        is_time.then(|| self.untold.swap(0, Ordering::Relaxed))
    }
}

fn asked<'a>(
    gateway: &'a Gateway,
    source: IpAddr,
    tls: bool,
    handshake: Option<&'a Handshake>,
    tracks: Option<&'a Tracks>,
) -> Asked<'a> {
    Asked { gateway, source, tls, handshake, head: None, answer: None, tracks: [tracks, None] }
}

/// Between two lines of one frontend: rare enough for any flood.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_rejections_is_told_in_few_lines_that_leave_nobody_out() {
        let rejections = Rejections::default();
        let at = |ms| rejections.one(Time::from_millis(ms));
        assert_eq!([at(1), at(2), at(10_000), at(10_001), at(10_002)], [Some(1), None, None, Some(3), None]);
    }
}
