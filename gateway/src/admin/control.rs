//! Answers the control socket.

use super::tables;
use crate::observe;
use crate::state::Gateway;
use gateway_core::drain::{Event, State};
use gateway_core::runtime_api::{
    self, BackendStatus, Command, ServerStatus, Status, TableStatus, lifecycle_word,
};
use healthcheck_core::verdict::Verdict;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};

/// What the control socket can see and do.
#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) lifecycle: mpsc::Sender<Event>,
    pub(crate) state: watch::Receiver<State>,
    pub(crate) verdicts: watch::Receiver<Verdict>,
    /// Of who looks through a table, or writes a file: one at a time.
    pub(crate) turn: Arc<Semaphore>,
}

impl Control {
    /// Answers one command line.
    pub(crate) async fn answer(self, line: String) -> String {
        match runtime_api::parse(&line) {
            Err(error) => error,
            Ok(Command::Status) => self.status().to_string(),
            Ok(Command::StatusJson) => serde_json::to_string(&self.status()).unwrap_or_default(),
            Ok(Command::Drain) => self.change(Event::Drain, State::Draining).await,
            Ok(Command::ShowTable(which)) => self.aside(|gateway| tables::show(gateway, which)).await,
            Ok(Command::ClearTable(table, words)) => {
                self.aside(move |gateway| tables::clear(gateway, &table, &words)).await
            }
            Ok(Command::SetTable(table, words)) => {
                self.aside(move |gateway| tables::set(gateway, &table, &words)).await
            }
            Ok(Command::ShowPeers) => tables::peers(&self.gateway),
            Ok(Command::Observed) => self.aside(observe::answer).await,
            Ok(Command::Undrain) => self.change(Event::Undrain, State::Serving).await,
        }
    }

    /// Answers on a thread of its own, when nobody else does: a table may have millions of entries, and this one says
    /// that the node lives. Who waits for too long is cut off before anything begins.
    async fn aside(self, answer: impl FnOnce(&Gateway) -> String + Send + 'static) -> String {
        let (turn, gateway) = (self.turn.acquire_owned().await, self.gateway);
        let answered = tokio::task::spawn_blocking(move || {
            // A client that goes away does not end this.
            let _turn = turn;
            answer(&gateway)
        });
        let answered = answered.await;
        answered.unwrap_or_else(|error| format!("error: {error}"))
    }

    /// Asks for a change and answers when it is so, or why it is not.
    async fn change(mut self, event: Event, wanted: State) -> String {
        // Closed only when the process is about to end.
        let _ = self.lifecycle.send(event).await;
        let reached = self.state.wait_for(|state| *state == wanted);
        let reached = matches!(tokio::time::timeout(CHANGE_TIMEOUT, reached).await, Ok(Ok(_)));
        let state = lifecycle_word(*self.state.borrow());
        match reached {
            true => state.to_owned(),
            false => format!("error: this node is {state}, which can't be changed any more"),
        }
    }

    fn status(&self) -> Status {
        let gateway = &self.gateway;
        let verdict = self.verdicts.borrow();
        Status {
            node: gateway.node.clone(),
            lifecycle: lifecycle_word(*self.state.borrow()),
            health: verdict.state.as_str(),
            reasons: verdict.reasons.iter().map(|reason| reason.as_str()).collect(),
            uptime: gateway.clock.now().as_millis() / 1000,
            connections: gateway.load.connections.load(Ordering::Relaxed),
            in_flight: gateway.load.in_flight.load(Ordering::Relaxed),
            requests: gateway.load.started.load(Ordering::Relaxed),
            backends: self.backends(),
            tables: self.tables(),
        }
    }

    fn backends(&self) -> Vec<BackendStatus> {
        let pairs = self.gateway.config.backends.iter().zip(&self.gateway.backends);
        pairs
            .map(|(config, backend)| BackendStatus {
                name: config.name.clone(),
                servers: config
                    .servers
                    .iter()
                    .zip(&backend.servers)
                    .map(|(config, server)| ServerStatus {
                        name: config.name.clone(),
                        address: server.place(),
                        status: server.status(),
                        active: server.active.load(Ordering::Relaxed),
                        requests: server.requests.load(Ordering::Relaxed),
                        errors: server.errors.load(Ordering::Relaxed),
                    })
                    .collect(),
            })
            .collect()
    }

    fn tables(&self) -> Vec<TableStatus> {
        let pairs = self.gateway.config.tables.iter().zip(&self.gateway.tables);
        pairs
            .map(|(config, table)| TableStatus {
                name: config.name.clone(),
                used: table.len(),
                size: config.size,
                evicted: table.evicted(),
            })
            .collect()
    }
}

/// A change of state takes one turn of the control thread.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(1);
