//! The parts that HAProxy's log lines share. Each request writes one line, so no formatter is asked where
//! digits will do.

use super::{Counts, Record};
use chrono::{DateTime, Datelike, FixedOffset, Timelike};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

impl Record<'_> {
    /// Who, when and where: `192.0.2.7:55544 [21/Nov/2026:20:47:06.714] fe be/s1 `.
    pub(super) fn begin(&self, out: &mut String) {
        address(out, self.client);
        out.push_str(" [");
        date(out, &self.accept_date);
        out.push_str("] ");
        out.push_str(self.frontend);
        out.push_str(if self.tls { "~ " } else { " " });
        out.push_str(self.backend);
        out.push('/');
        out.push_str(self.server.unwrap_or("<NOSRV>"));
        out.push(' ');
    }
}

impl Counts {
    /// How many others there were: `4/3/2/1/+1 0/5`.
    pub(super) fn write(&self, out: &mut String) {
        for count in [self.actconn, self.feconn, self.beconn, self.srv_conn] {
            number(out, count);
            out.push('/');
        }
        if self.redispatched {
            out.push('+');
        }
        number(out, self.retries.into());
        out.push(' ');
        number(out, self.srv_queue as u64);
        out.push('/');
        number(out, self.backend_queue as u64);
    }
}

/// Milliseconds; -1 where it did not come to that.
pub(super) fn timer(out: &mut String, timer: Option<Duration>) {
    match timer {
        Some(timer) => number(out, u64::try_from(timer.as_millis()).unwrap_or(u64::MAX)),
        None => out.push_str("-1"),
    }
}

/// Digits.
pub(super) fn number(out: &mut String, mut number: u64) {
    if number < 10 {
        return out.push(char::from(b'0' + number as u8));
    }
    let mut digits = [0; MOST_DIGITS];
    let mut at = MOST_DIGITS;
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

fn address(out: &mut String, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            for (place, part) in ip.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push('.');
                }
                number(out, part.into());
            }
        }
        // Writing to a string can't fail.
        IpAddr::V6(ip) => drop(write!(out, "{ip}")),
    }
    out.push(':');
    number(out, address.port().into());
}

/// `21/Nov/2026:20:47:06.714`
fn date(out: &mut String, date: &DateTime<FixedOffset>) {
    let date = date.naive_local();
    two(out, date.day());
    out.push('/');
    out.push_str(MONTHS.get(date.month0() as usize).copied().unwrap_or_default());
    out.push('/');
    number(out, u64::try_from(date.year()).unwrap_or(0));
    for part in [date.hour(), date.minute(), date.second()] {
        out.push(':');
        two(out, part);
    }
    out.push('.');
    // A leap second is the one before it, and more of that.
    let millis = (date.nanosecond() / 1_000_000).min(999);
    out.push(digit(millis / 100));
    two(out, millis % 100);
}

fn two(out: &mut String, number: u32) {
    out.push(digit(number / 10));
    out.push(digit(number % 10));
}

/// `number` is below 10.
fn digit(number: u32) -> char {
    char::from(b'0'.wrapping_add(number as u8))
}

/// What could break a line or fake another is written `#XX`, as HAProxy does.
pub(super) fn escape(text: &[u8], out: &mut String) {
    encode(text, |byte| matches!(byte, b'"' | b'#' | 0..=0x1f | 0x7f..), out);
}

/// The same where blocks are told apart by `{`, `|` and `}`.
pub(super) fn captured(text: &[u8], out: &mut String) {
    encode(text, |byte| matches!(byte, b'"' | b'#' | b'{' | b'|' | b'}' | 0..=0x1f | 0x7f..), out);
}

fn encode(text: &[u8], breaks: impl Fn(&u8) -> bool, out: &mut String) {
    let mut rest = text;
    while let Some(place) = rest.iter().position(&breaks) {
        let (plain, after) = rest.split_at(place);
        out.push_str(std::str::from_utf8(plain).unwrap_or_default());
        let Some((byte, after)) = after.split_first() else { return };
        // Writing to a string can't fail.
        let _ = write!(out, "#{byte:02X}");
        rest = after;
    }
    out.push_str(std::str::from_utf8(rest).unwrap_or_default());
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Of 2^64 - 1.
const MOST_DIGITS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn numbers_and_addresses_are_as_the_formatter_writes_them(any: u64, ip: IpAddr, port: u16) {
            prop_assert_eq!(written(|out| number(out, any)), any.to_string());
            let expected = format!("{ip}:{port}");
            prop_assert_eq!(written(|out| address(out, SocketAddr::new(ip, port))), expected);
        }

        #[test]
        fn dates_are_as_the_formatter_writes_them(millis in 0_i64..4_102_444_800_000, hours in -12_i32..=14) {
            let zone = FixedOffset::east_opt(hours * 3600).expect("a zone");
            let at = DateTime::from_timestamp_millis(millis).expect("a time").with_timezone(&zone);
            let expected = at.format("%d/%b/%Y:%H:%M:%S%.3f").to_string();
            prop_assert_eq!(written(|out| date(out, &at)), expected);
        }

        #[test]
        fn what_is_escaped_has_nothing_that_breaks_a_line(text: Vec<u8>) {
            let line = written(|out| escape(&text, out));
            prop_assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'"'));
            let plain = text.iter().filter(|byte| (0x20..0x7f).contains(*byte) && !b"\"#".contains(byte));
            prop_assert_eq!(line.len(), plain.clone().count() + 3 * (text.len() - plain.count()));
        }
    }
}
