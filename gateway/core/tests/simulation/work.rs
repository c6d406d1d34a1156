//! What clients do, and what goes wrong.

use super::{LONG, World};
use gateway_core::table::DataType;
use std::time::Duration;

impl World {
    /// Requests begin and end here and there.
    pub(super) fn work(&mut self) {
        let at = self.random.below(self.nodes.len() as u64) as usize;
        let key = self.random.below(LONG as u64) as usize;
        let wants_end = self.random.below(2) == 0;
        let node = &mut self.nodes[at];
        if node.learns {
            return;
        }
        let ends = wants_end && node.running[key] > 0;
        let table = &node.cluster.tables()[0].table;
        table.update((key as u32).to_be_bytes(), self.now + node.ahead, |entry| {
            if ends {
                entry.sub(DataType::ConnCur, 1);
            } else {
                entry.add(DataType::ConnCur, 1);
                entry.add(DataType::HttpReqCnt, 1);
            }
        });
        if ends {
            node.running[key] -= 1;
        } else {
            node.running[key] += 1;
            self.counted[node.run][key] += 1;
        }
    }

    /// Now and then a new client comes to all nodes in the same instant, and each chooses another server for it;
    /// or one that is known gets another server, since its own is down there.
    pub(super) fn stick(&mut self) {
        let chance = self.random.below(100);
        let node = self.random.below(self.count as u64) as usize;
        let known = self.random.below(u64::from(self.clients.max(1))) as u32;
        let server = 1 + self.random.below(5);
        let talk = self.nodes.iter().take(self.count).enumerate();
        for (place, node) in talk.filter(|(place, _)| chance == 0 || *place == node) {
            let (client, server) = match chance {
                0 => (self.clients, 1 + place as u64),
                1 => (known, server),
                _ => return,
            };
            node.cluster.tables()[1].table.update(client.to_be_bytes(), self.now + node.ahead, |entry| {
                entry.set(DataType::ServerId, server);
            });
        }
        self.clients += u32::from(chance == 0);
    }

    /// Each client asks once more, somewhere, and is sent where that node knows it to stick to, if it does. A node
    /// that has learnt from one that did not know better yet has it right from then on at the latest.
    pub(super) fn ask_again(&mut self) {
        for client in 0..self.clients {
            let node = &self.nodes[self.random.below(self.count as u64) as usize];
            let table = &node.cluster.tables()[1].table;
            let key = client.to_be_bytes();
            table.update(key, self.now + node.ahead, |entry| {
                if entry.get(DataType::ServerId) == 0 {
                    entry.set(DataType::ServerId, 1 + u64::from(client) % 5);
                }
            });
        }
    }

    /// Each client gets another server at some node, which knows what the others know: that is the last word.
    pub(super) fn choose_again(&mut self) -> Vec<u64> {
        let mut chosen = Vec::new();
        for client in 0..self.clients {
            let node = &self.nodes[self.random.below(self.count as u64) as usize];
            let table = &node.cluster.tables()[1].table;
            let server = table.update(client.to_be_bytes(), self.now + node.ahead, |entry| {
                let server = 1 + (entry.get(DataType::ServerId) + 1) % 5;
                entry.set(DataType::ServerId, server);
                server
            });
            chosen.push(server.expect("there is room"));
        }
        chosen
    }

    /// Cuts, heals, deaths, steps of a clock and upgrades, each every few seconds.
    pub(super) fn faults(&mut self) {
        let mut any = || self.random.below(self.count as u64) as usize;
        let (one, other) = (any(), any());
        match self.random.below(6_000) {
            0 | 1 => self.cut.push((one, other)),
            2 | 3 => self.cut.clear(),
            4 => {
                self.both_end(one);
                self.hang_up_all(one);
                self.nodes[one] = self.node(one);
                self.wires.retain(|wire| wire.to != one);
            }
            5 => self.nodes[one].ahead += Duration::from_millis(self.random.below(3_000)),
            6..=8 => self.begin_upgrade(one),
            9 | 10 => self.old_ends(one),
            11 => self.new_ends(one),
            _ => {}
        }
    }
}
