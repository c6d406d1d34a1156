//! What limits would be right by what was observed, and whom a given one would have hit.

use super::record::{Peaks, Record, Route, shown};
use super::{Histogram, Hour};
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

/// For each route the peak, what 99.9 % of clients stay under, and a limit of `factor` times the highest peak of a day,
/// as configuration to paste behind its frontend.
pub fn suggest(record: &Record, factor: u32) -> String {
    let mut text = String::new();
    let mut tables = String::new();
    let mut routes: Vec<&Route> = record.routes.iter().filter(|route| !route.hours.is_empty()).collect();
    routes.sort_by(|one, other| (&one.frontend, &one.backend).cmp(&(&other.frontend, &other.backend)));
    let period = period(record.period_ms);
    // Writing to a text never fails.
    for (place, route) in routes.iter().enumerate() {
        let table = format!("suggested-{}", place + 1);
        let _ = writeln!(
            text,
            "# frontend {}, backend {}: {} hours",
            route.frontend,
            route.backend,
            route.hours.len()
        );
        let mut limits = String::new();
        for (key, what, of) in KINDS {
            let (peak, share) = (highest(route, of), all(route, of).permille(999));
            let _ = writeln!(text, "# {what}: peak {peak}, 99.9 % of clients at most {share}");
            let limit = peak.saturating_mul(factor).clamp(1, MOST);
            let _ = writeln!(limits, "{key} = {limit}");
        }
        let _ = writeln!(
            text,
            "[[frontend.limit]]\ntable = \"{table}\"\nbackend = [\"{}\"]\nperiod = \"{period}\"\n{limits}",
            route.backend
        );
        let _ = writeln!(tables, "[[stick_table]]\nname = \"{table}\"\n");
    }
    if text.is_empty() {
        return "# nothing has been observed yet\n".to_owned();
    }
    text + &tables
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
fn highest(route: &Route, of: fn(&Hour) -> &Peaks) -> u32 {
    route.hours.iter().map(|hour| of(hour).peak()).max().unwrap_or(0)
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
