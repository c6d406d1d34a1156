//! A rule as it is written.

use base_core::units::{Bytes, Span};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use toml::Spanned;

/// Fields by name: with a value each, or with what they must be like.
pub(super) type Named<T> = BTreeMap<String, Spanned<T>>;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Rule {
    #[serde(rename = "if")]
    pub(super) when: Option<Condition>,
    pub(super) unless: Option<Condition>,
    pub(super) on: Option<On>,
    pub(super) track: Option<Spanned<Track>>,
    pub(super) sc_inc_gpc: Option<Spanned<IncGpc>>,
    pub(super) sc_set_gpt: Option<Spanned<SetGpt>>,
    pub(super) reject: Option<Spanned<Reject>>,
    #[serde(default)]
    pub(super) set_header: Named<String>,
    #[serde(default)]
    pub(super) add_header: Named<String>,
    pub(super) del_header: Option<Spanned<Words>>,
    #[serde(default)]
    pub(super) set_response_header: Named<String>,
    #[serde(default)]
    pub(super) add_response_header: Named<String>,
    pub(super) del_response_header: Option<Spanned<Words>>,
    pub(super) rewrite_path: Option<Spanned<Rewrite>>,
    pub(super) deny: Option<Spanned<Deny>>,
    pub(super) tarpit: Option<Spanned<Tarpit>>,
    pub(super) silent_drop: Option<Spanned<SilentDrop>>,
    #[serde(default)]
    pub(super) set_timeout: Timeouts,
    pub(super) bandwidth_limit: Option<Spanned<Bytes>>,
    pub(super) redirect: Option<Spanned<Redirect>>,
    #[serde(rename = "return")]
    pub(super) page: Option<Spanned<Return>>,
    pub(super) route: Option<Spanned<String>>,
}

/// All keys of one hold.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Condition {
    pub(super) src: Option<Spanned<Networks>>,
    pub(super) method: Option<Spanned<Words>>,
    pub(super) host: Option<Spanned<Text>>,
    pub(super) path: Option<Spanned<Text>>,
    #[serde(default)]
    pub(super) header: Named<Text>,
    #[serde(default)]
    pub(super) query: Named<Text>,
    #[serde(default)]
    pub(super) cookie: Named<Text>,
    pub(super) tls: Option<bool>,
    #[serde(default)]
    pub(super) ssl: Named<Text>,
    #[serde(default)]
    pub(super) counter: Named<Count>,
    pub(super) status: Option<Spanned<Statuses>>,
    #[serde(default)]
    pub(super) response_header: Named<Text>,
    pub(super) all: Option<Vec<Self>>,
    pub(super) any: Option<Spanned<Vec<Self>>>,
    pub(super) not: Option<Box<Self>>,
}

/// What a text must be like, or short: one or several texts, of which it must be one.
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TextTable {
    pub(super) is: Option<Words>,
    pub(super) beg: Option<Words>,
    pub(super) end: Option<Words>,
    pub(super) sub: Option<Words>,
    pub(super) reg: Option<String>,
    pub(super) acl: Option<String>,
    pub(super) found: Option<bool>,
    pub(super) ignore_case: bool,
}

#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct NetworksTable {
    pub(super) is: Option<Words>,
    pub(super) acl: Option<String>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Count {
    pub(super) sc: Option<Spanned<u8>>,
    pub(super) table: Option<Spanned<String>>,
    pub(super) key: Option<Spanned<Words>>,
    pub(super) scope: Option<Own>,
    pub(super) eq: Option<u64>,
    pub(super) gt: Option<u64>,
    pub(super) ge: Option<u64>,
    pub(super) lt: Option<u64>,
    pub(super) le: Option<u64>,
}

/// Whose numbers, where those of all nodes are not meant.
#[derive(Clone, Copy, Deserialize, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Own {
    Node,
}

