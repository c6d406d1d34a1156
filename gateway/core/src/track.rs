//! What is counted of whom a rule tracks, and what rules read and write there (HAProxy manual, "track-sc",
//! "sc-inc-gpc", "sc-set-gpt").
//!
//! All that comes is counted, also what is refused later. An entry is counted for as long as it is tracked:
//! by connections for their life, by requests for theirs.

use crate::limits::Outcome;
use crate::table::{DataType, Entry, Kind, Layout};
use base_core::Time;

/// It is tracked from now on, until [`gone`].
pub fn begins(entry: &mut Entry<'_>, now: Time) {
    entry.add(DataType::ConnCur, 1);
    count(entry, DataType::ConnCnt, DataType::ConnRate, 1, now);
}

/// Its connection has become one that requests, or bytes, come on.
pub fn session(entry: &mut Entry<'_>, now: Time) {
    count(entry, DataType::SessCnt, DataType::SessRate, 1, now);
}

/// It makes a request.
pub fn request(entry: &mut Entry<'_>, now: Time) {
    count(entry, DataType::HttpReqCnt, DataType::HttpReqRate, 1, now);
}

/// A request of it has ended so.
pub fn ended(entry: &mut Entry<'_>, outcome: Outcome, now: Time) {
    let Outcome { status, bytes_in, bytes_out } = outcome;
    count(entry, DataType::BytesInCnt, DataType::BytesInRate, bytes_in, now);
    count(entry, DataType::BytesOutCnt, DataType::BytesOutRate, bytes_out, now);
    answered(entry, status, now);
}

/// A request of it is answered so: before its client can know, and ask again.
pub fn answered(entry: &mut Entry<'_>, status: u16, now: Time) {
    match status {
        400..500 => count(entry, DataType::HttpErrCnt, DataType::HttpErrRate, 1, now),
        500..600 => count(entry, DataType::HttpFailCnt, DataType::HttpFailRate, 1, now),
        _ => {}
    }
}

/// It has sent what is no request.
pub fn glitch(entry: &mut Entry<'_>, now: Time) {
    count(entry, DataType::GlitchCnt, DataType::GlitchRate, 1, now);
}

/// It is tracked no longer.
pub fn gone(entry: &mut Entry<'_>) {
    entry.sub(DataType::ConnCur, 1);
}

/// Adds to a general purpose counter, and to its rate.
pub fn add_gpc(entry: &mut Entry<'_>, index: u16, by: u32, now: Time) {
    if let Some((data, index)) = place(entry.layout(), DataType::Gpc, index) {
        entry.set_element(data, index, entry.element(data, index).saturating_add(by.into()));
    }
    if let Some((data, index)) = place(entry.layout(), DataType::GpcRate, index) {
        let period = entry.layout().get(data).map(|stored| stored.period).unwrap_or_default();
        let mut rate = entry.frequency(data, index);
        rate.add_many(by, now, period);
        entry.set_frequency(data, index, rate);
    }
}

/// Writes a general purpose tag.
pub fn set_gpt(entry: &mut Entry<'_>, index: u16, value: u32) {
    if let Some((data, index)) = place(entry.layout(), DataType::Gpt, index) {
        entry.set_element(data, index, value.into());
    }
}

/// What an entry has of this: the number, or how many there were in the period of a rate.
pub fn value(entry: &Entry<'_>, data: DataType, index: u16, now: Time) -> u64 {
    let Some((data, index)) = place(entry.layout(), data, index) else { return 0 };
    match (data.kind(), entry.layout().get(data)) {
        (Kind::Rate, Some(stored)) => entry.frequency(data, index).read(now, stored.period).into(),
        _ => entry.element(data, index),
    }
}

/// Where this is stored, if it is: the first elements of arrays have names of their own, and a table stores
/// either.
pub fn place(layout: &Layout, data: DataType, index: u16) -> Option<(DataType, u16)> {
    let is_stored = |data, index| layout.get(data).is_some_and(|stored| index < stored.elements);
    if is_stored(data, index) {
        return Some((data, index));
    }
    let (data, index) = match (data, index) {
        (DataType::Gpc0, 0) => (DataType::Gpc, 0),
        (DataType::Gpc1, 0) => (DataType::Gpc, 1),
        (DataType::Gpc0Rate, 0) => (DataType::GpcRate, 0),
        (DataType::Gpc1Rate, 0) => (DataType::GpcRate, 1),
        (DataType::Gpt0, 0) => (DataType::Gpt, 0),
        (DataType::Gpc, 0) => (DataType::Gpc0, 0),
        (DataType::Gpc, 1) => (DataType::Gpc1, 0),
        (DataType::GpcRate, 0) => (DataType::Gpc0Rate, 0),
        (DataType::GpcRate, 1) => (DataType::Gpc1Rate, 0),
        (DataType::Gpt, 0) => (DataType::Gpt0, 0),
        _ => return None,
    };
    is_stored(data, index).then_some((data, index))
}

