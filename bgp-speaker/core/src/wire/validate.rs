//! What is wrong with a received UPDATE, and what follows from it (RFC 7606).
//!
//! A bad attribute never ends the session; only prefixes that cannot be found do, because then nobody
//! knows which routes are meant (RFC 7606 section 3 (j), section 5.3). Nothing is kept: the answer is a count.

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
    /// The first thing wrong with it. Its routes count as withdrawn.
    pub fault: Option<Fault>,
}

/// What is wrong with a path attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The attribute's type; 0 if the list of attributes itself is broken.
    pub attribute: u8,
    /// One stable word for logs and metrics.
    pub reason: &'static str,
}

/// Looks at everything that RFC 7606 tells a receiver to look at. `Err` ends the session.
pub fn validate(update: &Update<'_>, four_octet: bool) -> Result<Summary, Notification> {
    let count = |prefixes: Prefixes<'_>| {
        prefixes.count_all().map_err(|_| Notification::new(notification::INVALID_NETWORK))
    };
    let mut seen = Seen::default();
    let mut summary =
        Summary { announced: count(update.nlri())?, withdrawn: count(update.withdrawn())?, fault: None };
    for attribute in update.attributes() {
        match attribute {
            Some(attribute) => seen.take(&attribute, four_octet, &mut summary)?,
            None => summary.blame(0, "attribute_cut_off"),
        }
    }
    seen.check_mandatory(!update.nlri.is_empty(), &mut summary);
    Ok(summary)
}

impl Summary {
    fn blame(&mut self, attribute: u8, reason: &'static str) {
        self.fault.get_or_insert(Fault { attribute, reason });
    }
}

/// One bit for each attribute type that came.
#[derive(Default)]
struct Seen([u64; 4]);

impl Seen {
    fn take(
        &mut self,
        attribute: &RawAttribute<'_>,
        four_octet: bool,
        summary: &mut Summary,
    ) -> Result<(), Notification> {
        let code = attribute.code;
        if !self.insert(code) {
            // RFC 7606 section 3 (g): twice is fatal for the two that carry prefixes; of others the first counts.
            return match code {
                attribute::MP_REACH | attribute::MP_UNREACH => {
                    Err(Notification::new(notification::MALFORMED_ATTRIBUTES))
                }
                _ => Ok(()),
            };
        }
        if flags_of(code).is_some_and(|flags| attribute.flags & (OPTIONAL | TRANSITIVE) != flags) {
            summary.blame(code, "attribute_flags");
        }
        match attribute.value(four_octet) {
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
            // RFC 6793 section 6: these two are dropped alone.
            None if matches!(code, attribute::AS4_PATH | attribute::AS4_AGGREGATOR) => {}
            None => summary.blame(code, "attribute_malformed"),
        }
        if attribute.flags & OPTIONAL == 0 && flags_of(code).is_none() {
            summary.blame(code, "attribute_unknown_well_known");
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
                    summary.blame(code, "attribute_missing");
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

/// The flags that an attribute of type `code` must have; `None` if it is not known here.
const fn flags_of(code: u8) -> Option<u8> {
    match code {
        attribute::ORIGIN
        | attribute::AS_PATH
        | attribute::NEXT_HOP
        | attribute::LOCAL_PREF
        | attribute::ATOMIC_AGGREGATE => Some(TRANSITIVE),
        attribute::MED
        | attribute::ORIGINATOR_ID
        | attribute::CLUSTER_LIST
        | attribute::MP_REACH
        | attribute::MP_UNREACH => Some(OPTIONAL),
        attribute::AGGREGATOR
        | attribute::COMMUNITIES
        | attribute::EXTENDED_COMMUNITIES
        | attribute::AS4_PATH
        | attribute::AS4_AGGREGATOR
        | attribute::LARGE_COMMUNITIES
        | attribute::ONLY_TO_CUSTOMER => Some(OPTIONAL | TRANSITIVE),
        _ => None,
    }
}
