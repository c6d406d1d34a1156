//! BFD with real routers: a node that falls silent is gone within the detection time, and one that does not stays.

use super::{COMES_UP, SOON, interop, matrix, told};
use anyhow::{Result, ensure};
use std::time::Duration;
use tests::interop::{Interop, Peering, Router, Side, Vip};

/// Half of the matrix: two speakers on one node cannot both have the port of BFD for one family.
fn with_bfd(milliseconds: u32, inside_ipv6: bool) -> Vec<Peering> {
    let half = matrix()
        .into_iter()
        .filter(|peering| (peering.side == Side::Inside) == (peering.ipv6 == inside_ipv6));
    half.map(|peering| peering.bfd(milliseconds, 3)).collect()
}

fn wait_up(lab: &Interop) -> Result<()> {
    for peering in lab.peerings() {
        tests::wait_until(&format!("{}: BFD up", peering.name), COMES_UP, || {
            let ours = lab.speaker(peering.side).neighbor(peering.name)?;
            Ok((lab.is_path_up(peering)? && ours["bfd"].to_string().contains("Up")).then_some(()))
        })?;
    }
    Ok(())
}

/// From the last packet that comes through until the router's kernel has no route.
fn silence(milliseconds: u32, rounds: usize, most: Duration) {
    for inside_ipv6 in [true, false] {
        silence_of(with_bfd(milliseconds, inside_ipv6), rounds, most);
    }
}

fn silence_of(peerings: Vec<Peering>, rounds: usize, most: Duration) {
    let (milliseconds, _) = peerings[0].bfd.expect("BFD");
    interop(peerings, |lab| {
        let mut times = Vec::new();
        for _ in 0..rounds {
            wait_up(lab)?;
            for router in [Router::Bird, Router::Frr] {
                wait_kernel(lab, router)?;
                let began = lab.clock().now();
                lab.cut(router)?;
                let gone = lab
                    .routes(router)
                    .wait("the routes to go", began, SOON, |change| change.via.is_none())?;
                lab.mend(router)?;
                times.push((router.name(), gone.at - began));
            }
            lab.peerings().iter().try_for_each(|peering| lab.wait_announced(peering, COMES_UP))?;
        }
        let late = times.iter().filter(|(_, took)| *took > most).count();
        told(&format!("silent with {milliseconds} ms × 3: {times:?}"));
        // A machine whose cores are all busy may be late once.
        ensure!(late <= rounds / 3, "more than {most:?}: {times:?}");
        Ok(())
    });
}

fn wait_kernel(lab: &Interop, router: Router) -> Result<()> {
    let vip = Vip { side: Side::Outside, ipv6: false };
    tests::wait_until("the kernel's route", SOON, || Ok((!lab.kernel(router, vip)?.is_empty()).then_some(())))
}

/// `BFD_LOAD_SECONDS` says for how long; ten minutes are what is promised.
mod long {
    use super::*;

    #[test]
    fn with_both_cores_busy_bfd_at_three_times_50_ms_gives_no_false_alarm() {
        let seconds = std::env::var("BFD_LOAD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
        interop(with_bfd(50, true), |lab| {
            // What is at stake is the speaker; a router that has to wait for its turn raises alarms of its own.
            lab.prioritize_routers()?;
            wait_up(lab)?;
            let before = sessions(lab)?;
            let busy = Busy::start();
            tests::pause(Duration::from_secs(seconds));
            drop(busy);
            let lost: Vec<_> = before.into_iter().zip(sessions(lab)?).filter(|(a, b)| a != b).collect();
            told(&format!("{seconds} s with all cores busy: {} of 4 sessions lost: {lost:?}", lost.len()));
            ensure!(lost.is_empty(), "after {seconds} s: {lost:?}");
            Ok(())
        });
    }

    /// How often BFD was lost in each session, as the speakers' logs have it.
    fn sessions(lab: &Interop) -> Result<Vec<(String, usize)>> {
        let one = |peering: &Peering| {
            let log = lab.speaker(peering.side).daemon().log();
            let name = format!("BFD neighbor={} from=\"Up\"", peering.name);
            Ok((peering.name.to_owned(), log.lines().filter(|line| line.contains(&name)).count()))
        };
        lab.peerings().iter().map(one).collect()
    }

    /// A thread for each core that does nothing but work.
    struct Busy(std::sync::Arc<std::sync::atomic::AtomicBool>);

    impl Busy {
        fn start() -> Self {
            let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
            let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
            for _ in 0..cores {
                let stop = std::sync::Arc::clone(&stop);
                std::thread::spawn(move || {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            Self(stop)
        }
    }

    impl Drop for Busy {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

#[test]
fn a_node_that_falls_silent_is_gone_after_three_times_50_ms() {
    // From the cut, which takes nft some 20 ms to make; FRR takes 60 ms more to change its kernel.
    silence(50, 3, Duration::from_millis(300));
}

#[test]
fn a_node_that_falls_silent_is_gone_after_three_times_300_ms() {
    silence(300, 1, Duration::from_millis(1200));
}
