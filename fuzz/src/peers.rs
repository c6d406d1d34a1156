//! Nodes with tables of each kind, and what one says to the other.

use base_core::Time;
use gateway_core::peers::frame::{self, Fault};
use gateway_core::peers::{Cluster, Frame, Incoming, Progress, Role, Shared, With};
use gateway_core::table::{DataType, KeyType, Layout, Options, StickTable, Stored};
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

/// A node with a table of each role and of all that can be stored.
pub fn cluster(name: &str) -> Cluster {
    let all = DataType::ALL.map(|data| Stored { data, period: Duration::from_secs(10), elements: 1 });
    let table = |name: &str, role, key| {
        let options = Options {
            key,
            layout: Layout::new(all),
            size: 8,
            expire: Duration::from_secs(30),
            nopurge: false,
            shared: true,
        };
        let table = Arc::new(StickTable::new(options.clone(), &RandomState::new()));
        Shared::new(name.to_owned(), table, options, role, true)
    };
    let tables = vec![
        table("c", Role::Common, KeyType::Ip),
        table("s", Role::Sums, KeyType::Ip),
        table("t", Role::Common, KeyType::String(9)),
        table("p", Role::Private, KeyType::Ip),
    ];
    let others = ["a", "b", "c"].into_iter().filter(|other| *other != name).map(str::to_owned).collect();
    Cluster::new(name.to_owned(), format!("hg{name}"), others, tables)
}

/// Takes what has been sent, until there is nothing whole any more.
pub fn take(incoming: &mut Incoming, bytes: &[u8], cluster: &Cluster, with: With<'_>) -> Result<(), Fault> {
    let (mut rest, now) = (bytes, Time::from_millis(9));
    while let Some((frame, length)) = frame::take(rest)? {
        match frame {
            Frame::Define(body) => drop(incoming.define(body, cluster, with, now)?),
            Frame::Switch(body) => incoming.switch(body),
            Frame::Update(update, body) => {
                incoming.update(update, body, cluster, with, &Progress::default(), now)?;
            }
            Frame::Control(_) | Frame::Ack(_) | Frame::Unknown => {}
        }
        rest = &rest[length..];
    }
    Ok(())
}
