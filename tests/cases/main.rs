//! x
use tests::*;
#[test]
fn smoke() {
    let lab = Lab::start(&LabOptions::default()).unwrap();
    for vip in topology::VIPS {
        println!("{:?}", lab.bird().routes(vip).unwrap());
        println!("{:?}", lab.get(vip, "volume.example", "/whoami").unwrap().text());
    }
    let load = lab.load(load::Mix::full()).unwrap();
    pause(std::time::Duration::from_secs(6));
    let since = lab.clock().now();
    let r = load.report(base_core::Time::ZERO, since);
    for k in [load::Kind::New, load::Kind::KeepAlive, load::Kind::Long, load::Kind::Stream] {
        let r = r.kind(k);
        println!(
            "{k:?} {} gap {:?} p50 {:?} p99 {:?} {:?}",
            r.summary(),
            r.longest_gap(),
            r.latency(0.5),
            r.latency(0.99),
            r.servers()
        );
    }
    let since = lab.clock().now();
    lab.gateway(1).kill_gateway().unwrap();
    let c = lab
        .routes()
        .wait_left(topology::VIPS[0], lab.gateway(1).address(), since, std::time::Duration::from_secs(3))
        .unwrap();
    println!("left after {:?} to {:?}", c.at - since, c.via);
}
