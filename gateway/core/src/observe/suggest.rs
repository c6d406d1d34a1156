//! What limits would be right by what was observed, and whom a given one would have hit.

use super::record::{Peaks, Record, Route, shown};
use super::{Histogram, Hour};
use crate::limits::MAX_TRACKERS;
use chrono::DateTime;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv6Addr;

/// A limit to try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Requests in a period.
    pub http_req_rate: Option<u32>,
    /// Requests at once.
    pub conn_cur: Option<u32>,
}

/// For each route the peak, what 99.9 % of clients stay under, the peak of each day, and a limit of `factor` times what
/// is the peak of a day: that of the middle one, so that one day of an attack sets no limit. As configuration, a block
/// for each frontend.
pub fn suggest(record: &Record, factor: u32) -> String {
    let mut frontends = BTreeMap::<&str, Vec<&Route>>::new();
    for route in record.routes.iter().filter(|route| !route.hours.is_empty()) {
        frontends.entry(&route.frontend).or_default().push(route);
    }
    let mut text = String::new();
    let mut tables = 0;
    // Writing to a text never fails.
    for (frontend, routes) in &mut frontends {
        let _ =
            writeln!(text, "# frontend {frontend}: paste this behind its [[frontend]], before the next one");
        if routes.len() > MAX_TRACKERS {
            routes.sort_by_key(|route| std::cmp::Reverse(peak(route, |hour| &hour.rate)));
            let (all, left) = (routes.len(), routes.split_off(MAX_TRACKERS));
            let left: Vec<_> = left.iter().map(|route| route.backend.as_str()).collect();
            let _ = writeln!(
                text,
                "# limits of a frontend use at most {MAX_TRACKERS} tables, with those that it has; of {all} backends these are the \
                 highest, without {}",
                left.join(", ")
            );
        }
        routes.sort_by_key(|route| &route.backend);
        for route in routes {
            tables += 1;
            limit(record, route, factor, &format!("suggested-{tables}"), &mut text);
        }
    }
    if text.is_empty() {
        return "# nothing has been observed yet\n".to_owned();
    }
    text
}

/// The limit on a route, and its table.
fn limit(record: &Record, route: &Route, factor: u32, table: &str, text: &mut String) {
    let Route { backend, hours, .. } = route;
    let _ = writeln!(text, "# backend {backend}: {} hours", hours.len());
    let mut limits = String::new();
    for (key, what, of) in KINDS {
        let (peak, share) = (peak(route, of), all(route, of).permille(999));
        let _ = writeln!(text, "# {what}: peak {peak}, 99.9 % of clients at most {share}");
        let days = days(route, of);
        let each: Vec<_> = days.iter().map(|(day, peak)| format!("{} {peak}", date(*day))).collect();
        let daily = middle(days.values().copied().collect());
        let _ = writeln!(text, "# daily peak {daily}; of each day: {}", each.join(", "));
        let limit = daily.saturating_mul(factor).clamp(1, MOST);
        if peak > limit {
            let _ = writeln!(
                text,
                "# the limit of {limit} would have been reached at the peak: see limits replay"
            );
        }
        let _ = writeln!(limits, "{key} = {limit}");
    }
    let period = period(record.period_ms);
    let (scope, peers) = match &record.peers {
        None => (String::new(), String::new()),
        Some(peers) => ("scope = \"cluster\"\n".to_owned(), format!("peers = \"{peers}\"\n")),
    };
    let _ = writeln!(
        text,
        "[[frontend.limit]]\ntable = \"{table}\"\nbackend = [\"{backend}\"]\nperiod = \"{period}\"\n{scope}{limits}\n\
         [[stick_table]]\nname = \"{table}\"\n{peers}"
    );
}

/// Whom of the hundred highest of each hour a limit would have hit, and how many others.
pub fn replay(record: &Record, tried: Tried) -> String {
    let mut text = String::new();
    for route in &record.routes {
        let tried = [tried.http_req_rate, tried.conn_cur];
        for ((key, what, of), most) in KINDS.into_iter().zip(tried) {
            let Some(most) = most else { continue };
            let mut named = BTreeMap::<Ipv6Addr, (u32, usize)>::new();
            let (mut least, mut at_most) = (0, 0);
            for hour in &route.hours {
                let hit = of(hour).highest.iter().filter(|(_, peak)| *peak > most);
                let (least_of_all, most_of_all) = of(hour).histogram.above(most);
                let count = hit.clone().count() as u64;
                least += least_of_all.saturating_sub(count);
                at_most += most_of_all.saturating_sub(count);
                for (client, peak) in hit {
                    let known = named.entry(*client).or_default();
                    *known = (known.0.max(*peak), known.1 + 1);
                }
            }
            let (frontend, backend) = (&route.frontend, &route.backend);
            let _ =
                writeln!(text, "{frontend}/{backend}: {key} = {most} would have hit {} by name", named.len());
            let mut named: Vec<_> = named.into_iter().collect();
            named.sort_by_key(|(_, (peak, _))| std::cmp::Reverse(*peak));
            for (client, (peak, hours)) in named {
                let _ =
                    writeln!(text, "  {}: {what} {peak} at its peak, above in {hours} hours", shown(client));
            }
            let _ = match (least, at_most) {
                (_, 0) => writeln!(text, "  and nobody else"),
                (least, most) if least == most => writeln!(text, "  and {most} others, each hour counted"),
                (least, most) => writeln!(text, "  and {least} to {most} others, each hour counted"),
            };
        }
    }
    text
}

/// The highest peak of a client.
fn peak(route: &Route, of: fn(&Hour) -> &Peaks) -> u32 {
    route.hours.iter().map(|hour| of(hour).peak()).max().unwrap_or(0)
}

/// The highest peak of a client on each day (UTC) that has any, by the days since 1970.
fn days(route: &Route, of: fn(&Hour) -> &Peaks) -> BTreeMap<u64, u32> {
    let mut days = BTreeMap::new();
    for hour in &route.hours {
        let highest = days.entry(hour.hour / 24).or_default();
        *highest = of(hour).peak().max(*highest);
    }
    days
}

/// The middle one; of two the higher.
fn middle(mut values: Vec<u32>) -> u32 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

fn date(day: u64) -> String {
    let seconds = i64::try_from(day.saturating_mul(86_400)).ok();
    let date = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    date.map_or_else(|| format!("day {day}"), |date| date.date_naive().to_string())
}

fn all(route: &Route, of: fn(&Hour) -> &Peaks) -> Histogram {
    let mut all = Histogram::default();
    route.hours.iter().for_each(|hour| all.merge(&of(hour).histogram));
    all
}

fn period(ms: u64) -> String {
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}

/// The key of a limit, what it counts, and where that stands.
type Kind = (&'static str, &'static str, fn(&Hour) -> &Peaks);
const KINDS: [Kind; 2] = [
    ("http_req_rate", "requests in a period", |hour| &hour.rate),
    ("conn_cur", "requests at once", |hour| &hour.concurrency),
];
/// The largest limit there is.
const MOST: u32 = 1_000_000_000;
