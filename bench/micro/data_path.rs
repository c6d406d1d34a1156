//! What each decision on the way of a request takes, one by one. Compare figures of one run only.

use base_core::Time;
use divan::{Bencher, black_box};
use gateway_core::balance::{Algorithm, Balancer, Candidate, HashType, Member};
use gateway_core::config::{BackendId, TableId};
use gateway_core::limits::{Count, Limit, Others, Outcome, Tracker, Unit, Whom};
use gateway_core::lists::{Kind, List, Matching, Wanted};
use gateway_core::observe::{self, Observer};
use gateway_core::route::{HostPattern, Route, Routes};
use gateway_core::rules::Case;
use gateway_core::strict;
use gateway_core::table::{AddressKey, DataType, KeyType, Layout, Options, StickTable, Stored};
use std::cell::Cell;
use std::hash::RandomState;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const PERIOD: Duration = Duration::from_secs(10);

fn main() {
    divan::main();
}

fn client(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

/// As many entries as fit, with what a limit on an API would count.
fn filled(entries: u32) -> StickTable {
    let rates = [DataType::HttpReqRate, DataType::HttpErrRate, DataType::BytesOutRate];
    let rates = rates.map(|data| Stored::rate(data, PERIOD));
    let options = Options {
        key: KeyType::Ipv6,
        layout: Layout::new(rates.into_iter().chain([Stored::one(DataType::ConnCur)])),
        size: entries as usize * 2,
        expire: Duration::from_secs(600),
        nopurge: false,
        shared: false,
    };
    let table = StickTable::new(options, &RandomState::new());
    for number in 0..entries {
        table.update(key(&table, number), Time::ZERO, |_| {});
    }
    table
}

fn key(table: &StickTable, number: u32) -> AddressKey {
    table.address(client(number)).expect("the table takes any address")
}

/// Track and decide by three rates and conn_cur, then give back: the price of limits. Of all entries so many are in use; where
/// that is all of a large table, each is as far away as memory is.
#[divan::bench(args = [(1_000, 1_000), (1_000_000, 10_000), (1_000_000, 1_000_000)], threads = [1, 2])]
fn admit_and_release(bencher: Bencher<'_, '_>, (entries, in_use): (u32, u32)) {
    let table = filled(entries);
    let most = [DataType::ConnCur, DataType::HttpReqRate, DataType::HttpErrRate, DataType::BytesOutRate];
    let most = most.map(|data| Limit::new(data, 1_000_000_000));
    let tracker = Tracker {
        table: TableId(0),
        unit: Unit::Request,
        count: Count::Admitted,
        whom: Whom::default(),
        limits: most.to_vec(),
    };
    let outcome = Outcome { status: 200, bytes_in: 100, bytes_out: 1_000 };
    bencher.bench(|| {
        let client_number = turn().wrapping_mul(0x9e37_79b1) % in_use;
        // Spread over the whole table.
        let number = client_number.wrapping_mul(entries / in_use);
        let client = client(number);
        let now = Time::from_millis(1_000);
        let tracked = table.track(key(&table, number), now, |entry| {
            let verdict = tracker.admit(entry, client, &Others::NONE, now);
            (verdict, verdict.holds)
        });
        if let Some((verdict, Some(held))) = black_box(tracked) {
            assert!(verdict.denial.is_none());
            table.release(held, now, |entry| Tracker::release(entry, outcome, now));
        }
    });
}

/// Counts for each thread by itself, as workers do.
fn turn() -> u32 {
    thread_local! {
        static TURN: Cell<u32> = const { Cell::new(0) };
    }
    TURN.with(|turn| turn.replace(turn.get().wrapping_add(1)))
}

/// What `[observe]` adds to a request of a client whose peaks do not rise.
#[divan::bench(threads = [1, 2])]
fn observe_and_release(bencher: Bencher<'_, '_>) {
    let stored = [Stored::one(DataType::ConnCur), Stored::rate(DataType::HttpReqRate, PERIOD)];
    let table = StickTable::new(
        Options {
            key: KeyType::Binary(observe::KEY as u16),
            layout: Layout::new(stored).with_cells(observe::CELLS),
            size: 200_000,
            expire: Duration::from_secs(3600),
            nopurge: false,
            shared: false,
        },
        &RandomState::new(),
    );
    let observer =
        Observer::new(TableId(0), &[("fe".to_owned(), "be".to_owned())], observe::Record::default());
    let now = Time::from_millis(1_000);
    bencher.bench(|| {
        let number = turn().wrapping_mul(0x9e37_79b1) % 100_000;
        let key = observer.key(0, client(number)).expect("the route is there");
        let counted = table.track(key, now, |entry| {
            entry.set_frequency(DataType::HttpReqRate, 0, Default::default());
            (Observer::count(entry, [0, 0], 1, now), true)
        });
        if let Some((rise, Some(held))) = counted {
            if let Some(rise) = rise {
                observer.rose(0, client(number), 1, rise);
            }
            table.release(held, now, |entry| Tracker::release(entry, Outcome::default(), now));
        }
    });
}

#[divan::bench(args = [
    ("roundrobin", HashType::Modulo), ("leastconn", HashType::Modulo), ("random", HashType::Modulo),
    ("source", HashType::Modulo), ("source", HashType::Consistent), ("source", HashType::Maglev),
])]
fn pick_one_of_ten_servers(bencher: Bencher<'_, '_>, (algorithm, hash): (&str, HashType)) {
    let names = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"];
    let members = names.map(|name| Member { name, weight: 100 });
    let algorithm = Algorithm::parse(algorithm).unwrap_or_default();
    let mut balancer = Balancer::new(&algorithm, hash, &members, 0);
    let candidate =
        |place: usize| Candidate { weight: 100, usable: true, active: place as u32, backup: false };
    bencher.bench_local(|| balancer.pick(algorithm.key(black_box(client(7)), "/", |_| None), candidate));
}

