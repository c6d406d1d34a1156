//! Lets a request through, or says why not: is it one request, and may its client have it?

use crate::request::{Connection, Request};
use crate::state::Gateway;
use gateway_core::limits::{Denial, Others, Outcome, Tracker};
use gateway_core::table::{DataType, Held};
use std::net::IpAddr;

/// Asks every limit of the frontend. All must agree; what the request holds of them it gives back when
/// it ends. A client for whom a table has no room is let through, and the table counts it: a limit
/// must not become an outage.
pub(crate) fn admit(request: &mut Request, frontend: usize, client: IpAddr) -> Result<(), Denial> {
    let Request { gateway, tracked, .. } = request;
    let now = gateway.clock.now();
    for tracker in &gateway.config.frontends[frontend].limits {
        let table = &gateway.tables[tracker.table.0];
        let Some(key) = table.address(client) else { continue };
        let others = match &gateway.peers {
            Some(peers) if tracker.is_for_cluster() => peers.others(tracker, key.as_ref(), now),
            _ => Others::NONE,
        };
        let admitted = table.track(key, now, |entry| {
            let verdict = tracker.admit(entry, client, &others, now);
            (verdict, verdict.holds)
        });
        let Some((verdict, held)) = admitted else { continue };
        if let Some(held) = held {
            tracked.hold(tracker, held);
        }
        if let Some(reason) = verdict.would_deny {
            gateway.metrics.dry_run(frontend, reason);
        }
        if let Some(denial) = verdict.denial {
            return Err(denial);
        }
    }
    Ok(())
}

/// A client's connection was cut off for how it was used: counted where a table stores that.
pub(crate) fn glitch(gateway: &Gateway, connection: Connection) {
    let now = gateway.clock.now();
    for tracker in &gateway.config.frontends[connection.frontend].limits {
        let table = &gateway.tables[tracker.table.0];
        let stores = |data| table.layout().get(data).is_some();
        if (stores(DataType::GlitchCnt) || stores(DataType::GlitchRate))
            && let Some(key) = table.address(connection.peer.ip().to_canonical())
        {
            table.update(key, now, |entry| Tracker::glitch(entry, now));
        }
    }
}

/// Entries that a request holds while it runs: the first few without any allocation.
#[derive(Debug, Default)]
pub(crate) struct Tracked {
    few: [Option<(usize, Held)>; FEW],
    more: Vec<(usize, Held)>,
    /// How the request ended, once that is known.
    pub(crate) outcome: Outcome,
}

impl Tracked {
    fn hold(&mut self, tracker: &Tracker, held: Held) {
        let held = (tracker.table.0, held);
        match self.few.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(held),
            None => self.more.push(held),
        }
    }

    /// All that is held, with the place of its table, for the last time.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (usize, Held)> {
        self.few.iter_mut().filter_map(Option::take).chain(self.more.drain(..))
    }
}

/// Tables that requests are counted in at once, as a rule.
const FEW: usize = 3;