#[derive(Clone, Copy, Deserialize, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum On {
    Connection,
    Session,
    Request,
    Response,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Track {
    pub(super) sc: Spanned<u8>,
    pub(super) table: Spanned<String>,
    pub(super) key: Option<Spanned<Words>>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct IncGpc {
    pub(super) sc: Spanned<u8>,
    #[serde(default)]
    pub(super) gpc: u16,
    #[serde(default = "one")]
    pub(super) by: u32,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct SetGpt {
    pub(super) sc: Spanned<u8>,
    #[serde(default)]
    pub(super) gpt: u16,
    pub(super) value: u32,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Reject {
    pub(super) reason: Option<String>,
}

fn one() -> u32 {
    1
}

/// Statuses, classes and ranges of them, as texts.
#[derive(Debug)]
pub(super) struct StatusWords(pub(super) Vec<String>);

#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct DenyTable {
    pub(super) status: Option<u16>,
    pub(super) reason: Option<String>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Tarpit {
    pub(super) status: Option<u16>,
    pub(super) reason: Option<String>,
    pub(super) timeout: Option<Spanned<Span>>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct SilentDrop {
    pub(super) reason: Option<String>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Timeouts {
    pub(super) server: Option<Spanned<Span>>,
    pub(super) client: Option<Spanned<Span>>,
    pub(super) tunnel: Option<Spanned<Span>>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RedirectTable {
    pub(super) location: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) scheme: Option<String>,
    pub(super) code: Option<u16>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Return {
    pub(super) status: Option<u16>,
    pub(super) content_type: Option<String>,
    #[serde(default)]
    pub(super) body: String,
}

#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RewriteTable {
    pub(super) whole: Option<String>,
    pub(super) beg: Option<String>,
    pub(super) to: Option<String>,
}

/// One text or several.
pub(super) type Words = Short<Vec<String>>;
pub(in crate::config) type Networks = Short<NetworksTable>;
pub(super) type Statuses = Short<StatusWords>;
pub(super) type Text = Short<TextTable>;
pub(super) type Deny = Short<DenyTable>;
pub(super) type Redirect = Short<RedirectTable>;
pub(super) type Rewrite = Short<RewriteTable>;

/// What may be written short: as a text, a number or a list instead of a table.
#[derive(Debug)]
pub(in crate::config) struct Short<T>(pub(super) T);

/// How the short forms are meant.
pub(super) trait Shorten: Sized {
    const EXPECTED: &str;
    fn text(_: String) -> Option<Self> {
        None
    }
    fn number(_: i64) -> Option<Self> {
        None
    }
    fn texts(_: Vec<String>) -> Option<Self> {
        None
    }
    fn table<'de, D: Deserializer<'de>>(table: D) -> Result<Self, D::Error>;
}

impl Shorten for Vec<String> {
    const EXPECTED: &str = "a text or a list of texts";
    fn text(text: String) -> Option<Self> {
        Some(vec![text])
    }
    fn texts(texts: Vec<String>) -> Option<Self> {
        (!texts.is_empty()).then_some(texts)
    }
    fn table<'de, D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::invalid_type(Unexpected::Map, &Self::EXPECTED))
    }
}

impl Shorten for StatusWords {
    const EXPECTED: &str = "a status, or a list of texts such as \"404\" and \"5xx\"";
    fn text(text: String) -> Option<Self> {
        Some(Self(vec![text]))
    }
    fn number(number: i64) -> Option<Self> {
        Some(Self(vec![number.to_string()]))
    }
    fn texts(texts: Vec<String>) -> Option<Self> {
        Vec::texts(texts).map(Self)
    }
    fn table<'de, D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::invalid_type(Unexpected::Map, &Self::EXPECTED))
    }
}

impl Shorten for TextTable {
    const EXPECTED: &str = "a text, a list of texts, or a table such as { beg = \"/admin/\" }";
    fn text(text: String) -> Option<Self> {
        Self::texts(vec![text])
    }
    fn texts(texts: Vec<String>) -> Option<Self> {
        Vec::texts(texts).map(|texts| Self { is: Some(Short(texts)), ..Self::default() })
    }
    fn table<'de, D: Deserializer<'de>>(table: D) -> Result<Self, D::Error> {
        Self::deserialize(table)
    }
}

impl Shorten for NetworksTable {
    const EXPECTED: &str = "a network, a list of networks, or a table such as { acl = \"offices\" }";
    fn text(text: String) -> Option<Self> {
        Self::texts(vec![text])
    }
    fn texts(texts: Vec<String>) -> Option<Self> {
        Vec::texts(texts).map(|texts| Self { is: Some(Short(texts)), acl: None })
    }
    fn table<'de, D: Deserializer<'de>>(table: D) -> Result<Self, D::Error> {
        Self::deserialize(table)
    }
}

impl Shorten for DenyTable {
    const EXPECTED: &str = "a status, or a table such as { status = 403, reason = \"no_admin\" }";
    fn number(number: i64) -> Option<Self> {
        Some(Self { status: Some(u16::try_from(number).ok()?), reason: None })
    }
    fn table<'de, D: Deserializer<'de>>(table: D) -> Result<Self, D::Error> {
        Self::deserialize(table)
    }
}

impl Shorten for RedirectTable {
    const EXPECTED: &str = "a location, or a table such as { scheme = \"https\", code = 301 }";
    fn text(text: String) -> Option<Self> {
        Some(Self { location: Some(text), ..Self::default() })
    }
    fn table<'de, D: Deserializer<'de>>(table: D) -> Result<Self, D::Error> {
        Self::deserialize(table)
    }
}

impl Shorten for RewriteTable {
    const EXPECTED: &str = "a path, or a table such as { beg = \"/old/\", to = \"/new/\" }";
    fn text(text: String) -> Option<Self> {
        Some(Self { whole: Some(text), ..Self::default() })
    }
    fn table<'de, D: Deserializer<'de>>(table: D) -> Result<Self, D::Error> {
        Self::deserialize(table)
    }
}

impl<'de, T: Shorten> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShortVisitor(PhantomData)).map(Self)
    }
}

struct ShortVisitor<T>(PhantomData<T>);

impl<'de, T: Shorten> Visitor<'de> for ShortVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::text(text.to_owned()).ok_or_else(|| E::invalid_type(Unexpected::Str(text), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        T::number(number).ok_or_else(|| E::invalid_type(Unexpected::Signed(number), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        T::texts(texts).ok_or_else(|| A::Error::invalid_type(Unexpected::Seq, &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<T, A::Error> {
        T::table(MapAccessDeserializer::new(table))
    }
}