#[divan::bench]
fn read_a_head_strictly() -> Result<(), &'static str> {
    strict::check(black_box(
        b"GET /v2.1/servers/detail?limit=100 HTTP/1.1\r\nHost: compute.infra.example\r\n\
          User-Agent: python-novaclient\r\nAccept: application/json\r\nX-Auth-Token: 0123456789abcdef0123456789abcdef\r\n\
          OpenStack-API-Version: compute 2.87\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\r\n",
    ))
}

#[divan::bench(args = [1, 10, 100])]
fn route_by_the_last_rule(bencher: Bencher<'_, '_>, rules: usize) {
    let rule = |number| Route {
        host: HostPattern::parse(&format!("service-{number}.infra.example")),
        path: None,
        backend: BackendId(number),
    };
    let routes = Routes::new((0..rules).map(rule).collect(), None);
    let host = format!("service-{}.infra.example:80", rules - 1);
    bencher.bench(|| routes.find(black_box(&host), "/v2.1/servers"));
}

/// A list of so many lines, each a number of its own in the place of `N`.
fn list(matching: Matching, line: &str, lines: u32) -> List {
    let file: String = (0..lines).map(|number| line.replace('N', &number.to_string()) + "\n").collect();
    List::read(Kind { values: false, matching, case: Case::Matters }, &file).expect("a list")
}

#[divan::bench(args = [100, 100_000])]
fn find_a_text_in_a_list(bencher: Bencher<'_, '_>, lines: u32) {
    let list = list(Matching::Str, "service-N.infra.example", lines);
    let host = format!("service-{}.infra.example", lines / 3);
    bencher.bench(|| list.find(Wanted::Text(black_box(host.as_bytes()))).is_some());
}

#[divan::bench(args = [100, 100_000])]
fn find_a_domain_in_a_list(bencher: Bencher<'_, '_>, lines: u32) {
    let list = list(Matching::Dom, "service-N.infra.example", lines);
    let host = format!("api.service-{}.infra.example", lines / 3);
    bencher.bench(|| list.find(Wanted::Text(black_box(host.as_bytes()))).is_some());
}

/// As `find_a_domain_in_a_list`, with what stands behind it.
#[divan::bench(args = [100, 100_000])]
fn find_a_value_in_a_map(bencher: Bencher<'_, '_>, lines: u32) {
    let file: String =
        (0..lines).map(|number| format!("service-{number}.infra.example backend-{number}\n")).collect();
    let kind = Kind { values: true, matching: Matching::Dom, case: Case::Ignored };
    let map = List::read(kind, &file).expect("a map");
    let host = format!("api.service-{}.infra.example", lines / 3);
    bencher.bench(|| map.find(Wanted::Text(black_box(host.as_bytes()))).map(<[u8]>::len));
}

/// Expressions that begin alike, which is one automaton.
#[divan::bench(args = [10, 1_000])]
fn find_a_path_by_expressions(bencher: Bencher<'_, '_>, lines: u32) {
    let list = list(Matching::Reg, "^/v[0-9]+/service-N/", lines);
    let path = format!("/v21/service-{}/servers", lines / 3);
    bencher.bench(|| list.find(Wanted::Text(black_box(path.as_bytes()))).is_some());
}

/// Reading a file anew, as when it has changed.
#[divan::bench(args = [100_000])]
fn read_a_map(bencher: Bencher<'_, '_>, lines: u32) {
    let file: String =
        (0..lines).map(|number| format!("service-{number}.infra.example backend-{number}\n")).collect();
    let kind = Kind { values: true, matching: Matching::Dom, case: Case::Ignored };
    bencher.bench(|| List::read(kind, black_box(&file)).map(|map| map.len()));
}

#[divan::bench(args = [100, 100_000])]
fn find_an_address_in_a_list(bencher: Bencher<'_, '_>, lines: u32) {
    let networks: String = (0..lines).map(|number| format!("{}/32\n", client(number * 7))).collect();
    let kind = Kind { values: false, matching: Matching::Ip, case: Case::Matters };
    let list = List::read(kind, &networks).expect("a list");
    let address = client(lines / 3 * 7);
    bencher.bench(|| list.find(Wanted::Address(black_box(address))).is_some());
}
