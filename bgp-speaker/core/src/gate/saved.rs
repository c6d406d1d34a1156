//! The gate, as another process goes on with it: how each VIP stands, why, what was ordered and until when. Nothing of it
//! changes before the gateway has spoken to the new process, or has not within its time.

use super::order::{Kind, Order};
use super::vip::{Keep, Leaves, Verdict};
use super::{Gate, Settings, Standing};
use crate::soak;
use base_core::Time;
use healthcheck_core::fleet::Fleet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What another process goes on with. Times are of the same clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    vips: Vec<(IpAddr, Vip)>,
    /// No gate of the node was shut.
    #[serde(default)]
    pub(super) open: bool,
    /// What the other nodes said.
    #[serde(default)]
    pub(super) others: Option<Fleet>,
}

/// One VIP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Vip {
    pub(super) soak: soak::Saved,
    pub(super) good: bool,
    pub(super) decided: Option<Verdict>,
    pub(super) order: Option<SavedOrder>,
    pub(super) leaves: Option<Leaves>,
    /// Requests through it were served.
    #[serde(default)]
    pub(super) served: bool,
    /// Kept because no other node has it.
    #[serde(default)]
    pub(super) keep: Keep,
}

/// An operator's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedOrder {
    kind: Kind,
    until: Time,
    reason: String,
    stood: Standing,
    #[serde(default)]
    forced: bool,
}

impl Gate {
    /// What another process goes on with.
    pub fn save(&self) -> Saved {
        let one = |(address, vip): (&IpAddr, &super::vip::Vip)| {
            (*address, Vip { served: self.probes.good(*address), ..vip.save() })
        };
        Saved {
            vips: self.vips.iter().map(one).collect(),
            open: self.probes.open(),
            others: self.others.save(),
        }
    }

    /// Goes on at `now` with what another process saved, as far as its VIPs are still there.
    pub fn resume(settings: Settings, saved: Saved, now: Time) -> Self {
        let mut gate = Self::new(settings);
        for (address, vip) in saved.vips {
            let Some(place) = gate.vips.get_mut(&address) else { continue };
            if vip.served {
                gate.probes.believe(address);
            }
            *place = super::vip::Vip::resume(gate.settings.soak, vip);
        }
        if saved.open {
            gate.probes.believe_open();
        }
        gate.others.resume(saved.others, now);
        gate.resumed = true;
        gate
    }

    /// The orders that hold.
    pub fn orders(&self) -> BTreeMap<IpAddr, Order> {
        let one = |(address, vip): (&IpAddr, &super::vip::Vip)| Some((*address, vip.order()?.clone()));
        self.vips.iter().filter_map(one).collect()
    }
}

impl From<&Order> for SavedOrder {
    fn from(order: &Order) -> Self {
        let Order { kind, until, reason, forced, stood } = order;
        Self { kind: *kind, until: *until, reason: reason.to_string(), stood: *stood, forced: *forced }
    }
}

impl From<SavedOrder> for Order {
    fn from(saved: SavedOrder) -> Self {
        let SavedOrder { kind, until, reason, stood, forced } = saved;
        Self { kind, until, reason: reason.into(), forced, stood }
    }
}
