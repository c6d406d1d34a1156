//! What came out, against what is aimed at.

use crate::cases::{Case, Goal};
use crate::proxies::Kind;
use std::io::Write;

/// Every figure of a run.
pub(crate) struct Report {
    kinds: Vec<Kind>,
    figures: Vec<(Case, Kind, f64)>,
}

impl Report {
    pub(crate) fn new(kinds: &[Kind]) -> Self {
        Self { kinds: kinds.to_vec(), figures: Vec::new() }
    }

    pub(crate) fn add(&mut self, case: Case, kind: Kind, figure: f64) {
        self.figures.push((case, kind, figure));
    }

    /// A row for each case: medians, and how they stand to HAProxy's.
    pub(crate) fn print(&self) {
        let mut head = format!("{:36}", "");
        for kind in &self.kinds {
            head += &format!("{:>18}", kind.name());
        }
        line(&format!("{head}{:>24}", "goal for Headgate"));
        for case in Case::ALL {
            let haproxy = self.median(case, Kind::Haproxy);
            let mut row = format!("{:36}", case.name());
            if self.kinds.iter().all(|kind| self.median(case, *kind).is_none()) {
                continue;
            }
            for kind in &self.kinds {
                let cell = self.median(case, *kind).map_or_else(
                    || "–".to_owned(),
                    |figure| {
                        let ratio =
                            haproxy.map_or(String::new(), |haproxy| format!(" ({:.2})", figure / haproxy));
                        format!("{figure:.1}{ratio}")
                    },
                );
                row += &format!("{cell:>18}");
            }
            line(&format!("{row}{:>24}", self.verdict(case, haproxy)));
        }
        line("Medians; in brackets, times HAProxy's.");
    }

    fn verdict(&self, case: Case, haproxy: Option<f64>) -> String {
        let (most, goal) = match case.goal() {
            Goal::OfHaproxy(times) => {
                (haproxy.map(|haproxy| haproxy * times), format!("{times:.1} × HAProxy"))
            }
            Goal::AtMost(most) => (Some(most), format!("{most:.0}")),
        };
        let met = most.zip(self.median(case, Kind::Headgate)).map(|(most, figure)| figure <= most);
        let word = met.map_or("", |met| if met { ", met" } else { ", missed" });
        format!("{goal}{word}")
    }

    fn median(&self, case: Case, kind: Kind) -> Option<f64> {
        let of = |(one, other, _): &&(Case, Kind, f64)| *one == case && *other == kind;
        let mut figures: Vec<f64> = self.figures.iter().filter(of).map(|(_, _, figure)| *figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied()
    }
}

/// A line of what came out.
pub(crate) fn line(text: &str) {
    // Who has gone away does not read it.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// How far it is.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
