//! What the terminal shows: lines that stay, and below them a table that is drawn again and again. Not a
//! terminal: plain lines only.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tests::Lab;
use tests::load::{Kind, Load};
use tests::topology::VIPS;

/// Standard output.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: bool,
    table: Mutex<String>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), table: Mutex::new(String::new()) }
    }

    /// Whether there is somebody to look at it.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes a line that stays.
    pub(crate) fn line(&self, line: &str) {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        put(&format!("{}{line}\n{table}", erase(&table)));
    }

    /// Writes a headline that stays.
    pub(crate) fn headline(&self, line: &str) {
        let (bold, plain) = if self.terminal { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        self.line("");
        self.line(&format!("{bold}{line}{plain}"));
    }

    /// `ok` or `BROKEN`, in colour where there is any.
    pub(crate) const fn mark(&self, held: bool) -> &'static str {
        match (held, self.terminal) {
            (true, true) => "\x1b[32mok\x1b[0m    ",
            (false, true) => "\x1b[1;31mBROKEN\x1b[0m",
            (true, false) => "ok    ",
            (false, false) => "BROKEN",
        }
    }

    /// Draws the table in place of the last one; an empty one takes it away.
    pub(crate) fn draw(&self, text: &str) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        put(&format!("{}{text}", erase(&table)));
        text.clone_into(&mut table);
    }
}

/// Up to the table's first line, and everything below it gone.
fn erase(table: &str) -> String {
    let lines = table.matches('\n').count();
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\r\x1b[J") }
}

fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that has gone away is no reason to stop.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Keeps the table up to date until it is dropped.
#[derive(Debug)]
pub(crate) struct Following {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a thread that shows what the router and the load say.
pub(crate) fn follow(screen: &Arc<Screen>, lab: &Arc<Lab>, load: &Arc<Load>) -> Following {
    let stop = Arc::new(AtomicBool::new(false));
    let (its_stop, screen, lab, load) =
        (Arc::clone(&stop), Arc::clone(screen), Arc::clone(lab), Arc::clone(load));
    let work = move || {
        let mut round = 0_u32;
        while !its_stop.load(Ordering::Relaxed) {
            tests::pause(EVERY);
            round += 1;
            let rows = rows(&lab, &load);
            if screen.is_terminal() {
                screen.draw(&table(&rows));
            } else if round.is_multiple_of(PLAIN_EVERY) {
                screen.line(&plain(&rows));
            }
        }
        if screen.is_terminal() {
            screen.draw("");
        }
    };
    Following { stop, thread: std::thread::Builder::new().name("demo-table".to_owned()).spawn(work).ok() }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Row {
    vip: String,
    node: String,
    per_second: usize,
    new_failed: usize,
    broken: usize,
}

fn rows(lab: &Lab, load: &Load) -> Vec<Row> {
    let now = lab.clock().now();
    let second = base_core::Time::from_nanos(now.as_nanos().saturating_sub(1_000_000_000));
    let (last, all) = (load.ended(second, now), load.ended(base_core::Time::ZERO, now));
    let row = |vip| {
        let all = all.vip(vip);
        let new_failed = all.kind(Kind::New).failed();
        Row {
            vip: vip.to_string(),
            node: lab.serving(vip).map_or_else(|| "none".to_owned(), |n| format!("gw{n}")),
            per_second: last.vip(vip).ok(),
            new_failed,
            broken: all.failed() - new_failed,
        }
    };
    VIPS.into_iter().map(row).collect()
}

fn table(rows: &[Row]) -> String {
    let mut text =
        String::from("\n\x1b[1m  VIP            node   requests/s   new failed   kept broken\x1b[0m\n");
    for Row { vip, node, per_second, new_failed, broken } in rows {
        let _ = writeln!(text, "  {vip:<13}  {node:<5}  {per_second:>10}   {new_failed:>10}   {broken:>11}");
    }
    text
}

fn plain(rows: &[Row]) -> String {
    let cell = |row: &Row| {
        let Row { vip, node, per_second, new_failed, broken } = row;
        format!("{vip} {node} {per_second}/s, failed {new_failed}, broken {broken}")
    };
    format!("  [{}]", rows.iter().map(cell).collect::<Vec<_>>().join(" | "))
}

const EVERY: Duration = Duration::from_millis(250);
/// Rounds between two plain lines: five seconds.
const PLAIN_EVERY: u32 = 20;
