//! What becomes of a try that a server has failed: another one, or an error.

use crate::account;
use crate::proxy::link;
use crate::request::{Link, Refusal, Request};
use crate::tunnel::Switch;
use crate::upstream;
use gateway_core::failure::{self, NoConnection, Phase, Side};
use gateway_core::record::Termination;
use gateway_core::retry::{Attempt, Failure};
use http::StatusCode;
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType, Result};

/// The server has begun to answer. An error if the request shall be sent again instead.
pub(crate) fn answered(session: &Session, request: &mut Request, status: StatusCode) -> Result<()> {
    if !status.is_informational()
        && let Some(lease) = &request.lease
    {
        lease.observed(Some(status.as_u16()), true);
    }
    if status.is_informational() || !again(session, request, Failure::Status(status.as_u16())) {
        return Ok(());
    }
    request.tried.extend(request.lease.as_ref().map(|lease| lease.server));
    request.sent_again = true;
    let mut error = Error::explain(ErrorType::HTTPStatus(status.as_u16()), "sent again");
    error.set_retry(true);
    Err(error)
}

/// A try has failed on a connection to a server.
pub(crate) fn broken(
    session: &Session,
    request: &mut Request,
    mut error: Box<Error>,
    reused: bool,
) -> Box<Error> {
    if std::mem::take(&mut request.sent_again) {
        return error;
    }
    if *error.esource() != ErrorSource::Upstream {
        error.set_retry(false);
        return error;
    }
    let failure = match error.etype() {
        _ if request.response.is_some() => Failure::Other,
        _ if is_late(request) => Failure::Timeout,
        _ if is_closed(&error) && reused => Failure::StaleConnection,
        _ if is_closed(&error) => Failure::Empty,
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Failure::Timeout,
        ErrorType::InvalidHTTPHeader | ErrorType::InvalidH2 => Failure::Junk,
        _ => Failure::Other,
    };
    failed(session, request, error, failure)
}

/// There is no connection to the server that was chosen.
pub(crate) fn unconnected(session: &Session, request: &mut Request, mut error: Box<Error>) -> Box<Error> {
    let asked = link(session).and_then(Link::handshake).and_then(|handshake| handshake.name.as_deref());
    let for_client =
        request.lease.as_ref().is_some_and(|lease| lease.server().is_asked_for_clients_name(asked));
    let reason = match error.etype() {
        ErrorType::TLSHandshakeFailure => NoConnection::Handshake { for_client },
        _ => unreached(&error),
    };
    if reason.blames_server() {
        return failed(session, request, error, Failure::NotConnected);
    }
    request.tried.extend(request.lease.as_ref().map(|lease| lease.server));
    error.set_retry(reason.may_another_do() && again(session, request, Failure::NotConnected));
    error
}

/// A try has failed: says whether there shall be another, and remembers what the server did.
fn failed(session: &Session, request: &mut Request, mut error: Box<Error>, failure: Failure) -> Box<Error> {
    if let Some(lease) = &request.lease {
        if failure != Failure::StaleConnection {
            lease.failed();
            // What breaks off later has been heard of as an answer.
            if request.response.is_none() {
                lease.observed(None, failure != Failure::NotConnected);
            }
        }
        request.tried.push(lease.server);
    }
    error.set_retry(again(session, request, failure));
    error
}

/// The server is to be asked for the name that its client has chosen, and that is no name.
pub(crate) fn unnamed(request: &mut Request) -> Box<Error> {
    request.termination = Termination::Refused;
    account::refused(request, Refusal::Word(BAD_NAME));
    Error::explain(ErrorType::HTTPStatus(400), BAD_NAME)
}

/// Whether a request of HTTP gets another try, which is counted then.
fn again(session: &Session, request: &mut Request, failure: Failure) -> bool {
    let idempotent = session.req_header().method.is_idempotent();
    let replayable = !session.as_ref().retry_buffer_truncated();
    let retries = request.tries;
    counted(request, failure, Attempt { idempotent, replayable, retries })
}

/// Whether a connection of mode tcp that no server took gets another try, which is counted then.
pub(crate) fn reconnects(request: &mut Request) -> bool {
    let attempt = Attempt { idempotent: false, replayable: false, retries: request.tries };
    counted(request, Failure::NotConnected, attempt)
}

fn counted(request: &mut Request, failure: Failure, attempt: Attempt) -> bool {
    let Some(backend) = request.backend else { return false };
    let policy = &request.gateway.config.backends[backend.0].retry;
    let budget = &request.gateway.backends[backend.0].retry_budget;
    let Some(reason) = policy.again(failure, attempt, budget) else { return false };
    request.tries += 1;
    account::retried(request, reason);
    true
}

/// How a request failed, for its client and the log.
pub(crate) fn failure(session: &Session, request: &Request, error: &Error) -> failure::Failure {
    use ErrorType::{ConnectTimedout, ReadTimedout, TLSHandshakeTimedout, WriteTimedout};
    failure::Failure {
        side: match error.esource() {
            ErrorSource::Upstream if request.connect.is_none() && unreached(error).lacks_resources() => {
                Side::Node
            }
            ErrorSource::Upstream => Side::Server,
            ErrorSource::Downstream => Side::Client,
            ErrorSource::Internal | ErrorSource::Unset => Side::Gateway,
        },
        phase: match (session.response_written(), request.connect) {
            (Some(_), _) => Phase::Data,
            (None, _) if request.queued.wish.is_some() => Phase::Queue,
            (None, Some(_)) => Phase::Headers,
            (None, None) if request.lease.is_some() => Phase::Connect,
            (None, None) => Phase::Request,
        },
        timeout: matches!(
            error.etype(),
            ConnectTimedout | ReadTimedout | WriteTimedout | TLSHandshakeTimedout
        ) || timed_out(error)
            || is_late(request),
        closed: is_closed(error) && bad_body(error).is_none(),
    }
}

/// Why the body of a request can't be read on, if it is since there is no one reading of it.
pub(crate) fn bad_body(error: &Error) -> Option<&'static str> {
    let io = error.root_cause().downcast_ref::<std::io::Error>();
    io.filter(|error| error.kind() == std::io::ErrorKind::InvalidData).map(|_| "bad_chunk")
}

/// Whether a socket said so: that of a client that takes nothing, or one on which nothing is acknowledged.
fn timed_out(error: &Error) -> bool {
    let io = error.root_cause().downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
}

/// Why there is no connection, as far as the socket says.
fn unreached(error: &Error) -> NoConnection {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.root_cause());
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return upstream::unreached(error);
        }
        cause = error.source();
    }
    NoConnection::Server
}

/// Whether its server has not said in time that it becomes a tunnel.
fn is_late(request: &Request) -> bool {
    request.switch.as_ref().is_some_and(Switch::has_passed)
}

fn is_closed(error: &Error) -> bool {
    matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError)
}

/// The reason word for a name by which no server can be asked for.
pub(crate) const BAD_NAME: &str = "bad_server_name";
