//! The two intervals of a session: what the other side was asked for, and what is in use until it has
//! agreed (RFC 5880 section 6.8.3).
//!
//! While Up, sending slower and expecting more must wait until a Poll Sequence has shown that the other
//! side knows; the other direction is safe at once.

use std::time::Duration;

#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Pace {
    asked: Intervals,
    used: Intervals,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Intervals {
    transmit: Duration,
    receive: Duration,
}

impl Pace {
    pub(super) const fn new(transmit: Duration, receive: Duration) -> Self {
        let intervals = Intervals { transmit, receive };
        Self { asked: intervals, used: intervals }
    }

    /// bfd.DesiredMinTxInterval as it goes out.
    pub(super) const fn asked_transmit(&self) -> Duration {
        self.asked.transmit
    }

    /// bfd.RequiredMinRxInterval as it goes out.
    pub(super) const fn asked_receive(&self) -> Duration {
        self.asked.receive
    }

    /// The desired interval to send with.
    pub(super) const fn transmit(&self) -> Duration {
        self.used.transmit
    }

    /// The required interval to reckon the detection time with.
    pub(super) const fn receive(&self) -> Duration {
        self.used.receive
    }

    /// Asks for these from now on; says whether that is anything new.
    pub(super) fn ask(&mut self, transmit: Duration, receive: Duration) -> bool {
        let before = std::mem::replace(&mut self.asked, Intervals { transmit, receive });
        before != self.asked
    }

    /// Uses what needs no agreement.
    pub(super) fn ease(&mut self) {
        self.used.transmit = self.used.transmit.min(self.asked.transmit);
        self.used.receive = self.used.receive.max(self.asked.receive);
    }

    /// Uses all that was asked for.
    pub(super) const fn agree(&mut self) {
        self.used = self.asked;
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.used.transmit <= self.asked.transmit, "never sends slower than the other side knows");
        assert!(self.used.receive >= self.asked.receive, "never expects more than the other side knows");
    }
}
