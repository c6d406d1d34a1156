//! What is wrong with a received UPDATE, and what follows from it (RFC 7606).
//!
//! A bad attribute never ends the session; only prefixes that cannot be found do, because then nobody
//! knows which routes are meant (RFC 7606 section 3 (j), sections 5.2 and 5.3). What follows from each attribute is
//! written down once, in [`RULES`], by section 7 and the RFCs that add to it. Nothing is kept: the answer is a count.

use super::attribute::{self, OPTIONAL, RawAttribute, TRANSITIVE, Value};
use super::notification::{self, Notification};
use super::prefix::{Family, Prefixes};
use super::update::Update;

/// What an UPDATE amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Prefixes that the neighbor announced; all of them were dropped.
    pub announced: u32,
    /// Prefixes that it withdrew.
    pub withdrawn: u32,
    /// The worst thing wrong with it; of equals the first.
    pub fault: Option<Fault>,
}

/// What is wrong with a path attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The attribute's type; 0 if the list of attributes itself is broken.
    pub attribute: u8,
    /// One stable word for logs and metrics.
    pub reason: &'static str,
    /// What follows.
    pub response: Response,
}

/// What follows from a bad attribute (RFC 7606 section 2); the later is the stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Response {
    /// The attribute counts as not there.
    AttributeDiscard,
    /// The routes count as withdrawn.
    TreatAsWithdraw,
}

/// Who sent the UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// AS numbers have four bytes in this session.
    pub four_octet: bool,
    /// It is of our own AS.
    pub inside: bool,
}

/// What is known about a type of attribute.
#[derive(Clone, Copy, Debug)]
struct Rule {
    code: u8,
    /// The flags that it must have.
    flags: u8,
    /// What follows if its value is malformed.
    malformed: Response,
    /// It has no meaning between ASes, and is discarded there.
    inside_only: bool,
}

/// Looks at everything that RFC 7606 tells a receiver to look at. `Err` ends the session.
pub fn validate(update: &Update<'_>, sender: Sender) -> Result<Summary, Notification> {
    let count = |prefixes: Prefixes<'_>| {
        prefixes.count_all().map_err(|_| Notification::new(notification::INVALID_NETWORK))
    };
    let mut seen = Seen::default();
    let mut summary =
        Summary { announced: count(update.nlri())?, withdrawn: count(update.withdrawn())?, fault: None };
    for attribute in update.attributes() {
        match attribute {
            Some(attribute) => seen.take(&attribute, sender, &mut summary)?,
            None => summary.blame(0, "attribute_cut_off", Response::TreatAsWithdraw),
        }
    }
    seen.check_mandatory(!update.nlri.is_empty(), &mut summary);
    let withdraws = summary.fault.is_some_and(|fault| fault.response == Response::TreatAsWithdraw);
    let says_which = !update.nlri.is_empty() || seen.contains(attribute::MP_REACH);
    if withdraws && !says_which && seen.more_than(attribute::MP_UNREACH) {
        // RFC 7606 section 5.2: the prefixes may have been in what could not be read.
        return Err(Notification::new(notification::MALFORMED_ATTRIBUTES));
    }
    Ok(summary)
}

impl Summary {
    fn blame(&mut self, attribute: u8, reason: &'static str, response: Response) {
        if self.fault.is_none_or(|fault| fault.response < response) {
            self.fault = Some(Fault { attribute, reason, response });
        }
    }
}

/// One bit for each attribute type that came.
#[derive(Default)]
struct Seen([u64; 4]);

impl Seen {
    fn take(
        &mut self,
        attribute: &RawAttribute<'_>,
        sender: Sender,
        summary: &mut Summary,
    ) -> Result<(), Notification> {
        let code = attribute.code;
        if !self.insert(code) {
            // RFC 7606 section 3 (g): twice is fatal for the two that carry prefixes; of others the first counts.
            return match code {
                attribute::MP_REACH | attribute::MP_UNREACH => {
                    Err(Notification::new(notification::MALFORMED_ATTRIBUTES))
                }
                _ => {
                    summary.blame(code, "attribute_twice", Response::AttributeDiscard);
                    Ok(())
                }
            };
        }
        let rule = RULES.iter().find(|rule| rule.code == code);
        if rule.is_some_and(|rule| attribute.flags & (OPTIONAL | TRANSITIVE) != rule.flags) {
            summary.blame(code, "attribute_flags", Response::TreatAsWithdraw);
        }
        if rule.is_some_and(|rule| rule.inside_only) && !sender.inside {
            summary.blame(code, "attribute_from_outside", Response::AttributeDiscard);
            return Ok(());
        }
        match attribute.value(sender.four_octet) {
            Some(Value::MpReach(reach)) => {
                summary.announced = summary.announced.saturating_add(count_mp(reach.prefixes())?);
                if !next_hop_fits(reach.family, reach.next_hop.len()) {
                    // RFC 7606 section 7.11: with an impossible next hop the prefixes are not trusted either.
                    return Err(Notification::new(notification::OPTIONAL_ATTRIBUTE));
                }
            }
            Some(Value::MpUnreach(unreach)) => {
                summary.withdrawn = summary.withdrawn.saturating_add(count_mp(unreach.prefixes())?);
            }
            Some(_) => {}
            None if matches!(code, attribute::MP_REACH | attribute::MP_UNREACH) => {
                return Err(Notification::new(notification::OPTIONAL_ATTRIBUTE));
            }
            None => {
                let response = rule.map_or(Response::TreatAsWithdraw, |rule| rule.malformed);
                summary.blame(code, "attribute_malformed", response);
            }
        }
        if attribute.flags & OPTIONAL == 0 && rule.is_none() {
            summary.blame(code, "attribute_unknown_well_known", Response::TreatAsWithdraw);
        }
        Ok(())
    }

