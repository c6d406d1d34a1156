//! Another configuration, or another program, in the place of this one: what it would do, and doing it.

use crate::control::Renew;
use crate::handover::give::{Successor, freeze, freeze_with};
use crate::handover::{Fate, Hello, Paths, Record, VERSION};
use crate::run::{Running, Speaker, read};
use crate::{notify, text_api};
use base_core::diagnose::Source;
use bgp_core::config::change::{Change, change};

/// How it went.
pub(crate) enum Renewed {
    /// This process goes on.
    Stays(String),
    /// Another one does.
    Gone(String),
}

impl Speaker {
    /// Checks first; then all of it or nothing. What it says is for people.
    pub(crate) async fn renew(&self, renew: &Renew, running: &mut Running) -> Result<Renewed, String> {
        let file = self.file.display();
        let text = std::fs::read_to_string(&self.file).map_err(|error| format!("{file}: {error}"))?;
        let config = read(&Source::new(file.to_string(), text.clone())).map_err(|error| error.to_string())?;
        let change = change(&self.config, &config);
        let mut lines = change.lines.clone();
        if renew.plan || lines.is_empty() && !renew.upgrade && config == *self.config {
            if lines.is_empty() {
                lines.push("nothing changes".to_owned());
            }
            return Ok(Renewed::Stays(lines.join("\n")));
        }
        if !change.reset.is_empty() && !renew.reset {
            let names = change.reset.join(", ");
            lines.push(format!("error: sessions would begin anew: {names}; with --reset they may"));
            return Err(lines.join("\n"));
        }
        let id = self.hand_over(text, &change, running).await?;
        lines.push(format!("process {id} has taken over, {} sessions are kept", change.kept.len()));
        Ok(Renewed::Gone(lines.join("\n")))
    }

    async fn hand_over(&self, config: String, change: &Change, running: &mut Running) -> Result<u32, String> {
        let system = |error: std::io::Error| error.to_string();
        let mut copies = self.sockets.copies().map_err(system)?;
        if let Some(bfd) = &running.bfd {
            copies.extend(bfd.listeners().map_err(system)?);
        }
        let (listeners, sockets) = copies.into_iter().unzip();
        let hello = Hello { version: VERSION, file: self.file.display().to_string(), config, listeners };
        let successor = Successor::start(&self.program, hello, sockets).await?;
        // Whatever returns early from here on lets everything go on that was stopped.
        let gate = freeze(&self.freezers.gate).await;
        let (gate, gates_fate) = gate.ok_or_else(|| "the gate has ended".to_owned())?;
        let (mut text_api, mut text_apis_fate) = (text_api::Saved::default(), None);
        if let Some(asker) = &self.asker
            && let Some((saved, fate)) = freeze_with(asker, text_api::Request::Freeze).await
        {
            (text_api, text_apis_fate) = (saved, Some(fate));
        }
        let (mut neighbors, mut connections, mut fates) = (Vec::new(), Vec::new(), Vec::new());
        for (key, task) in &self.freezers.neighbors {
            let Some((frozen, fate)) = freeze(task).await else { continue };
            let ended = change.ended.iter().find(|(ended, _)| ended == key);
            fates.push((fate, ended.map_or(Fate::Gone, |(_, code)| Fate::End(*code))));
            if let (None, Some((saved, connection))) = (ended, frozen.session) {
                neighbors.push((key.clone(), saved));
                connections.push(connection);
            }
        }
        let loopback = self.added.borrow().iter().copied().collect();
        let events = self.journal.save();
        let record = Record { now: self.clock.now(), gate, neighbors, text_api, loopback, events };
        successor.record(record, connections).await?;
        let frozen = match &running.bfd {
            Some(bfd) => bfd.freeze().await,
            None => None,
        };
        let (saved, paths_fate) = frozen.map_or((Vec::new(), None), |(saved, fate)| (saved, Some(fate)));
        let ends = |key: &_| change.ended.iter().any(|(ended, _)| ended == key);
        let kept = saved.into_iter().filter(|(path, _)| !ends(&path.neighbor));
        let (paths, sockets) = kept.unzip();
        successor.paths(Paths { paths }, sockets).await?;
        let id = successor.go()?;
        notify::successor(id);
        let _ = gates_fate.send(Fate::Gone);
        if let Some(fate) = text_apis_fate {
            let _ = fate.send(Fate::Gone);
        }
        for (task, fate) in fates {
            let _ = task.send(fate);
        }
        if let Some(fate) = paths_fate {
            let _ = fate.send(change.ended.iter().map(|(key, _)| key.clone()).collect());
        }
        Ok(id)
    }
}
