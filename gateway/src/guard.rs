//! Lets a request through, or says why not: is it one request, and may its client have it?

use crate::request::Request;
use gateway_core::limits::{Denial, Verdict};
use gateway_core::table::Key;
use std::net::IpAddr;

/// Asks every limit of the frontend. All must agree; what the request holds of them it gives back when
/// it ends. A client for whom the table has no room is let through, and the table counts it: a limit
/// must not become an outage.
pub(crate) fn admit(request: &mut Request, frontend: usize, client: IpAddr) -> Result<(), Denial> {
    let gateway = request.gateway.clone();
    let now = gateway.clock.now();
    let key = Key::from(client);
    for (place, limit) in gateway.config.frontends[frontend].limits.iter().enumerate() {
        let period = gateway.config.tables[limit.table.0].period;
        let verdict = gateway.tables[limit.table.0].update(key, now, |entry| limit.admit(entry, now, period));
        match verdict {
            Some(Verdict::Deny(denial)) => return Err(denial),
            Some(Verdict::Allow) => request.hold(frontend, key, place),
            None => {}
        }
    }
    Ok(())
}
