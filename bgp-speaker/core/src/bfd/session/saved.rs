//! A session as another process goes on with it: the other side notices nothing.

use super::pace::Pace;
use super::{Poll, Remote, Session, Settings, Timers};
use crate::bfd::{Diagnostic, State};
use base_core::Time;
use base_core::random::Random;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// What another process goes on with. Times are of the same clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Saved {
    discriminator: NonZeroU32,
    state: State,
    diagnostic: Diagnostic,
    remote: Remote,
    pace: Pace,
    poll: Poll,
    sent: Option<Time>,
    due: Option<Time>,
}

impl Saved {
    /// Our number of the session: it stays.
    pub const fn discriminator(&self) -> NonZeroU32 {
        self.discriminator
    }

    /// Where it stands.
    pub const fn state(&self) -> State {
        self.state
    }

    /// What the other side last said of itself.
    pub const fn remote_state(&self) -> State {
        self.remote.state
    }
}

impl Session {
    /// What another process goes on with.
    pub const fn save(&self) -> Saved {
        Saved {
            discriminator: self.settings.discriminator,
            state: self.state,
            diagnostic: self.diagnostic,
            remote: self.remote,
            pace: self.pace,
            poll: self.poll,
            sent: self.sent,
            due: self.due,
        }
    }

    /// Goes on with what another process saved. Other timers than its are agreed on like any change of timers.
    pub fn resume(timers: Timers, seed: u64, saved: &Saved) -> Self {
        let &Saved { discriminator, state, diagnostic, remote, pace, poll, sent, due } = saved;
        let settings = Settings { discriminator, timers, seed };
        let mut session = Self {
            settings,
            state,
            diagnostic,
            remote,
            pace,
            poll,
            said: None,
            sent,
            due,
            random: Random::new(seed),
        };
        session.said = sent.map(|_| session.packet(false));
        session
    }
}
