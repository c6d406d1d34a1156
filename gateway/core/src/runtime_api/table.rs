//! Stick tables as `show table` writes them (HAProxy management guide, "show table").

use crate::table::{DataType, Kind, Row, StickTable};
use base_core::Time;
use std::fmt::Write;

/// The line of a table.
pub fn head(name: &str, table: &StickTable, size: usize) -> String {
    let key = table.key_type().name();
    format!("# table: {name}, type: {key}, size:{size}, used:{}\n", table.len())
}

/// The line of an entry, `place` being what stands for its address.
pub fn row(out: &mut String, table: &StickTable, place: usize, row: &Row<'_>, now: Time) {
    let key = table.key_type().show(row.key);
    let (holds, expires) = (row.holds, row.expires_in.as_millis());
    // Writing to a text never fails.
    let _ = write!(out, "{place:#x}: key={key} use={holds} exp={expires}");
    for stored in table.layout().stored() {
        let data = stored.data;
        for index in 0..stored.elements {
            let name = if data.is_array() { format!("{data}{index}") } else { data.to_string() };
            let _ = match data.kind() {
                Kind::Rate => {
                    let period = stored.period.as_millis();
                    let rate = row.entry.frequency(data, index).read(now, stored.period);
                    write!(out, " {}={rate}", rate_name(data, index, period))
                }
                Kind::Text => {
                    let number = u32::try_from(row.entry.get(data)).unwrap_or(0);
                    let text = table.text(number);
                    let text = text.as_deref().map_or_else(|| "-".into(), String::from_utf8_lossy);
                    write!(out, " {name}={text}")
                }
                Kind::Number | Kind::Long => write!(out, " {name}={}", row.entry.element(data, index)),
            };
        }
    }
    out.push('\n');
}

/// `gpc_rate` of an array counts its elements as `gpc0_rate`, `gpc1_rate`.
fn rate_name(data: DataType, index: u16, period: u128) -> String {
    match data {
        DataType::GpcRate => format!("gpc{index}_rate({period})"),
        data => format!("{data}({period})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{KeyType, Layout, Options, Stored};
    use std::hash::RandomState;
    use std::time::Duration;

    #[test]
    fn an_entry_stands_as_haproxy_shows_it() {
        let period = Duration::from_secs(10);
        let stored = [
            Stored::one(DataType::ServerId),
            Stored::one(DataType::ServerKey),
            Stored::rate(DataType::HttpReqRate, period),
            Stored { data: DataType::Gpt, period: Duration::ZERO, elements: 2 },
            Stored { data: DataType::GpcRate, period, elements: 1 },
        ];
        let (layout, expire) = (Layout::new(stored), Duration::from_secs(30));
        let options = Options { key: KeyType::Ip, layout, size: 10, expire, nopurge: false, shared: false };
        let table = StickTable::new(options, &RandomState::new());
        table.update([127, 0, 0, 1], Time::ZERO, |entry| {
            entry.set(DataType::ServerId, 1);
            entry.set(DataType::ServerKey, table.intern(b"s1").into());
            entry.add_rate(DataType::HttpReqRate, 3, Time::ZERO);
            entry.set_element(DataType::Gpt, 1, 7);
        });
        let mut text = String::new();
        table.for_each(Time::ZERO, |entry| row(&mut text, &table, 1, &entry, Time::ZERO));
        let expected = "0x1: key=127.0.0.1 use=0 exp=30000 server_id=1 http_req_rate(10000)=3 server_key=s1 \
                        gpt0=0 gpt1=7 gpc0_rate(10000)=0\n";
        assert_eq!(text, expected);
        assert_eq!(head("t", &table, 10), "# table: t, type: ip, size:10, used:1\n");
    }
}
