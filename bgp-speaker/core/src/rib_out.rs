//! What one neighbor holds of ours, and the messages that turn it into what it should hold.
//!
//! It promises: withdraws go out before announces; nothing is sent that the neighbor already has; however
//! often the wish changes while the neighbor does not read, only the last one is sent; End-of-RIB follows
//! the first full advertisement of a session (RFC 4724 section 2), and none goes out before there is a wish.

use crate::wire::attribute::PathAttributes;
use crate::wire::prefix::Family;
use crate::wire::update;
use ipnet::IpNet;
use std::collections::BTreeMap;

/// The routes that a neighbor shall hold.
pub type Routes = BTreeMap<IpNet, PathAttributes>;

/// One neighbor's side of our routes.
#[derive(Debug, Default)]
pub struct RibOut {
    wanted: Option<Routes>,
    held: BTreeMap<IpNet, Held>,
    session: Option<Agreed>,
    end_of_rib_due: [bool; 2],
}

/// What the session allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// By [`Family::index`].
    pub families: [bool; 2],
    /// AS numbers have four bytes.
    pub four_octet: bool,
}

/// What another process goes on with.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Saved {
    /// Prefix, route, and whether the neighbor asked to hear it again.
    held: Vec<(IpNet, PathAttributes, bool)>,
    end_of_rib_due: [bool; 2],
}

#[derive(Debug)]
struct Held {
    attributes: PathAttributes,
    /// The neighbor asked to hear it again.
    again: bool,
}

impl RibOut {
    /// A neighbor without a session, and no wish yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What another process goes on with.
    pub fn save(&self) -> Saved {
        let one = |(prefix, held): (&IpNet, &Held)| (*prefix, held.attributes.clone(), held.again);
        Saved { held: self.held.iter().map(one).collect(), end_of_rib_due: self.end_of_rib_due }
    }

    /// Goes on with what another process saved.
    pub fn resume(agreed: Agreed, saved: Saved) -> Self {
        let one = |(prefix, attributes, again)| (prefix, Held { attributes, again });
        let held = saved.held.into_iter().map(one).collect();
        Self { wanted: None, held, session: Some(agreed), end_of_rib_due: saved.end_of_rib_due }
    }

    /// Does the neighbor hold a route to this prefix?
    pub fn holds(&self, prefix: IpNet) -> bool {
        self.held.contains_key(&prefix)
    }

    /// How many routes the neighbor holds.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Does the neighbor hold none?
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The routes that the neighbor holds.
    pub fn routes(&self) -> impl Iterator<Item = (IpNet, &PathAttributes)> {
        self.held.iter().map(|(prefix, held)| (*prefix, &held.attributes))
    }

    /// The neighbor shall hold exactly these.
    pub fn want(&mut self, routes: Routes) {
        self.wanted = Some(routes);
    }

    /// A session stands: the neighbor holds nothing.
    pub fn up(&mut self, agreed: Agreed) {
        self.held.clear();
        self.end_of_rib_due = agreed.families;
        self.session = Some(agreed);
    }

    /// The session is gone: the neighbor holds nothing.
    pub fn down(&mut self) {
        self.held.clear();
        self.session = None;
    }

    /// The neighbor wants to hear all of a family again (RFC 2918).
    pub fn refresh(&mut self, family: Family) {
        let of_family = self.held.iter_mut().filter(|(prefix, _)| Family::of(prefix.addr()) == family);
        of_family.for_each(|(_, held)| held.again = true);
    }

    /// The messages that make the neighbor hold what is wanted; none if it does.
    pub fn flush(&mut self) -> Vec<Vec<u8>> {
        let (Some(agreed), Some(wanted)) = (self.session, self.wanted.as_ref()) else { return Vec::new() };
        let mut messages = withdraws(&mut self.held, wanted);
        messages.extend(announces(&mut self.held, wanted, agreed));
        for family in Family::ALL {
            if std::mem::take(&mut self.end_of_rib_due[family.index()]) {
                messages.push(update::end_of_rib(family));
            }
        }
        messages
    }
}

fn withdraws(held: &mut BTreeMap<IpNet, Held>, wanted: &Routes) -> Vec<Vec<u8>> {
    let mut gone: [Vec<IpNet>; 2] = Default::default();
    held.retain(|prefix, _| {
        let stays = wanted.contains_key(prefix);
        if !stays {
            gone[Family::of(prefix.addr()).index()].push(*prefix);
        }
        stays
    });
    Family::ALL.into_iter().flat_map(|family| update::withdraw(family, &gone[family.index()])).collect()
}

fn announces(held: &mut BTreeMap<IpNet, Held>, wanted: &Routes, agreed: Agreed) -> Vec<Vec<u8>> {
    let mut groups: BTreeMap<(&PathAttributes, Family), Vec<IpNet>> = BTreeMap::new();
    for (prefix, attributes) in wanted {
        let has = |held: &Held| !held.again && held.attributes == *attributes;
        let family = Family::of(prefix.addr());
        if agreed.families[family.index()] && !held.get(prefix).is_some_and(has) {
            held.insert(*prefix, Held { attributes: attributes.clone(), again: false });
            groups.entry((attributes, family)).or_default().push(*prefix);
        }
    }
    let announce = |((attributes, _), prefixes): ((_, _), Vec<_>)| {
        update::announce(attributes, &prefixes, agreed.four_octet)
    };
    groups.into_iter().flat_map(announce).collect()
}

#[cfg(test)]
mod tests;
