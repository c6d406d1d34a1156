//! The record as one line of JSON: what httplog says, with a name for each part, and the reason word.

use super::Record;
use std::fmt::Write;
use std::time::Duration;

impl Record<'_> {
    /// Appends the record to `out` as one JSON object and a line end. Timers are in milliseconds, under
    /// HAProxy's names; what did not happen is `null`.
    pub fn write_json(&self, out: &mut String) {
        let counts = &self.counts;
        // Writing to a string can't fail.
        let _ = write!(
            out,
            "{{\"date\":\"{}\",\"client\":\"{}\",\"client_port\":{},\"tls\":{}",
            self.accept_date.format("%Y-%m-%dT%H:%M:%S%.3f%:z"),
            self.client.ip(),
            self.client.port(),
            self.tls,
        );
        text(out, "frontend", Some(self.frontend.as_bytes()));
        text(out, "backend", self.server.map(|_| self.backend.as_bytes()));
        text(out, "server", self.server.map(str::as_bytes));
        let timers = &self.timers;
        timer(out, "TR", timers.request);
        timer(out, "Tw", timers.queue);
        timer(out, "Tc", timers.connect);
        timer(out, "Tr", timers.response);
        timer(out, "Ta", Some(timers.total));
        number(out, "status", self.status.map(u64::from));
        number(out, "bytes", Some(self.bytes));
        text(out, "termination", Some(self.termination.code().as_bytes()));
        let letters = self.persistence.map(|(came, gave)| [came as u8, gave as u8]);
        text(out, "persistence", letters.as_ref().map(<[u8; 2]>::as_slice));
        text(out, "reason", self.reason.map(str::as_bytes));
        text(out, "mark", self.mark.map(str::as_bytes));
        text(out, "unique_id", self.id);
        if let Some(captured) = self.captured {
            fields(out, "captured_request", captured.request());
            fields(out, "captured_response", captured.response());
            text(out, "cookie_request", captured.request_cookie());
            text(out, "cookie_response", captured.response_cookie());
        }
        number(out, "actconn", Some(counts.actconn));
        number(out, "feconn", Some(counts.feconn));
        number(out, "beconn", Some(counts.beconn));
        number(out, "srv_conn", Some(counts.srv_conn));
        number(out, "retries", Some(counts.retries.into()));
        let _ = write!(out, ",\"redispatched\":{}", counts.redispatched);
        text(out, "method", self.request.map(|(method, ..)| method.as_bytes()));
        text(out, "target", self.request.map(|(_, target, _)| target));
        text(out, "version", self.request.map(|(.., version)| version.as_bytes()));
        out.push_str("}\n");
    }
}

/// An object of its own, in which what is not there is `null`.
fn fields<'a>(out: &mut String, name: &str, fields: impl Iterator<Item = (&'a str, &'a [u8])>) {
    let _ = write!(out, ",\"{name}\":{{");
    for (place, (name, value)) in fields.enumerate() {
        let start = out.len();
        text(out, name, Some(value).filter(|value| !value.is_empty()));
        if place == 0 {
            // A comma goes before all but the first.
            out.remove(start);
        }
    }
    out.push('}');
}

fn timer(out: &mut String, name: &str, timer: Option<Duration>) {
    number(out, name, timer.and_then(|timer| u64::try_from(timer.as_millis()).ok()));
}

fn number(out: &mut String, name: &str, number: Option<u64>) {
    let _ = match number {
        Some(number) => write!(out, ",\"{name}\":{number}"),
        None => write!(out, ",\"{name}\":null"),
    };
}

/// Bytes that are not ASCII are written as the characters of the same number: none is lost.
fn text(out: &mut String, name: &str, text: Option<&[u8]>) {
    let _ = write!(out, ",\"{name}\":");
    let Some(text) = text else { return out.push_str("null") };
    out.push('"');
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(*byte)]),
            0..=0x1f | 0x7f.. => {
                let _ = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(char::from(*byte)),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use crate::record::Record;
    use crate::record::tests::record;

    fn parsed(record: &Record<'_>) -> serde_json::Value {
        let mut line = String::new();
        record.write_json(&mut line);
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1, "{line}");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    #[test]
    fn a_line_says_what_httplog_says() {
        let line = parsed(&record());
        assert_eq!(line["date"], "2026-11-21T20:47:06.714+01:00");
        assert_eq!((&line["client"], &line["client_port"]), (&"192.0.2.7".into(), &55544.into()));
        assert_eq!((&line["backend"], &line["server"]), (&"be".into(), &"s1".into()));
        assert_eq!((&line["Tr"], &line["Ta"], &line["status"]), (&12.into(), &15.into(), &200.into()));
        assert_eq!((&line["target"], &line["reason"]), (&"/x".into(), &serde_json::Value::Null));
    }

    #[test]
    fn no_request_breaks_its_line() {
        let evil = Record {
            request: Some(("GET", b"/\"\\\n\x00\xff", "HTTP/1.1")),
            reason: Some("deny"),
            server: None,
            ..record()
        };
        let line = parsed(&evil);
        assert_eq!(line["target"], "/\"\\\n\0\u{ff}");
        assert_eq!((&line["reason"], &line["server"]), (&"deny".into(), &serde_json::Value::Null));
    }
}
