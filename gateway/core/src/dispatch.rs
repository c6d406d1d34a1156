//! Which server a request goes to, and when: [`balance`](crate::balance) says which is best, the
//! [`queue`](crate::queue) whether there is room.
//!
//! One dispatcher serves a backend for all workers, so turns, least connections and `maxconn` are exact over
//! all of them: whoever frees a place learns in the same step whose turn it is.

use crate::balance::{Balancer, Candidate};
use crate::queue::{Limits, Queue, Ticket, Wish};

/// What is known of a request that needs a server.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// What it is hashed by, if it is.
    pub key: Option<u64>,
    /// The server that it has to go to, since its client sticks to it.
    pub stuck: Option<usize>,
    /// Servers that have failed it already.
    pub tried: &'a [usize],
    /// Whether the server at a place is better left alone, where there is another.
    pub avoid: &'a dyn Fn(usize) -> bool,
}

/// What is decided on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It runs on the server at this place, until [`Dispatcher::release`].
    Go(usize),
    /// It waits; its waiter is woken when it may go.
    Wait(Ticket),
    /// It can't even wait: as many do already as may. What it would have waited for.
    Full(Wish),
    /// No server is up.
    Nobody,
}

/// Which backup servers serve when no other server can (HAProxy manual, `backup`, `allbackups`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backups {
    /// There is none.
    #[default]
    None,
    /// The first that can.
    First,
    /// All that can.
    All,
}

/// Chooses servers for the requests of one backend. `W` is what it takes to wake a waiter.
#[derive(Debug)]
pub struct Dispatcher<W> {
    balancer: Balancer,
    backups: Backups,
    /// `None` where nothing is limited.
    queue: Option<Queue<W>>,
}

impl<W> Dispatcher<W> {
    /// With nothing running.
    pub fn new(balancer: Balancer, limits: Limits, backups: Backups) -> Self {
        Self { balancer, backups, queue: limits.any().then(|| Queue::new(limits)) }
    }

    /// Whether anything is limited, so that every end of a request has to be told.
    pub fn is_limited(&self) -> bool {
        self.queue.is_some()
    }

    /// How many wait, for whatever server.
    pub fn waiting(&self) -> usize {
        self.queue.as_ref().map_or(0, Queue::waiting)
    }

