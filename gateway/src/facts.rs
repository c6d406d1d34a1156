//! What is known of a connection, a request or its answer, as rules ask for it.

use crate::rules::host;
use crate::state::Gateway;
use crate::tls::identity::Handshake;
use crate::tracks::Tracks;
use gateway_core::lists::{ListId, Wanted};
use gateway_core::rules::{Counter, Facts, Lookup, Ssl};
use gateway_core::table::Entry;
use gateway_core::track;
use http::HeaderValue;
use pingora::http::{RequestHeader, ResponseHeader};
use std::cell::Cell;
use std::net::IpAddr;

/// As much as there is by now.
pub(crate) struct Asked<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) source: IpAddr,
    pub(crate) tls: bool,
    pub(crate) handshake: Option<&'a Handshake>,
    pub(crate) head: Option<&'a RequestHeader>,
    pub(crate) answer: Option<&'a ResponseHeader>,
    /// What its connection tracks, and what it tracks itself.
    pub(crate) tracks: [Option<&'a Tracks>; 2],
}

impl Facts for Asked<'_> {
    fn source(&self) -> IpAddr {
        self.source
    }

    fn tls(&self) -> bool {
        self.tls
    }

    fn method(&self) -> &str {
        self.head.map_or("", |head| head.method.as_str())
    }

    fn host(&self) -> &str {
        self.head.map_or("", host)
    }

    fn path(&self) -> &str {
        self.head.map_or("", |head| head.uri.path())
    }

    fn query(&self) -> &str {
        self.head.and_then(|head| head.uri.query()).unwrap_or("")
    }

    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        // HTTP/2 has its own place for it.
        let is_host = name.eq_ignore_ascii_case("host");
        let host = self.head.filter(|_| is_host).map(|head| host(head).as_bytes());
        let others = self.head.into_iter().filter(move |_| !is_host);
        let others = others.flat_map(move |head| head.headers.get_all(name).iter());
        host.into_iter().chain(others.map(HeaderValue::as_bytes))
    }

    fn counter(&self, counter: &Counter) -> Option<u64> {
        let Counter { from, data, index, own } = counter;
        let now = self.gateway.clock.now();
        let value = |entry: &Entry<'_>| track::value(entry, *data, *index, now);
        let peers = self.gateway.peers.as_ref().filter(|_| !own);
        match from {
            Lookup::Tracked(slot) => self.tracks.iter().flatten().find_map(|tracks| {
                let table = tracks.table(*slot)?;
                let Some(shared) = peers.and_then(|peers| peers.summed(table)) else {
                    return tracks.read(*slot, value);
                };
                let mut key = KEY.take();
                let here = tracks.read_with_key(*slot, &mut key, value);
                let sum = here.map(|here| here.saturating_add(shared.counted(&key, (*data, *index), now)));
                KEY.set(key);
                sum
            }),
            Lookup::Table(table, key) => {
                let Some(key) = key.of(self) else { return Some(0) };
                let here = self.gateway.tables[table.0].peek(&key, now, value).unwrap_or(0);
                let shared = peers.and_then(|peers| peers.summed(*table));
                let others = shared.map_or(0, |shared| shared.counted(key.as_ref(), (*data, *index), now));
                Some(here.saturating_add(others))
            }
        }
    }

    fn status(&self) -> Option<u16> {
        self.answer.map(|answer| answer.status.as_u16())
    }

    fn response_header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let values = self.answer.into_iter().flat_map(move |answer| answer.headers.get_all(name).iter());
        values.map(HeaderValue::as_bytes)
    }

    fn ssl(&self, sample: Ssl) -> Option<&str> {
        let handshake = self.handshake?;
        let client = handshake.client.as_ref();
        match sample {
            Ssl::Sni => handshake.name.as_deref(),
            Ssl::Protocol => Some(handshake.protocol),
            Ssl::Cipher => Some(handshake.cipher),
            Ssl::ClientUsed => Some(if client.is_some() { "1" } else { "0" }),
            Ssl::ClientSubject => client.map(|client| client.subject.as_str()),
            Ssl::ClientCommonName => client.map(|client| client.common_name.as_str()),
            Ssl::ClientIssuer => client.map(|client| client.issuer.as_str()),
            Ssl::ClientSerial => client.map(|client| client.serial.as_str()),
            Ssl::ClientSha1 => client.map(|client| client.sha1.as_str()),
        }
    }

    fn lookup<R>(&self, list: ListId, wanted: Wanted<'_>, then: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.gateway.lists[list.0].find(wanted, then)
    }
}

thread_local! {
    /// Room for the key of what is tracked, so that who asks what other nodes have counted allocates nothing.
    static KEY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}
