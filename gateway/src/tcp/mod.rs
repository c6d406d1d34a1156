//! Mode tcp: one connection of a client becomes one to a server, and bytes go both ways until both sides
//! have ended (HAProxy manual, "mode tcp").
//!
//! ```text
//!  accept → guard → inspect → route → pick → connect → relay → account → access_log
//! ```
//! Limits, the line for a server, stickiness and tries are those of requests: to them a connection is a
//! [`Request`] that has no head.

mod inspect;
mod relay;

pub(crate) use inspect::server_name;

use crate::pick::End;
use crate::request::{Connection, Refusal, Request};
use crate::state::Gateway;
use crate::tls::identity::Handshake;
use crate::tracks::Tracks;
use crate::upstream::Connection as Server;
use crate::{account, early, guard, pick, proxy_out, tries};
use gateway_core::balance::Algorithm;
use gateway_core::client::Client;
use gateway_core::config::{Backend, Frontend};
use gateway_core::failure::NoConnection;
use gateway_core::limits::Outcome;
use gateway_core::record::Termination;
use gateway_core::rules::Moment;
use gateway_core::track;
use pingora::protocols::Stream;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// One connection; told to the log when it is dropped, also at the end of the process.
pub(crate) struct Session {
    worker: usize,
    request: Request,
    traffic: Traffic,
    handshake: Option<Handshake>,
    /// Whether something of what its client has sent has been read already.
    is_heard: bool,
}

/// Bytes that have arrived where they were to go.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) to_server: u64,
    pub(crate) to_client: u64,
}

impl Session {
    /// Begins with a connection that has just been accepted.
    pub(crate) fn new(
        gateway: &Arc<Gateway>,
        worker: usize,
        connection: Connection,
        tracks: Option<Box<Tracks>>,
    ) -> Self {
        let mut request = Request::new(Arc::clone(gateway));
        request.tracks = tracks;
        request.connection = Some(connection);
        let address = connection.peer.ip().to_canonical();
        request.client = Some(Client { address, chain_is_trusted: false });
        request.termination = Termination::Killed;
        request.count();
        Self { worker, request, traffic: Traffic::default(), handshake: None, is_heard: false }
    }

    /// Asks the limits; if they refuse it, it has ended.
    pub(crate) fn admit(&mut self) -> bool {
        let Some(connection) = self.request.connection else { return false };
        let address = connection.peer.ip().to_canonical();
        let gateway = Arc::clone(&self.request.gateway);
        let limits = &gateway.config.frontends[connection.frontend].limits;
        let mut asking = guard::Asking::new(limits, connection.frontend, address);
        match asking.ask(&gateway, &mut self.request.tracked, true) {
            Err(guard::Stopped::Denied(denial)) => {
                self.request.termination = self.refuse(denial.reason);
                false
            }
            Ok(()) | Err(guard::Stopped::Behind(_)) => true,
        }
    }

    /// Something of what its client has sent has been read, and waits here.
    pub(crate) fn is_heard(&mut self) {
        self.is_heard = true;
    }

    /// Says what the TLS handshake has shown.
    pub(crate) fn shook_hands(&mut self, handshake: Handshake) {
        self.is_heard = true;
        self.handshake = Some(handshake);
    }

    /// Asks the rules that know the handshake; if one of them ends it, it has ended.
    pub(crate) fn begins(&mut self, frontend: &Frontend) -> bool {
        let Some(connection) = self.request.connection else { return false };
        let (rules, gateway) = (&frontend.session_rules, Arc::clone(&self.request.gateway));
        let (handshake, tracks) = (self.handshake.as_ref(), &mut self.request.tracks);
        let judged = early::apply(rules, Moment::Session, &gateway, connection, handshake, tracks);
        if let Err(reason) = judged {
            early::rejected(&gateway, connection.frontend, connection.peer, reason);
            self.request.termination = Termination::Refused;
            return false;
        }
        if let Some(tracks) = &self.request.tracks {
            tracks.each(track::session);
        }
        true
    }

    /// There was no handshake.
    pub(crate) fn fails(mut self) {
        self.request.termination = Termination::ClientInRequest;
    }

    /// Serves it until it ends. `name` is what its client asked for in a TLS handshake.
    pub(crate) async fn serve(mut self, mut client: Stream, name: Option<&str>) {
        self.request.termination = self.run(&mut client, name).await;
    }

    async fn run(&mut self, client: &mut Stream, name: Option<&str>) -> Termination {
        let gateway = Arc::clone(&self.request.gateway);
        let Some(connection) = self.request.connection else { return Termination::Internal };
        let frontend = &gateway.config.frontends[connection.frontend];
        let Some(backend) = frontend.routes.find(name.unwrap_or(""), "") else {
            return self.refuse("no_route");
        };
        self.request.backend = Some(backend);
        let mut server = match self.connect(&gateway, name).await {
            Ok(server) => server,
            Err(termination) => return termination,
        };
        let config = &gateway.config.backends[backend.0];
        let patience = patience(frontend, config);
        let (clock, traffic) = (&gateway.clock, &mut self.traffic);
        match &mut server {
            Server::Plain(server) => relay::relay(client, server, patience, clock, traffic).await,
            server => relay::relay(client, server, patience, clock, traffic).await,
        }
    }