    fn check_mandatory(&self, has_nlri: bool, summary: &mut Summary) {
        let mut mandatory = vec![attribute::ORIGIN, attribute::AS_PATH];
        if has_nlri {
            mandatory.push(attribute::NEXT_HOP);
        }
        if has_nlri || self.contains(attribute::MP_REACH) {
            for code in mandatory {
                if !self.contains(code) {
                    summary.blame(code, "attribute_missing", Response::TreatAsWithdraw);
                }
            }
        }
    }

    fn insert(&mut self, code: u8) -> bool {
        let new = !self.contains(code);
        if let Some(word) = self.0.get_mut(usize::from(code / 64)) {
            *word |= 1 << (code % 64);
        }
        new
    }

    /// Did anything come beside this one?
    fn more_than(&self, code: u8) -> bool {
        let count: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        count > u32::from(self.contains(code))
    }

    fn contains(&self, code: u8) -> bool {
        self.0.get(usize::from(code / 64)).is_some_and(|word| word & (1 << (code % 64)) != 0)
    }
}

fn count_mp(prefixes: Option<Prefixes<'_>>) -> Result<u32, Notification> {
    match prefixes.map(Prefixes::count_all) {
        Some(Ok(count)) => Ok(count),
        Some(Err(_)) => Err(Notification::new(notification::OPTIONAL_ATTRIBUTE)),
        None => Ok(0),
    }
}

const fn next_hop_fits(family: Option<Family>, length: usize) -> bool {
    match family {
        Some(Family::Ipv4) => matches!(length, 4 | 16 | 32),
        Some(Family::Ipv6) => matches!(length, 16 | 32),
        None => true,
    }
}

impl Response {
    /// As RFC 7606 calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AttributeDiscard => "attribute discard",
            Self::TreatAsWithdraw => "treat-as-withdraw",
        }
    }
}

const fn rule(code: u8, flags: u8, malformed: Response) -> Rule {
    Rule { code, flags, malformed, inside_only: false }
}

const fn inside_only(code: u8, flags: u8) -> Rule {
    Rule { code, flags, malformed: Response::TreatAsWithdraw, inside_only: true }
}

/// RFC 7606 sections 7.1 to 7.14, RFC 5701, 6793 section 6, 8092 section 6 and 9234 section 5. The two that carry prefixes
/// are stricter: see [`Seen::take`].
const RULES: [Rule; 18] = {
    use Response::{AttributeDiscard, TreatAsWithdraw};
    [
        rule(attribute::ORIGIN, TRANSITIVE, TreatAsWithdraw),
        rule(attribute::AS_PATH, TRANSITIVE, TreatAsWithdraw),
        rule(attribute::NEXT_HOP, TRANSITIVE, TreatAsWithdraw),
        rule(attribute::MED, OPTIONAL, TreatAsWithdraw),
        inside_only(attribute::LOCAL_PREF, TRANSITIVE),
        rule(attribute::ATOMIC_AGGREGATE, TRANSITIVE, AttributeDiscard),
        rule(attribute::AGGREGATOR, OPTIONAL | TRANSITIVE, AttributeDiscard),
        rule(attribute::COMMUNITIES, OPTIONAL | TRANSITIVE, TreatAsWithdraw),
        inside_only(attribute::ORIGINATOR_ID, OPTIONAL),
        inside_only(attribute::CLUSTER_LIST, OPTIONAL),
        rule(attribute::MP_REACH, OPTIONAL, TreatAsWithdraw),
        rule(attribute::MP_UNREACH, OPTIONAL, TreatAsWithdraw),
        rule(attribute::EXTENDED_COMMUNITIES, OPTIONAL | TRANSITIVE, TreatAsWithdraw),
        rule(attribute::AS4_PATH, OPTIONAL | TRANSITIVE, AttributeDiscard),
        rule(attribute::AS4_AGGREGATOR, OPTIONAL | TRANSITIVE, AttributeDiscard),
        rule(attribute::IPV6_EXTENDED_COMMUNITIES, OPTIONAL | TRANSITIVE, TreatAsWithdraw),
        rule(attribute::LARGE_COMMUNITIES, OPTIONAL | TRANSITIVE, TreatAsWithdraw),
        rule(attribute::ONLY_TO_CUSTOMER, OPTIONAL | TRANSITIVE, TreatAsWithdraw),
    ]
};
