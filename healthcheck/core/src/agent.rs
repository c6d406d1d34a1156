//! What a server says of itself through its agent: one line of words (HAProxy manual 5.2, `agent-check`).
//!
//! Promises: a line counts whole or not at all; an agent that can't be asked changes nothing, as that is for the
//! server's check to find. Refuses a line of more than [`MAX_LINE`] bytes.

/// What an agent's line asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// `up`, or `down`, `failed` and `stopped`.
    pub up: Option<bool>,
    /// `ready`, `drain`, `maint`.
    pub admin: Option<Admin>,
    /// `NN%` of the weight in the configuration.
    pub weight: Option<u32>,
    /// `maxconn:NN`.
    pub maxconn: Option<u32>,
}

/// What a server wants to get.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Admin {
    /// Traffic.
    #[default]
    Ready,
    /// Only what sticks to it.
    Drain,
    /// Nothing.
    Maint,
}

/// Where a server stands by its own word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Whether it calls itself well.
    pub up: bool,
    /// What it wants to get.
    pub admin: Admin,
    /// How much of its weight counts, in percent.
    pub weight: u32,
    /// Requests at once; `None`: as configured.
    pub maxconn: Option<u32>,
}

impl Report {
    /// Understands a line; the error is the word that nobody knows.
    pub fn parse(line: &str) -> Result<Self, &str> {
        let mut report = Self::default();
        // What follows `#` is for people, as is what follows the first word of a bad state.
        let line = line.split('#').next().unwrap_or_default();
        let mut words = 0;
        for word in line.split([' ', '\t', ',', '\r', '\n']).filter(|word| !word.is_empty()) {
            let number = |text: &str| text.parse::<u32>().ok();
            match word.to_ascii_lowercase().as_str() {
                "up" => report.up = Some(true),
                "down" | "failed" | "fail" | "stopped" => {
                    report.up = Some(false);
                    return Ok(report);
                }
                "ready" => report.admin = Some(Admin::Ready),
                "drain" => report.admin = Some(Admin::Drain),
                "maint" => report.admin = Some(Admin::Maint),
                other => match (
                    other.strip_suffix('%').and_then(number),
                    other.strip_prefix("maxconn:").map(number),
                ) {
                    (Some(percent), _) => report.weight = Some(percent.min(MAX_PERCENT)),
                    (None, Some(Some(maxconn))) => report.maxconn = Some(maxconn),
                    _ => return Err(word),
                },
            }
            words += 1;
        }
        if words == 0 { Err(line) } else { Ok(report) }
    }
}

impl Standing {
    /// Before the agent has said anything.
    pub const INITIAL: Self = Self { up: true, admin: Admin::Ready, weight: 100, maxconn: None };

    /// Takes a report; whether that changed anything. What it does not mention stays.
    pub fn apply(&mut self, report: Report) -> bool {
        let before = *self;
        self.up = report.up.unwrap_or(self.up);
        self.admin = report.admin.unwrap_or(self.admin);
        self.weight = report.weight.unwrap_or(self.weight);
        // 0 takes the limit away, as it does in HAProxy.
        self.maxconn = report.maxconn.map_or(self.maxconn, |maxconn| (maxconn > 0).then_some(maxconn));
        *self != before
    }

    /// Whether the server may get any request.
    pub fn is_usable(&self) -> bool {
        self.up && self.admin != Admin::Maint
    }

    /// Its weight, out of the one in the configuration: 0 while it drains, and at least 1 where any is left.
    pub fn weight_of(&self, configured: u32) -> u32 {
        if self.admin == Admin::Drain {
            return 0;
        }
        let share = u64::from(configured) * u64::from(self.weight);
        u32::try_from(share.div_ceil(100)).unwrap_or(u32::MAX).min(MAX_WEIGHT)
    }
}

/// Longest line that an agent may say, in bytes.
pub const MAX_LINE: usize = 1024;
/// The most that an agent may ask for, in percent of its weight: HAProxy's weights end at 256.
const MAX_PERCENT: u32 = 25_600;
/// HAProxy's range for weights.
const MAX_WEIGHT: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn haproxys_words_are_understood() {
        let report = Report::parse("up ready 75% maxconn:30\r\n").expect("known words");
        assert_eq!(
            report,
            Report { up: Some(true), admin: Some(Admin::Ready), weight: Some(75), maxconn: Some(30) }
        );
        assert_eq!(Report::parse("Drain,50%").expect("known").admin, Some(Admin::Drain));
        assert_eq!(Report::parse("maint").expect("known").admin, Some(Admin::Maint));
        for word in ["down", "failed", "fail", "stopped"] {
            let line = format!("{word} # disk full");
            assert_eq!(Report::parse(&line).expect("known").up, Some(false), "{word}");
        }
        assert_eq!(Report::parse("stopped by hand").expect("words after it are for people").up, Some(false));
        for bad in ["", "#", "hello", "up 5", "x%", "maxconn:", "maxconn:x", "HTTP/1.1 200 OK"] {
            assert!(Report::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_mentioned_stays_and_drain_is_not_down() {
        let mut standing = Standing::INITIAL;
        assert!(standing.apply(Report::parse("drain 50%").expect("known")));
        assert!(standing.is_usable());
        assert_eq!(standing.weight_of(100), 0);
        assert!(standing.apply(Report::parse("ready").expect("known")));
        assert_eq!((standing.weight_of(100), standing.weight_of(1), standing.weight_of(0)), (50, 1, 0));
        assert!(standing.apply(Report::parse("maint").expect("known")));
        assert!(!standing.is_usable());
        assert!(!standing.apply(Report::parse("maint").expect("known")), "nothing new");
        assert!(standing.apply(Report::parse("ready down").expect("known")));
        assert!(!standing.is_usable());
        assert!(standing.apply(Report::parse("up 0%").expect("known")));
        assert_eq!((standing.is_usable(), standing.weight_of(100)), (true, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_line_is_survived_and_weights_stay_in_range(line: String, configured in 0_u32..=256) {
            let mut standing = Standing::INITIAL;
            if let Ok(report) = Report::parse(&line) {
                standing.apply(report);
            }
            prop_assert!(standing.weight_of(configured) <= MAX_WEIGHT);
        }
    }
}
