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

    /// Takes out all but those in the networks, if any is.
    pub fn narrow<T>(&self, found: &mut Vec<T>, ip: impl Fn(&T) -> IpAddr) {
        let is_in = |one: &T| self.networks.iter().any(|network| network.contains(&ip(one)));
        if found.iter().any(is_in) {
            found.retain(is_in);
        }
    }
}
