//! The events: each fault is made, measured, and mended before the next.

use crate::screen::Screen;
use crate::summary::{Promise, milliseconds};
use anyhow::Result;
use base_core::Time;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tests::Lab;
use tests::http::{Request, fetch};
use tests::load::{Kind, Load};
use tests::node::Node;
use tests::report::Report;
use tests::topology::{PORT, VIPS, client_address};

/// What the events happen to.
pub(crate) struct Demo<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) load: &'a Load,
    pub(crate) screen: &'a Screen,
}

impl Demo<'_> {
    /// All events, in order; the promises that they test.
    pub(crate) fn run(&self) -> Result<Vec<Promise>> {
        let mut promises = vec![self.steady()];
        promises.extend(self.fault(
            "SIGKILL of gw1's gateway",
            "gateway killed",
            1,
            GATEWAY_KILLED,
            &KILL,
        )?);
        promises.extend(self.fault("SIGSTOP of gw2's gateway", "gateway hung", 2, GATEWAY_HUNG, &HANG)?);
        promises.extend(self.fault("gw3 is cut off, silently", "node cut off", 3, NODE_CUT_OFF, &CUT)?);
        promises.extend(self.drain()?);
        promises.push(self.server_killed()?);
        promises.extend(self.limit()?);
        Ok(promises)
    }

    fn steady(&self) -> Promise {
        self.screen.headline("Steady state");
        let from = self.now();
        tests::pause(Duration::from_secs(5));
        let report = self.load.ended(from, self.now());
        for kind in [Kind::New, Kind::KeepAlive, Kind::Long, Kind::Stream] {
            let report = report.kind(kind);
            let times = [report.latency(0.5), report.latency(0.99)].map(milliseconds);
            self.note(&format!("{kind:?}: {}; median {}, 99 % {}", report.summary(), times[0], times[1]));
        }
        let new = report.kind(Kind::New);
        let servers: Vec<_> = new.servers().iter().map(|(name, count)| format!("{name} {count}")).collect();
        self.note(&format!("answered by: {}", servers.join(", ")));
        Promise::none("steady state: failed requests", report.failed(), report.total())
    }

    /// One fault of one node: from just before it is made to the moment when the router sends the
    /// node's own VIP elsewhere.
    fn fault(
        &self,
        headline: &str,
        short: &str,
        n: usize,
        bound: Duration,
        fault: &Fault,
    ) -> Result<Vec<Promise>> {
        self.screen.headline(headline);
        let (node, vip) = (self.lab.gateway(n), VIPS[n - 1]);
        let began = self.now();
        (fault.make)(node)?;
        let left = self.lab.routes().wait_left(vip, node.address(), began, Duration::from_secs(10))?;
        let took = left.at - began;
        self.note(&format!("the router sends {vip} to {} after {}", next_hop(left.via), milliseconds(took)));
        tests::pause(AFTER_A_FAULT);
        self.load.settle()?;
        let mended = self.now();
        let report = self.load.ended(began, mended);
        self.note_vip(vip, &report, began);
        (fault.mend)(node)?;
        self.lab.wait_steady(Duration::from_secs(20))?;
        let back = self.now();
        self.note(&format!(
            "mended: all VIPs are back with their nodes after {}",
            milliseconds(back - mended)
        ));
        self.load.settle()?;
        self.load.settle_all()?;
        self.note_moves("the way back", &self.load.ended(mended, self.now()).vip(vip));
        let others = self.load.ended(began, self.now()).other_vips(vip);
        self.note_failures("on the other VIPs", &others);
        Ok(vec![
            Promise::time(format!("{short}: until the router has withdrawn it"), took, bound),
            Promise::none(
                format!("{short}: failed requests on the other VIPs"),
                others.failed(),
                others.total(),
            ),
        ])
    }

    fn drain(&self) -> Result<Vec<Promise>> {
        self.screen.headline("Planned drain of gw1, and its return");
        let (node, vip) = (self.lab.gateway(1), VIPS[0]);
        let began = self.now();
        node.drain()?;
        let left = self.lab.routes().wait_left(vip, node.address(), began, Duration::from_secs(5))?;
        self.note(&format!(
            "the router sends {vip} to {} after {}",
            next_hop(left.via),
            milliseconds(left.at - began)
        ));
        if let Some(route) = self.lab.bird().route_from(vip, "gw1")? {
            self.note(&format!(
                "it still has gw1's route, worsened: MED {:?}, communities {:?}",
                route.med, route.communities
            ));
        }
        let gone = || Ok(self.lab.bird().route_from(vip, "gw1")?.is_none().then(|| self.now()));
        let withdrawn = tests::wait_until("gw1 to withdraw", Duration::from_secs(10), gone)?;
        self.note(&format!("gw1 has withdrawn after {}", milliseconds(withdrawn - began)));
        tests::pause(AFTER_A_FAULT);
        self.load.settle()?;
        let returning = self.now();
        let away = self.load.ended(began, returning);
        self.note_moves("the drain", &away);
        node.undrain()?;
        self.lab.wait_steady(Duration::from_secs(10))?;
        self.note(&format!("undrained: back with gw1 after {}", milliseconds(self.now() - returning)));
        self.load.settle_all()?;
        let back = self.load.ended(returning, self.now());
        self.note_moves("the return", &back);
        // A connection that is open when its VIP moves is cut, however new it is: those are counted among
        // what the move breaks, not among what the drain refuses.
        let moves = self.lab.routes().since(began);
        let (cut_away, away) = away.kind(Kind::New).cut_by(&moves);
        let (cut_back, back) = back.kind(Kind::New).cut_by(&moves);
        self.note(&format!(
            "new connections in the middle of their request at a move: {} cut by the drain, {} by the return",
            cut_away.total(),
            cut_back.total()
        ));
        Ok(vec![
            Promise::none("planned drain: failed requests on new connections", away.failed(), away.total()),
            Promise::none("return from it: failed requests on new connections", back.failed(), back.total()),
        ])
    }

    fn server_killed(&self) -> Result<Promise> {
        self.screen.headline("SIGKILL of compute on api1");
        let host = self.lab.api(1);
        let began = self.now();
        host.kill("compute")?;
        tests::pause(AFTER_A_FAULT);
        self.load.settle()?;
        let mended = self.now();
        let report = self.load.ended(began, mended);
        self.note_moves("the kill", &report);
        let compute = report.kind(Kind::New).service("compute");
        let servers = compute.servers().into_keys().collect::<Vec<_>>().join(" and ");
        self.note(&format!("compute, new connections: {}, answered by {servers}", compute.summary()));
        host.start("compute")?;
        let back = || {
            let report = self.load.ended(mended, self.now()).kind(Kind::New).service("compute");
            Ok(report.servers().contains_key("api1").then_some(()))
        };
        tests::wait_until("api1 to be used again", Duration::from_secs(5), back)?;
        self.note(&format!("started again: it answers after {}", milliseconds(self.now() - mended)));
        let new = report.kind(Kind::New);
        // What is still on the killed server's connections belongs to this event.
        self.load.settle_all()?;
        Ok(Promise::none("server killed: failed requests on new connections", new.failed(), new.total()))
    }

    fn limit(&self) -> Result<Vec<Promise>> {
        let limit = 200;
        let made = 300;
        self.screen
            .headline(&format!("One client makes {made} requests at once; its limit is {limit} in 10 s"));
        let began = self.now();
        let outcomes = self.lab.client().run(burst(client_address(50_000), made))?;
        let took = self.now() - began;
        let (let_through, refused): (Vec<_>, Vec<_>) =
            outcomes.into_iter().partition(|(status, _)| *status == 200);
        let proper = refused.iter().filter(|(status, retry)| *status == 429 && *retry).count();
        self.note(&format!(
            "in {}: {} let through, {proper} refused with 429 and Retry-After",
            milliseconds(took),
            let_through.len()
        ));
        tests::pause(Duration::from_secs(1));
        self.load.settle()?;
        let others = self.load.ended(began, self.now());
        self.note_failures("of others", &others);
        Ok(vec![
            Promise::exactly("client over its limit: requests let through", let_through.len(), limit),
            Promise::exactly("client over its limit: 429 with Retry-After", proper, made - limit),
            Promise::none(
                "client over its limit: failed requests of others",
                others.failed(),
                others.total(),
            ),
        ])
    }

    fn note_vip(&self, vip: Ipv4Addr, report: &Report, began: Time) {
        let own = report.vip(vip);
        let new = own.kind(Kind::New);
        // From the last success before the fault on.
        let before = Time::from_nanos(began.as_nanos().saturating_sub(500_000_000));
        let gap = self.load.ended(before, self.now()).vip(vip).kind(Kind::New).longest_gap();
        self.note(&format!("{vip}, new connections: {}; blackout {}", new.summary(), milliseconds(gap)));
        self.note_moves("the fault", &own);
    }

    /// What should not have happened, kind by kind.
    fn note_failures(&self, whose: &str, report: &Report) {
        for kind in [Kind::New, Kind::KeepAlive, Kind::Long, Kind::Stream] {
            let report = report.kind(kind);
            if report.failed() > 0 {
                self.note(&format!("{kind:?} requests {whose}: {}", report.summary()));
            }
        }
    }

    /// What a move breaks on connections that last: told, not promised.
    fn note_moves(&self, what: &str, report: &Report) {
        let broken = |kind| report.kind(kind).failed();
        self.note(&format!(
            "broken by {what}: {} keep-alive requests, {} long requests, {} streams; new connections: {}",
            broken(Kind::KeepAlive),
            broken(Kind::Long),
            broken(Kind::Stream),
            report.kind(Kind::New).summary()
        ));
    }

    fn note(&self, text: &str) {
        self.screen.line(&format!("  {text}"));
    }

    fn now(&self) -> Time {
        self.lab.clock().now()
    }
}

