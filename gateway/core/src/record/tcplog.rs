//! HAProxy's tcplog line (HAProxy manual, "TCP log format").

use super::Record;
use std::fmt::Write;

impl Record<'_> {
    /// Appends the record to `out` as one line of tcplog, with its line end.
    pub fn write_tcplog(&self, out: &mut String) {
        let tls = if self.tls { "~" } else { "" };
        let plus = if self.counts.redispatched { "+" } else { "" };
        let (counts, timers) = (&self.counts, &self.timers);
        // Writing to a string can't fail.
        let _ = write!(
            out,
            "{}:{} [{}] {}{tls} {}/{} ",
            self.client.ip(),
            self.client.port(),
            self.accept_date.format("%d/%b/%Y:%H:%M:%S%.3f"),
            self.frontend,
            self.backend,
            self.server.unwrap_or("<NOSRV>"),
        );
        for timer in [timers.queue, timers.connect] {
            let _ = match timer {
                Some(timer) => write!(out, "{}/", timer.as_millis()),
                None => write!(out, "-1/"),
            };
        }
        let _ = writeln!(
            out,
            "{} {} {} {}/{}/{}/{}/{plus}{} {}/{}",
            timers.total.as_millis(),
            self.bytes,
            self.termination.code(),
            counts.actconn,
            counts.feconn,
            counts.beconn,
            counts.srv_conn,
            counts.retries,
            counts.srv_queue,
            counts.backend_queue,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::Termination;
    use super::super::tests::record;

    #[test]
    fn a_line_is_as_haproxy_writes_it() {
        let mut line = String::new();
        super::Record { termination: Termination::ClientInData, ..record() }.write_tcplog(&mut line);
        assert_eq!(
            line,
            "192.0.2.7:55544 [21/Nov/2026:20:47:06.714] fe be/s1 0/1/15 217 CD 4/3/2/1/+1 0/5\n"
        );
    }
}