    /// A connection to a server, if need be to another than the first.
    async fn connect(&mut self, gateway: &Arc<Gateway>, name: Option<&str>) -> Result<Server, Termination> {
        let request = &mut self.request;
        let key = key(gateway, request);
        let socket = request.connection.map(|connection| connection.socket);
        let aborts = request.backend.is_some_and(|backend| gateway.config.backends[backend.0].abortonclose);
        loop {
            request.lease = None;
            let end = if aborts { End::Half } else { End::Cut };
            let lease = pick::server(gateway, request, key, || pick::left(socket, end)).await;
            let lease = lease.map_err(|_| request.termination)?;
            let config = &gateway.config.backends[lease.backend.0];
            let picked = gateway.clock.now();
            request.picked = Some(picked);
            request.lease = Some(lease);
            let Some(lease) = &request.lease else { return Err(Termination::Internal) };
            if !lease.server().can_be_asked_for(|| "", name) {
                account::refused(request, Refusal::Word(tries::BAD_NAME));
                return Err(Termination::Refused);
            }
            let header = lease.server().send_proxy.zip(request.connection).map(|(version, connection)| {
                proxy_out::header(version, connection, self.handshake.as_ref(), name)
            });
            let header = header.as_deref().unwrap_or_default();
            let opened = Server::open(lease.server(), lease.server().tls.tunnels.as_ref(), header, name);
            let opened = tokio::select! {
                biased;
                opened = timeout(config.connect_timeout, opened) => opened,
                () = gone(socket, self.is_heard) => return Err(Termination::ClientInConnect),
            };
            let (reason, error) = match opened {
                Ok(Ok(server)) => {
                    // A server may have nothing to say before its client does.
                    lease.answered();
                    lease.observed(Some(200), true);
                    request.connect = Some(gateway.clock.now() - picked);
                    request.session = lease.server().runs(server.socket());
                    return Ok(server);
                }
                Ok(Err(error)) => error,
                Err(_) => (NoConnection::Server, io::ErrorKind::TimedOut.into()),
            };
            if reason.blames_server() {
                lease.failed();
                lease.observed(None, false);
            }
            request.tried.push(lease.server);
            if !reason.may_another_do() || !tries::reconnects(request) {
                return Err(match reason {
                    _ if reason.lacks_resources() => Termination::NoResources,
                    NoConnection::Server if error.kind() == io::ErrorKind::TimedOut => {
                        Termination::TimeoutInConnect
                    }
                    _ => Termination::ServerInConnect,
                });
            }
        }
    }

    fn refuse(&mut self, reason: &'static str) -> Termination {
        account::refused(&mut self.request, Refusal::Word(reason));
        Termination::Refused
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Traffic { to_server, to_client } = self.traffic;
        self.request.tracked.outcome = Outcome { status: 0, bytes_in: to_server, bytes_out: to_client };
        account::session(self.worker, &self.request, self.traffic);
    }
}

/// What a connection is hashed by: all that other algorithms could go by is in requests.
fn key(gateway: &Gateway, request: &Request) -> Option<u64> {
    let balance = &gateway.config.backends[request.backend?.0].balance;
    let client = request.client.as_ref()?.address;
    if *balance == Algorithm::Source { balance.key(client, "", |_| None) } else { None }
}

/// Ends when a client has gone while a server is connected to. Where that takes no time nothing is watched.
async fn gone(socket: Option<RawFd>, is_heard: bool) {
    tokio::time::sleep(pick::UNWATCHED).await;
    pick::left(socket, if is_heard { End::Cut } else { End::Unheard }).await;
}

/// Who may be silent for how long. While both sides go on, both for the shorter of the two times, as what goes
/// through counts for both.
fn patience(frontend: &Frontend, backend: &Backend) -> relay::Patience {
    let (client, server) = (frontend.client_timeout, backend.server_timeout);
    let both = match backend.tunnel_timeout {
        Some(silence) => (silence, Termination::TimeoutInData),
        None if client <= server => (client, Termination::ClientTimeoutInData),
        None => (server, Termination::TimeoutInData),
    };
    let left = |fin: Option<Duration>, own| fin.or(backend.tunnel_timeout).unwrap_or(own);
    relay::Patience {
        both,
        client: (left(frontend.client_fin_timeout, client), Termination::ClientTimeoutInData),
        server: (left(backend.server_fin_timeout, server), Termination::TimeoutInData),
    }
}
