//! Durations as operators write them: HAProxy's time format with its unit spelled out.

use serde::{Deserialize, Deserializer, de};
use std::fmt;
use std::time::Duration;

/// A duration from a configuration file: a whole number and a unit, `us`, `ms`, `s`, `m`, `h` or `d`
/// (HAProxy manual, "Time format"). A bare number is refused: it is milliseconds to HAProxy and
/// seconds to nearly everyone else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl Span {
    /// A span of `ms` milliseconds, for defaults.
    pub const fn millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// A span of `s` seconds, for defaults.
    pub const fn secs(s: u64) -> Self {
        Self(Duration::from_secs(s))
    }

    /// Whole milliseconds, saturating.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let micros_per_unit: u64 = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return None,
        };
        let micros = number.parse::<u64>().ok()?.checked_mul(micros_per_unit)?;
        Some(Self(Duration::from_micros(micros)))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, such as \"200ms\", \"5s\" or \"1m\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                Span::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn a_duration_has_a_unit_and_fits() {
        assert_eq!(Span::parse("200ms"), Some(Span::millis(200)));
        assert_eq!(Span::parse("3s"), Some(Span::secs(3)));
        assert_eq!(Span::parse("1d"), Some(Span::secs(86_400)));
        for bad in ["", "5", "ms", "1.5s", "-1s", "5 s", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
    }
}
