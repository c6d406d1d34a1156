//! How a line of the log is wrapped for a syslog server: as HAProxy does by default (RFC 3164, without a
//! host name), or as RFC 5424 has it.

use chrono::{DateTime, FixedOffset};
use serde::Deserialize;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A syslog server and how lines are sent to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it is.
    pub address: Address,
    /// How lines are wrapped.
    pub format: Format,
    /// What kind of program the lines are from.
    pub facility: Facility,
    /// How grave they are.
    pub level: Level,
    /// Longest datagram, in bytes; what is longer is cut.
    pub len: usize,
    /// The program's name in them.
    pub tag: String,
}

/// Where a syslog server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// On UDP.
    Udp(SocketAddr),
    /// On a UNIX datagram socket, such as `/dev/log`.
    Unix(PathBuf),
}

/// How lines are wrapped.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `<134>Nov 21 20:47:06 headgate[123]: …`
    #[default]
    Rfc3164,
    /// `<134>1 2026-11-21T20:47:06.714+01:00 gw1 headgate 123 - - …`
    Rfc5424,
}

/// Facilities by HAProxy's names, in the order of their numbers.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names of RFC 5424 §6.2.1")]
pub enum Facility {
    Kern,
    User,
    Mail,
    Daemon,
    Auth,
    Syslog,
    Lpr,
    News,
    Uucp,
    Cron,
    Auth2,
    Ftp,
    Ntp,
    Audit,
    Alert,
    Cron2,
    Local0,
    Local1,
    Local2,
    Local3,
    Local4,
    Local5,
    Local6,
    Local7,
}

/// Levels by HAProxy's names, in the order of their numbers.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names of RFC 5424 §6.2.1")]
pub enum Level {
    Emerg,
    Alert,
    Crit,
    Err,
    Warning,
    Notice,
    Info,
    Debug,
}

impl Target {
    /// What stands before each line.
    pub fn header(&self, date: DateTime<FixedOffset>, node: &str, pid: u32) -> String {
        let priority = self.facility as u8 * 8 + self.level as u8;
        let tag = &self.tag;
        let mut header = String::with_capacity(64);
        // Writing to a string can't fail.
        let _ = match self.format {
            Format::Rfc3164 => {
                write!(header, "<{priority}>{} {tag}[{pid}]: ", date.format("%b %e %H:%M:%S"))
            }
            Format::Rfc5424 => {
                let date = date.format("%Y-%m-%dT%H:%M:%S%.3f%:z");
                write!(header, "<{priority}>1 {date} {node} {tag} {pid} - - ")
            }
        };
        header
    }

    /// One datagram: the line behind its header, cut where it is too long.
    pub fn datagram<'a>(&self, header: &str, line: &str, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        buffer.clear();
        buffer.extend_from_slice(header.as_bytes());
        buffer.extend_from_slice(line.as_bytes());
        buffer.truncate(self.len);
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn target(format: Format) -> Target {
        Target {
            address: Address::Unix("/dev/log".into()),
            format,
            facility: Facility::Local0,
            level: Level::Info,
            len: 80,
            tag: "headgate".to_owned(),
        }
    }

    #[test]
    fn a_line_is_wrapped_as_the_standards_have_it() {
        let zone = FixedOffset::east_opt(3600).expect("an hour");
        let date = zone.with_ymd_and_hms(2026, 11, 2, 20, 47, 6).single().expect("a date");
        let header = |format| target(format).header(date, "gw1", 123);
        assert_eq!(header(Format::Rfc3164), "<134>Nov  2 20:47:06 headgate[123]: ");
        assert_eq!(header(Format::Rfc5424), "<134>1 2026-11-02T20:47:06.000+01:00 gw1 headgate 123 - - ");
        let err = Target { facility: Facility::Local7, level: Level::Err, ..target(Format::Rfc3164) };
        assert!(err.header(date, "gw1", 1).starts_with("<187>"));
    }

    #[test]
    fn a_line_that_is_too_long_is_cut() {
        let mut buffer = Vec::new();
        let target = target(Format::Rfc3164);
        assert_eq!(target.datagram("<1>a: ", "short", &mut buffer), b"<1>a: short");
        assert_eq!(target.datagram("<1>a: ", &"x".repeat(100), &mut buffer).len(), 80);
    }
}
