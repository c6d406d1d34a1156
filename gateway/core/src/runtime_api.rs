//! What operators ask over the control socket, and how it is answered.

pub mod table;

use crate::drain::State;
use serde::Serialize;
use std::fmt;

/// A command line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `status`: how this node is, for people.
    Status,
    /// `status json`: the same, for scripts.
    StatusJson,
    /// `drain`: take this node out of service, refusing nothing.
    Drain,
    /// `undrain`: put it back.
    Undrain,
    /// `show table`: the stick tables, or the entries of one, or some of them: [`table::show`].
    ShowTable(Option<(String, Vec<String>)>),
    /// `clear table`: takes entries out: [`table::clear`].
    ClearTable(String, Vec<String>),
    /// `set table`: writes an entry: [`table::set`].
    SetTable(String, Vec<String>),
    /// `show peers`: the other nodes.
    ShowPeers,
    /// `observed`: writes what was observed into its file, and says where that is.
    Observed,
}

/// How a node is.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The node's name.
    pub node: String,
    /// `serving`, `draining`, `stopping` or `closing`.
    pub lifecycle: &'static str,
    /// The state of the health stream: `ready`, `not_ready`, `draining` or `moved`.
    pub health: &'static str,
    /// Reason words, empty when ready.
    pub reasons: Vec<&'static str>,
    /// Seconds since the start.
    pub uptime: u64,
    /// Open client connections.
    pub connections: u64,
    /// Requests that run now.
    pub in_flight: u64,
    /// Requests since the start.
    pub requests: u64,
    /// The backends.
    pub backends: Vec<BackendStatus>,
    /// The stick tables.
    pub tables: Vec<TableStatus>,
}

/// How a backend is.
#[derive(Clone, Debug, Serialize)]
pub struct BackendStatus {
    /// Its name.
    pub name: String,
    /// Its servers.
    pub servers: Vec<ServerStatus>,
}

/// How a server is.
#[derive(Clone, Debug, Serialize)]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// HAProxy's word, such as `UP`, `UP 1/2`, `DOWN` or `no check`.
    pub status: String,
    /// Requests that run on it.
    pub active: u32,
    /// Tries sent to it.
    pub requests: u64,
    /// Tries that it failed.
    pub errors: u64,
}

/// How full a stick table is.
#[derive(Clone, Debug, Serialize)]
pub struct TableStatus {
    /// Its name.
    pub name: String,
    /// Entries in it.
    pub used: usize,
    /// Entries that fit.
    pub size: usize,
    /// Entries that went before their time.
    pub evicted: u64,
}

/// Understands a command line; the error is what to tell who sent it.
pub fn parse(line: &str) -> Result<Command, String> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let owned = |word: &str| word.to_owned();
    let all = |words: &[&str]| words.iter().copied().map(owned).collect();
    match words.as_slice() {
        ["status"] => Ok(Command::Status),
        ["status", "json"] => Ok(Command::StatusJson),
        ["drain"] => Ok(Command::Drain),
        ["undrain"] => Ok(Command::Undrain),
        ["show", "table"] => Ok(Command::ShowTable(None)),
        ["show", "table", table, rest @ ..] => Ok(Command::ShowTable(Some((owned(table), all(rest))))),
        ["clear", "table"] => Err(table::CLEAR_NEEDS.to_owned()),
        ["clear", "table", table, rest @ ..] => Ok(Command::ClearTable(owned(table), all(rest))),
        ["set", "table"] => Err(table::SET_NEEDS.to_owned()),
        ["set", "table", table, rest @ ..] => Ok(Command::SetTable(owned(table), all(rest))),
        ["show", "peers"] => Ok(Command::ShowPeers),
        ["observed"] => Ok(Command::Observed),
        _ => Err(format!("unknown command: '{line}'; there are: {COMMANDS}")),
    }
}

/// The word for a state of a gateway's life.
pub fn lifecycle_word(state: State) -> &'static str {
    match state {
        State::Serving => "serving",
        State::Draining => "draining",
        State::Stopping => "stopping",
        State::Closing => "closing",
        State::Gone => "gone",
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, lifecycle, health, uptime, connections, in_flight, requests, .. } = self;
        writeln!(f, "node {node}: {lifecycle}, health {health} {}", self.reasons.join(", "))?;
        writeln!(
            f,
            "up {uptime} s, {connections} connections, {in_flight} requests running, {requests} served"
        )?;
        writeln!(
            f,
            "\n{:<20} {:<16} {:<22} {:<12} {:>7} {:>10} {:>8}",
            "BACKEND", "SERVER", "ADDRESS", "STATUS", "RUNNING", "REQUESTS", "ERRORS"
        )?;
        for backend in &self.backends {
            for server in &backend.servers {
                let ServerStatus { name, address, status, active, requests, errors } = server;
                writeln!(
                    f,
                    "{:<20} {name:<16} {address:<22} {status:<12} {active:>7} {requests:>10} {errors:>8}",
                    backend.name
                )?;
            }
        }
        if !self.tables.is_empty() {
            writeln!(f, "\n{:<20} {:>10} {:>10} {:>10}", "TABLE", "USED", "SIZE", "EVICTED")?;
        }
        for TableStatus { name, used, size, evicted } in &self.tables {
            writeln!(f, "{name:<20} {used:>10} {size:>10} {evicted:>10}")?;
        }
        Ok(())
    }
}

const COMMANDS: &str = "status, status json, drain, undrain, show table [<table> [key <key> | data.<type> <op> <value>]], \
                        clear table <table> [key <key> | data.<type> <op> <value>], \
                        set table <table> key <key> [data.<type> <value>], show peers, observed";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_understood_and_others_are_told_what_there_is() {
        assert_eq!(parse(" status  json "), Ok(Command::StatusJson));
        assert_eq!(parse("drain"), Ok(Command::Drain));
        assert!(parse("drian").expect_err("a typo").contains("undrain"));
        assert!(parse("").is_err());
    }
}
