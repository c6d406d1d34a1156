//! A client keeps its server on all nodes.

use super::{Node, addresses, servers};
use crate::harness::{Gateway, wait_until};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

const NAMES: [&str; 3] = ["gw1", "gw2", "gw3"];

fn start(place: usize, binds: &[SocketAddr; 3], servers: &[SocketAddr]) -> Gateway {
    let peers = [0, 1, 2].map(|place| (NAMES[place], binds[place]));
    let node = Node {
        local: NAMES[place],
        bind: binds[place],
        peers: &peers,
        admin: "",
        section: "",
        frontend: "",
        tables: "[[stick_table]]\nname = \"sticky\"\npeers = \"lab\"\n",
        stick: "stick = \"sticky\"",
    };
    node.start(servers)
}

/// The server that answers a client at this address.
fn server(front: SocketAddr, client: Ipv4Addr) -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((client, 0)).into()).expect("an address of loopback");
    socket.connect(&front.into()).expect("somebody listens");
    let mut stream = std::net::TcpStream::from(socket);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.rsplit("\r\n").next().unwrap_or_default().to_owned()
}

fn client(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, number)
}

#[test]
fn clients_keep_their_server_when_the_node_that_chose_it_is_gone() {
    let [one, two] = servers();
    let binds = addresses();
    let mut nodes: Vec<_> = (0..3).map(|place| start(place, &binds, &[one.address, two.address])).collect();
    wait_until("all hear each other", || {
        nodes.iter().all(|node| node.metric("headgate_cluster_nodes_heard") == 3.0)
    });
    let chosen: Vec<_> = (1..=10).map(|number| server(nodes[0].front, client(number))).collect();
    assert!(chosen.contains(&"s1".to_owned()) && chosen.contains(&"s2".to_owned()), "{chosen:?}");
    wait_until("the others know", || {
        nodes[1..].iter().all(|node| node.ctl(&["show", "table", "sticky"]).matches(": key=").count() == 10)
    });
    drop(nodes.remove(0));
    for node in &nodes {
        let kept: Vec<_> = (1..=10).map(|number| server(node.front, client(number))).collect();
        assert_eq!(kept, chosen);
    }
}

#[test]
fn clients_that_come_to_two_nodes_at_once_end_up_at_one_server() {
    let [one, two] = servers();
    let binds = addresses();
    let nodes = [0, 1, 2].map(|place| start(place, &binds, &[one.address, two.address]));
    wait_until("all hear each other", || {
        nodes.iter().all(|node| node.metric("headgate_cluster_nodes_heard") == 3.0)
    });
    // The first node's turn is at another server than the others', so that they choose differently.
    server(nodes[0].front, client(200));
    for number in 1..=40 {
        let threads = nodes.each_ref().map(|node| {
            let front = node.front;
            std::thread::spawn(move || server(front, client(number)))
        });
        assert!(
            threads
                .map(|thread| thread.join().expect("an answer"))
                .iter()
                .all(|server| server.starts_with("s"))
        );
    }
    // Three at once may cross on their way; then it is the next request that settles it.
    (1..=40).for_each(|number| drop(server(nodes[number as usize % 3].front, client(number))));
    let tables = || {
        nodes.each_ref().map(|node| {
            let table = node.ctl(&["show", "table", "sticky"]);
            let row = |line: &str| {
                let field = |name: &str| super::value(line, name).map(str::to_owned);
                Some((field("key")?, field("server_key")?))
            };
            let mut rows: Vec<_> = table.lines().filter_map(row).collect();
            rows.sort();
            rows
        })
    };
    wait_until("all nodes have the same server for each", || {
        let [one, two, three] = tables();
        one.len() == 41 && one == two && two == three
    });
}
