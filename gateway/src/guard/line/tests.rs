use super::*;
use gateway_core::table::DataType;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::SystemTime;
use tokio::task::{LocalSet, spawn_local, yield_now};

const KEY: &[u8] = b"client";

fn patience() -> Patience {
    Patience { timeout: Duration::from_secs(60), most: 3 }
}

/// There is no room, and nobody knows when there will be.
fn no_room(wait: Option<Duration>) -> Stopped {
    Stopped::Denied(Denial {
        reason: "conn_cur",
        retry_after: 1,
        most: 1,
        period: 0,
        data: DataType::ConnCur,
        wait,
        action: Action::Queue(patience()),
    })
}

fn join(lines: &Lines) -> Option<Place<'_>> {
    lines.join((0, KEY.into()), patience().most)
}

/// Runs what does not wait for time: each step is one turn of the loop.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, test);
}

/// Waits in line with a place of its own; tells who goes.
fn waits(
    lines: &Rc<Lines>,
    name: u32,
    room: &Rc<Cell<u32>>,
    went: &Rc<RefCell<Vec<u32>>>,
) -> tokio::task::JoinHandle<()> {
    let (lines, room, went) = (Rc::clone(lines), Rc::clone(room), Rc::clone(went));
    spawn_local(async move {
        let Some(place) = join(&lines) else { return };
        let ask = || match room.get() {
            0 => Err(no_room(None)),
            left => {
                room.set(left - 1);
                went.borrow_mut().push(name);
                Ok(())
            }
        };
        let went = turn(&place.turn, ask, &mut None).await;
        assert!(went.is_ok(), "it is not refused");
    })
}

#[test]
fn who_is_first_asks_again_when_something_has_ended_and_no_sooner() {
    run(async {
        let (lines, asked) = (Lines::default(), Cell::new(0));
        let place = join(&lines).expect("there is room");
        let ask = || {
            asked.set(asked.get() + 1);
            if asked.get() < 3 { Err(no_room(None)) } else { Ok(()) }
        };
        let mut last = None;
        let begun = SystemTime::now();
        let mut waiting = std::pin::pin!(turn(&place.turn, ask, &mut last));
        for times in 1..3 {
            tokio::select! {
                biased;
                _ = &mut waiting => panic!("there is no room"),
                () = settle() => {}
            }
            // On a machine that stands still for so long it may have looked by itself.
            if begun.elapsed().unwrap_or_default() < LOOK {
                assert_eq!(asked.get(), times);
            }
            lines.freed(0, KEY.into());
        }
        tokio::select! {
            biased;
            went = &mut waiting => assert!(went.is_ok()),
            () = settle() => assert!(begun.elapsed().unwrap_or_default() >= LOOK, "it was told"),
        }
    });
}

#[test]
fn where_nobody_tells_it_asks_again_by_itself() {
    run(async {
        let (lines, mut asked) = (Lines::default(), 0);
        let place = join(&lines).expect("there is room");
        let ask = || {
            asked += 1;
            if asked < 3 { Err(no_room(None)) } else { Ok(()) }
        };
        let begun = SystemTime::now();
        assert!(turn(&place.turn, ask, &mut None).await.is_ok());
        assert!(begun.elapsed().unwrap_or_default() >= 2 * LOOK);
    });
}

#[test]
fn all_go_in_the_order_in_which_they_came_and_the_line_is_gone_with_the_last() {
    run(async {
        let (lines, room, went) = (Rc::default(), Rc::default(), Rc::default());
        let running: Vec<_> = (1..=3).map(|name| waits(&lines, name, &room, &went)).collect();
        settle().await;
        assert!(lines.waits(0, KEY) && !lines.waits(1, KEY) && !lines.waits(0, b"other"));
        assert!(join(&lines).is_none(), "three may wait");
        room.set(3);
        for waiting in running {
            waiting.await.expect("no panic");
        }
        assert_eq!(*went.borrow(), [1, 2, 3]);
        assert_eq!((lines.waiting.load(Ordering::Relaxed), lines.locked(|lines| lines.len())), (0, 0));
    });
}

#[test]
fn the_turn_of_who_gives_up_is_the_next_ones() {
    run(async {
        let (lines, room, went) = (Rc::default(), Rc::default(), Rc::default());
        let mut running: Vec<_> = (1..=3).map(|name| waits(&lines, name, &room, &went)).collect();
        settle().await;
        let first = running.remove(0);
        first.abort();
        let _ = first.await;
        room.set(2);
        for waiting in running {
            waiting.await.expect("no panic");
        }
        assert_eq!(*went.borrow(), [2, 3]);
        assert!(!lines.waits(0, KEY));
    });
}
