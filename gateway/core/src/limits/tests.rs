use super::*;
use crate::table::{Entry, Layout, Stored};
use base_core::Time;
use std::net::Ipv4Addr;
use std::time::Duration;

const PERIOD: Duration = Duration::from_secs(10);
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

fn limit(data: DataType, most: u32) -> Limit {
    Limit::new(data, most)
}

fn tracker(limits: Vec<Limit>) -> Tracker {
    Tracker { table: TableId(0), unit: Unit::Request, count: Count::Admitted, whom: Whom::default(), limits }
}

fn layout() -> Layout {
    Layout::new([
        Stored::one(DataType::ConnCur),
        Stored::rate(DataType::HttpReqRate, PERIOD),
        Stored::rate(DataType::HttpErrRate, PERIOD),
        Stored::one(DataType::BytesOutCnt),
    ])
}

fn with_entry(test: impl FnOnce(&mut Entry<'_>)) {
    let layout = layout();
    test(&mut Entry::new(&layout, &mut vec![0; layout.words()]));
}

fn goes(tracker: &Tracker, entry: &mut Entry<'_>, now: Time) -> bool {
    tracker.admit(entry, CLIENT, &Others::NONE, now).denial.is_none()
}

#[test]
fn concurrent_requests_are_given_back() {
    with_entry(|entry| {
        let tracker = tracker(vec![limit(DataType::ConnCur, 2)]);
        let goes = |entry: &mut _| goes(&tracker, entry, Time::ZERO);
        assert_eq!([goes(entry), goes(entry), goes(entry)], [true, true, false]);
        Tracker::release(entry, Outcome::default(), Time::ZERO);
        assert_eq!([goes(entry), goes(entry)], [true, false]);
    });
}

#[test]
fn who_keeps_knocking_gets_its_share_or_nothing_where_all_is_counted() {
    let through = |count| {
        let mut through = [0; 4];
        with_entry(|entry| {
            let tracker = Tracker { count, ..tracker(vec![limit(DataType::HttpReqRate, 100)]) };
            for ms in 0..40_000u64 {
                for _ in 0..5 {
                    through[(ms / 10_000) as usize] +=
                        i32::from(goes(&tracker, entry, Time::from_millis(ms)));
                }
            }
        });
        through
    };
    assert!(through(Count::Admitted).iter().all(|count| (95..=105).contains(count)));
    assert_eq!(through(Count::All), [100, 0, 0, 0]);
}

#[test]
fn a_refusal_says_when_to_come_back_and_counts_nothing() {
    with_entry(|entry| {
        let tracker = tracker(vec![limit(DataType::ConnCur, 5), limit(DataType::HttpReqRate, 1)]);
        assert!(goes(&tracker, entry, Time::ZERO));
        let denial = tracker.admit(entry, CLIENT, &Others::NONE, Time::ZERO).denial.expect("one in 10 s");
        assert_eq!((denial.reason, denial.retry_after), ("http_req_rate", 11));
        assert_eq!(entry.get(DataType::ConnCur), 1);
        assert!(goes(&tracker, entry, Time::ZERO + Duration::from_secs(denial.retry_after)));
    });
}

#[test]
fn what_other_nodes_have_counted_counts_and_their_share_is_left_to_them_when_they_are_gone() {
    with_entry(|entry| {
        let scope = Scope::Cluster(Fallback::Share);
        let tracker = tracker(vec![Limit { scope, ..limit(DataType::ConnCur, 9) }]);
        let mut others = Others { heard: 3, nodes: 3, ..Others::NONE };
        others.sums[0] = 8;
        let goes = |entry: &mut _, others| tracker.admit(entry, CLIENT, &others, Time::ZERO).denial.is_none();
        assert_eq!([goes(entry, others), goes(entry, others)], [true, false]);
        let alone = Others { heard: 1, sums: [0; MAX_LIMITS], ..others };
        assert_eq!([(); 3].map(|()| goes(entry, alone)), [true, true, false], "a third of nine");
    });
}

#[test]
fn a_dry_run_says_what_it_would_refuse_and_refuses_nothing() {
    with_entry(|entry| {
        let tracker = tracker(vec![Limit { dry_run: true, ..limit(DataType::HttpReqRate, 1) }]);
        assert!(goes(&tracker, entry, Time::ZERO));
        let verdict = tracker.admit(entry, CLIENT, &Others::NONE, Time::ZERO);
        assert_eq!((verdict.denial, verdict.would_deny), (None, Some("http_req_rate")));
    });
}

#[test]
fn who_is_exempt_is_counted_and_not_refused() {
    with_entry(|entry| {
        let exempt = vec!["192.0.2.0/24".parse().expect("a network")];
        let tracker = tracker(vec![Limit { exempt, ..limit(DataType::HttpReqRate, 1) }]);
        assert_eq!([(); 3].map(|()| goes(&tracker, entry, Time::ZERO)), [true; 3]);
        assert_eq!(entry.rate(DataType::HttpReqRate, Time::ZERO), 3);
    });
}

#[test]
fn errors_and_bytes_are_counted_when_a_request_ends() {
    with_entry(|entry| {
        let tracker = tracker(vec![limit(DataType::HttpErrRate, 2)]);
        for _ in 0..2 {
            assert!(goes(&tracker, entry, Time::ZERO));
            let outcome = Outcome { status: 404, bytes_in: 1, bytes_out: 500 };
            Tracker::release(entry, outcome, Time::ZERO);
        }
        assert_eq!(entry.get(DataType::BytesOutCnt), 1000);
        assert!(!goes(&tracker, entry, Time::ZERO), "it scans");
    });
}

#[test]
fn a_plan_is_for_those_of_its_name_or_class_and_for_nobody_who_has_proven_nothing() {
    let plan = |of, most| Plan { of, most, gcra: None };
    let (gold, acme) = (Of::Class("gold".to_owned()), Of::Name("acme".to_owned()));
    let plans = vec![plan(gold, 4), plan(acme, 1)];
    let tracker = tracker(vec![Limit { plans, ..limit(DataType::HttpReqRate, 2) }]);
    let through = |who: Option<Who>| {
        let mut through = 0;
        with_entry(|entry| {
            for _ in 0..10 {
                let asker = Asker { address: CLIENT, who: who.as_ref() };
                let verdict = tracker.admit(entry, asker, &Others::NONE, Time::ZERO);
                through += u32::from(verdict.denial.is_none());
            }
        });
        through
    };
    assert_eq!(through(None), 2);
    assert_eq!(through(Who::new("other", None)), 2);
    assert_eq!(through(Who::new("other", Some("gold"))), 4);
    assert_eq!(through(Who::new("acme", Some("gold"))), 1, "a name goes before a class");
    assert_eq!(through(Who::new("gold", None)), 2, "a name is no class");
    assert_eq!(through(Who::new("other", Some("acme"))), 2, "and a class no name");
}
