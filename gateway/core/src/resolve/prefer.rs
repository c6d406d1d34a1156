//! Which of the addresses of a name are used (HAProxy manual, `resolve-prefer`, `resolve-net`).

use ipnet::IpNet;
use serde::Deserialize;
use std::net::IpAddr;

/// A family of addresses.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6: HAProxy's default.
    #[default]
    Ipv6,
}

/// What is liked best; what else there is, is used where there is none of that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preference {
    /// The family that is asked for first.
    pub family: Family,
    /// Networks.
    pub networks: Vec<IpNet>,
}

impl Preference {
    /// The families in the order in which they are asked for; the second only if there is none of the first.
    pub fn order(&self) -> [Family; 2] {
        match self.family {
            Family::Ipv4 => [Family::Ipv4, Family::Ipv6],
            Family::Ipv6 => [Family::Ipv6, Family::Ipv4],
        }
    }

    /// Takes out all but those that are liked best: of the first family of which there is any, and in the networks if
    /// any of those is.
    pub fn choose<T>(&self, found: &mut Vec<T>, ip: impl Fn(&T) -> IpAddr) {
        let first = self.order()[0];
        let is_first = |one: &T| ip(one).is_ipv4() == (first == Family::Ipv4);
        if found.iter().any(is_first) {
            found.retain(is_first);
        }
        let is_in = |one: &T| self.networks.iter().any(|network| network.contains(&ip(one)));
        if found.iter().any(is_in) {
            found.retain(is_in);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_liked_best_is_taken_and_what_there_is_where_there_is_none_of_it() {
        let chosen = |family, networks: &[&str], found: &[&str]| -> Vec<String> {
            let networks = networks.iter().map(|network| network.parse().expect("a network")).collect();
            let mut found: Vec<IpAddr> = found.iter().map(|ip| ip.parse().expect("an address")).collect();
            Preference { family, networks }.choose(&mut found, |ip| *ip);
            found.iter().map(IpAddr::to_string).collect()
        };
        let all = ["10.0.0.1", "192.0.2.1", "2001:db8::1"];
        assert_eq!(chosen(Family::Ipv6, &[], &all), ["2001:db8::1"]);
        assert_eq!(chosen(Family::Ipv6, &[], &all[..2]), all[..2]);
        assert_eq!(chosen(Family::Ipv4, &["192.0.2.0/24"], &all), ["192.0.2.1"]);
        assert_eq!(chosen(Family::Ipv4, &["198.51.100.0/24"], &all), all[..2]);
        assert!(chosen(Family::Ipv4, &["192.0.2.0/24"], &[]).is_empty());
    }
}
