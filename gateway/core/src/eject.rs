//! Which servers are silent while the others answer: a hung process still accepts connections, so only its
//! requests show it, long before its check does.
//!
//! A server is *silent* when each of the last `unanswered` requests that it got has waited for `after` without
//! one answer of any kind from it, while the others have given as many. It gets no new requests then while
//! there is another server, except one now and then, ever more rarely, that may show it is back. Its first
//! answer, to whatever request, ends that at once.
//!
//! Promises: silence is only ever held against a server in comparison, so servers that are all slow, or all
//! hang, are all used; what is wrongly thought silent costs nobody an answer, as its requests run on.
//! Refuses: to say that a server is down. That is for its check.

use base_core::Time;
use std::time::Duration;

/// When a server is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Requests in a row without an answer from it.
    pub unanswered: u32,
    /// How long each of them has waited.
    pub after: Duration,
    /// From the last request that it got to the next one that may show it is back; doubles each time.
    pub retry: Duration,
}

/// What servers have answered so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The one in question.
    pub own: u64,
    /// All together, that one too.
    pub all: u64,
}

/// Watches the servers of a backend.
#[derive(Clone, Debug)]
pub struct Ejector {
    silence: Silence,
    servers: Vec<Watch>,
}

/// What a server has got since it answered last.
#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    /// Its answers when the first of these was sent.
    own: u64,
    /// The others' answers by then.
    others: u64,
    sent: u32,
    /// When so many had been sent that it may be called silent.
    enough: Time,
    last: Time,
    /// Sent in order to see whether it is back.
    probes: u32,
}

impl Ejector {
    /// For a backend with so many servers.
    pub fn new(silence: Silence, servers: usize) -> Self {
        Self { silence, servers: vec![Watch::default(); servers] }
    }

    /// Whether the server at `place` is silent.
    pub fn is_silent(&self, place: usize, answers: Answers, now: Time) -> bool {
        let Watch { own, others, sent, enough, .. } = self.servers[place];
        sent >= self.silence.unanswered
            && own == answers.own
            && now >= enough + self.silence.after
            && answers.others().saturating_sub(others) >= u64::from(self.silence.unanswered)
    }

    /// Whether the server at `place` shall get no request now: it is silent, and it is not yet time to see
    /// whether it is back.
    pub fn avoids(&self, place: usize, answers: Answers, now: Time) -> bool {
        let Watch { last, probes, .. } = self.servers[place];
        let pause = self.silence.retry.saturating_mul(1 << probes.min(MOST_DOUBLINGS));
        self.is_silent(place, answers, now) && now < last + pause.min(LONGEST_PAUSE)
    }

    /// Something else says that the server at `place` is well: it begins anew.
    pub fn forget(&mut self, place: usize) {
        self.servers[place] = Watch::default();
    }

    /// A request goes to the server at `place`.
    pub fn sent(&mut self, place: usize, answers: Answers, now: Time) {
        let was_silent = self.is_silent(place, answers, now);
        let watch = &mut self.servers[place];
        if watch.sent == 0 || watch.own != answers.own {
            *watch = Watch { own: answers.own, others: answers.others(), ..Watch::default() };
        }
        watch.sent = watch.sent.saturating_add(1);
        if watch.sent == self.silence.unanswered {
            watch.enough = now;
        }
        watch.last = now;
        watch.probes += u32::from(was_silent);
    }

    /// The last request to the server at `place` has not been sent after all.
    pub fn unsent(&mut self, place: usize) {
        let watch = &mut self.servers[place];
        watch.sent = watch.sent.saturating_sub(1);
        watch.probes = watch.probes.saturating_sub(1);
    }
}

impl Answers {
    fn others(self) -> u64 {
        self.all.saturating_sub(self.own)
    }
}

/// A server that hangs for long costs a request in so much time.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Keeps the doubling in range.
const MOST_DOUBLINGS: u32 = 16;

#[cfg(test)]
mod tests;
