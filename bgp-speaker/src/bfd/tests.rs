use super::session::Session;
use super::socket::Listener;
use super::*;
use base_core::Machine;
use bgp_core::bfd::{self, Action, Change, Event, Packet, Settings, State, Timers};
use prometheus::Registry;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;
use tokio::sync::mpsc;

const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const PATIENCE: Duration = Duration::from_secs(20);

/// A router on loopback: the same machine behind a socket of its own.
struct Router {
    socket: UdpSocket,
    speaker: SocketAddr,
    machine: bfd::Session,
    clock: Clock,
}

/// The thread under test, its one session towards a [`Router`], and what it counts.
struct Lab {
    bfd: Bfd,
    changes: mpsc::Receiver<Change>,
    registry: Registry,
    router: Router,
}

fn settings(discriminator: u32) -> Settings {
    let interval = Duration::from_millis(50);
    let multiplier = NonZeroU8::new(3).unwrap();
    Settings {
        discriminator: NonZeroU32::new(discriminator).unwrap(),
        timers: Timers { desired_min_tx: interval, required_min_rx: interval, multiplier },
        seed: discriminator.into(),
    }
}

impl Router {
    /// Takes part until `until` says so of its machine, or all patience is gone.
    fn run(&mut self, until: impl Fn(&bfd::Session) -> bool) -> bool {
        let end = self.clock.now() + PATIENCE;
        let (mut actions, mut buffer) = (Vec::new(), [0; 64]);
        while self.clock.now() < end {
            if until(&self.machine) {
                return true;
            }
            if let Ok(count) = self.socket.recv(&mut buffer) {
                let packet = Packet::decode(&buffer[..count]).unwrap();
                self.machine.on(Event::Received(packet), self.clock.now(), &mut actions);
            }
            if self.machine.next_deadline().is_some_and(|deadline| deadline <= self.clock.now()) {
                self.machine.on(Event::Tick, self.clock.now(), &mut actions);
            }
            for action in actions.drain(..) {
                if let Action::Transmit(packet) = action {
                    self.socket.send_to(&packet.encode(), self.speaker).unwrap();
                }
            }
        }
        false
    }
}

impl Lab {
    fn new(ttl: u32) -> Self {
        let clock = Clock::start();
        let listener = Listener::open(true, 0, false).unwrap();
        let socket = UdpSocket::bind((ROUTER, 0)).unwrap();
        socket.set_ttl(ttl).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let (sender, changes) = mpsc::channel(CHANGES);
        let remote = socket.local_addr().unwrap();
        let peer = Peer {
            key: (ROUTER, None, 179),
            address: ROUTER,
            interface: None,
            source: Some(Ipv4Addr::LOCALHOST.into()),
            hops: Hops::Single,
            settings: settings(7),
            changes: sender,
            metrics: metrics.peer("r1"),
        };
        let session = Session::towards(peer, remote).unwrap();
        let speaker = SocketAddr::from((Ipv4Addr::LOCALHOST, listener.port()));
        let router = Router { socket, speaker, machine: bfd::Session::new(settings(9)), clock };
        let bfd = Bfd::spawn(vec![session], vec![listener], clock, metrics.discarded()).unwrap();
        Self { bfd, changes, registry, router }
    }

    async fn until_failed(&mut self) -> bool {
        let failed = async {
            while let Some(change) = self.changes.recv().await {
                if change.failed {
                    return true;
                }
            }
            false
        };
        tokio::time::timeout(PATIENCE, failed).await.unwrap_or(false)
    }

    fn sample(&self, name: &str, label: &str) -> f64 {
        sample(&self.registry, name, label)
    }
}

/// The value of a counter or gauge of family `name` that has `label` for a label's value.
fn sample(registry: &Registry, name: &str, label: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name).expect(name);
    let metric =
        family.get_metric().iter().find(|metric| metric.get_label().iter().any(|pair| pair.value() == label));
    let metric = metric.expect(label);
    metric.get_counter().get_value() + metric.get_gauge().get_value()
}

fn agreed(machine: &bfd::Session) -> bool {
    machine.state() == State::Up && machine.detection_time() == Duration::from_millis(150)
}

#[tokio::test]
async fn silence_is_told_within_the_detection_time() {
    let mut lab = Lab::new(255);
    assert!(lab.router.run(agreed), "comes up");
    let silent = lab.router.clock.now();
    assert!(lab.until_failed().await, "told");
    let took = lab.router.clock.now() - silent;
    // The bound leaves room for a test machine that is busy with other tests.
    assert!((Duration::from_millis(100)..Duration::from_millis(1000)).contains(&took), "{took:?}");
    assert_eq!(lab.sample("headgate_bfd_session_state", "r1"), 1.0, "Down");
    assert!(lab.sample("headgate_bfd_packets_total", "received") >= 2.0);
    assert!(lab.sample("headgate_bfd_transmit_late_max_seconds", "r1") < 1.0);
}

#[tokio::test]
async fn a_planned_end_tells_the_router_that_it_is_none_of_its_business() {
    let mut lab = Lab::new(255);
    assert!(lab.router.run(agreed), "comes up");
    lab.bfd.stop().await;
    assert!(lab.router.run(|machine| machine.state() == State::Down), "told");
    assert_eq!(lab.router.machine.remote_state(), State::AdminDown);
}

#[tokio::test]
async fn packets_that_crossed_a_router_are_counted_and_change_nothing() {
    let mut lab = Lab::new(254);
    let registry = lab.registry.clone();
    let counted = move || sample(&registry, "headgate_bfd_packets_discarded_total", "ttl");
    assert!(lab.router.run(|_| counted() >= 3.0), "counted");
    assert_eq!(lab.sample("headgate_bfd_session_state", "r1"), 1.0, "and not heard");
    assert!(lab.changes.try_recv().is_err(), "nothing changed");
}
