//! Lines of the text API are done or refused; there are never more routes than the bound, and forgetting leaves none.
#![no_main]

use bgp_core::text_api::{Known, Owner, Table, parse};
use std::collections::BTreeSet;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let known = Known {
        address: [10, 0, 0, 1].into(),
        local_ip: None,
        local_as: 65010,
        peer_as: 65000,
        router_id: [10, 0, 0, 2].into(),
    };
    let mut table = Table::new(vec![known], BTreeSet::new(), 8);
    for line in text.lines() {
        let before = table.len();
        let done = parse(line).and_then(|command| table.apply(Owner::Socket, command));
        assert!(done.is_ok() || table.len() == before, "refused, and done in part");
        assert!(table.len() <= 8);
    }
    table.forget(Owner::Socket);
    assert!(table.is_empty());
});
