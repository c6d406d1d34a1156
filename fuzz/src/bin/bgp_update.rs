//! An UPDATE is refused or counted; it never counts more prefixes than it has bytes.
#![no_main]

use bgp_core::wire::validate::{Sender, validate};
use bgp_core::wire::{self, Message};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((flags, body)) = input.split_first() else { return };
    let message = fuzz::message(wire::UPDATE, body);
    let Ok(Message::Update(update)) = wire::decode(&message) else { return };
    let sender = Sender { four_octet: flags & 1 == 0, inside: flags & 2 == 0 };
    if let Ok(summary) = validate(&update, sender) {
        let counted = u64::from(summary.announced) + u64::from(summary.withdrawn);
        assert!(counted <= message.len() as u64, "{summary:?}");
    }
    for attribute in update.attributes().flatten() {
        let _ = attribute.value(sender.four_octet);
    }
});
