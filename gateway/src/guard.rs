//! Lets a request through, or says why not: is it one request, and may its client have it?

mod line;

pub(crate) use line::Lines;

use crate::answer::Answer;
use crate::request::{Connection, Request};
use crate::rules;
use crate::state::Gateway;
use gateway_core::client::network;
use gateway_core::config::Frontend;
use gateway_core::identity::{IdentityId, Who};
use gateway_core::limits::{Action, Asker, Denial, MAX_TRACKERS, Others, Outcome, Patience, Tracker};
use gateway_core::rules::hashed_name;
use gateway_core::table::{AddressKey, DataType, Held, StickTable};
use gateway_core::track;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use std::net::IpAddr;
use std::sync::Arc;

/// Why a request goes no further, for now or for good.
pub(crate) enum Stopped {
    /// There is too much already.
    Denied(Denial),
    /// Others of its client wait before it.
    Behind(Patience),
}

/// A client and the limits of its frontend, asked one after the other.
pub(crate) struct Asking<'a> {
    trackers: &'a [Tracker],
    client: IpAddr,
    frontend: usize,
    next: usize,
    /// Which trackers count the request, each by its bit.
    meant: u16,
    /// As whose; empty where all count it by address.
    whose: Vec<Option<Who>>,
}

// A bit for each.
const _: () = assert!(MAX_TRACKERS <= u16::BITS as usize);

/// What a request is counted under.
enum Key {
    Address(AddressKey),
    Name(Arc<str>),
    /// In the place of a name that the table has no room for.
    Hashed(Vec<u8>),
}

impl AsRef<[u8]> for Key {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Address(key) => key.as_ref(),
            Self::Name(name) => name.as_bytes(),
            Self::Hashed(key) => key,
        }
    }
}

impl<'a> Asking<'a> {
    pub(crate) fn new(trackers: &'a [Tracker], frontend: usize, client: IpAddr) -> Self {
        Self { trackers, client, frontend, next: 0, meant: u16::MAX, whose: Vec::new() }
    }

    /// Asks every limit that has not let it through yet. All must agree; what is held of them is given back when
    /// the request, or the connection, ends. A client for whom a table has no room is let through, and the table
    /// counts it: a limit must not become an outage.
    pub(crate) fn ask(
        &mut self,
        gateway: &Gateway,
        tracked: &mut Tracked,
        is_first: bool,
    ) -> Result<(), Stopped> {
        let now = gateway.clock.now();
        while let Some(tracker) = self.trackers.get(self.next) {
            let place = self.next;
            self.next += 1;
            if self.meant >> place & 1 == 0 {
                continue;
            }
            let who = self.whose.get(place).and_then(Option::as_ref);
            let table = &gateway.tables[tracker.table.0];
            let Some(key) = self.key(tracker, table, who) else { continue };
            if !is_first
                && let Some(patience) = tracker.patience()
                && gateway.lines.waits(tracker.table.0, key.as_ref())
            {
                self.next = place;
                return Err(Stopped::Behind(patience));
            }
            let others = match &gateway.peers {
                Some(peers) if tracker.is_for_cluster() => peers.others(tracker, key.as_ref(), now),
                _ => Others::NONE,
            };
            let asker = Asker { address: self.client, who };
            let admitted = table.track(key.as_ref(), now, |entry| {
                let verdict = tracker.admit(entry, asker, &others, now);
                (verdict, verdict.holds)
            });
            let Some((verdict, held)) = admitted else { continue };
            if let Some(held) = held {
                tracked.hold(tracker, held, key.as_ref());
            }
            if let Some(reason) = verdict.would_deny {
                gateway.metrics.dry_run(self.frontend, reason);
            }
            if let Some(reason) = verdict.mark {
                tracked.mark = tracked.mark.or(Some(reason));
                gateway.metrics.marked(self.frontend, reason);
            }
            if let Some(denial) = verdict.denial {
                self.next = place;
                return Err(Stopped::Denied(denial));
            }
        }
        Ok(())
    }

    /// The limit that was asked last: its table and the key in it.
    fn line(&self, gateway: &Gateway) -> Option<(usize, Box<[u8]>)> {
        let tracker = self.trackers.get(self.next)?;
        let who = self.whose.get(self.next).and_then(Option::as_ref);
        let key = self.key(tracker, &gateway.tables[tracker.table.0], who)?;
        Some((tracker.table.0, key.as_ref().into()))
    }

    /// What a tracker counts the request under.
    #[inline]
    fn key(&self, tracker: &Tracker, table: &StickTable, who: Option<&Who>) -> Option<Key> {
        match who.filter(|_| tracker.whom.by.is_some()) {
            Some(who) => Some(match hashed_name(who.name.as_bytes(), table.key_type().bytes()) {
                None => Key::Name(Arc::clone(&who.name)),
                Some(key) => Key::Hashed(key),
            }),
            None => table.address(network(self.client)).map(Key::Address),
        }
    }
}

/// Asks the limits for a request. None in the place of an answer: nobody is left to hear it.
pub(crate) async fn admit(
    session: &mut Session,
    request: &mut Request,
    trackers: &[Tracker],
) -> Result<(), Option<Answer>> {
    let Some((connection, client)) = request.connection.zip(request.client.as_ref()) else {
        return Err(Some(Answer::of(500)));
    };
    let asking = Asking::new(trackers, connection.frontend, client.address);
    pass(session, request, asking).await
}

/// Asks the limits on those of whom something is known once it is known where their requests go.
pub(crate) async fn admit_routed(
    session: &mut Session,
    request: &mut Request,
    frontend: &Frontend,
) -> Result<(), Option<Answer>> {
    let trackers = &frontend.routed_limits;
    if trackers.is_empty() {
        return Ok(());
    }
    let Some((connection, client)) = request.connection.zip(request.client.as_ref()) else {
        return Err(Some(Answer::of(500)));
    };
    let mut asking = Asking::new(trackers, connection.frontend, client.address);
    choose(session, request, frontend, &mut asking);
    pass(session, request, asking).await
}

