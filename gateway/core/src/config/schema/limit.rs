//! A `[[frontend.limit]]` as it is written.

use crate::config::rule;
use crate::table::DataType;
use base_core::units::Span;
use ipnet::IpNet;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Limit {
    pub(in crate::config) table: Spanned<String>,
    conn_cur: Option<Spanned<u32>>,
    conn_cnt: Option<Spanned<u32>>,
    conn_rate: Option<Spanned<u32>>,
    http_req_cnt: Option<Spanned<u32>>,
    http_req_rate: Option<Spanned<u32>>,
    http_err_cnt: Option<Spanned<u32>>,
    http_err_rate: Option<Spanned<u32>>,
    http_fail_cnt: Option<Spanned<u32>>,
    http_fail_rate: Option<Spanned<u32>>,
    bytes_in_rate: Option<Spanned<u32>>,
    bytes_out_rate: Option<Spanned<u32>>,
    glitch_cnt: Option<Spanned<u32>>,
    glitch_rate: Option<Spanned<u32>>,
    gpc0: Option<Spanned<u32>>,
    gpc1: Option<Spanned<u32>>,
    pub(in crate::config) period: Option<Spanned<Span>>,
    pub(in crate::config) count: Option<Spanned<Count>>,
    pub(in crate::config) scope: Option<Spanned<Scope>>,
    pub(in crate::config) fallback: Option<Spanned<Fallback>>,
    pub(in crate::config) by: Option<Spanned<String>>,
    pub(in crate::config) unless: Option<Spanned<String>>,
    #[serde(default)]
    pub(in crate::config) backend: Vec<Spanned<String>>,
    #[serde(rename = "if")]
    pub(in crate::config) when: Option<Spanned<rule::WrittenCondition>>,
    #[serde(default)]
    pub(in crate::config) plan: BTreeMap<String, Spanned<Plan>>,
    #[serde(default)]
    pub(in crate::config) name: BTreeMap<String, Spanned<Plan>>,
    pub(in crate::config) on: Option<Spanned<On>>,
    pub(in crate::config) algorithm: Option<Spanned<Algorithm>>,
    pub(in crate::config) burst: Option<Spanned<u32>>,
    pub(in crate::config) action: Option<Spanned<Action>>,
    pub(in crate::config) timeout: Option<Spanned<Span>>,
    pub(in crate::config) max_queue: Option<Spanned<u32>>,
    #[serde(default)]
    pub(in crate::config) dry_run: bool,
    #[serde(default)]
    pub(in crate::config) exempt: Vec<IpNet>,
}

#[derive(Deserialize, Debug, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Count {
    Admitted,
    All,
}

/// What those of one class, or of one name, may have instead.
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Plan {
    conn_cur: Option<Spanned<u32>>,
    http_req_cnt: Option<Spanned<u32>>,
    http_req_rate: Option<Spanned<u32>>,
    http_err_rate: Option<Spanned<u32>>,
    http_fail_rate: Option<Spanned<u32>>,
    bytes_in_rate: Option<Spanned<u32>>,
    bytes_out_rate: Option<Spanned<u32>>,
}

impl Plan {
    /// What it has instead, and how much.
    pub(in crate::config) fn values(&self) -> impl Iterator<Item = (DataType, &Spanned<u32>)> {
        let all = [
            (DataType::ConnCur, &self.conn_cur),
            (DataType::HttpReqCnt, &self.http_req_cnt),
            (DataType::HttpReqRate, &self.http_req_rate),
            (DataType::HttpErrRate, &self.http_err_rate),
            (DataType::HttpFailRate, &self.http_fail_rate),
            (DataType::BytesInRate, &self.bytes_in_rate),
            (DataType::BytesOutRate, &self.bytes_out_rate),
        ];
        all.into_iter().filter_map(|(data, most)| Some((data, most.as_ref()?)))
    }
}

#[derive(Deserialize, Debug, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum On {
    Request,
    Connection,
}

#[derive(Deserialize, Debug, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Algorithm {
    Sliding,
    Gcra,
}

#[derive(Deserialize, Debug, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Action {
    Deny,
    Reject,
    Tarpit,
    SilentDrop,
    Queue,
    Mark,
}

#[derive(Deserialize, Debug, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Scope {
    Node,
    Cluster,
}

#[derive(Deserialize, Debug, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Fallback {
    Own,
    Share,
}

impl Limit {
    /// What it limits, and to how much.
    pub(in crate::config) fn values(&self) -> impl Iterator<Item = (DataType, &Spanned<u32>)> {
        let all = [
            (DataType::ConnCur, &self.conn_cur),
            (DataType::ConnCnt, &self.conn_cnt),
            (DataType::ConnRate, &self.conn_rate),
            (DataType::HttpReqCnt, &self.http_req_cnt),
            (DataType::HttpReqRate, &self.http_req_rate),
            (DataType::HttpErrCnt, &self.http_err_cnt),
            (DataType::HttpErrRate, &self.http_err_rate),
            (DataType::HttpFailCnt, &self.http_fail_cnt),
            (DataType::HttpFailRate, &self.http_fail_rate),
            (DataType::BytesInRate, &self.bytes_in_rate),
            (DataType::BytesOutRate, &self.bytes_out_rate),
            (DataType::GlitchCnt, &self.glitch_cnt),
            (DataType::GlitchRate, &self.glitch_rate),
            (DataType::Gpc0, &self.gpc0),
            (DataType::Gpc1, &self.gpc1),
        ];
        all.into_iter().filter_map(|(data, most)| Some((data, most.as_ref()?)))
    }
}