    /// How many wait for the server at `place` and no other.
    pub fn waiting_for(&self, place: usize) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.waiting_for(place))
    }

    /// Decides on one request. `servers` says how each server is; `waiter` is called if it has to wait. Then
    /// [`has_come`](Self::has_come) is due.
    pub fn ask(
        &mut self,
        call: Call<'_>,
        servers: impl Fn(usize) -> Candidate,
        waiter: impl FnOnce() -> W,
    ) -> Decision {
        let Self { balancer, backups, queue } = self;
        let all = balancer.servers();
        let is_fixed = balancer.is_fixed() && call.key.is_some();
        let field = Field::new(*backups, all, &servers, call.avoid);
        let stuck = call.stuck.filter(|place| !(call.avoid)(*place));
        // Rather one that has failed than none.
        let mut pick = |room: &dyn Fn(usize) -> bool| {
            let well = |place| only_if(field.candidate(place), room(place));
            let untried = |place| only_if(well(place), !call.tried.contains(&place));
            balancer.pick(call.key, untried).or_else(|| balancer.pick(call.key, well))
        };
        let Some(queue) = queue else {
            return stuck.or_else(|| pick(&|_| true)).map_or(Decision::Nobody, Decision::Go);
        };
        let aim = match stuck {
            None if is_fixed => match pick(&|_| true) {
                None => return Decision::Nobody,
                chosen => chosen,
            },
            stuck => stuck,
        };
        let (free, wish) = match aim {
            Some(place) => (queue.is_free_for_one_more(place).then_some(place), Wish::Server(place)),
            None => (pick(&|place| queue.is_free_for_one_more(place)), Wish::Any),
        };
        if let Some(place) = free {
            if queue.goes_by_line() {
                return Decision::Wait(queue.join(wish, waiter()));
            }
            queue.take(place);
            return Decision::Go(place);
        }
        if wish == Wish::Any && !(0..all).any(|place| field.candidate(place).gets_new_work()) {
            return Decision::Nobody;
        }
        queue.wait(wish, waiter()).map_or(Decision::Full(wish), Decision::Wait)
    }

    /// Who may go since there is more to do: each that comes raises limits that go by the load.
    pub fn has_come(
        &mut self,
        servers: impl Fn(usize) -> Candidate,
        avoid: impl Fn(usize) -> bool,
        wake: impl FnMut(W, usize),
    ) {
        if self.queue.as_ref().is_some_and(Queue::is_dynamic) {
            self.serve_line(servers, avoid, wake);
        }
    }

    /// From now on so many may run at once on the server at `place`; [`changed`](Self::changed) says who may go now.
    pub fn limit(&mut self, place: usize, most: Option<u32>) {
        if let Some(queue) = &mut self.queue {
            queue.limit(place, most);
        }
    }

    /// A request has left the server at `place`; `wake` gets each waiter whose turn it is, with its server.
    pub fn release(
        &mut self,
        place: usize,
        servers: impl Fn(usize) -> Candidate,
        avoid: impl Fn(usize) -> bool,
        wake: impl FnMut(W, usize),
    ) {
        if let Some(queue) = &mut self.queue {
            queue.give_back(place);
        }
        self.serve_line(servers, avoid, wake);
    }

    /// A waiter has given up: `false` if its turn had come already, so that it runs on its server.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        self.queue.as_mut().is_some_and(|queue| queue.leave(ticket).is_some())
    }

    /// The server at `place` went down or came up, as `servers` says.
    pub fn changed(
        &mut self,
        place: usize,
        is_up: bool,
        servers: impl Fn(usize) -> Candidate,
        avoid: impl Fn(usize) -> bool,
        wake: impl FnMut(W, usize),
    ) {
        if let Some(queue) = &mut self.queue
            && !is_up
        {
            queue.redistribute(place);
        }
        self.serve_line(servers, avoid, wake);
    }

    fn serve_line(
        &mut self,
        servers: impl Fn(usize) -> Candidate,
        avoid: impl Fn(usize) -> bool,
        mut wake: impl FnMut(W, usize),
    ) {
        let Some(queue) = &mut self.queue else { return };
        while queue.waiting() > 0 {
            // Each that is woken changes how the servers are.
            let field = Field::new(self.backups, self.balancer.servers(), &servers, &avoid);
            let Some((waiter, wish)) = queue.next(|place| field.candidate(place).gets_new_work()) else {
                return;
            };
            // It has left the line, and runs nowhere yet.
            let free = |place| only_if(field.candidate(place), queue.is_free_for_one_more(place));
            let place = match wish {
                Wish::Server(place) => Some(place),
                // Only a hash would ask whose request it is, and who follows a hash waits for a certain
                // server, unless that went down.
                Wish::Any => self.balancer.pick(None, free),
            };
            // There is one: `next` has seen it.
            let Some(place) = place else { return };
            queue.take(place);
            wake(waiter, place);
        }
    }
}

/// Who may be chosen at this moment: backups only if nobody else can, and those to avoid only if all are.
struct Field<'a> {
    servers: &'a dyn Fn(usize) -> Candidate,
    avoid: &'a dyn Fn(usize) -> bool,
    stage: Stage,
    all_avoided: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Primary,
    Backup(usize),
    Backups,
}

impl<'a> Field<'a> {
    fn new(
        backups: Backups,
        all: usize,
        servers: &'a dyn Fn(usize) -> Candidate,
        avoid: &'a dyn Fn(usize) -> bool,
    ) -> Self {
        let works = |place: &usize| servers(*place).gets_new_work();
        let no_primary = || !(0..all).any(|place| works(&place) && !servers(place).backup);
        let stage = match backups {
            Backups::First if no_primary() => (0..all).find(works).map_or(Stage::Primary, Stage::Backup),
            Backups::All if no_primary() => Stage::Backups,
            _ => Stage::Primary,
        };
        let field = Self { servers, avoid, stage, all_avoided: true };
        let another = (0..all).any(|place| field.candidate(place).gets_new_work() && !avoid(place));
        Self { all_avoided: !another, ..field }
    }

    fn candidate(&self, place: usize) -> Candidate {
        let candidate = (self.servers)(place);
        let serves = match self.stage {
            Stage::Primary => !candidate.backup,
            Stage::Backup(first) => place == first,
            Stage::Backups => true,
        };
        only_if(candidate, serves && (self.all_avoided || !(self.avoid)(place)))
    }
}

fn only_if(candidate: Candidate, condition: bool) -> Candidate {
    Candidate { usable: candidate.usable && condition, ..candidate }
}

#[cfg(test)]
mod tests;
