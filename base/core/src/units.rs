//! Durations and sizes as operators write them: HAProxy's formats with their units spelled out.

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

/// A number of bytes from a configuration file: bare, or with a unit: `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Bytes {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let bytes_per_unit: u64 = match unit {
            "" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(bytes_per_unit).map(Self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, such as 512 or \"64KiB\", \"1MiB\", \"2GiB\"")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Bytes, E> {
                let wrong = || E::invalid_value(de::Unexpected::Signed(number), &self);
                u64::try_from(number).map(Bytes).map_err(|_| wrong())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                Bytes::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
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
    use super::{Bytes, Span};

    #[test]
    fn bytes_have_a_unit_or_none_and_fit() {
        assert_eq!(Bytes::parse("512"), Some(Bytes(512)));
        assert_eq!(Bytes::parse("64KiB"), Some(Bytes(65_536)));
        assert_eq!(Bytes::parse("2GiB"), Some(Bytes(2 << 30)));
        for bad in ["", "KiB", "1.5MiB", "-1", "1 KiB", "1kb", "99999999999999999999", "17179869184GiB"] {
            assert_eq!(Bytes::parse(bad), None, "{bad}");
        }
    }

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
