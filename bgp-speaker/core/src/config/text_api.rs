//! `[text_api]` and `[[process]]`: for scripts that were written for ExaBGP.

use super::schema;
use super::validate::Checked;
use base_core::diagnose::Source;
use std::collections::BTreeSet;
use std::path::PathBuf;
use toml::Spanned;

/// Who may announce over the text API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextApi {
    /// Where lines are taken from anybody who may open it.
    pub socket: Option<Spanned<PathBuf>>,
    /// Most routes for each neighbor.
    pub max_routes: usize,
    /// Programs whose output is taken as lines.
    pub processes: Vec<Process>,
}

/// A program that is run as long as the speaker runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its name in logs.
    pub name: String,
    /// The program and its arguments.
    pub run: Vec<String>,
    /// What becomes of its routes when it ends.
    pub on_exit: OnExit,
}

/// What becomes of a process's routes when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExit {
    /// They are withdrawn: nobody watches any more what they stand for.
    #[default]
    Withdraw,
    /// They stay until it, or another, withdraws them.
    Keep,
}

impl TextApi {
    /// Whether anybody may announce over it at all.
    pub const fn is_used(&self) -> bool {
        self.socket.is_some() || !self.processes.is_empty()
    }
}

pub(super) fn text_api(
    raw: schema::TextApi,
    processes: Vec<schema::Process>,
    source: &Source,
) -> Checked<TextApi> {
    if let Some(socket) = raw.socket.as_ref().filter(|socket| !socket.get_ref().is_absolute()) {
        let message = format!("{} depends on where the speaker is started", socket.get_ref().display());
        return Err(source.at(socket.span(), message).help("an absolute path"));
    }
    let max_routes = match &raw.max_routes {
        Some(number) if !(1..=MAX_ROUTES).contains(number.get_ref()) => {
            let message = format!("{} routes for each neighbor", number.get_ref());
            return Err(source.at(number.span(), message).help(format!("1 to {MAX_ROUTES}")));
        }
        Some(number) => *number.get_ref(),
        None => DEFAULT_ROUTES,
    };
    let mut names = BTreeSet::new();
    let mut process = |raw: schema::Process| {
        let name = raw.name.get_ref().clone();
        if !names.insert(name.clone()) {
            return Err(source.at(raw.name.span(), format!("two processes are named {name}")));
        }
        if names.len() > MAX_PROCESSES {
            return Err(source.at(raw.name.span(), format!("more than {MAX_PROCESSES} processes")));
        }
        let absolute = raw.run.get_ref().first().is_some_and(|program| program.starts_with('/'));
        if !absolute {
            let help =
                "a list that begins with an absolute path: [\"/usr/bin/python3\", \"-m\", \"exabgp\", …]";
            return Err(source.at(raw.run.span(), "no program to run").help(help));
        }
        Ok(Process { name, run: raw.run.into_inner(), on_exit: raw.on_exit })
    };
    let processes = processes.into_iter().map(&mut process).collect::<Checked<Vec<_>>>()?;
    Ok(TextApi { socket: raw.socket, max_routes, processes })
}

/// Routes for each neighbor, unless configured: far more than a node's services.
const DEFAULT_ROUTES: usize = 1000;
/// Most that can be configured: some megabytes with every neighbor's copy.
const MAX_ROUTES: usize = 10_000;
/// Most processes: each is a program that runs.
const MAX_PROCESSES: usize = 64;
