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
    observer.record(PERIOD, None)
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
fn a_limit_goes_by_the_middle_one_of_the_peaks_of_all_days() {
    let observer = observer();
    let peaks = [(0, 3), (5, 9), (24, 7), (47, 2), (48, 5_000), (72, 8)];
    for (hour, rate) in peaks {
        observer.rose(0, client(1), HOUR_NOW + 16 + hour, (Peak::default(), Peak { rate, concurrency: 1 }));
    }
    let told = suggest(&observer.record(PERIOD, None), 10);
    let days = "2027-01-16 9, 2027-01-17 7, 2027-01-18 5000, 2027-01-19 8";
    assert!(
        told.contains(&format!("# daily peak 9; of each day: {days}\n# the limit of 90 would ")),
        "{told}"
    );
    assert!(told.contains("http_req_rate = 90\nconn_cur = 10\n"), "{told}");
}

#[test]
fn of_many_backends_as_many_are_suggested_as_a_frontend_may_have() {
    let names: Vec<_> = (1..=14).map(|number| ("fe".to_owned(), format!("b{number:02}"))).collect();
    let observer = Observer::new(TableId(0), &names, Record::default());
    for place in 0..14 {
        let peak = Peak { rate: 100 - place as u32, concurrency: 1 };
        observer.rose(place, client(1), HOUR_NOW, (Peak::default(), peak));
    }
    let told = suggest(&observer.record(PERIOD, None), 10);
    assert_eq!(told.matches("[[frontend.limit]]").count(), 12, "{told}");
    assert!(told.contains("of 14 backends these are the highest, without b13, b14\n"), "{told}");
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
    let read = |text: &str, counts| Record::read(text, Some(counts));
    assert_eq!(read(&text, (10_000, false)), Ok(record.clone()));
    assert_eq!(Record::read(&text, None), Ok(record.clone()));
    assert!(read(&text, (9_000, false)).is_err_and(|error| error.contains("10000 ms")));
    assert!(read(&text, (10_000, true)).is_err_and(|error| error.contains("what one node has counted")));
    for (from, to) in [
        ("\"version\":2", "\"version\":3"),
        ("[3,1]", "[0,1]"),
        ("[3,1]", "[250,1]"),
        ("\"hours\"", "\"days\""),
        ("{\"version\"", "{{\"version\""),
    ] {
        assert!(text.contains(from), "{text}");
        assert!(Record::read(&text.replace(from, to), None).is_err(), "{to}");
    }
    let observer = Observer::new(TableId(0), &[("fe".to_owned(), "be".to_owned())], record.clone());
    assert_eq!(observer.record(PERIOD, None), record);
}

#[test]
fn a_file_of_before_that_does_not_say_whose_peers_it_means_is_not_read() {
    let before = "{\"version\":1,\"period_ms\":10000,\"cluster\":true,\"routes\":[]}";
    assert_eq!(Record::read(before, None), Err("version 1 is not known".to_owned()));
}

#[test]
fn a_week_is_kept() {
    let observer = observer();
    let one = || (Peak::default(), Peak { rate: 1, concurrency: 1 });
    for hour in HOUR_NOW..HOUR_NOW + 1_000 {
        assert_eq!(observer.rose(0, client(1), hour, one()), 0);
    }
    observer.rose(0, client(1), 3, one());
    let record = observer.record(PERIOD, None);
    let hours = &record.routes[0].hours;
    let (first, last) = (HOUR_NOW + 832, HOUR_NOW + 999);
    assert_eq!((hours.len(), hours[0].hour, hours[167].hour), (168, first, last));
    assert!(hours.iter().all(|hour| hour.rate.peak() == 1), "a clock that is not set observes nothing");
}

#[test]
fn a_clock_that_was_ahead_ends_nothing() {
    let observer = observer();
    let rose = |hour| observer.rose(0, client(1), hour, (Peak::default(), Peak { rate: 1, concurrency: 1 }));
    let hours =
        || observer.record(PERIOD, None).routes[0].hours.iter().map(|hour| hour.hour).collect::<Vec<_>>();
    // The next hour has begun for another worker.
    assert_eq!([rose(HOUR_NOW - 1), rose(HOUR_NOW + 1), rose(HOUR_NOW)], [0; 3]);
    assert_eq!(hours(), [HOUR_NOW - 1, HOUR_NOW + 1]);
    assert_eq!([rose(HOUR_NOW + 90), rose(HOUR_NOW + 2)], [0, 1]);
    assert_eq!(hours(), [HOUR_NOW - 1, HOUR_NOW + 1, HOUR_NOW + 2]);
}

#[test]
fn nodes_that_see_all_see_the_same_peak_and_those_that_see_themselves_add_up() {
    for (peers, peak) in [(Some("lab".to_owned()), 7), (None, 12)] {
        let mut one = Record { peers: peers.clone(), ..observed([(1, 5), (2, 1)]) };
        let other = Record { peers, ..observed([(1, 7), (3, 2)]) };
        one.merge(other).expect("they count alike");
        let rate = &one.routes[0].hours[0].rate;
        assert_eq!((rate.peak(), rate.highest.len(), rate.histogram.count()), (peak, 3, 4));
    }
    let mut one = observed([]);
    assert!(one.merge(Record { period_ms: 1, ..Record::default() }).is_err());
}
