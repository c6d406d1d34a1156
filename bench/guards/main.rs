//! What the allow path must never cost: an allocation of our own.
#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

use base_core::Time;
use gateway_core::balance::{Algorithm, Balancer, Candidate, HashType, Member};
use gateway_core::client;
use gateway_core::config::{BackendId, TableId};
use gateway_core::limits::{self, Limit, Verdict};
use gateway_core::lists::{ListId, Wanted};
use gateway_core::route::{HostPattern, Route, Routes};
use gateway_core::rules::{Case, Condition, Counter, Effects, Facts, Regex, Rule, Rules, Test, Text};
use gateway_core::strict;
use gateway_core::table::{Entry, Key, StickTable};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hash::RandomState;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches only a thread's own
// cell, which is initialised without allocating.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the promises of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
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
    const PERIOD: Duration = Duration::from_secs(10);
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let table = StickTable::new(10_000, Duration::from_secs(60), RandomState::new());
    let limit = Limit { table: TableId(0), conn_cur: Some(10), http_req_rate: Some(1000), conn_rate: None };
    let route = Route { host: HostPattern::parse("a.example"), path: None, backend: BackendId(0) };
    let routes = Routes::new(vec![route], None);
    let mut balancer =
        Balancer::new(&Algorithm::LeastConn, HashType::Modulo, &[Member { name: "", weight: 1 }; 3], 0);
    let mut request = || {
        assert_eq!(strict::check(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"), Ok(()));
        let client = client::identify(address, std::iter::empty(), &[]);
        let key = Key::from(client.address);
        let verdict = table.update(key, Time::ZERO, |entry| limit.admit(entry, Time::ZERO, PERIOD));
        assert_eq!(verdict, Some(Verdict::Allow));
        assert_eq!(routes.find("a.example:80", "/"), Some(BackendId(0)));
        assert!(
            balancer.pick(None, |_| Candidate { weight: 1, usable: true, ..Candidate::default() }).is_some()
        );
        table.peek(key, Time::ZERO, limits::release);
    };
    // The first request of a client makes its entry.
    request();
    assert_eq!(allocations(request), 0);
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
    fn counter(&self, _: TableId, _: Counter) -> u32 {
        0
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

#[test]
fn what_is_kept_of_a_client_stays_small() {
    assert!(size_of::<Entry>() <= 20, "{} bytes", size_of::<Entry>());
}
