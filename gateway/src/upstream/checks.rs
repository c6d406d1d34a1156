//! Runs the checks of all servers, on the control thread, and lets workers know.

use super::agents;
use crate::state::Gateway;
use gateway_core::config::{self, Address, Check, Watch};
use gateway_core::proxy_protocol::{Version, own};
use healthcheck::checker::Setup;
use healthcheck::probe::{Header, Names};
use healthcheck::{Checker, Prober, Slots};
use healthcheck_core::{Kind, State};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Where a server is: its backend's place and its own.
pub(super) type Seat = (usize, usize);

/// Starts a check for each server that has one, and asks each agent, on the runtime that this is called on.
pub(crate) fn start(gateway: &Arc<Gateway>) {
    let (seeds, slots) = (RandomState::new(), Slots::new(MAX_PROBES));
    for (backend, config) in gateway.config.backends.iter().enumerate() {
        for (place, server) in config.servers.iter().enumerate() {
            let seat = (backend, place);
            if let (Watch::Check { .. }, Some(check)) = (server.watch, &config.check) {
                watch(gateway, seat, check, &slots, seeds.hash_one(seat));
            }
            if let Some(agent) = &server.agent {
                tokio::spawn(agents::ask(
                    Arc::clone(gateway),
                    seat,
                    agent.clone(),
                    seeds.hash_one((seat, "agent")),
                ));
            }
        }
    }
}

/// Checks a server, and tells those that track it what becomes of it.
fn watch(gateway: &Arc<Gateway>, seat: Seat, check: &Check, slots: &Slots, seed: u64) {
    let (config, followers) = (&gateway.config, followers(gateway, seat));
    let backend = &config.backends[seat.0];
    let server = &backend.servers[seat.1];
    let names = Names { backend: backend.name.clone(), server: server.name.clone(), id: seat.1 + 1 };
    // There is one for each check, or the configuration would not have loaded.
    let Some(prober) = gateway.probers[seat.0].get(seat.1).cloned().flatten() else { return };
    let spec = server.check(&check.spec);
    let setup = Setup {
        spec: &spec,
        prober: prober.with_names(names),
        slots: slots.clone(),
        state: State::Up,
        seed,
        clock: gateway.clock,
    };
    let (shared, concerned) = (Arc::clone(gateway), [&[seat], followers.as_slice()].concat());
    let on_change = move |state, reason| {
        for (backend, place) in &concerned {
            let config = &shared.config.backends[*backend];
            let server = &config.servers[*place].name;
            tracing::info!(backend = %config.name, server = %server, %state, %reason, "server changed");
            shared.backends[*backend].set_checked(*place, state == State::Up, shared.clock.now());
        }
    };
    let address = gateway.backends[seat.0].servers[seat.1].address();
    let target = address.map(|address| server.watch.target(check.spec.target(address)));
    let checker = Checker::spawn(setup, target, on_change);
    for (backend, place) in followers.into_iter().chain([seat]) {
        // Checks start once in the life of a process.
        let _ = gateway.backends[backend].servers[place].checker.set(checker.clone());
    }
}

/// The servers that track this one.
fn followers(gateway: &Gateway, seat: Seat) -> Vec<Seat> {
    let mut followers = Vec::new();
    for (backend, config) in gateway.config.backends.iter().enumerate() {
        for (place, server) in config.servers.iter().enumerate() {
            if matches!(server.watch, Watch::Track(whose, which) if (whose.0, which) == seat) {
                followers.push((backend, place));
            }
        }
    }
    followers
}

/// What each server of each backend is asked by, if it is checked.
pub(crate) fn probers(
    config: &gateway_core::Config,
) -> Result<Vec<Vec<Option<Prober>>>, Box<base_core::diagnose::Diagnostic>> {
    let of = |backend: &config::Backend| match &backend.check {
        None => Ok(Vec::new()),
        Some(check) => backend.servers.iter().map(|server| prober(check, server)).collect(),
    };
    config.backends.iter().map(of).collect()
}

fn prober(
    check: &Check,
    server: &config::Server,
) -> Result<Option<Prober>, Box<base_core::diagnose::Diagnostic>> {
    if !matches!(server.watch, Watch::Check { .. }) {
        return Ok(None);
    }
    let spec = server.check(&check.spec);
    let header: Option<Header> = server.check_header(&check.spec).map(|version| match version {
        Version::V1 => (|source, destination| own(Version::V1, source, destination)) as Header,
        Version::V2 => |source, destination| own(Version::V2, source, destination),
    });
    let path = match &server.address {
        Address::Unix(path) if server.is_checked_where_it_serves(&check.spec) => Some(path.clone()),
        _ => None,
    };
    if path.is_some() && (spec.tls.is_some() || matches!(spec.kind, Kind::Tls)) {
        let mut diagnostic = check.origin.clone();
        diagnostic.message = format!("TLS with server `{}`, which is on a UNIX socket", server.name);
        return Err(Box::new(
            diagnostic.help("check it without TLS, or at a port of its own (`check_port`)"),
        ));
    }
    match Prober::new(spec.kind, spec.tls.as_ref(), Names::default()) {
        Ok(prober) => Ok(Some(prober.announcing(header).on(path))),
        Err(error) => {
            let mut diagnostic = check.origin.clone();
            diagnostic.message = format!("this check can't speak TLS: {error}");
            Err(Box::new(diagnostic.help("say in `tls` whom to believe (`ca_file`), or verify = \"none\"")))
        }
    }
}

/// Probes at once: each takes a descriptor, or a process; with thousands of servers that hang, the others' probes
/// still find their turn.
const MAX_PROBES: usize = 512;
