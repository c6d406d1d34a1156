//! Three nodes and a router in virtual time, with faults: gateways that die, hang and flap, speakers that die and hang,
//! links that are cut, nodes that stand still for a while, drains. The speaker's machines are the real ones; gateway,
//! router and links are models.
//!
//! Promises: no VIP stays announced longer than its bound after its gateway stopped serving; none is lost while a
//! healthy node has it. Every run follows from its seed; one that fails prints it.

mod link;
mod node;
mod router;
mod world;

use bgp_core::fsm::Mode;
use world::{Detection, World};

/// Runs of each kind. `SIMULATION_SEEDS=1000` makes it that many, `SIMULATION_SEED=7` only the one.
fn seeds() -> Box<dyn Iterator<Item = u64>> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("SIMULATION_SEED") {
        Some(seed) => Box::new(std::iter::once(seed)),
        None => Box::new(0..number("SIMULATION_SEEDS").unwrap_or(20)),
    }
}

fn run(detection: Detection, mode: Mode) {
    let (mut faults, mut announced) = (0, 0);
    for seed in seeds() {
        let outcome = World::new(seed, detection, mode).run();
        let outcome = outcome
            .unwrap_or_else(|wrong| panic!("SIMULATION_SEED={seed} ({detection:?}, {mode:?}): {wrong}"));
        faults += outcome.faults;
        announced += outcome.announced;
    }
    assert!(faults > 0 && announced > 0, "nothing happened: {faults} faults, {announced} announcements");
}

#[test]
fn no_vip_outlives_its_gateway_and_none_is_lost_while_a_healthy_node_has_it() {
    run(Detection::Bfd, Mode::Active);
}

#[test]
fn without_bfd_the_same_holds_within_the_hold_time() {
    run(Detection::HoldTime, Mode::Active);
}

#[test]
fn the_same_holds_where_the_router_is_the_one_that_connects() {
    run(Detection::Bfd, Mode::Passive);
    run(Detection::HoldTime, Mode::Passive);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || World::new(3, Detection::Bfd, Mode::Active).run().expect("a good run");
    assert_eq!(run(), run());
}
