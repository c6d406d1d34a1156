//! Whom a request is for, in one spelling (RFC 3986 §3.2, RFC 9110 §7.2).

/// Whether this is `host` or `host:port`. The empty one is, as RFC 9112 §3.2 has it.
pub(super) fn is_host(value: &[u8]) -> bool {
    let (name, port) = match value.strip_prefix(b"[") {
        Some(literal) => {
            let Some(end) = literal.iter().position(|byte| *byte == b']') else { return false };
            let (address, behind) = literal.split_at(end);
            if address.is_empty()
                || !address.iter().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte))
            {
                return false;
            }
            (&b""[..], behind.get(1..).unwrap_or_default())
        }
        None => value.split_at(value.iter().position(|byte| *byte == b':').unwrap_or(value.len())),
    };
    let port_is_one = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    port_is_one && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn a_host_has_one_spelling() {
        for good in
            ["", "a", "api.example", "api_1.example:8080", "[::1]", "[2001:db8::7]:443", "a:", "10.0.0.1:80"]
        {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b", "a,b", "a/b", "a\\b", "a?b", "a#b", "u@a", "a:8x", "a:b:c", "::1", "[::1", "[]", "[x]",
            "[::1]x", "a:123456", "\u{e9}",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
