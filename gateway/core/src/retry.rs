//! May a request that failed be sent once more? Only where the first try can't have had an effect
//! (RFC 9110 §9.2.2).

/// How far a try had come when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There was no connection: nothing was sent.
    NotConnected,
    /// It was sent on a connection that had served others before, and that closed without a byte of
    /// an answer: most likely the server had closed it already.
    StaleConnection,
    /// Anything later: the server may have acted.
    Sent,
}

/// Whether to try again, after `retries` earlier ones of `most`. A request with a body is never sent
/// twice once a part of it may have left.
pub fn again(progress: Progress, idempotent: bool, has_body: bool, retries: u32, most: u32) -> bool {
    let safe = match progress {
        Progress::NotConnected => true,
        Progress::StaleConnection => idempotent && !has_body,
        Progress::Sent => false,
    };
    safe && retries < most
}

#[cfg(test)]
mod tests {
    use super::{Progress::*, again};

    #[test]
    fn only_what_can_not_have_had_an_effect_is_sent_again() {
        assert!(again(NotConnected, false, true, 0, 3));
        assert!(again(StaleConnection, true, false, 0, 3));
        assert!(!again(StaleConnection, false, false, 0, 3));
        assert!(!again(StaleConnection, true, true, 0, 3));
        assert!(!again(Sent, true, false, 0, 3));
        assert!(!again(NotConnected, true, false, 3, 3));
        assert!(!again(NotConnected, true, false, 0, 0));
    }
}
