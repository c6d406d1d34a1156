//! Asks name servers where servers are.

use crate::load::StartError;
use gateway_core::config::{Initial, Named, Question, Resolvers};
use gateway_core::resolve::{Answer, Endpoint, Failure, Family, Preference, Record, weighed};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// Asks the name servers of one `[[resolvers]]`.
#[derive(Clone)]
pub(super) struct Asker(TokioResolver);

impl Asker {
    /// On the runtime that this is called on.
    pub(super) fn new(config: &Resolvers, nameservers: &[SocketAddr]) -> Result<Self, StartError> {
        let servers = nameservers.iter().map(|address| {
            let on = |mut connection: ConnectionConfig| {
                connection.port = address.port();
                connection
            };
            let connections = vec![on(ConnectionConfig::udp()), on(ConnectionConfig::tcp())];
            NameServerConfig::new(address.ip(), true, connections)
        });
        let servers = ResolverConfig::from_name_servers(servers.collect());
        let mut builder = TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = config.retry;
        options.attempts = config.retries as usize;
        options.edns0 = true;
        options.edns_payload_len = config.payload;
        options.use_hosts_file = ResolveHosts::Never;
        // What holds, and for how long, is not the resolver's affair.
        options.cache_size = 0;
        options.num_concurrent_reqs = nameservers.len();
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        let system = |error: NetError| StartError::System {
            what: "the resolvers",
            source: std::io::Error::other(error.to_string()),
        };
        builder.build().map(Self).map_err(system)
    }

    /// Everything that the question leads to.
    pub(super) async fn ask(&self, question: &Question, preference: &Preference) -> Answer {
        match question {
            Question::Address { name, port } => {
                let found = self.addresses(name, preference).await?;
                let at = |ip| Endpoint { address: SocketAddr::new(ip, *port), weight: None };
                Ok(found.into_iter().map(at).collect())
            }
            Question::Service(name) => self.service(name, preference).await,
        }
    }

    async fn service(&self, name: &str, preference: &Preference) -> Answer {
        let mut records = Vec::new();
        for data in self.look_up(name, RecordType::SRV).await?.into_iter().take(MAX_TARGETS) {
            let RData::SRV(service) = data else { continue };
            let addresses = match self.addresses(&service.target.to_ascii(), preference).await {
                // It is gone; the others are not.
                Err(Failure::Nx) => continue,
                found => found?,
            };
            records.push(Record { weight: service.weight, port: service.port, addresses });
        }
        Ok(weighed(&records))
    }

    /// The addresses of a name, of the family that is preferred if it has any.
    async fn addresses(&self, name: &str, preference: &Preference) -> Result<Vec<IpAddr>, Failure> {
        for family in preference.order() {
            let kind = match family {
                Family::Ipv4 => RecordType::A,
                Family::Ipv6 => RecordType::AAAA,
            };
            let found = match self.look_up(name, kind).await {
                Err(Failure::Nx) => continue,
                found => found?,
            };
            let address = |data| match data {
                RData::A(address) => Some(IpAddr::V4(address.0)),
                RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                _ => None,
            };
            let mut found: Vec<IpAddr> = found.into_iter().filter_map(address).collect();
            if !found.is_empty() {
                preference.choose(&mut found, |ip| *ip);
                return Ok(found);
            }
        }
        Err(Failure::Nx)
    }

    /// The records of one kind. Names are whole: nothing is put behind them.
    async fn look_up(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, Failure> {
        let whole = format!("{}.", name.trim_end_matches('.'));
        match self.0.lookup(whole, kind).await {
            Ok(found) => Ok(found.answers().iter().map(|record| record.data.clone()).collect()),
            Err(error) => {
                tracing::debug!(name, %kind, %error, "no answer");
                Err(failure(&error))
            }
        }
    }
}

fn failure(error: &NetError) -> Failure {
    let code = match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => none.response_code,
        NetError::Dns(DnsError::ResponseCode(code)) => *code,
        // A server that can't be reached says as much as one that is silent.
        NetError::Timeout | NetError::Io(_) | NetError::NoConnections => return Failure::Timeout,
        _ => return Failure::Other,
    };
    match code {
        ResponseCode::NoError | ResponseCode::NXDomain => Failure::Nx,
        ResponseCode::Refused => Failure::Refused,
        _ => Failure::Other,
    }
}

/// Whom these resolvers ask.
pub(super) fn nameservers(config: &Resolvers) -> Result<Vec<SocketAddr>, String> {
    let mut all = config.nameservers.clone();
    if config.parse_resolv_conf {
        let text = std::fs::read_to_string(RESOLV_CONF).map_err(|error| format!("{RESOLV_CONF}: {error}"))?;
        let words = text.lines().map(str::split_ascii_whitespace);
        let named =
            words.filter_map(|mut words| (words.next() == Some("nameserver")).then(|| words.next())?);
        all.extend(named.filter_map(|ip| ip.parse().ok()).map(|ip: IpAddr| SocketAddr::new(ip, DNS)));
    }
    let mut seen = HashSet::new();
    all.retain(|address| seen.insert(*address));
    if all.is_empty() { Err(format!("there is no name server in {RESOLV_CONF}")) } else { Ok(all) }
}

/// Where servers are until there is an answer. `None` if they have to be somewhere, and it is not known where.
pub(super) fn initially(named: &Named) -> Option<Vec<Endpoint>> {
    let Question::Address { name, port } = &named.question else { return Some(Vec::new()) };
    let at = |address| Endpoint { address, weight: None };
    for initial in &named.initial {
        match initial {
            Initial::None => return Some(Vec::new()),
            Initial::At(ip) => return Some(vec![at(SocketAddr::new(*ip, *port))]),
            Initial::Libc => {
                let found = (name.as_str(), *port).to_socket_addrs().into_iter().flatten();
                let mut found: Vec<_> = found.take(MAX_TARGETS).collect();
                named.preference.choose(&mut found, SocketAddr::ip);
                if !found.is_empty() {
                    return Some(found.into_iter().map(at).collect());
                }
            }
        }
    }
    None
}

/// Targets of a service: as many as a backend may have servers.
const MAX_TARGETS: usize = 1024;
/// Whom the system asks.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The port of name servers.
const DNS: u16 = 53;
