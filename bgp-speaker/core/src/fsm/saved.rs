//! A session that stands, as another process goes on with it: the connection, and all that both sides agreed on, stay
//! as they are.

use super::backoff::Backoff;
use super::collision::Way;
use super::negotiate::Negotiated;
use super::{FIRST_RETRY, Session, Settings, State};
use base_core::Time;
use serde::{Deserialize, Serialize};

/// What another process goes on with. Times are of the same clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    way: Way,
    since: Time,
    negotiated: Negotiated,
    prefixes: u64,
    hold: Option<Time>,
    keepalive: Option<Time>,
    send_hold: Option<Time>,
}

impl Saved {
    /// Which connection counts.
    pub const fn way(&self) -> Way {
        self.way
    }

    /// What both sides agreed on.
    pub const fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }
}

impl Session {
    /// What another process goes on with; `None` if no session stands.
    pub fn save(&self) -> Option<Saved> {
        let negotiated = self.negotiated.clone().filter(|_| self.state == State::Established)?;
        Some(Saved {
            way: self.way,
            since: self.since,
            negotiated,
            prefixes: self.prefixes,
            hold: self.hold,
            keepalive: self.keepalive,
            send_hold: self.send_hold,
        })
    }

    /// Goes on with what another process saved.
    pub fn resume(settings: Settings, saved: Saved) -> Self {
        let backoff = Backoff::new(FIRST_RETRY, settings.retry_max, settings.seed);
        let Saved { way, since, negotiated, prefixes, hold, keepalive, send_hold } = saved;
        Self {
            settings,
            state: State::Established,
            since,
            backoff,
            way,
            rival: None,
            plain: false,
            stood: true,
            negotiated: Some(negotiated),
            prefixes,
            retry: None,
            hold,
            keepalive,
            send_hold,
        }
    }
}
