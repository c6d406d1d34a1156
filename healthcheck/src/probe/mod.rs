//! One health request.
//!
//! Promises: it ends by its deadline, whatever the other side does; it keeps nothing open; it runs on whatever
//! tokio runtime it is called on. It can be dropped at any point.

pub mod http;
pub mod tcp;

use base::Clock;
use base_core::Time;
use healthcheck_core::{CheckStatus, Kind, Outcome};
use std::net::SocketAddr;

/// Probes `target`, and ends by `deadline`.
pub async fn run(kind: &Kind, target: SocketAddr, clock: Clock, deadline: Time) -> Outcome {
    let started = clock.now();
    let (status, code) = match tcp::connect(target, clock, deadline).await {
        Err(status) => (status, None),
        Ok(stream) => match kind {
            Kind::Tcp => (CheckStatus::L4Ok, None),
            Kind::Http(check) => http::exchange(stream, check, target, clock, deadline).await,
        },
    };
    Outcome { status, code, duration: clock.now().since(started) }
}

/// What `work` says, or `None` at `deadline`. An answer that has arrived by then counts, even if this process was
/// stopped and reads it late.
async fn by<T>(clock: Clock, deadline: Time, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        clock.sleep_until(deadline).await;
        // The runtime looks at its sockets before it comes back here.
        tokio::task::yield_now().await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = late => None,
    }
}
