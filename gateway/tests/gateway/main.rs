//! The gateway's promises, on the real binary with real sockets on loopback. Needs no privileges.

mod bad_input;
mod balance;
mod certificates;
mod client_certificates;
mod clients;
mod daemons;
mod data_path;
mod databases;
mod documents;
mod drain;
mod effects;
mod eject;
mod h2;
mod harness;
mod lists;
mod log;
mod programs;
mod proxy_protocol;
mod queue;
mod reference;
mod requests;
mod retries;
mod rules;
mod servers;
mod tcp;
mod websocket;
