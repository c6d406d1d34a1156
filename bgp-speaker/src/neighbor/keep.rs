//! A session that goes on from one process to the next.

use super::Task;
use crate::handover::{Fate, Freeze, FrozenNeighbor, SavedNeighbor};
use crate::link::Link;
use bgp_core::bfd;
use bgp_core::fsm::{self, State, Way};
use bgp_core::neighbor::Event;
use std::os::fd::OwnedFd;
use std::sync::Arc;

impl Task {
    /// Goes on with a session of another process.
    pub(crate) fn adopt(&mut self, link: Link, path: Option<bfd::State>) {
        self.links[self.machine.session().way().index()] = Some(link);
        if self.path.is_some() {
            self.path_state = Some(path.unwrap_or_default());
        }
        self.reach.tell(self.machine.session());
    }

    pub(super) fn begin(&mut self) {
        let way = self.machine.session().way();
        let Some(link) = &self.links[way.index()] else {
            return self.feed(Event::Session(fsm::Event::Start));
        };
        self.metrics.state(State::Established);
        let blocked = link.is_blocked();
        // What the neighbor holds of the text API is there before anything is compared with it.
        if let Some(feed) = &mut self.injected {
            let routes = Arc::clone(&feed.borrow_and_update());
            self.feed(Event::Injected(routes));
        }
        if blocked {
            self.feed(Event::Session(fsm::Event::Blocked(way)));
        }
        self.stands();
        // What it showed to another process is not known here.
        if self.look.is_some() {
            self.feed(Event::AskAgain);
        }
        self.messages(way);
        self.publish();
    }

    /// Stops until it is decided what becomes of the session; `None`: it goes on.
    pub(super) async fn freeze(&mut self, freeze: Freeze<FrozenNeighbor>) -> Option<Fate> {
        for way in Way::ALL {
            if let Some(event) = self.flush(way) {
                self.feed(event);
            }
        }
        self.tell();
        if freeze.reply.send(FrozenNeighbor { session: self.save() }).is_err() {
            return None;
        }
        freeze.fate.await.ok()
    }

    fn save(&self) -> Option<(SavedNeighbor, OwnedFd)> {
        let machine = self.machine.save()?;
        let link = self.links[self.machine.session().way().index()].as_ref()?;
        let (socket, input, output) = link.save().ok()?;
        Some((SavedNeighbor { machine, input, output, path: self.path_state }, socket))
    }
}