fn count(entry: &mut Entry<'_>, total: DataType, rate: DataType, more: u64, now: Time) {
    entry.add(total, more);
    entry.add_rate(rate, u32::try_from(more).unwrap_or(u32::MAX), now);
}

/// Entries that one request may track, by numbers from 0: `sc0` to `sc11`.
pub const SLOTS: u8 = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Stored;
    use std::time::Duration;

    const PERIOD: Duration = Duration::from_secs(10);

    fn with(stored: &[Stored], test: impl FnOnce(&mut Entry<'_>)) {
        let layout = Layout::new(stored.iter().copied());
        test(&mut Entry::new(&layout, &mut vec![0; layout.words()]));
    }

    #[test]
    fn the_first_counters_are_found_under_either_name() {
        let arrays = [
            Stored { elements: 2, ..Stored::one(DataType::Gpc) },
            Stored { elements: 2, ..Stored::rate(DataType::GpcRate, PERIOD) },
            Stored { elements: 2, ..Stored::one(DataType::Gpt) },
        ];
        let named = [
            Stored::one(DataType::Gpc0),
            Stored::one(DataType::Gpc1),
            Stored::rate(DataType::Gpc1Rate, PERIOD),
            Stored::one(DataType::Gpt0),
        ];
        for stored in [&arrays[..], &named[..]] {
            with(stored, |entry| {
                add_gpc(entry, 1, 3, Time::ZERO);
                set_gpt(entry, 0, 7);
                let value = |data, index| value(entry, data, index, Time::ZERO);
                assert_eq!([value(DataType::Gpc1, 0), value(DataType::Gpc, 1)], [3, 3]);
                assert_eq!([value(DataType::Gpc1Rate, 0), value(DataType::GpcRate, 1)], [3, 3]);
                assert_eq!([value(DataType::Gpt0, 0), value(DataType::Gpt, 0)], [7, 7]);
                assert_eq!(
                    [value(DataType::Gpc0, 0), value(DataType::Gpc, 9), value(DataType::Gpt, 9)],
                    [0; 3]
                );
            });
        }
    }

    #[test]
    fn each_moment_counts_its_own() {
        let stored =
            DataType::ALL.into_iter().filter(|data| !data.is_array()).map(|data| match data.kind() {
                Kind::Rate => Stored::rate(data, PERIOD),
                _ => Stored::one(data),
            });
        with(&stored.collect::<Vec<_>>(), |entry| {
            let now = Time::from_millis(5);
            begins(entry, now);
            session(entry, now);
            request(entry, now);
            ended(entry, Outcome { status: 404, bytes_in: 10, bytes_out: 20 }, now);
            ended(entry, Outcome { status: 503, ..Outcome::default() }, now);
            glitch(entry, now);
            let expected = [
                (DataType::ConnCnt, DataType::ConnRate, 1),
                (DataType::SessCnt, DataType::SessRate, 1),
                (DataType::HttpReqCnt, DataType::HttpReqRate, 1),
                (DataType::HttpErrCnt, DataType::HttpErrRate, 1),
                (DataType::HttpFailCnt, DataType::HttpFailRate, 1),
                (DataType::BytesInCnt, DataType::BytesInRate, 10),
                (DataType::BytesOutCnt, DataType::BytesOutRate, 20),
                (DataType::GlitchCnt, DataType::GlitchRate, 1),
            ];
            for (count, rate, expected) in expected {
                assert_eq!(
                    [value(entry, count, 0, now), value(entry, rate, 0, now)],
                    [expected; 2],
                    "{count}"
                );
            }
            assert_eq!(value(entry, DataType::ConnCur, 0, now), 1);
            gone(entry);
            assert_eq!(value(entry, DataType::ConnCur, 0, now), 0);
        });
    }
}
