//! A datagram is discarded with a reason or read, and what was read is written and read again as the same; it never
//! reaches a session that it is not of.
#![no_main]

use bgp_core::bfd::packet::Packet;
use bgp_core::bfd::{Arrival, Hops, Identity, accept};
use fuzz::Input;
use std::num::NonZeroU32;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let flags = input.byte();
    let arrival = Arrival {
        source: [10, 0, 0, flags & 3].into(),
        ttl: (flags & 4 != 0).then_some(255 - (flags >> 6)),
        multihop: flags & 8 != 0,
    };
    if let Ok(packet) = Packet::decode(input.0) {
        assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
    }
    let hops = [Hops::Single, Hops::Single, Hops::Multiple { min_ttl: 254 }, Hops::Multiple { min_ttl: 1 }];
    let identities: Vec<_> = (1_u8..)
        .zip(hops)
        .map(|(number, hops)| Identity {
            discriminator: NonZeroU32::from(std::num::NonZeroU8::new(number).expect("from 1")),
            address: [10, 0, 0, number].into(),
            hops,
        })
        .collect();
    if let Ok((index, packet)) = accept(input.0, arrival, identities.iter().copied()) {
        let identity = identities[index];
        assert_eq!(arrival.multihop, identity.hops != Hops::Single);
        assert!(packet.yours == identity.discriminator.get() || packet.yours == 0);
        assert!(packet.yours != 0 || arrival.source == identity.address);
        match identity.hops {
            Hops::Single => assert_eq!(arrival.ttl, Some(255)),
            Hops::Multiple { min_ttl } => assert!(arrival.ttl.unwrap_or(0) >= min_ttl),
        }
    }
});
