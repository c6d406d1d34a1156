//! What the client is told, and what the log says, when a request fails on its way.

use crate::record::Termination;
use crate::strict;

/// Who failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client went away, fell silent or spoke nonsense.
    Client,
    /// The server did.
    Server,
    /// The gateway itself.
    Gateway,
    /// This node, which had nothing left to reach a server with.
    Node,
}

/// Why there is no connection to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoConnection {
    /// This node has no file or memory left for one, to whichever server.
    Exhausted,
    /// No port is left at the address that it would go out from, or that address can't reach the server.
    NoPort,
    /// There was no agreement on TLS.
    Handshake {
        /// Whether the server was asked for a name that its client has chosen.
        for_client: bool,
    },
    /// The server refused it, or was silent.
    Server,
}

impl NoConnection {
    /// Whether another server may do better. Ports are counted for each address that is connected to.
    pub fn may_another_do(self) -> bool {
        self == Self::NoPort || self.blames_server()
    }

    /// Whether it is for lack of something on this node.
    pub fn lacks_resources(self) -> bool {
        matches!(self, Self::Exhausted | Self::NoPort)
    }

    /// Whether it is the server's failure: only then does it count against it. What a client can bring about would else take
    /// every server from everybody.
    pub fn blames_server(self) -> bool {
        match self {
            Self::Exhausted | Self::NoPort => false,
            Self::Handshake { for_client } => !for_client,
            Self::Server => true,
        }
    }
}

/// How far the request had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It waited for a place on a server.
    Queue,
    /// It was not read yet, or no server was chosen for it.
    Request,
    /// The server that was chosen did not have it yet.
    Connect,
    /// A server had it, but had not answered.
    Headers,
    /// The client had the beginning of the answer.
    Data,
}

/// A failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Who failed.
    pub side: Side,
    /// When.
    pub phase: Phase,
    /// Whether it was by silence.
    pub timeout: bool,
    /// Whether the connection to that side is gone.
    pub closed: bool,
}

impl Failure {
    /// The status to answer with, as HAProxy gives it: 503 where no server could be reached, 504 where
    /// it was too slow, 502 where it answered wrongly; `None` where there is nobody to answer, or the
    /// answer has begun and can only be cut off.
    pub fn status(self) -> Option<u16> {
        match (self.side, self.phase) {
            (_, Phase::Data) => None,
            (Side::Client, _) if self.timeout => Some(408),
            (Side::Client, _) if self.closed => None,
            (Side::Client, _) => Some(400),
            (Side::Server, Phase::Queue | Phase::Request | Phase::Connect) => Some(503),
            (Side::Server, Phase::Headers) if self.timeout => Some(504),
            (Side::Server, Phase::Headers) => Some(502),
            (Side::Gateway, _) => Some(500),
            (Side::Node, _) => Some(503),
        }
    }

    /// How the log says it.
    pub fn termination(self) -> Termination {
        match (self.side, self.phase, self.timeout) {
            (Side::Gateway, ..) => Termination::Internal,
            (Side::Node, ..) => Termination::NoResources,
            (Side::Client, Phase::Data, true) => Termination::ClientTimeoutInData,
            (Side::Client, Phase::Data, false) => Termination::ClientInData,
            (Side::Client, ..) if !self.closed && !self.timeout => Termination::Refused,
            (Side::Client, Phase::Queue, _) => Termination::ClientInQueue,
            (Side::Client, Phase::Request | Phase::Connect, true) => Termination::ClientTimeoutInRequest,
            (Side::Client, Phase::Request, false) => Termination::ClientInRequest,
            (Side::Client, Phase::Connect, false) => Termination::ClientInConnect,
            (Side::Client, Phase::Headers, true) => Termination::ClientTimeoutInHeaders,
            (Side::Client, Phase::Headers, false) => Termination::ClientInHeaders,
            (Side::Server, Phase::Queue, false) => Termination::QueueFull,
            (Side::Server, Phase::Queue, true) => Termination::TimeoutInQueue,
            (Side::Server, Phase::Request | Phase::Connect, false) => Termination::ServerInConnect,
            (Side::Server, Phase::Request | Phase::Connect, true) => Termination::TimeoutInConnect,
            (Side::Server, Phase::Headers, false) => Termination::ServerInHeaders,
            (Side::Server, Phase::Headers, true) => Termination::TimeoutInHeaders,
            (Side::Server, Phase::Data, false) => Termination::ServerInData,
            (Side::Server, Phase::Data, true) => Termination::TimeoutInData,
        }
    }
}

