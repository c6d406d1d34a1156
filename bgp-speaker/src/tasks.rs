//! Makes the tasks of all neighbors and of the gate, new or with what another process left.

use crate::bfd;
use crate::board::{Board, Drains, NeighborView, Orders};
use crate::handover::{Freeze, FrozenNeighbor, SavedGate, SavedNeighbor};
use crate::journal::Journal;
use crate::link::Link;
use crate::listener::Door;
use crate::metrics::Metrics;
use crate::neighbor::Reach;
use crate::{gate, neighbor, probe, text_api};
use base::Clock;
use bgp_core::config::change::Key;
use bgp_core::config::{self, Config};
use bgp_core::fsm::negotiate::{Local, Offer};
use bgp_core::fsm::{self};
use bgp_core::gate::{Event, Gate, Settings};
use bgp_core::mirror::{Mirror, Own};
use bgp_core::neighbor::Neighbor;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// What every task gets.
pub(crate) struct Shared<'a> {
    pub(crate) config: &'a Config,
    pub(crate) clock: Clock,
    pub(crate) metrics: &'a Metrics,
    pub(crate) journal: &'a Journal,
}

/// What another process left.
#[derive(Default)]
pub(crate) struct Left {
    pub(crate) neighbors: BTreeMap<Key, (SavedNeighbor, OwnedFd)>,
    pub(crate) gate: Option<SavedGate>,
}

/// All of them, not running yet.
pub(crate) struct Tasks {
    pub(crate) board: Board,
    pub(crate) doors: Arc<[Door]>,
    pub(crate) inbox: mpsc::Sender<Event>,
    neighbors: Vec<neighbor::Task>,
    gate: gate::Task,
}

/// How the tasks are stopped for another process.
pub(crate) struct Freezers {
    pub(crate) gate: mpsc::Sender<Freeze<SavedGate>>,
    pub(crate) neighbors: Vec<(Key, mpsc::Sender<Freeze<FrozenNeighbor>>)>,
}

impl Tasks {
    pub(crate) fn new(
        shared: &Shared<'_>,
        (paths, feeds): (bfd::Paths, Vec<Option<text_api::Feed>>),
        mut left: Left,
    ) -> io::Result<(Self, Freezers)> {
        let Shared { config, clock, metrics, journal } = *shared;
        let seed = RandomState::new().build_hasher().finish();
        let vips: Arc<[config::Vip]> = config.vips.clone().into();
        let (mut views, mut ribs, mut doors) = (Vec::new(), Vec::new(), Vec::new());
        let (mut tasks, mut freezers) = (Vec::new(), Vec::new());
        let (reach, reached) = watch::channel(vec![[false; 2]; config.neighbors.len()]);
        for (((number, neighbor), path), injected) in (1_u64..).zip(&config.neighbors).zip(paths).zip(feeds) {
            let (show, view) = watch::channel(NeighborView::new());
            views.push(view);
            let (ask, asked) = mpsc::channel(ASKED_AT_ONCE);
            ribs.push(ask);
            let (door, arrivals) = Door::new(neighbor, config.bgp.hold_time);
            doors.push(door);
            let (freeze, freezes) = mpsc::channel(1);
            freezers.push((neighbor.key(), freeze));
            let arrivals = Some(arrivals).filter(|_| neighbor.mode.accepts());
            let look = neighbor.looking_glass.then(|| neighbor::Look {
                mirror: Mirror::new(config.vips.iter().map(|vip| vip.address), config.verify.stuck_after),
                own: Own::of(config),
                decided: None,
                changed: false,
            });
            let reach = Reach::new(views.len() - 1, reach.clone());
            let journal = journal.clone();
            let wires = neighbor::Wires { path, journal, asked, arrivals, injected, freezes, look, reach };
            let settings = settings(config, neighbor, seed.wrapping_add(number));
            let soak = config.back.session();
            let mut machine = Neighbor::new(neighbor.clone(), Arc::clone(&vips), settings.clone(), soak);
            let resumed = match left.neighbors.remove(&neighbor.key()) {
                None => None,
                Some((saved, socket)) => {
                    machine = machine.resume(saved.machine, settings, soak);
                    Some((Link::resume(socket, &saved.input, saved.output)?, saved.path))
                }
            };
            let counters = metrics.neighbor(&neighbor.name);
            let hold_time = config.bgp.hold_time;
            let mut task =
                neighbor::Task::new(neighbor.clone(), hold_time, clock, machine, show, counters, wires);
            if let Some((link, path)) = resumed {
                task.adopt(link, path);
            }
            tasks.push(task);
        }
        let (decide, decisions) = watch::channel(None);
        let (obey, orders) = watch::channel(Orders::default());
        let (drained, drains) = watch::channel(Drains::default());
        let (freeze, freezes) = mpsc::channel(1);
        let settings = Settings::new(config, seed);
        let (machine, standings) = match left.gate {
            None => (Gate::new(settings), None),
            Some(saved) => (Gate::resume(settings, saved.machine, clock.now()), saved.standings),
        };
        let mut gate = gate::Task::new(
            clock,
            machine,
            config.health.watch.clone(),
            probe::all(config).map_err(io::Error::other)?,
            gate::Wires { decisions: decide, orders: obey, drains: drained, freezes, reached },
            journal.clone(),
            metrics.gate(config.vips.iter().map(|vip| vip.address)),
        );
        if let Some(standings) = standings {
            gate.adopt(standings);
        }
        let freezers = Freezers { gate: freeze, neighbors: freezers };
        let tasks = Self {
            board: Board { decisions, orders, drains, neighbors: views, ribs },
            doors: doors.into(),
            inbox: gate.inbox(),
            neighbors: tasks,
            gate,
        };
        Ok((tasks, freezers))
    }

    /// Runs all of them; returns those of the neighbors. `present` are the VIPs on the loopback interface.
    pub(crate) fn run(
        self,
        present: Vec<IpAddr>,
        disabled: bool,
        stopped: &watch::Receiver<Option<String>>,
    ) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for task in self.neighbors {
            tasks.spawn(task.run(self.board.decisions.clone(), stopped.clone()));
        }
        tokio::spawn(self.gate.run(present, disabled));
        tasks
    }
}

fn settings(config: &Config, neighbor: &config::Neighbor, seed: u64) -> fsm::Settings {
    fsm::Settings {
        local: Local {
            asn: config.bgp.asn,
            identifier: config.bgp.router_id,
            hold_time: config.bgp.hold_time,
            neighbor_asn: neighbor.asn,
            offer: Offer {
                extended_next_hop: neighbor.extended_next_hop,
                graceful_restart: neighbor.graceful_restart,
            },
        },
        mode: neighbor.mode,
        retry_max: config.bgp.retry_max,
        max_prefixes: neighbor.max_prefixes,
        seed,
    }
}

/// Questions for a neighbor's routes that wait; more wait outside.
const ASKED_AT_ONCE: usize = 4;
