//! What the allow path must never cost: an allocation of our own.
#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

use base_core::Time;
use gateway_core::balance::{Algorithm, Balancer, Candidate, HashType, Member};
use gateway_core::client;
use gateway_core::config::{BackendId, TableId};
use gateway_core::limits::{Count, Limit, Others, Outcome, Tracker, Unit, Whom};
use gateway_core::lists::{ListId, Wanted};
use gateway_core::route::{HostPattern, Route, Routes};
use gateway_core::rules::{Case, Condition, Counter, Effects, Facts, Regex, Rule, Rules, Test, Text};
use gateway_core::strict;
use gateway_core::table::{self, DataType, KeyType, Options, StickTable, Stored};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hash::RandomState;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

struct Counting;

/// Bytes that are allocated now, by all threads.
static BYTES: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches only a thread's own
// cell, which is initialised without allocating.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        BYTES.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn an_allocation_is_counted() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn a_request_that_is_allowed_allocates_nothing_on_its_way() {
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let table = table(10_000);
    let limit = |data| Limit::new(data, 10);
    let limits = vec![limit(DataType::ConnCur), limit(DataType::HttpReqRate)];
    let tracker = Tracker {
        table: TableId(0),
        unit: Unit::Request,
        count: Count::Admitted,
        whom: Whom::default(),
        limits,
    };
    let route = Route { host: HostPattern::parse("a.example"), path: None, backend: BackendId(0) };
    let routes = Routes::new(vec![route], None);
    let mut balancer =
        Balancer::new(&Algorithm::LeastConn, HashType::Modulo, &[Member { name: "", weight: 1 }; 3], 0);
    let mut request = || {
        assert_eq!(strict::check(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"), Ok(()));
        let client = client::identify(address, client::Chain::default(), std::iter::empty(), &[]);
        let key = table.address(client.address).expect("an address");
        let tracked = table.track(key, Time::ZERO, |entry| {
            let verdict = tracker.admit(entry, client.address, &Others::NONE, Time::ZERO);
            (verdict, verdict.holds)
        });
        let (verdict, held) = tracked.expect("there is room");
        assert_eq!(verdict.denial, None);
        assert_eq!(routes.find("a.example:80", "/"), Some(BackendId(0)));
        assert!(
            balancer.pick(None, |_| Candidate { weight: 1, usable: true, ..Candidate::default() }).is_some()
        );
        let held = held.expect("it runs");
        table.release(held, Time::ZERO, |entry| Tracker::release(entry, Outcome::default(), Time::ZERO));
    };
    // The first request of a client makes its entry.
    request();
    assert_eq!(allocations(request), 0);
}

#[test]
fn a_choice_of_a_server_allocates_nothing_whatever_it_goes_by() {
    let words = ["roundrobin", "leastconn", "first", "random", "source", "uri depth 2", "hdr(x-tenant)"];
    let members = ["a", "b", "c"].map(|name| Member { name, weight: 16 });
    let candidate = |place: usize| Candidate { weight: 16, usable: place != 1, ..Candidate::default() };
    for word in words {
        let algorithm = Algorithm::parse(word).expect("it is one");
        for hash in [HashType::Modulo, HashType::Consistent, HashType::Maglev] {
            let mut balancer = Balancer::new(&algorithm, hash, &members, 0);
            let pick = || {
                let key = algorithm.key(Ipv4Addr::LOCALHOST.into(), "/a/b/c?d", |_| Some(b"blue"));
                assert!(balancer.pick(key, candidate).is_some());
            };
            assert_eq!(allocations(pick), 0, "{word} {hash:?}");
        }
    }
}

/// A request of which nothing is known but its path.
struct Path(&'static str);

impl Facts for Path {
    fn source(&self) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, 7).into()
    }
    fn tls(&self) -> bool {
        false
    }
    fn method(&self) -> &str {
        "GET"
    }
    fn host(&self) -> &str {
        "a.example"
    }
    fn path(&self) -> &str {
        self.0
    }
    fn query(&self) -> &str {
        ""
    }
    fn header<'a>(&'a self, _: &'a str) -> impl Iterator<Item = &'a [u8]> {
        std::iter::empty()
    }
    fn counter(&self, _: &Counter) -> Option<u64> {
        None
    }
    fn lookup<R>(&self, _: ListId, wanted: Wanted<'_>, then: impl FnOnce(&[u8]) -> R) -> Option<R> {
        matches!(wanted, Wanted::Text(b"text/html")).then(|| then(b"found"))
    }
}

#[test]
fn rules_that_do_not_match_allocate_nothing() {
    let regex = Regex::new("[.]php$", Case::Ignored).expect("an expression");
    let condition = Condition::Path(Text::Passes(vec![Test::Reg(regex)]));
    let rule = Rule {
        condition,
        acts: vec![],
        request: vec![],
        response: vec![],
        path: None,
        effects: Effects::default(),
        end: None,
    };
    let rules = Rules::new(vec![rule; 10]);
    let matched = |path| rules.next(0, &Path(path)).map(|(place, _)| place);
    assert_eq!(matched("/x.PHP"), Some(0));
    assert_eq!(allocations(|| assert_eq!(matched("/v2.1/servers"), None)), 0);
}

/// A table for addresses with three rates and what runs.
fn table(size: usize) -> StickTable {
    let rates = [DataType::HttpReqRate, DataType::HttpErrRate, DataType::BytesOutRate];
    let rates = rates.map(|data| Stored::rate(data, Duration::from_secs(10)));
    let options = Options {
        key: KeyType::Ipv6,
        layout: table::Layout::new(rates.into_iter().chain([Stored::one(DataType::ConnCur)])),
        size,
        expire: Duration::from_secs(60),
        nopurge: false,
        shared: true,
    };
    StickTable::new(options, &RandomState::new())
}

#[test]
fn a_million_clients_take_at_most_128_mib() {
    const CLIENTS: u32 = 1_000_000;
    let before = BYTES.load(Ordering::Relaxed);
    let table = table(CLIENTS as usize);
    for number in 0..CLIENTS {
        let address = IpAddr::V4(Ipv4Addr::from_bits(number));
        let key = table.address(address).expect("an address");
        table.update(key, Time::ZERO, |entry| entry.add_rate(DataType::HttpReqRate, 1, Time::ZERO));
    }
    let (held, entries) = (BYTES.load(Ordering::Relaxed) - before, table.len());
    assert!(entries > 980_000, "{entries} fit");
    assert!(held <= 128 << 20, "{} MiB, {} bytes for each", held >> 20, held / entries as i64);
}
