use super::*;

fn tickets(frontend: &str, keys: [u8; KEYS]) -> Tickets {
    let sealer = |number| sealer(&Key { name: [number; NAME], secret: vec![number; 32] }).expect("a key");
    Tickets {
        frontend: frontend.to_owned(),
        file: None,
        keys: ArcSwap::from_pointee(keys.map(sealer)),
        version: Mutex::default(),
        since: AtomicU64::new(0),
        lifetime: Duration::from_secs(3600),
        broken: AtomicBool::new(false),
    }
}

#[test]
fn any_node_with_the_key_opens_a_ticket_also_after_the_next_rotation() {
    let ticket = tickets("fe", [1, 2, 3]).seal(b"session", 1000).expect("a ticket");
    for keys in [[1, 2, 3], [2, 3, 4], [0, 1, 2]] {
        assert_eq!(tickets("fe", keys).open(&ticket, 1001).as_deref(), Some(&b"session"[..]), "{keys:?}");
    }
    assert_eq!(tickets("fe", [3, 4, 5]).open(&ticket, 1001), None, "the key is gone");
}

#[test]
fn a_ticket_ends_with_its_lifetime_and_is_for_one_frontend() {
    let node = tickets("fe", [1, 2, 3]);
    let ticket = node.seal(b"session", 10_000).expect("a ticket");
    assert!(node.open(&ticket, 13_600).is_some() && node.open(&ticket, 13_601).is_none());
    assert!(node.open(&ticket, 9_940).is_some(), "another node's clock may be a little late");
    assert!(node.open(&ticket, 9_939).is_none());
    assert_eq!(tickets("other", [1, 2, 3]).open(&ticket, 10_000), None);
}

#[test]
fn a_ticket_that_was_changed_or_cut_is_none() {
    let node = tickets("fe", [1, 2, 3]);
    let ticket = node.seal(b"session", 0).expect("a ticket");
    for place in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[place] ^= 1;
        assert_eq!(node.open(&changed, 0), None, "{place}");
        assert_eq!(node.open(&ticket[..place], 0), None, "{place}");
    }
}
