//! Reads one line.

use super::{Command, Route, Selector};
use crate::config::communities;
use ipnet::IpNet;
use std::net::IpAddr;
use std::str::FromStr;

/// Reads a line; the error is a reason for the log.
pub fn parse(line: &str) -> Result<Command, &'static str> {
    if line.len() > super::MAX_LINE {
        return Err("the line is too long");
    }
    let spaced = line.replace('[', " [ ").replace(']', " ] ").replace(',', " , ");
    let mut words = Words(spaced.split_whitespace().collect::<Vec<_>>().into_iter().peekable());
    let to = selectors(&mut words)?;
    let announce = match words.next()? {
        "announce" => true,
        "withdraw" => false,
        _ => return Err("neither announce nor withdraw"),
    };
    let (route, prefixes) = match words.next()? {
        "route" => {
            let prefix = prefix(words.next()?)?;
            (attributes(&mut words)?, vec![prefix])
        }
        "attribute" | "attributes" => {
            let route = attributes(&mut words)?;
            (route, words.rest().map(prefix).collect::<Result<_, _>>()?)
        }
        _ => return Err("neither route nor attributes"),
    };
    if prefixes.is_empty() {
        return Err("no prefix");
    }
    if !announce {
        return Ok(Command::Withdraw { to, prefixes });
    }
    let route = route.ok_or("no next-hop")?;
    let fits = |prefix: &IpNet| route.next_hop.is_none_or(|hop| hop.is_ipv4() == prefix.addr().is_ipv4());
    if !prefixes.iter().all(fits) {
        return Err("the next hop is of another family");
    }
    Ok(Command::Announce { to, routes: prefixes.into_iter().map(|prefix| (prefix, route.clone())).collect() })
}

struct Words<'a>(std::iter::Peekable<std::vec::IntoIter<&'a str>>);

impl<'a> Words<'a> {
    fn next(&mut self) -> Result<&'a str, &'static str> {
        self.0.next().ok_or("the line ends too early")
    }

    fn read<T: FromStr>(&mut self) -> Result<T, &'static str> {
        self.next()?.parse().map_err(|_| "not a number or address where one must be")
    }

    fn next_if(&mut self, word: &str) -> bool {
        self.0.next_if(|next| *next == word).is_some()
    }

    fn rest(&mut self) -> impl Iterator<Item = &'a str> {
        self.0.by_ref()
    }

    /// `[ a b ]`, or one alone.
    fn list<T>(&mut self, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, &'static str> {
        let read = |word: &str| read(word).ok_or("a value that cannot be read");
        if !self.next_if("[") {
            return Ok(vec![read(self.next()?)?]);
        }
        let mut list = Vec::new();
        loop {
            match self.next()? {
                "]" => return Ok(list),
                "," => {}
                word => list.push(read(word)?),
            }
        }
    }
}

/// `neighbor IP [peer-as N …], neighbor …`.
fn selectors(words: &mut Words<'_>) -> Result<Vec<Selector>, &'static str> {
    let mut selectors = Vec::new();
    while words.next_if("neighbor") {
        let address = match words.next()? {
            "*" => None,
            address => Some(address.parse().map_err(|_| "a neighbor is an address")?),
        };
        let mut selector =
            Selector { address, local_ip: None, local_as: None, peer_as: None, router_id: None };
        loop {
            if words.next_if("local-ip") {
                selector.local_ip = Some(words.read()?);
            } else if words.next_if("local-as") {
                selector.local_as = Some(words.read()?);
            } else if words.next_if("peer-as") {
                selector.peer_as = Some(words.read()?);
            } else if words.next_if("router-id") {
                selector.router_id = Some(words.read()?);
            } else {
                break;
            }
        }
        selectors.push(selector);
        if !words.next_if(",") {
            break;
        }
    }
    Ok(selectors)
}

/// Up to the end, or past `nlri`. `None`: there is no next hop.
fn attributes(words: &mut Words<'_>) -> Result<Option<Route>, &'static str> {
    let (mut route, mut has_next_hop) = (Route::default(), false);
    while let Ok(key) = words.next() {
        match key {
            "next-hop" => {
                has_next_hop = true;
                route.next_hop = match words.next()? {
                    "self" => None,
                    address => Some(host(address)?),
                };
            }
            "med" => route.med = Some(words.read()?),
            "local-preference" => route.local_pref = Some(words.read()?),
            "as-path" => route.as_path = Some(words.list(|word| word.parse().ok())?),
            "community" => route.communities = words.list(communities::standard_one)?,
            "large-community" => route.large_communities = words.list(communities::numbers)?,
            "extended-community" => route.extended_communities = words.list(extended)?,
            "origin" if words.next()?.eq_ignore_ascii_case("igp") => {}
            "origin" => return Err("an origin other than IGP is not sent"),
            "nlri" => break,
            _ => return Err("an attribute that is not known here"),
        }
    }
    let most = crate::config::MAX_COMMUNITIES;
    let long = [route.communities.len(), route.large_communities.len(), route.extended_communities.len()];
    let path = route.as_path.as_ref().map_or(0, Vec::len);
    if long.into_iter().any(|count| count > most) || path > MAX_PATH {
        return Err("too many communities or a path that is too long");
    }
    Ok(has_next_hop.then_some(route))
}

/// A prefix, or an address as a host's. What is behind the mask counts as zero.
fn prefix(word: &str) -> Result<IpNet, &'static str> {
    let whole = word.parse::<IpNet>().or_else(|_| word.parse::<IpAddr>().map(IpNet::from));
    let net = whole.map_err(|_| "not a prefix")?;
    if net.addr().is_multicast() {
        return Err("not a unicast prefix");
    }
    Ok(net.trunc())
}

fn host(word: &str) -> Result<IpAddr, &'static str> {
    let address: IpAddr = word.parse().map_err(|_| "a next hop is self or an address")?;
    if address.is_unspecified() || address.is_multicast() {
        return Err("no host has this next hop");
    }
    Ok(address)
}

/// ExaBGP's words for what others call route target and site of origin.
fn extended(word: &str) -> Option<[u8; 8]> {
    let words = [("target:", "rt:"), ("origin:", "soo:")];
    let known = words.iter().find_map(|(theirs, ours)| Some(format!("{ours}{}", word.strip_prefix(theirs)?)));
    communities::extended_one(known.as_deref().unwrap_or(word))
}

/// AS numbers of a path; with everything else at its most, the attributes fit into a message.
const MAX_PATH: usize = 255;
