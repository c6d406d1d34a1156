//! The commands of the control socket: questions, and an operator's orders.

use crate::board::{Board, Drains};
use crate::journal::Journal;
use crate::status;
use base::Clock;
use base_core::units::Span;
use bgp_core::config::Config;
use bgp_core::gate::{Event, Outcome, order};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What is needed to answer.
pub(crate) struct Control {
    pub(crate) config: Arc<Config>,
    pub(crate) board: Board,
    pub(crate) clock: Clock,
    pub(crate) gate: mpsc::Sender<Event>,
    pub(crate) journal: Journal,
    /// The number of the next order.
    pub(crate) drains: AtomicU64,
    /// Who can put another configuration, or another process, in the place of this one.
    pub(crate) renew: mpsc::Sender<Renew>,
}

/// Another configuration, or another process.
pub(crate) struct Renew {
    /// Only say what would happen.
    pub(crate) plan: bool,
    /// Sessions may begin anew where they must.
    pub(crate) reset: bool,
    /// Also where nothing changes: there is another program on the disk.
    pub(crate) upgrade: bool,
    pub(crate) answer: oneshot::Sender<String>,
}

impl Control {
    /// Answers one command. What goes wrong starts with `error: `.
    pub(crate) async fn answer(&self, line: &str) -> String {
        let vips: BTreeSet<IpAddr> = self.config.vips.iter().map(|vip| vip.address).collect();
        match order::parse(line, &vips) {
            Some(Ok(command)) => return self.order(command).await,
            Some(Err(error)) => return format!("error: {error}"),
            None => {}
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let (config, board, clock) = (&self.config, &self.board, self.clock);
        match words[..] {
            ["status"] => status::text(config, board, clock),
            ["status", "json"] => status::json(config, board, clock).to_string(),
            ["vips"] => status::vips_text(config, board, clock),
            ["vips", "json"] => status::vips_json(config, board, clock).to_string(),
            ["neighbors"] => status::neighbors_text(config, board, clock),
            ["neighbors", "json"] => status::neighbors_json(config, board, clock).to_string(),
            ["rib"] => status::rib_text(&self.rib().await),
            ["rib", "json"] => status::rib_json(&self.rib().await).to_string(),
            [verb @ ("reload" | "upgrade"), ref rest @ ..] => self.renew(verb == "upgrade", rest).await,
            ["events", ref rest @ ..] => self.events(rest).await,
            _ => format!("error: unknown command; there are: {COMMANDS}"),
        }
    }

    async fn renew(&self, upgrade: bool, words: &[&str]) -> String {
        if words.iter().any(|word| !matches!(*word, "plan" | "reset")) {
            return "error: reload [plan] [reset], upgrade [plan] [reset]".to_owned();
        }
        let (plan, reset) = (words.contains(&"plan"), words.contains(&"reset"));
        let (answer, answered) = oneshot::channel();
        let busy = "error: another reload or upgrade is under way, or the speaker ends".to_owned();
        if self.renew.try_send(Renew { plan, reset, upgrade, answer }).is_err() {
            return busy;
        }
        answered.await.unwrap_or(busy)
    }

    async fn order(&self, mut command: order::Command) -> String {
        let ends = || "error: the speaker ends".to_owned();
        let (done, asked) = match &mut command {
            order::Command::Order { kind, vips, lasts, number, .. } => {
                *number = self.drains.fetch_add(1, Ordering::Relaxed);
                let done = format!("{}: {} VIPs, for {:?}", kind.name(), vips.len(), Span(*lasts));
                (done, Some(*number))
            }
            order::Command::Release { vips } => (format!("released: {} VIPs", vips.len()), None),
        };
        let mut drains = self.board.drains.clone();
        if self.gate.send(Event::Operator(command)).await.is_err() {
            return ends();
        }
        let Some(asked) = asked else { return done };
        let of =
            |drains: &Drains| drains.iter().find(|(number, _)| *number == asked).map(|(_, how)| how.clone());
        let answered =
            tokio::time::timeout(DRAIN_TIMEOUT, drains.wait_for(|drains| of(drains).is_some())).await;
        match answered.ok().and_then(Result::ok).and_then(|drains| of(&drains)) {
            Some(Outcome::Granted(nodes)) if nodes.is_empty() => done,
            Some(Outcome::Granted(nodes)) => format!("{done}; {} agreed", nodes.join(", ")),
            Some(Outcome::Refused(refusal)) => format!("error: refused: {refusal}"),
            None => ends(),
        }
    }

    /// `[json] [NUMBER] [follow]`: what is behind that number; with `follow`, waits a while if there is nothing.
    async fn events(&self, words: &[&str]) -> String {
        let (json, words) = match words {
            ["json", rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let (number, follow) = match words {
            [] => (Some(0), false),
            [number] => (number.parse().ok(), false),
            [number, "follow"] => (number.parse().ok(), true),
            _ => (None, false),
        };
        let Some(number) = number else { return "error: events [json] [NUMBER [follow]]".to_owned() };
        if follow {
            self.journal.wait(number).await;
        }
        self.journal.read(number, json)
    }

    /// What each neighbor holds; one that does not answer, as it ends, holds nothing.
    async fn rib(&self) -> Vec<(String, status::Routes)> {
        let mut rib = Vec::new();
        for (neighbor, ask) in self.config.neighbors.iter().zip(&self.board.ribs) {
            let (answer, answered) = tokio::sync::oneshot::channel();
            let routes = match ask.send(answer).await {
                Ok(()) => answered.await.unwrap_or_default(),
                Err(_) => status::Routes::new(),
            };
            rib.push((neighbor.name.clone(), routes));
        }
        rib
    }
}

const COMMANDS: &str = "status, vips, neighbors, rib [json]; events [json] [NUMBER [follow]]; \
    reload, upgrade [plan] [reset]; drain [force], pin, force TIME VIPS REASON; undrain VIPS";
/// Longer than the gate takes to grant or to refuse a drain.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
