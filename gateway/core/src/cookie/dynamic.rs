//! Values that stand for servers by their address and a key (HAProxy manual, "dynamic-cookie-key"), so that all nodes
//! with the same key, HAProxy's too, have the same without a name for each: 16 hexadecimal digits of XXH64.

use std::net::{IpAddr, SocketAddr};

/// What stands for the server at this address.
pub fn value(key: &str, server: SocketAddr) -> String {
    let mut text = key.as_bytes().to_vec();
    match server.ip() {
        IpAddr::V4(ip) => text.extend(ip.octets()),
        IpAddr::V6(ip) => text.extend(ip.octets()),
    }
    text.extend(u32::from(server.port()).to_be_bytes());
    format!("{:016x}", xxh64(&text))
}

/// XXH64 with the seed 0 (<https://xxhash.com>, "XXH64 algorithm description").
fn xxh64(text: &[u8]) -> u64 {
    let (stripes, mut rest) = text.as_chunks::<32>();
    let mut state = P5;
    if !stripes.is_empty() {
        let mut lanes = [P1.wrapping_add(P2), P2, 0, 0u64.wrapping_sub(P1)];
        for stripe in stripes {
            let (words, _) = stripe.as_chunks::<8>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane = round(*lane, u64::from_le_bytes(*word));
            }
        }
        let [a, b, c, d] = lanes;
        state = a.rotate_left(1);
        for turned in [b.rotate_left(7), c.rotate_left(12), d.rotate_left(18)] {
            state = state.wrapping_add(turned);
        }
        for lane in lanes {
            state = (state ^ round(0, lane)).wrapping_mul(P1).wrapping_add(P4);
        }
    }
    state = state.wrapping_add(text.len() as u64);
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        state ^= round(0, u64::from_le_bytes(*word));
        state = state.rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
        rest = after;
    }
    if let Some((word, after)) = rest.split_first_chunk::<4>() {
        state ^= u64::from(u32::from_le_bytes(*word)).wrapping_mul(P1);
        state = state.rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
        rest = after;
    }
    for byte in rest {
        state = (state ^ u64::from(*byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    state = (state ^ state >> 33).wrapping_mul(P2);
    state = (state ^ state >> 29).wrapping_mul(P3);
    state ^ state >> 32
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

/// The algorithm's primes.
const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(xxh64(b""), 0xEF46_DB37_51D8_E999);
        assert_eq!(xxh64(b"a"), 0xD24E_C4F1_A98C_6E5B);
        assert_eq!(xxh64(b"abc"), 0x44BC_2CF5_AD77_0999);
        let long = b"Nobody inspects the spammish repetition";
        assert_eq!(xxh64(long), 0xFBCE_A83C_8A37_8BF1);
    }

    #[test]
    fn a_value_goes_by_key_address_and_port() {
        let at = |text: &str| text.parse().expect("an address");
        let one = value("key", at("10.0.0.1:80"));
        // What HAProxy 2.6 has for it.
        assert_eq!(value("secret", at("127.0.0.1:27012")), "77d6c02c9a6e9a2d");
        for (key, server) in [("other", "10.0.0.1:80"), ("key", "10.0.0.2:80"), ("key", "10.0.0.1:81")] {
            assert_ne!(value(key, at(server)), one);
        }
        assert_ne!(value("key", at("[::1]:80")), one);
    }
}
