//! The ready-made list of paths that nobody asks for but scanners: what they look for on every server of
//! the Internet, and no API has. Off unless it is switched on, since somebody may have just that.

/// What a frontend does with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    #[default]
    Off,
    /// They are counted, and served as all others.
    Count,
    /// They are counted and get 403.
    Deny,
}

/// What a path gives away: the reason word for log and metric. Case does not matter.
pub fn reason(path: &str) -> Option<&'static str> {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    segments.find_map(|segment| {
        let kind = LIST.iter().find(|(_, how, text)| how.fits(segment.as_bytes(), text.as_bytes()));
        kind.map(|(reason, ..)| *reason)
    })
}

/// How a segment of the path is compared.
enum How {
    Is,
    Begins,
    Ends,
}

impl How {
    fn fits(&self, segment: &[u8], text: &[u8]) -> bool {
        let part = match self {
            Self::Is => Some(segment),
            Self::Begins => segment.get(..text.len()),
            Self::Ends => segment.len().checked_sub(text.len()).and_then(|start| segment.get(start..)),
        };
        part.is_some_and(|part| part.eq_ignore_ascii_case(text))
    }
}

/// Reason, comparison, text: each is one segment of a path.
const LIST: [(&str, How, &str); 14] = [
    ("scanner_php", How::Ends, ".php"),
    ("scanner_php", How::Begins, "phpmyadmin"),
    ("scanner_php", How::Is, "phpunit"),
    ("scanner_asp", How::Ends, ".asp"),
    ("scanner_asp", How::Ends, ".aspx"),
    ("scanner_cgi", How::Is, "cgi-bin"),
    ("scanner_dotfile", How::Begins, ".env"),
    ("scanner_dotfile", How::Is, ".git"),
    ("scanner_dotfile", How::Is, ".svn"),
    ("scanner_dotfile", How::Is, ".aws"),
    ("scanner_dotfile", How::Is, ".ssh"),
    ("scanner_dotfile", How::Is, ".htpasswd"),
    ("scanner_wordpress", How::Begins, "wp-"),
    ("scanner_wordpress", How::Is, "wordpress"),
];

#[cfg(test)]
mod tests {
    use super::reason;
    use proptest::prelude::*;

    #[test]
    fn what_scanners_look_for_is_known() {
        for (path, expected) in [
            ("/index.php", "scanner_php"),
            ("/a/SHELL.PHP/x", "scanner_php"),
            ("/phpMyAdmin-5/", "scanner_php"),
            ("/vendor/phpunit/phpunit/src", "scanner_php"),
            ("/login.aspx", "scanner_asp"),
            ("/cgi-bin/luci", "scanner_cgi"),
            ("//cgi-bin", "scanner_cgi"),
            ("/.env", "scanner_dotfile"),
            ("/api/.env.local", "scanner_dotfile"),
            ("/.git/config", "scanner_dotfile"),
            ("/blog/wp-login", "scanner_wordpress"),
        ] {
            assert_eq!(reason(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn an_api_is_left_alone() {
        for path in [
            "/",
            "*",
            "",
            "/v2.1/servers/detail",
            "/v3/auth/tokens",
            "/.well-known/acme-challenge/x",
            "/v1/AUTH_x/c/o.ph",
            "/identity/v3",
            "/healthcheck",
            "/swp-1",
            "/environment",
            "/git",
            "/php",
        ] {
            assert_eq!(reason(path), None, "{path}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_path_is_survived(path in ".{0,40}") {
            let _ = reason(&path);
        }
    }
}
