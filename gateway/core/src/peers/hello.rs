//! The first words of a session (HAProxy `doc/peers-v2.0.txt`): three lines from who dials, a status from who
//! accepts.

use std::fmt;

/// What a dialer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Whom it wants to talk to.
    pub to: String,
    /// Who it is.
    pub from: String,
    /// Its process: a number with HAProxy; the run with Headgate, which begins with a letter.
    pub process: String,
    /// Whether it understands timed messages: version 2.1.
    pub timed: bool,
}

/// What an acceptor answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Go on.
    Succeeded,
    /// These are not the words of a peer.
    ProtocolError,
    /// Another version.
    BadVersion,
    /// It wants to talk to somebody else.
    LocalIdMismatch,
    /// Nobody knows it.
    RemoteIdMismatch,
    /// Another number: HAProxy has more of them.
    Other(u16),
}

impl Hello {
    /// The lines, with their ends.
    pub fn encode(&self) -> Vec<u8> {
        let Self { to, from, process, .. } = self;
        format!("{PROTOCOL} 2.1\n{to}\n{from} {process} 1\n").into_bytes()
    }

    /// Reads the lines off the front of `bytes`, and says how many bytes they were. `None`: not whole yet.
    pub fn take(bytes: &[u8]) -> Option<Result<(Self, usize), Status>> {
        let mut used = 0;
        let mut lines = [""; 3];
        for line in &mut lines {
            let rest = &bytes[used..];
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                return (bytes.len() >= LONGEST).then_some(Err(Status::ProtocolError));
            };
            let Ok(text) = std::str::from_utf8(&rest[..end]) else { return Some(Err(Status::ProtocolError)) };
            *line = text.strip_suffix('\r').unwrap_or(text);
            used += end + 1;
        }
        let [protocol, to, from] = lines;
        Some(Self::read(protocol, to, from).map(|hello| (hello, used)))
    }

    fn read(protocol: &str, to: &str, from: &str) -> Result<Self, Status> {
        let version = protocol.strip_prefix(PROTOCOL).and_then(|rest| rest.strip_prefix(' '));
        let timed = match version.ok_or(Status::ProtocolError)? {
            "2.0" => false,
            "2.1" => true,
            _ => return Err(Status::BadVersion),
        };
        let (from, process) = from.split_once(' ').ok_or(Status::ProtocolError)?;
        let process = process.split(' ').next().unwrap_or("");
        Ok(Self { to: to.to_owned(), from: from.to_owned(), process: process.to_owned(), timed })
    }
}

impl Status {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::Succeeded => 200,
            Self::ProtocolError => 501,
            Self::BadVersion => 502,
            Self::LocalIdMismatch => 503,
            Self::RemoteIdMismatch => 504,
            Self::Other(number) => number,
        }
    }

    /// The line, with its end.
    pub fn encode(self) -> Vec<u8> {
        format!("{}\n", self.number()).into_bytes()
    }

    /// Reads the line off the front of `bytes`, and says how many bytes it was. `None`: not whole yet.
    pub fn take(bytes: &[u8]) -> Option<(Self, usize)> {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            return (bytes.len() >= LONGEST).then_some((Self::ProtocolError, bytes.len()));
        };
        let number = std::str::from_utf8(&bytes[..end]).ok().and_then(|line| line.trim_end().parse().ok());
        let status = match number {
            Some(200) => Self::Succeeded,
            Some(502) => Self::BadVersion,
            Some(503) => Self::LocalIdMismatch,
            Some(504) => Self::RemoteIdMismatch,
            None | Some(501) => Self::ProtocolError,
            Some(number) => Self::Other(number),
        };
        Some((status, end + 1))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self {
            Self::Succeeded => "welcome",
            Self::ProtocolError => "not understood",
            Self::BadVersion => "wrong version",
            Self::LocalIdMismatch => "it has another name",
            Self::RemoteIdMismatch => "it does not know this node",
            Self::Other(_) => "refused",
        };
        write!(f, "{} ({meaning})", self.number())
    }
}

const PROTOCOL: &str = "HAProxyS";
/// Bytes of a hello: names are at most 64 long here, and HAProxy's buffers end at 16 KiB.
const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hello_is_read_as_it_was_written_and_only_when_it_is_whole() {
        let hello = Hello { to: "b".into(), from: "a".into(), process: "12".into(), timed: true };
        let bytes = hello.encode();
        assert_eq!(bytes, b"HAProxyS 2.1\nb\na 12 1\n");
        for end in 0..bytes.len() {
            assert_eq!(Hello::take(&bytes[..end]), None);
        }
        assert_eq!(Hello::take(&[&bytes[..], b"rest"].concat()), Some(Ok((hello, bytes.len()))));
    }

    #[test]
    fn what_is_wrong_is_answered_as_haproxy_answers_it() {
        let take = |text: &str| Hello::take(text.as_bytes());
        assert_eq!(take("HAProxyX 2.1\nb\na 1 1\n"), Some(Err(Status::ProtocolError)));
        for version in ["1.0", "2.2", "3.0"] {
            assert_eq!(take(&format!("HAProxyS {version}\nb\na 1 1\n")), Some(Err(Status::BadVersion)));
        }
        assert_eq!(take("HAProxyS 2.1\nb\na\n"), Some(Err(Status::ProtocolError)));
        assert!(matches!(take("HAProxyS 2.0\r\nb\r\na x\r\n"), Some(Ok((hello, _))) if !hello.timed));
        assert_eq!(take(&"x".repeat(LONGEST)), Some(Err(Status::ProtocolError)));
        assert_eq!(Status::take(b"300\n"), Some((Status::Other(300), 4)));
        assert_eq!(Status::take(b"20"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn garbage_is_no_hello_and_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = Hello::take(&bytes);
            let _ = Status::take(&bytes);
        }
    }
}
