//! Lets servers be where DNS says, on the control thread: asks when the machine of a name wants to, and moves servers
//! as it says. A name has one task and at most one question at a time.

use super::Server;
use super::asking::{self, Asker};
use crate::load::StartError;
use crate::state::Gateway;
use base::driver;
use base_core::diagnose::Diagnostic;
use gateway_core::Config;
use gateway_core::config::{Named, Watch};
use gateway_core::resolve::{Action, Endpoint, Event, Failure, Resolution, VALID};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What names need at the start.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// In the order of `config.resolvers`: whom each asks; nobody, where no server has a name for it.
    nameservers: Vec<Vec<SocketAddr>>,
    /// For each name of each backend: where its servers are until there is an answer.
    initial: Vec<Vec<Vec<Endpoint>>>,
}

/// What has been heard about a name.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Ends of questions, in the order of [`RESULTS`].
    results: [AtomicU64; 5],
    /// When an answer last was valid; 0: never.
    valid: AtomicU64,
    /// Addresses of the last answer for which there is no server.
    pub(crate) left_over: AtomicU64,
}

impl Known {
    /// Each result by its word, and how often it came.
    pub(crate) fn results(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RESULTS.into_iter().zip(self.results.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// How long ago there was a valid answer.
    pub(crate) fn age(&self, gateway: &Gateway) -> Option<Duration> {
        let valid = self.valid.load(Ordering::Relaxed);
        (valid > 0).then(|| gateway.clock.now() - base_core::Time::from_nanos(valid))
    }

    fn heard(&self, result: &'static str, left_over: usize, gateway: &Gateway) {
        if let Some(place) = RESULTS.iter().position(|known| *known == result) {
            self.results[place].fetch_add(1, Ordering::Relaxed);
        }
        if result == VALID {
            self.valid.store(gateway.clock.now().as_nanos().max(1), Ordering::Relaxed);
            self.left_over.store(left_over as u64, Ordering::Relaxed);
        }
    }
}

/// Finds out whom to ask, and where servers are at first.
pub(crate) fn load(config: &Config) -> Result<Names, Diagnostic> {
    let names = || config.backends.iter().flat_map(|backend| &backend.named);
    let nameservers = config.resolvers.iter().enumerate().map(|(place, resolvers)| {
        if !names().any(|named| named.resolvers.0 == place) {
            return Ok(Vec::new());
        }
        asking::nameservers(resolvers).map_err(|error| resolvers.origin.clone().help(error))
    });
    let nameservers = nameservers.collect::<Result<_, _>>()?;
    let initial = |named: &Named| {
        let told = || {
            let help = "end init_addr with \"none\" to start without its servers";
            named.origin.clone().help(help)
        };
        asking::initially(named).ok_or_else(told)
    };
    let initial =
        config.backends.iter().map(|backend| backend.named.iter().map(initial).collect::<Result<_, _>>());
    Ok(Names { nameservers, initial: initial.collect::<Result<_, _>>()? })
}

/// Asks for all names for ever, on the runtime that this is called on. Returns when each has been heard of once, or
/// soon, so that a gateway that has just started knows its servers.
pub(crate) async fn start(gateway: &Arc<Gateway>, names: Names) -> Result<(), StartError> {
    let askers = gateway.config.resolvers.iter().zip(&names.nameservers);
    let askers = askers.map(|(config, servers)| match servers.is_empty() {
        true => Ok(None),
        false => Asker::new(config, servers).map(Some),
    });
    let askers = askers.collect::<Result<Vec<_>, _>>()?;
    let mut first = Vec::new();
    for (backend, initial) in names.initial.iter().enumerate() {
        for (place, known) in initial.iter().enumerate() {
            let named = &gateway.config.backends[backend].named[place];
            let Some(asker) = askers[named.resolvers.0].clone() else { continue };
            let policy = gateway.config.resolvers[named.resolvers.0].policy;
            let machine = Resolution::new(policy, named.servers.len(), known, gateway.clock.now());
            let (heard, hears) = oneshot::channel();
            let gateway = Arc::clone(gateway);
            tokio::spawn(watch(Name { gateway, backend, place }, asker, machine, heard));
            first.push(hears);
        }
    }
    let all = async {
        for hears in first {
            let _ = hears.await;
        }
    };
    if tokio::time::timeout(FIRST_ANSWERS, all).await.is_err() {
        tracing::warn!("the gateway starts without having heard where all of its servers are");
    }
    gateway.backends.iter().flat_map(|backend| &backend.servers).for_each(Server::has_started);
    Ok(())
}

/// One name of one backend.
#[derive(Clone)]
struct Name {
    gateway: Arc<Gateway>,
    backend: usize,
    place: usize,
}

impl Name {
    fn config(&self) -> &Named {
        &self.gateway.config.backends[self.backend].named[self.place]
    }

    fn known(&self) -> &Known {
        &self.gateway.backends[self.backend].names[self.place]
    }

    fn moves(&self, slot: usize, to: Option<Endpoint>) {
        let Some(server) = self.config().servers.get(slot).copied() else { return };
        let backend = &self.gateway.config.backends[self.backend];
        let config = &backend.servers[server];
        let live = &self.gateway.backends[self.backend];
        let before = live.servers[server].address();
        live.set_address(server, to, config.weight, self.gateway.clock.now());
        let address = to.map(|to| to.address);
        if before == address {
            return;
        }
        let shown = address.map_or_else(|| "none".to_owned(), |address| address.to_string());
        tracing::info!(backend = %backend.name, server = %config.name, address = %shown, "server moved");
        if let (Watch::Check { .. }, Some(checker), Some(check)) =
            (config.watch, live.servers[server].checker.get(), &backend.check)
        {
            match address {
                None => checker.lost(),
                Some(address) => checker.found(config.watch.target(check.spec.target(address))),
            }
        }
    }
}

async fn watch(name: Name, asker: Asker, mut machine: Resolution, first: oneshot::Sender<()>) {
    let (events, mut inbox) = mpsc::channel(ANSWERS);
    let (mut first, mut last) = (Some(first), VALID);
    for slot in 0..name.config().servers.len() {
        if let Some(endpoint) = machine.at(slot) {
            name.moves(slot, Some(endpoint));
        }
    }
    let clock = name.gateway.clock;
    let run = |action| match action {
        Action::Ask { question, deadline } => {
            let (name, asker, events) = (name.clone(), asker.clone(), events.clone());
            tokio::spawn(async move {
                let config = name.config();
                let answer = tokio::select! {
                    biased;
                    answer = asker.ask(&config.question, &config.preference) => answer,
                    () = clock.sleep_until(deadline) => Err(Failure::Timeout),
                };
                // Nobody is there only at the end of the process.
                let _ = events.send(Event::Answered { question, answer }).await;
            });
        }
        Action::Move { slot, to } => name.moves(slot, to),
        Action::Heard { result, left_over } => {
            name.known().heard(result, left_over, &name.gateway);
            if last != result {
                let question = &name.config().question;
                tracing::info!(name = %question, result, "what DNS says");
                last = result;
            }
            // Moves that it leads to come in the same turn, and so before whoever waits.
            if let Some(first) = first.take() {
                let _ = first.send(());
            }
        }
    };
    driver::drive(&mut machine, clock, &mut inbox, run).await;
}

/// How a question may end.
const RESULTS: [&str; 5] = [VALID, "nx", "refused", "timeout", "other"];
/// Answers that may wait: there is one question at a time, and one that was given up.
const ANSWERS: usize = 2;
/// How long a start waits for the first answers: they take milliseconds where anybody is there to give them.
const FIRST_ANSWERS: Duration = Duration::from_secs(2);
