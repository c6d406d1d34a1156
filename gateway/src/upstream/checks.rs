//! Runs the checks of all servers, on the control thread, and lets workers know.

use crate::state::Gateway;
use healthcheck::Checker;
use healthcheck_core::State;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Starts a check for each server whose backend has one, on the runtime that this is called on.
pub(crate) fn start(gateway: &Arc<Gateway>) {
    let seeds = RandomState::new();
    for (backend, (config, running)) in gateway.config.backends.iter().zip(&gateway.backends).enumerate() {
        let Some(spec) = &config.check else { continue };
        for (place, server) in config.servers.iter().enumerate() {
            let seed = seeds.hash_one((backend, place));
            let shared = Arc::clone(gateway);
            let on_change = move |state, reason| {
                let backend_name = &shared.config.backends[backend].name;
                let server_name = &shared.config.backends[backend].servers[place].name;
                tracing::info!(backend = %backend_name, server = %server_name, %state, %reason, "server changed");
                shared.backends[backend].set_up(place, state == State::Up, shared.clock.now());
            };
            let checker = Checker::spawn(spec, server.address, State::Up, seed, gateway.clock, on_change);
            // Checks start once in the life of a process.
            let _ = running.servers[place].checker.set(checker);
        }
    }
}
