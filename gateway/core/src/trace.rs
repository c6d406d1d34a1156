//! Distributed traces: which trace a request belongs to, and what it tells the next (W3C Trace Context,
//! version 00). A valid `traceparent` is never changed unless a span of our own comes between.

use std::fmt;

/// What is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// Whether requests without a trace get one.
    pub make: bool,
    /// Percent of those that are sampled.
    pub sample: u32,
    /// Where spans go.
    pub otlp: Option<Collector>,
    /// The service's name in them.
    pub service: String,
}

/// A collector that takes OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Its host and port.
    pub authority: String,
    /// The path that spans are posted to.
    pub path: String,
}

/// Where a request stands in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace: u128,
    /// The span that the next goes under: our own, if this is recorded.
    pub span: u64,
    /// The span that this request came from.
    pub parent: Option<u64>,
    /// Whether it is recorded.
    pub sampled: bool,
}

impl Tracing {
    /// What becomes of a request's trace; `None`: what it says is passed on as it is. `random` are 24 bytes
    /// that nobody can foresee.
    pub fn decide(&self, traceparent: Option<&[u8]>, random: [u8; 24]) -> Option<Context> {
        let [a, b, c, d, e, f, g, h, trace @ ..] = random;
        let span = u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1);
        match traceparent.and_then(Context::parse) {
            Some(context) if context.sampled && self.otlp.is_some() => {
                Some(Context { span, parent: Some(context.span), ..context })
            }
            Some(_) => None,
            None if self.make => {
                let sampled = span % 100 < u64::from(self.sample);
                Some(Context { trace: u128::from_be_bytes(trace).max(1), span, parent: None, sampled })
            }
            None => None,
        }
    }
}

impl Context {
    /// Reads a `traceparent`. Of later versions that is read which version 00 knows (§3.2.2).
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
        let mut parts = text.splitn(5, '-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |part: &str, length: usize| {
            part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let has_more = parts.next().is_some();
        if !hex(version, 2) || version == "ff" || (version == "00" && has_more) {
            return None;
        }
        if !hex(trace, 32) || !hex(span, 16) || !hex(flags, 2) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { trace, span, parent: None, sampled })
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl Collector {
    /// Reads `http://host:port/path`.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = authority.rsplit_once(':')?;
        let fits = !host.is_empty()
            && port.parse::<u16>().is_ok()
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        let path = if path.is_empty() { "/v1/traces" } else { path };
        fits.then(|| Self { authority: authority.to_owned(), path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn tracing(make: bool, otlp: bool) -> Tracing {
        let otlp = otlp.then(|| Collector::parse("http://127.0.0.1:4318").expect("a collector"));
        Tracing { make, sample: 100, otlp, service: "headgate".to_owned() }
    }

    #[test]
    fn a_valid_one_is_read_and_said_again() {
        assert_eq!(Context::parse(VALID.as_bytes()).expect("valid").to_string(), VALID);
        let later = VALID.replacen("00-", "cc-", 1) + "-more";
        assert!(Context::parse(later.as_bytes()).is_some());
        for bad in [
            "",
            "00",
            &VALID.to_ascii_uppercase(),
            &VALID.replacen("00-", "ff-", 1),
            &format!("{VALID}-x"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ] {
            assert_eq!(Context::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn what_is_valid_is_changed_only_where_a_span_of_ours_comes_between() {
        let valid = Some(VALID.as_bytes());
        assert_eq!(tracing(true, false).decide(valid, [7; 24]), None);
        let ours = tracing(true, true).decide(valid, [7; 24]).expect("a span");
        assert_eq!((ours.parent, ours.span), (Some(0xb7ad_6b71_6920_3331), 0x0707_0707_0707_0707));
        assert_eq!(tracing(true, true).decide(Some(VALID.replace("-01", "-00").as_bytes()), [7; 24]), None);
        assert_eq!(tracing(false, false).decide(None, [7; 24]), None);
        assert!(
            tracing(true, false)
                .decide(Some(b"x"), [0; 24])
                .is_some_and(|made| made.trace != 0 && made.span != 0)
        );
        assert!(
            Tracing { sample: 0, ..tracing(true, true) }
                .decide(None, [7; 24])
                .is_some_and(|made| !made.sampled)
        );
    }

    #[test]
    fn a_collector_has_a_host_and_a_port() {
        assert_eq!(
            Collector::parse("http://a:1/x").map(|it| (it.authority, it.path)),
            Some(("a:1".into(), "/x".into()))
        );
        for bad in ["https://a:1", "http://a", "http://:1", "http://a:x", "a:1", "http://a:1/ x"] {
            assert_eq!(Collector::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Context::parse(&bytes);
        }
    }
}
