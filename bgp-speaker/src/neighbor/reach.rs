//! Whether a session stands in which VIPs are heard of: for the gate, which tells the other nodes only of what a router can have.

use crate::board::Reached;
use bgp_core::fsm::{Session, State};
use tokio::sync::watch;

/// One neighbor's place among all.
pub(crate) struct Reach {
    place: usize,
    said: [bool; 2],
    all: watch::Sender<Reached>,
}

impl Reach {
    pub(crate) const fn new(place: usize, all: watch::Sender<Reached>) -> Self {
        Self { place, said: [false; 2], all }
    }

    /// Tells how the session stands, if that is news.
    pub(super) fn tell(&mut self, session: &Session) {
        let agreed = session.negotiated().filter(|_| session.state() == State::Established);
        let families = agreed.map(|agreed| agreed.families).unwrap_or_default();
        if std::mem::replace(&mut self.said, families) != families {
            self.all
                .send_modify(|all| all.iter_mut().skip(self.place).take(1).for_each(|one| *one = families));
        }
    }
}