/// Why what a client has begun to send did not become a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRequest {
    /// It can't be one, for this reason.
    Refused(&'static str),
    /// It was not whole in time.
    TimedOut,
    /// The client went away.
    Gone,
}

impl NoRequest {
    /// The status that is logged, and answered where somebody is there to hear it.
    pub fn status(self) -> u16 {
        match self {
            Self::Refused(reason) => strict::status(reason),
            Self::Gone => 400,
            Self::TimedOut => 408,
        }
    }

    /// How the log says it.
    pub fn termination(self) -> Termination {
        match self {
            Self::Refused(_) => Termination::Refused,
            Self::TimedOut => Termination::ClientTimeoutInRequest,
            Self::Gone => Termination::ClientInRequest,
        }
    }

    /// The reason word of a refusal.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Refused(reason) => Some(reason),
            Self::TimedOut => Some("http_request_timeout"),
            Self::Gone => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(side: Side, phase: Phase, timeout: bool, closed: bool) -> (Option<u16>, &'static str) {
        let failure = Failure { side, phase, timeout, closed };
        (failure.status(), failure.termination().code())
    }

    #[test]
    fn each_failure_is_told_as_haproxy_tells_it() {
        use Phase::{Connect, Data, Headers, Queue, Request};
        assert_eq!(told(Side::Server, Queue, true, false), (Some(503), "sQ"));
        assert_eq!(told(Side::Server, Queue, false, false), (Some(503), "SQ"));
        assert_eq!(told(Side::Client, Queue, false, true), (None, "CQ"));
        assert_eq!(told(Side::Server, Connect, false, true), (Some(503), "SC"));
        assert_eq!(told(Side::Server, Connect, true, false), (Some(503), "sC"));
        assert_eq!(told(Side::Server, Headers, false, true), (Some(502), "SH"));
        assert_eq!(told(Side::Server, Headers, true, false), (Some(504), "sH"));
        assert_eq!(told(Side::Server, Data, false, true), (None, "SD"));
        assert_eq!(told(Side::Client, Request, false, false), (Some(400), "PR"));
        assert_eq!(told(Side::Client, Request, true, false), (Some(408), "cR"));
        assert_eq!(told(Side::Client, Request, false, true), (None, "CR"));
        assert_eq!(told(Side::Client, Connect, false, true), (None, "CC"));
        assert_eq!(told(Side::Client, Headers, true, false), (Some(408), "cH"));
        assert_eq!(told(Side::Client, Data, true, false), (None, "cD"));
        assert_eq!(told(Side::Client, Headers, false, true), (None, "CH"));
        assert_eq!(told(Side::Client, Data, false, true), (None, "CD"));
        assert_eq!(told(Side::Gateway, Connect, false, false), (Some(500), "I-"));
        assert_eq!(told(Side::Node, Connect, false, false), (Some(503), "RC"));
    }

    #[test]
    fn a_server_is_not_blamed_for_what_its_client_or_this_node_brings_about() {
        assert!(NoConnection::Server.blames_server());
        assert!(NoConnection::Handshake { for_client: false }.blames_server());
        assert!(!NoConnection::Handshake { for_client: true }.blames_server());
        assert!(!NoConnection::Exhausted.blames_server() && !NoConnection::NoPort.blames_server());
    }

    #[test]
    fn another_server_is_tried_where_it_may_do_better() {
        assert!(NoConnection::Server.may_another_do() && NoConnection::NoPort.may_another_do());
        assert!(!NoConnection::Exhausted.may_another_do());
        assert!(!NoConnection::Handshake { for_client: true }.may_another_do());
    }
}
