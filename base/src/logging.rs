//! Structured logs of a daemon: to stderr, one line an event.

use tracing_subscriber::EnvFilter;

/// Starts logging. `default` is the filter when the variable `HEADGATE_LOG` is not set, for example
/// `info` or `info,pingora=warn` (see `tracing_subscriber::EnvFilter`). Call it once, first thing.
pub fn start(default: &str) {
    let filter = EnvFilter::try_from_env("HEADGATE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
}
