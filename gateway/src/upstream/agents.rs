//! Asks the agents of servers what they want to get, on the control thread.

use super::checks::Seat;
use crate::state::Gateway;
use gateway_core::config::Agent;
use healthcheck_core::agent::Standing;
use healthcheck_core::schedule::Schedule;
use std::sync::Arc;

/// Asks one server's agent for ever, and lets workers know what it says.
pub(super) async fn ask(gateway: Arc<Gateway>, seat: Seat, agent: Agent, seed: u64) {
    let clock = gateway.clock;
    let config = &gateway.config.backends[seat.0];
    let server = &config.servers[seat.1];
    let mut schedule = Schedule::start(clock.now(), agent.inter, seed);
    let mut standing = Standing::INITIAL;
    loop {
        clock.sleep_until(schedule.due()).await;
        schedule.take(clock.now());
        let deadline = clock.now() + agent.timeout;
        let Some(address) = gateway.backends[seat.0].servers[seat.1].address() else {
            schedule.plan(clock.now(), agent.inter);
            continue;
        };
        match healthcheck::agent::ask(agent.target(address), agent.send.as_bytes(), clock, deadline).await {
            Ok(report) => {
                if standing.apply(report) {
                    tracing::info!(backend = %config.name, server = %server.name, ?standing, "agent");
                    gateway.backends[seat.0].set_standing(seat.1, server, standing, clock.now());
                }
            }
            // It changes nothing: whether the server can be reached is for its check to find.
            Err(problem) => {
                gateway.backends[seat.0].servers[seat.1].agent_failed();
                tracing::debug!(backend = %config.name, server = %server.name, problem, "agent");
            }
        }
        schedule.plan(clock.now(), agent.inter);
    }
}