/// How a fault is made, and how it is mended.
struct Fault {
    make: fn(&Node) -> Result<()>,
    mend: fn(&Node) -> Result<()>,
}

const KILL: Fault = Fault { make: Node::kill_gateway, mend: Node::start_gateway };
const HANG: Fault = Fault { make: Node::stop, mend: Node::cont };
const CUT: Fault = Fault { make: Node::cut, mend: Node::mend };

/// Requests of one client, eight at a time: each one's status, and whether it says when to try again.
async fn burst(client: Ipv4Addr, count: usize) -> Vec<(u16, bool)> {
    let lane = |share: usize| {
        tokio::spawn(async move {
            let mut outcomes = Vec::new();
            for _ in 0..share {
                let to = SocketAddr::from((VIPS[0], PORT));
                let answer = fetch(Request::get(to, "compute.example", "/whoami").from(client)).await;
                outcomes.push(answer.map_or((0, false), |answer| {
                    (answer.status.as_u16(), answer.header("retry-after").parse::<u32>().is_ok())
                }));
            }
            outcomes
        })
    };
    let lanes: Vec<_> = (0..LANES).map(|n| lane(count / LANES + usize::from(n < count % LANES))).collect();
    let mut outcomes = Vec::new();
    for lane in lanes {
        outcomes.extend(lane.await.unwrap_or_default());
    }
    outcomes
}

fn next_hop(via: Option<Ipv4Addr>) -> String {
    let node = via.and_then(|via| (1..=3).find(|n| tests::topology::node_address(*n) == via));
    node.map_or_else(|| "nobody".to_owned(), |n| format!("gw{n}"))
}

const LANES: usize = 8;
const GATEWAY_KILLED: Duration = Duration::from_millis(20);
const GATEWAY_HUNG: Duration = Duration::from_millis(400);
/// The hold time of three seconds, and what BIRD's timers and the cut itself add to it.
const NODE_CUT_OFF: Duration = Duration::from_millis(3300);
/// How long a fault lasts once the router has reacted.
const AFTER_A_FAULT: Duration = Duration::from_secs(3);
