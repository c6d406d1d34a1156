//! What an operator orders: that VIPs drain, stay as they are, or are announced whatever speaks against it.
//!
//! It promises: every order has an end, after which things go on as if it had never been given, so that a forgotten
//! one does no harm; no order announces what is dead.

use super::Standing;
use base_core::Time;
use base_core::units::Span;
use serde::Deserialize;
use serde::de::{IntoDeserializer, value};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Worsen, then withdraw.
    Drain,
    /// Stay as it stands now.
    Pin,
    /// Announce with its own metric.
    Force,
}

/// What an operator says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// From now on.
    Order {
        /// What.
        kind: Kind,
        /// For which VIPs.
        vips: Vec<IpAddr>,
        /// How long.
        lasts: Duration,
        /// Why, for people.
        reason: Arc<str>,
        /// A drain asks no other node, and is done even if none has the VIP then.
        forced: bool,
        /// For who asked, who hears what became of it under this number.
        number: u64,
    },
    /// No longer.
    Release {
        /// For which VIPs.
        vips: Vec<IpAddr>,
    },
}

/// An order that holds for a VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What.
    pub kind: Kind,
    /// When it ends by itself.
    pub until: Time,
    /// Why, for people.
    pub reason: Arc<str>,
    /// A drain that asked nobody, and that nothing keeps up.
    pub forced: bool,
    /// How the VIP stood when it was ordered.
    pub(super) stood: Standing,
}

/// Reads `drain|pin|force TIME VIPS REASON…`, `drain force TIME VIPS REASON…` and `undrain VIPS`, where `VIPS` is `all` or addresses with commas
/// between them. `None`: another command. `known` are the VIPs of this node.
pub fn parse(line: &str, known: &BTreeSet<IpAddr>) -> Option<Result<Command, String>> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let kind = match verb {
        "drain" => Kind::Drain,
        "pin" => Kind::Pin,
        "force" => Kind::Force,
        "undrain" => return Some(vips(rest.trim(), known).map(|vips| Command::Release { vips })),
        _ => return None,
    };
    let forced = rest.trim_start().strip_prefix("force ").filter(|_| kind == Kind::Drain);
    Some(order(kind, forced.is_some(), forced.unwrap_or(rest), known))
}

fn order(kind: Kind, forced: bool, rest: &str, known: &BTreeSet<IpAddr>) -> Result<Command, String> {
    let mut words = rest.trim().splitn(3, ' ');
    let time = words.next().unwrap_or_default();
    let lasts: Result<Span, value::Error> = Span::deserialize(time.into_deserializer());
    let lasts = lasts.ok().map(|span| span.0).filter(|span| (MIN_TIME..=MAX_TIME).contains(span));
    let lasts = lasts.ok_or_else(|| format!("{time:?} is no time from 1s to 7d, such as 30m"))?;
    let vips = vips(words.next().unwrap_or_default(), known)?;
    let reason = words.next().unwrap_or_default().trim();
    if reason.len() > MAX_REASON || reason.chars().any(char::is_control) {
        return Err(format!("a reason is one line of at most {MAX_REASON} bytes"));
    }
    Ok(Command::Order { kind, vips, lasts, reason: reason.into(), forced, number: 0 })
}

fn vips(text: &str, known: &BTreeSet<IpAddr>) -> Result<Vec<IpAddr>, String> {
    if text == "all" {
        return Ok(known.iter().copied().collect());
    }
    let one = |word: &str| {
        let vip = word.parse().ok().filter(|vip| known.contains(vip));
        vip.ok_or_else(|| format!("{word:?} is no VIP of this node"))
    };
    text.split(',').map(one).collect()
}

impl Kind {
    /// One word for logs and the status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Pin => "pin",
            Self::Force => "force",
        }
    }
}

/// Shorter orders are over before they are seen.
const MIN_TIME: Duration = Duration::from_secs(1);
/// Longest order: a week; who wants more changes the configuration.
const MAX_TIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest reason in bytes: a line of the status.
const MAX_REASON: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_a_time_known_vips_and_a_reason_or_says_what_is_wrong() {
        let known: BTreeSet<IpAddr> = ["203.0.113.1", "2001:db8::1"].map(|vip| vip.parse().unwrap()).into();
        let read = |line| parse(line, &known);
        let order = |kind, vips: &[&str], secs, reason: &str| {
            let vips = vips.iter().map(|vip| vip.parse().unwrap()).collect();
            let (lasts, forced, number) = (Duration::from_secs(secs), false, 0);
            Some(Ok(Command::Order { kind, vips, lasts, reason: reason.into(), forced, number }))
        };
        let all = &["203.0.113.1", "2001:db8::1"];
        assert_eq!(read("drain 30m all new kernel"), order(Kind::Drain, all, 1800, "new kernel"));
        assert_eq!(read("pin 7d 2001:db8::1"), order(Kind::Pin, &all[1..], 604_800, ""));
        assert_eq!(read("force 1s 203.0.113.1,2001:db8::1 x"), order(Kind::Force, all, 1, "x"));
        let forced = matches!(read("drain force 30m all x"), Some(Ok(Command::Order { forced: true, .. })));
        assert!(forced && read("pin force 30m all").unwrap().is_err());
        assert_eq!(
            read("undrain 203.0.113.1"),
            Some(Ok(Command::Release { vips: vec![all[0].parse().unwrap()] }))
        );
        assert_eq!(read("status"), None);
        let long = format!("drain 1h all {}", "x".repeat(201));
        let bad = [
            ("drain", "no time"),
            ("drain 8d all", "no time"),
            ("drain 0s all", "no time"),
            ("drain 1h", "no VIP"),
            ("drain 1h 203.0.113.2", "no VIP of this node"),
            ("undrain", "no VIP"),
            (&long, "200 bytes"),
            ("drain 1h all a\x1b[2Jb", "one line"),
            ("pin 99999999999999999999h all", "no time"),
        ];
        for (line, says) in bad {
            let error = read(line).unwrap().expect_err(line);
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
