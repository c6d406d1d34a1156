//! Which certificate a client is shown: the one for the very name that it asks for, else one for that
//! name's wildcard (RFC 6125 §6.4.3: `*` stands for one whole label, the first), else the default.

use std::borrow::Cow;
use std::collections::HashMap;

/// Values by the DNS names of certificates.
#[derive(Clone, Debug)]
pub struct ByName<T> {
    exact: HashMap<String, T>,
    /// By what follows `*.`.
    wildcard: HashMap<String, T>,
    default: T,
}

impl<T> ByName<T> {
    /// With `default` for all that nothing else is there for.
    pub fn new(default: T) -> Self {
        Self { exact: HashMap::new(), wildcard: HashMap::new(), default }
    }

    /// Whom a client gets that asks for `name`, or for none.
    pub fn find(&self, name: Option<&str>) -> &T {
        let Some(name) = name.map(lower_case) else { return &self.default };
        let wildcard = || self.wildcard.get(name.split_once('.')?.1);
        self.exact.get(name.as_ref()).or_else(wildcard).unwrap_or(&self.default)
    }

    /// Adds a value for `name`, which may be `*.` and a name. The first for a name stays.
    pub fn add(&mut self, name: &str, value: T) {
        let name = lower_case(name);
        let (names, name) = match name.strip_prefix("*.") {
            Some(rest) => (&mut self.wildcard, rest),
            None => (&mut self.exact, name.as_ref()),
        };
        names.entry(name.to_owned()).or_insert(value);
    }
}

fn lower_case(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(name.to_ascii_lowercase());
    }
    Cow::Borrowed(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_wins() {
        let mut names = ByName::new("default");
        names.add("*.example", "wildcard");
        names.add("API.example", "exact");
        names.add("api.example", "second");
        for (asked, shown) in [
            (Some("api.example"), "exact"),
            (Some("Api.Example."), "exact"),
            (Some("www.example"), "wildcard"),
            (Some("a.www.example"), "default"),
            (Some("example"), "default"),
            (Some(""), "default"),
            (None, "default"),
        ] {
            assert_eq!(*names.find(asked), shown, "{asked:?}");
        }
    }
}