/// Which trackers count a request, and as whose. What proves an identity is looked at once; who asks for none has
/// nothing allocated.
fn choose(session: &Session, request: &Request, frontend: &Frontend, asking: &mut Asking<'_>) {
    let facts = rules::facts(session, request, frontend);
    let (gateway, now) = (&request.gateway, request.gateway.clock.now());
    let mut known: Vec<Option<Option<Who>>> = Vec::new();
    let mut who = |IdentityId(place): IdentityId| {
        known.resize(gateway.identities.len(), None);
        known[place].get_or_insert_with(|| gateway.identities[place].who(&facts, now)).clone()
    };
    for (place, tracker) in frontend.routed_limits.iter().enumerate() {
        let whom = &tracker.whom;
        let goes_there = |backend| whom.backends.is_empty() || whom.backends.contains(&backend);
        let mut is_meant = request.backend.is_some_and(goes_there)
            && whom.condition.as_ref().is_none_or(|condition| condition.holds(&facts))
            && whom.unless.is_none_or(|unless| who(unless).is_none());
        if let Some(by) = whom.by.filter(|_| is_meant) {
            asking.whose.resize(frontend.routed_limits.len(), None);
            asking.whose[place] = who(by);
            is_meant = asking.whose[place].is_some();
        }
        if !is_meant {
            asking.meant &= !(1 << place);
        }
    }
}

/// What an answer says of whom its request is, as far as limits of this frontend ask that.
pub(crate) fn learn(session: &Session, request: &Request, answer: &ResponseHeader) {
    let Some((connection, backend)) = request.connection.zip(request.backend) else { return };
    let gateway = &request.gateway;
    let frontend = &gateway.config.frontends[connection.frontend];
    let is_asked = |id: IdentityId| {
        let mut limits = frontend.routed_limits.iter();
        limits.any(|tracker| tracker.whom.by == Some(id) || tracker.whom.unless == Some(id))
    };
    for (place, identity) in gateway.identities.iter().enumerate() {
        if identity.learns_from(backend) && is_asked(IdentityId(place)) {
            let facts = rules::facts(session, request, frontend);
            identity.learn(&facts, answer.status.as_u16(), &answer.headers, gateway.clock.now());
        }
    }
}

async fn pass(
    session: &mut Session,
    request: &mut Request,
    mut asking: Asking<'_>,
) -> Result<(), Option<Answer>> {
    let patience = match asking.ask(&request.gateway, &mut request.tracked, false) {
        Ok(()) => return Ok(()),
        Err(Stopped::Behind(patience)) => patience,
        Err(Stopped::Denied(denial)) => match denial.action {
            Action::Queue(patience) => patience,
            _ => return Err(Some(refusal(denial))),
        },
    };
    Box::pin(line::wait(session, request, &mut asking, patience)).await
}

/// A client's connection was cut off for how it was used: counted where a table stores that.
pub(crate) fn glitch(gateway: &Gateway, connection: Connection) {
    let now = gateway.clock.now();
    let frontend = &gateway.config.frontends[connection.frontend];
    for tracker in frontend.limits.iter().chain(&frontend.connection_limits) {
        let table = &gateway.tables[tracker.table.0];
        let stores = |data| table.layout().get(data).is_some();
        if (stores(DataType::GlitchCnt) || stores(DataType::GlitchRate))
            && let Some(key) = table.address(network(connection.peer.ip()))
        {
            table.update(key, now, |entry| track::glitch(entry, now));
        }
    }
}

/// How a refusal is answered.
fn refusal(denial: Denial) -> Answer {
    let action = denial.action;
    let answer = Answer::refuse(429, denial.reason);
    let answer = Answer { limited: Some(Box::new(denial)), ..answer };
    match action {
        Action::Tarpit(timeout) => Answer { tarpit: Some(timeout), close: true, ..answer },
        Action::SilentDrop => Answer { silent_drop: true, close: true, ..answer },
        Action::Deny | Action::Queue(_) | Action::Mark => answer,
    }
}

/// Entries that a request holds while it runs: the first few without any allocation.
#[derive(Debug, Default)]
pub(crate) struct Tracked {
    few: [Option<(usize, Held)>; FEW],
    more: Vec<(usize, Held)>,
    /// Where somebody may wait for what it holds.
    lines: Vec<(usize, Box<[u8]>)>,
    /// What there is too much of, where that is only marked.
    pub(crate) mark: Option<&'static str>,
    /// How the request ended, once that is known.
    pub(crate) outcome: Outcome,
}

impl Tracked {
    pub(crate) fn hold(&mut self, tracker: &Tracker, held: Held, key: &[u8]) {
        let held = (tracker.table.0, held);
        match self.few.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(held),
            None => self.more.push(held),
        }
        if tracker.patience().is_some() {
            self.lines.push((tracker.table.0, key.into()));
        }
    }

    /// Gives back all that is held, for the last time.
    pub(crate) fn release(&mut self, gateway: &Gateway) {
        let (now, outcome) = (gateway.clock.now(), self.outcome);
        for (table, held) in self.few.iter_mut().filter_map(Option::take).chain(self.more.drain(..)) {
            gateway.tables[table].release(held, now, |entry| Tracker::release(entry, outcome, now));
        }
        for (table, key) in self.lines.drain(..) {
            gateway.lines.freed(table, key);
        }
    }
}

/// Tables that requests are counted in at once, as a rule.
const FEW: usize = 3;
