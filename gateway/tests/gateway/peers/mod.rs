//! Peers on loopback: gateways among themselves, and with a real HAProxy.

mod aggregate;
mod cluster;
mod handover;
mod haproxy;
mod hostile;
mod sticky;

use crate::harness::{Gateway, Server, free_address};
use std::net::SocketAddr;

/// A gateway that shares tables as `local`, listening for peers at `bind`.
struct Node<'a> {
    local: &'a str,
    bind: SocketAddr,
    peers: &'a [(&'a str, SocketAddr)],
    /// More of the section `admin`.
    admin: &'a str,
    /// More of the section `peers`.
    section: &'a str,
    /// More of the frontend.
    frontend: &'a str,
    /// Stick tables and more of the backend's top.
    tables: &'a str,
    stick: &'a str,
}

impl Node<'_> {
    fn start(&self, servers: &[SocketAddr]) -> Gateway {
        let Self { local, bind, peers, admin, section, frontend, tables, stick } = self;
        let servers: Vec<_> = servers
            .iter()
            .enumerate()
            .map(|(place, address)| format!("{{ name = \"s{}\", address = \"{address}\" }}", place + 1))
            .collect();
        let peers: Vec<_> = peers
            .iter()
            .map(|(name, address)| format!("{{ name = \"{name}\", address = \"{address}\" }}"))
            .collect();
        Gateway::start(&format!(
            "node = \"{local}\"\nworkers = 2\n\
             [admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n{admin}\n\
             [log]\nto = \"FOLDER/access.log\"\n\
             [peers]\nname = \"lab\"\nbind = \"{bind}\"\n{section}\npeer = [{}]\n{tables}\n\
             [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n{frontend}\n\
             [[backend]]\nname = \"be\"\n{stick}\nserver = [{}]\n",
            peers.join(", "),
            servers.join(", ")
        ))
    }
}

/// Two servers that say their name.
fn servers() -> [Server; 2] {
    [Server::named("s1"), Server::named("s2")]
}

/// What follows `field=` in a line.
fn value<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    let start = text.find(&format!(" {field}="))? + field.len() + 2;
    text[start..].split_whitespace().next()
}

fn addresses<const N: usize>() -> [SocketAddr; N] {
    std::array::from_fn(|_| free_address())
}
