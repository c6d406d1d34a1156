//! HTTP/2 as a connection, beside whoever speaks it: which frames go by ([`frames`]), and whether a client sends
//! more of a kind than its work explains ([`glitches`]).

pub mod frames;
pub mod glitches;

/// The reason word for a connection that was ended with this error code (RFC 9113 §7).
pub fn fault(code: u32) -> &'static str {
    match code {
        ENHANCE_YOUR_CALM => "h2_flood",
        _ => "h2_protocol_error",
    }
}

const ENHANCE_YOUR_CALM: u32 = 11;
