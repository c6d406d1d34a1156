//! HAProxy's tcplog line (HAProxy manual, "TCP log format").

use super::Record;
use super::line::{number, timer};

impl Record<'_> {
    /// Appends the record to `out` as one line of tcplog, with its line end.
    pub fn write_tcplog(&self, out: &mut String) {
        self.begin(out);
        let timers = &self.timers;
        for part in [timers.queue, timers.connect] {
            timer(out, part);
            out.push('/');
        }
        timer(out, Some(timers.total));
        out.push(' ');
        number(out, self.bytes);
        out.push(' ');
        out.push_str(self.termination.code());
        out.push(' ');
        self.counts.write(out);
        out.push('\n');
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
