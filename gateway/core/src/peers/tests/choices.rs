//! Two nodes that choose a server for the same client.

use super::*;

/// One end of a session between two nodes, with how far the other side has come.
struct End {
    cluster: Cluster,
    peer: &'static str,
    outgoing: Outgoing,
    incoming: Incoming,
    progress: Progress,
}

impl End {
    fn new(name: &str, peer: &'static str) -> Self {
        let cluster = node(name, "r", false, &options(KeyType::Ip, &[DataType::ServerId]));
        let outgoing = Outgoing::new(&cluster, With::Peer(peer), &Progress::default(), true);
        let mut incoming = Incoming::default();
        incoming.is_headgate();
        Self { cluster, peer, outgoing, incoming, progress: Progress::default() }
    }

    fn choose(&self, client: u8, server: u64) {
        let table = &self.cluster.tables()[0].table;
        table.update([0, 0, 0, client], NOW, |entry| entry.set(DataType::ServerId, server));
    }

    fn server(&self, client: u8) -> Option<u64> {
        let table = &self.cluster.tables()[0].table;
        table.peek([0, 0, 0, client], NOW, |entry| entry.get(DataType::ServerId))
    }

    fn push(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.outgoing.push(&self.cluster, NOW, 10, &mut bytes) {}
        bytes
    }

    /// Takes what the other side has sent; returns what it answers at once.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let (mut rest, with) = (bytes, With::Peer(self.peer));
        while let Some((frame, length)) = frame::take(rest).expect("it is understood") {
            match frame {
                Frame::Define(body) => drop(self.incoming.define(body, &self.cluster, with, NOW)),
                Frame::Update(update, body) => {
                    let taken = self.incoming.update(update, body, &self.cluster, with, &self.progress, NOW);
                    taken.expect("it is whole");
                }
                Frame::Ack(body) => self.outgoing.acknowledged(body, &mut self.progress),
                _ => {}
            }
            rest = &rest[length..];
        }
        let mut acks = Vec::new();
        self.incoming.acknowledge(&mut acks);
        acks
    }
}

/// What has changed at `from` comes to `to`, which acknowledges it.
fn exchange(from: &mut End, to: &mut End) {
    let acks = to.take(&from.push());
    from.take(&acks);
    assert!(from.push().is_empty(), "it has all");
}

/// Both send before either has heard the other; then all comes to rest.
fn cross(one: &mut End, other: &mut End) {
    let (from_one, from_other) = (one.push(), other.push());
    let (acks_of_other, acks_of_one) = (other.take(&from_one), one.take(&from_other));
    one.take(&acks_of_other);
    other.take(&acks_of_one);
    exchange(one, other);
    exchange(other, one);
}

#[test]
fn a_later_choice_of_the_node_that_knew_of_the_first_stays() {
    let (mut one, mut other) = (End::new("a", "b"), End::new("b", "a"));
    for client in [1, 2, 3] {
        one.choose(client, 1);
        exchange(&mut one, &mut other);
        exchange(&mut other, &mut one);
    }
    // Its server is down there: the other node, whose word does not count in a conflict, knows what it does.
    other.choose(3, 2);
    exchange(&mut other, &mut one);
    exchange(&mut one, &mut other);
    assert_eq!([one.server(3), other.server(3)], [Some(2); 2]);
}

#[test]
fn a_choice_that_was_made_long_ago_is_not_taken_for_a_new_one() {
    let (mut one, mut other) = (End::new("a", "b"), End::new("b", "a"));
    (10..90).for_each(|client| one.choose(client, 1));
    exchange(&mut one, &mut other);
    // The table's line of changes is so long that what stands at its front moves to its end.
    for number in 0..300 {
        one.choose(1, 1 + number % 5);
        exchange(&mut one, &mut other);
    }
    (50..90).for_each(|client| one.choose(client, 3));
    (10..50).for_each(|client| other.choose(client, 2));
    exchange(&mut other, &mut one);
    exchange(&mut one, &mut other);
    exchange(&mut other, &mut one);
    for client in 10..50 {
        assert_eq!([one.server(client), other.server(client)], [Some(2); 2], "client {client}");
    }
}

#[test]
fn a_choice_in_a_cut_counts_as_one_even_if_an_old_one_moved_in_line_meanwhile() {
    let (mut one, mut other) = (End::new("a", "b"), End::new("b", "a"));
    (10..90).for_each(|client| one.choose(client, 1));
    exchange(&mut one, &mut other);
    for number in 0..300 {
        one.choose(1, 1 + number % 5);
        exchange(&mut one, &mut other);
    }
    // Nobody reads: what the first changes move to the line's end is changed while it waits there.
    (50..90).for_each(|client| one.choose(client, 3));
    (10..50).for_each(|client| one.choose(client, 4));
    (10..50).for_each(|client| other.choose(client, 2));
    cross(&mut one, &mut other);
    for client in 10..50 {
        assert_eq!([one.server(client), other.server(client)], [Some(4); 2], "client {client}");
    }
}

#[test]
fn of_two_choices_that_cross_the_first_names_stays() {
    let (mut one, mut other) = (End::new("a", "b"), End::new("b", "a"));
    one.choose(1, 1);
    other.choose(1, 2);
    cross(&mut one, &mut other);
    assert_eq!([one.server(1), other.server(1)], [Some(1); 2]);
}
