//! SRV records (RFC 2782): where a service is, and what share of it.

use super::Endpoint;
use crate::balance::HEAVIEST;
use std::net::{IpAddr, SocketAddr};

/// An SRV record with the addresses of its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its share, in relation to the others.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// Where it is.
    pub addresses: Vec<IpAddr>,
}

/// Servers with weights in relation as the records' are: the heaviest has 256, none has less than 1. Records that all
/// say 0 say nothing about weights. One without a port is no server.
pub fn weighed(records: &[Record]) -> Vec<Endpoint> {
    let heaviest = records.iter().map(|record| u32::from(record.weight)).max().unwrap_or(0);
    let weight = |record: &Record| {
        let share = u32::from(record.weight) * HEAVIEST;
        share.checked_div(heaviest).map(|weight| weight.max(1))
    };
    let records = records.iter().filter(|record| record.port > 0);
    records
        .flat_map(|record| {
            let weight = weight(record);
            let addresses = record.addresses.iter();
            addresses.map(move |ip| Endpoint { address: SocketAddr::new(*ip, record.port), weight })
        })
        .collect()
}
