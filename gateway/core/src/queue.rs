//! Who may run on a server now, and who waits for a place (HAProxy manual, `maxconn`, `minconn`, `fullconn`,
//! `timeout queue`).
//!
//! Promises: never more on a server, or on all of a backend, than their `maxconn`; who waits for the same
//! thing is served in the order in which they came; nobody waits for a place that is free; at most so many
//! wait. It does not know what a waiter is, nor which server is up: both come with each call.

use std::collections::BTreeMap;

/// What a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Any server that may get new work.
    Any,
    /// The server at this place: its client sticks to it, or a hash says so.
    Server(usize),
}

/// A waiter's place in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    number: u64,
    /// What it waits for.
    pub wish: Wish,
    /// Its position when it joined, from 1, as the log tells it.
    pub position: usize,
}

/// As many wait already as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The most that may run and wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests at once on each server; `None`: any number.
    pub servers: Vec<Option<u32>>,
    /// Requests at once on all servers together.
    pub backend: Option<u32>,
    /// Requests that wait.
    pub waiting: usize,
    /// Where less may run while the backend has little to do.
    pub dynamic: Option<Dynamic>,
    /// Whether [`Queue::limit`] may be called: then ends are told, though nothing is limited yet.
    pub may_change: bool,
}

/// Limits that grow with the load, which is all that runs and waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dynamic {
    /// The least that may run on each server; `None`: its limit is always the same.
    pub minconn: Vec<Option<u32>>,
    /// The load from which on the whole limits hold.
    pub fullconn: u32,
}

/// The places of a backend and the line for them. `W` is what it takes to wake a waiter.
#[derive(Debug)]
pub struct Queue<W> {
    limits: Limits,
    running: Vec<u32>,
    total: u32,
    /// By number, which is by age.
    any: BTreeMap<u64, W>,
    own: Vec<BTreeMap<u64, W>>,
    waiting: usize,
    next: u64,
}

impl Limits {
    /// Whether anything is limited at all.
    pub fn any(&self) -> bool {
        self.may_change || self.backend.is_some() || self.servers.iter().any(Option::is_some)
    }

    /// What may run on the server at `place` under this load, as HAProxy counts it.
    pub fn most(&self, place: usize, load: u64) -> Option<u32> {
        let most = self.servers[place]?;
        let Some(Dynamic { minconn, fullconn }) = &self.dynamic else { return Some(most) };
        let Some(least) = minconn[place] else { return Some(most) };
        let part = load.min(u64::from(*fullconn)) * u64::from(most) / u64::from(*fullconn).max(1);
        Some(u32::try_from(part).unwrap_or(most).max(least).min(most))
    }
}

impl<W> Queue<W> {
    /// With nothing running and nobody waiting.
    pub fn new(limits: Limits) -> Self {
        Self {
            running: vec![0; limits.servers.len()],
            own: limits.servers.iter().map(|_| BTreeMap::new()).collect(),
            limits,
            total: 0,
            any: BTreeMap::new(),
            waiting: 0,
            next: 0,
        }
    }

    /// Whether one more may run on the server at `place`.
    pub fn is_free(&self, place: usize) -> bool {
        self.has_room(place, self.load())
    }

    /// The same for one that comes now: it is part of the load.
    pub fn is_free_for_one_more(&self, place: usize) -> bool {
        self.has_room(place, self.load() + 1)
    }

    /// Whether one that comes now has to stand in line behind those who could go because it came.
    pub fn goes_by_line(&self) -> bool {
        self.is_dynamic() && self.waiting > 0
    }

    /// Whether more may run where more has come.
    pub const fn is_dynamic(&self) -> bool {
        self.limits.dynamic.is_some()
    }

    /// From now on so many may run at once on the server at `place`; who runs there already goes on.
    pub fn limit(&mut self, place: usize, most: Option<u32>) {
        self.limits.servers[place] = most;
    }

    /// How many wait for the server at `place` and no other.
    pub fn waiting_for(&self, place: usize) -> usize {
        self.own[place].len()
    }

    /// How many wait, for whatever server.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// One more runs on the server at `place`, which is free.
    pub fn take(&mut self, place: usize) {
        self.running[place] += 1;
        self.total += 1;
    }

    /// One less runs there. [`next`](Self::next) says who may go now.
    pub fn give_back(&mut self, place: usize) {
        self.running[place] = self.running[place].saturating_sub(1);
        self.total = self.total.saturating_sub(1);
    }

    /// Joins the line, if it has room.
    pub fn wait(&mut self, wish: Wish, waiter: W) -> Result<Ticket, Full> {
        if self.waiting >= self.limits.waiting { Err(Full) } else { Ok(self.join(wish, waiter)) }
    }

    /// Joins the line, which may be full: for one that [goes by it](Self::goes_by_line) and for which there is room, so
    /// that somebody leaves it in the same step.
    pub fn join(&mut self, wish: Wish, waiter: W) -> Ticket {
        let number = self.next;
        self.next += 1;
        self.waiting += 1;
        let line = match wish {
            Wish::Any => &mut self.any,
            Wish::Server(place) => &mut self.own[place],
        };
        line.insert(number, waiter);
        Ticket { number, wish, position: line.len() }
    }

    /// Leaves the line; `None` if its turn has come already.
    pub fn leave(&mut self, ticket: Ticket) -> Option<W> {
        let own = match ticket.wish {
            Wish::Any => None,
            Wish::Server(place) => self.own[place].remove(&ticket.number),
        };
        let left = own.or_else(|| self.any.remove(&ticket.number));
        self.waiting -= usize::from(left.is_some());
        left
    }

    /// The first in line that can go now, and what it waited for. A free server that `usable` refuses gets
    /// nobody who could have any.
    pub fn next(&mut self, usable: impl Fn(usize) -> bool) -> Option<(W, Wish)> {
        if self.waiting == 0 {
            return None;
        }
        let places = 0..self.own.len();
        let first = |line: &BTreeMap<u64, W>| line.keys().next().copied();
        let own = places.clone().filter(|place| self.is_free(*place));
        let own = own.filter_map(|place| Some((first(&self.own[place])?, Wish::Server(place))));
        let any = first(&self.any).map(|number| (number, Wish::Any));
        let any = any.filter(|_| places.clone().any(|place| self.is_free(place) && usable(place)));
        let (_, wish) = own.chain(any).min_by_key(|(number, _)| *number)?;
        let line = match wish {
            Wish::Any => &mut self.any,
            Wish::Server(place) => &mut self.own[place],
        };
        let (_, waiter) = line.pop_first()?;
        self.waiting -= 1;
        Some((waiter, wish))
    }

    /// The server at `place` is down: who waited for it takes any, at the position that its age gives it.
    pub fn redistribute(&mut self, place: usize) {
        self.any.append(&mut self.own[place]);
    }

    fn has_room(&self, place: usize, load: u64) -> bool {
        let below = |count: u32, most: Option<u32>| most.is_none_or(|most| count < most);
        below(self.total, self.limits.backend) && below(self.running[place], self.limits.most(place, load))
    }

    fn load(&self) -> u64 {
        u64::from(self.total) + self.waiting as u64
    }
}
