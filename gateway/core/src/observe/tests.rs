use super::*;
use crate::table::{Layout, Stored};
use std::net::Ipv4Addr;

const PERIOD: Duration = Duration::from_secs(10);
const HOUR_NOW: u64 = 500_000;

fn client(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

fn observer() -> Observer {
    Observer::new(TableId(0), &[("fe".to_owned(), "be".to_owned())], Record::default())
}

/// What clients do in one hour, each so many requests in one period and at once.
fn observed(clients: impl IntoIterator<Item = (u32, u32)>) -> Record {
    let observer = observer();
    let layout = Layout::new([Stored::one(DataType::ConnCur), Stored::rate(DataType::HttpReqRate, PERIOD)]);
    let layout = layout.with_cells(CELLS);
    for (number, requests) in clients {
        let mut words = vec![0; layout.words()];
        let mut entry = Entry::new(&layout, &mut words);
        for _ in 0..requests {
            if let Some(rise) = Observer::count(&mut entry, [0, 0], HOUR_NOW, Time::from_millis(1_000)) {
                observer.rose(0, client(number), HOUR_NOW, rise);
            }
            entry.sub(DataType::ConnCur, 1);
        }
    }
    observer.record(PERIOD, false)
}

#[test]
fn a_client_counts_once_with_its_peak_and_the_hundred_highest_have_names() {
    let record = observed((1..=1_000).map(|number| (number, number)));
    let hour = &record.routes[0].hours[0];
    assert_eq!((hour.rate.histogram.count(), hour.rate.highest.len()), (1_000, 100));
    assert_eq!((hour.rate.peak(), hour.concurrency.peak()), (1_000, 1));
    assert!(hour.rate.highest.iter().all(|(_, peak)| *peak > 900));
    let told = suggest(&record, 10);
    assert!(told.contains("# requests in a period: peak 1000, 99.9 % of clients at most 1023\n"), "{told}");
    assert!(told.contains("http_req_rate = 10000\nconn_cur = 10\n"), "{told}");
}

#[test]
fn what_others_have_counted_raises_a_peak() {
    let layout = Layout::new([Stored::one(DataType::ConnCur), Stored::rate(DataType::HttpReqRate, PERIOD)]);
    let layout = layout.with_cells(CELLS);
    let mut words = vec![0; layout.words()];
    let mut entry = Entry::new(&layout, &mut words);
    let mut count = |others, hour| Observer::count(&mut entry, others, hour, Time::from_millis(1_000));
    let peak = |rate, concurrency| Peak { rate, concurrency };
    assert_eq!(count([10, 2], 1), Some((Peak::default(), peak(11, 3))));
    assert_eq!(count([5, 0], 1), None, "it had more");
    assert_eq!(count([0, 0], 2), Some((Peak::default(), peak(3, 3))), "each hour has its own");
}

#[test]
fn a_replay_names_whom_it_can_and_counts_the_rest() {
    let record = observed((1..=300).map(|number| (number, if number <= 250 { 20 } else { 5 })));
    let told = replay(&record, Tried { http_req_rate: Some(10), conn_cur: None });
    assert!(told.starts_with("fe/be: http_req_rate = 10 would have hit 100 by name\n  10.0.0."), "{told}");
    assert!(told.ends_with("  and 150 others, each hour counted\n"), "{told}");
    let told = replay(&record, Tried { http_req_rate: Some(20), conn_cur: Some(1) });
    let nobody = "fe/be: conn_cur = 1 would have hit 0 by name\n  and nobody else\n";
    assert!(told.ends_with(nobody), "{told}");
}

#[test]
fn a_record_is_read_as_it_was_written_and_nothing_else() {
    let record = observed([(1, 3), (2, 40)]);
    let text = serde_json::to_string(&record).expect("JSON");
    assert_eq!(Record::read(&text, 10_000), Ok(record.clone()));
    assert!(Record::read(&text, 9_000).is_err_and(|error| error.contains("10000 ms")));
    for (from, to) in [
        ("\"version\":1", "\"version\":2"),
        ("[3,1]", "[0,1]"),
        ("[3,1]", "[250,1]"),
        ("\"hours\"", "\"days\""),
        ("{\"version\"", "{{\"version\""),
    ] {
        assert!(text.contains(from), "{text}");
        assert!(Record::read(&text.replace(from, to), 10_000).is_err(), "{to}");
    }
    let observer = Observer::new(TableId(0), &[("fe".to_owned(), "be".to_owned())], record.clone());
    assert_eq!(observer.record(PERIOD, false), record);
}

#[test]
fn a_week_is_kept() {
    let observer = observer();
    for hour in 0..1_000 {
        observer.rose(0, client(1), hour, (Peak::default(), Peak { rate: 1, concurrency: 1 }));
    }
    observer.rose(0, client(1), 3, (Peak::default(), Peak { rate: 9, concurrency: 9 }));
    let record = observer.record(PERIOD, false);
    let hours = &record.routes[0].hours;
    assert_eq!((hours.len(), hours[0].hour, hours[167].hour), (168, 832, 999));
}

#[test]
fn nodes_that_see_all_see_the_same_peak_and_those_that_see_themselves_add_up() {
    for (cluster, peak) in [(true, 7), (false, 12)] {
        let mut one = Record { cluster, ..observed([(1, 5), (2, 1)]) };
        let other = Record { cluster, ..observed([(1, 7), (3, 2)]) };
        one.merge(other).expect("they count alike");
        let rate = &one.routes[0].hours[0].rate;
        assert_eq!((rate.peak(), rate.highest.len(), rate.histogram.count()), (peak, 3, 4));
    }
    let mut one = observed([]);
    assert!(one.merge(Record { period_ms: 1, ..Record::default() }).is_err());
}
