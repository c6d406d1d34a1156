//! What holds in every run.

use super::{KEYS, Node, World};
use gateway_core::limits::Limit;
use gateway_core::table::DataType;

impl Node {
    /// Other runs that it knows to live.
    pub(super) fn live_runs(&self) -> Vec<String> {
        let runs = self.cluster.tables()[0].runs();
        runs.into_iter().filter_map(|(name, live, _)| live.then_some(name)).collect()
    }
}

impl World {
    /// What a node knows of the others: requests that run, and requests there were.
    fn known(&self, at: usize, key: usize) -> [u64; 2] {
        let limit = |data| Limit::new(data, 1);
        let limits = [limit(DataType::ConnCur), limit(DataType::HttpReqCnt)];
        let table = &self.nodes[at].cluster.tables()[0];
        let sums = table.others(&(key as u32).to_be_bytes(), &limits, self.now + self.nodes[at].ahead);
        [sums[0], sums[1]]
    }

    pub(super) fn nothing_counts_twice(&self) {
        for (place, node) in self.nodes.iter().enumerate() {
            for key in 0..KEYS {
                let all: u64 = self.counted.iter().map(|run| run[key]).sum();
                let others = all - self.counted[node.run][key];
                assert!(self.known(place, key)[1] <= others, "{} of key {key}", node.name);
            }
        }
    }

    pub(super) fn all_stick_to(&self, chosen: &[u64]) {
        for (client, server) in (0u32..).zip(chosen) {
            let node = &self.nodes[0];
            let table = &node.cluster.tables()[1].table;
            let known = table
                .peek(client.to_be_bytes(), self.now + node.ahead, |entry| entry.get(DataType::ServerId));
            assert_eq!(known, Some(*server), "client {client} goes where it was sent last");
        }
    }

    /// Where each node would send a client.
    pub(super) fn all_have_settled(&self) {
        for client in 0..self.clients {
            let server = |node: &Node| {
                let table = &node.cluster.tables()[1].table;
                table.peek(client.to_be_bytes(), self.now + node.ahead, |entry| entry.get(DataType::ServerId))
            };
            let servers: Vec<_> = self.nodes.iter().take(self.count).map(server).collect();
            assert!(servers.iter().all(|server| *server == servers[0]), "client {client}: {servers:?}");
        }
    }

    pub(super) fn all_is_known(&self) {
        for (place, node) in self.nodes.iter().enumerate() {
            for key in 0..KEYS {
                let others = || self.nodes.iter().filter(|other| other.run != node.run);
                let running: u64 = others().map(|other| other.running[key]).sum();
                let counted: u64 = others().map(|other| self.counted[other.run][key]).sum();
                let [known_running, known] = self.known(place, key);
                let name = format!("{}, its life {},", node.name, node.run);
                assert_eq!(known_running, running, "{name} knows what runs of key {key}");
                assert!(known >= counted, "{name} has all of key {key}: {known} of {counted}");
            }
            assert_eq!(node.cluster.nodes().0 as usize, self.count, "{} hears all", node.name);
        }
    }
}
