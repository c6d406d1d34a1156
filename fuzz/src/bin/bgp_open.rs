//! An OPEN is refused or read, and what was read is written and read again as the same.
#![no_main]

use bgp_core::fsm::negotiate::{Local, Offer, negotiate};
use bgp_core::wire::{self, Message};

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let Ok(Message::Open(open)) = wire::decode(&fuzz::message(wire::OPEN, body)) else { return };
    let local = Local {
        asn: 65010,
        identifier: [10, 0, 0, 2].into(),
        hold_time: 9,
        neighbor_asn: open.asn(),
        offer: Offer::default(),
    };
    if let Ok(agreed) = negotiate(&local, &open, false) {
        assert!(agreed.hold.is_zero() || agreed.hold.as_secs() >= 3 && agreed.hold.as_secs() <= 9);
        assert!(agreed.families.contains(&true), "no family in common");
    }
    // An OPEN may carry more than fits into one message of ours once it is written in the short form.
    if body.len() < 200 {
        let again = open.encode();
        assert_eq!(wire::decode(&again), Ok(Message::Open(open)));
    }
});
