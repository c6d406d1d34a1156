//! One line of the table: a session, and what a router must hold from it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// AS of the routers, and of the speaker inside it.
pub(super) const ROUTER_AS: u32 = 4_200_000_001;
/// AS of the speaker outside.
pub(super) const OUTSIDE_AS: u32 = 4_200_000_010;
/// AS of a router that knows no AS numbers of four bytes.
pub(super) const SHORT_AS: u32 = 65_001;
/// RFC 6793: what stands in the place of an AS number that does not fit.
pub(super) const AS_TRANS: u32 = 23_456;

/// On BIRD's link, where a node would be that is not there; a router that reflects has its path to the VIP.
pub const OTHER_NODE: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 250);

/// Which router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Router {
    /// BIRD 2.
    Bird,
    /// FRR.
    Frr,
}

/// On which side of the routers' border the speaker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Another AS: eBGP.
    Outside,
    /// The same AS: iBGP.
    Inside,
}

/// A VIP of a speaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vip {
    /// Whose.
    pub side: Side,
    /// Its family.
    pub ipv6: bool,
}

/// A session.
#[derive(Clone, Debug)]
pub struct Peering {
    /// Its name, at the router too.
    pub name: &'static str,
    /// With whom.
    pub router: Router,
    /// Who of the speakers.
    pub side: Side,
    /// The family of its connection.
    pub ipv6: bool,
    /// Its number at this router, from 1.
    pub number: u8,
    /// The key of its signatures, at the speaker and at the router.
    pub passwords: [Option<&'static str>; 2],
    /// GTSM on both sides.
    pub ttl_security: bool,
    /// Milliseconds and multiplier of BFD, on both sides.
    pub bfd: Option<(u32, u8)>,
    /// The router knows no capabilities, and so no AS numbers of four bytes and no IPv6. Only FRR can.
    pub plain_open: bool,
    /// Who opens the connection, as the speaker is told: `active`, `passive`, `both`.
    pub mode: &'static str,
    /// IPv4 routes have an IPv6 next hop (RFC 8950).
    pub extended_next_hop: bool,
    /// The router's address is not on the link, but behind it: on its `lo`.
    pub multihop: bool,
    /// Both addresses are link-local; `ipv6` is set, too.
    pub link_local: bool,
    /// More lines of the speaker's table `[[neighbor]]`.
    pub speaker_more: &'static str,
    /// More lines of BIRD's protocol.
    pub bird_more: &'static str,
    /// More commands for FRR, each behind `neighbor ADDRESS `.
    pub frr_more: &'static [&'static str],
    /// The router reflects all it has to the speaker, as one of its clients: another node's path, too, to the IPv4 VIP inside.
    pub reflects: bool,
    /// The router announces six routes of its own.
    pub exports: bool,
}

/// A route as a router holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The AS path, as the router joined it.
    pub as_path: Vec<u32>,
    /// The next hop.
    pub next_hop: Option<IpAddr>,
    /// The metric.
    pub med: Option<u32>,
    /// The preference.
    pub local_pref: Option<u32>,
    /// RFC 1997, `65010:7`.
    pub communities: Vec<String>,
    /// RFC 8092, `1:2:3`.
    pub large_communities: Vec<String>,
}

/// What a router must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    as_path: Vec<u32>,
    next_hop: IpAddr,
    local_pref: Option<u32>,
}

impl Router {
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Bird => 0,
            Self::Frr => 1,
        }
    }

    /// Also the name of the link to it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bird => "bird",
            Self::Frr => "frr",
        }
    }

    /// Its address in session `number`.
    pub fn address(self, number: u8, ipv6: bool) -> IpAddr {
        let link = u8::try_from(self.index()).unwrap_or_default() + 1;
        if ipv6 {
            Ipv6Addr::new(0xfd01, 0, 0, link.into(), 0, 0, 0, number.into()).into()
        } else {
            Ipv4Addr::new(10, 1, link, number).into()
        }
    }

    fn link_local(self, number: u8) -> IpAddr {
        let link = u16::try_from(self.index()).unwrap_or_default() + 1;
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, link, number.into()).into()
    }

    /// The speaker's address in session `number`; number 0 is what other routes go by.
    pub fn speaker(self, number: u8, ipv6: bool) -> IpAddr {
        self.address(100 + number, ipv6)
    }
}

impl Side {
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Outside => 0,
            Self::Inside => 1,
        }
    }

    /// The speaker's AS.
    pub const fn asn(self) -> u32 {
        match self {
            Self::Outside => OUTSIDE_AS,
            Self::Inside => ROUTER_AS,
        }
    }

    /// Its VIPs, one of each family.
    pub const fn vips(self) -> [Vip; 2] {
        [Vip { side: self, ipv6: false }, Vip { side: self, ipv6: true }]
    }
}

impl Vip {
    /// Its address.
    pub fn address(self) -> IpAddr {
        let number = u8::try_from(self.side.index()).unwrap_or_default() + 1;
        if self.ipv6 {
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()).into()
        } else {
            Ipv4Addr::new(203, 0, 113, number).into()
        }
    }

    /// As a host route.
    pub fn network(self) -> String {
        format!("{}/{}", self.address(), if self.ipv6 { 128 } else { 32 })
    }
}

impl Peering {
    /// A plain session; `number` is its own at this router.
    pub const fn new(name: &'static str, router: Router, side: Side, ipv6: bool, number: u8) -> Self {
        Self {
            name,
            router,
            side,
            ipv6,
            number,
            passwords: [None; 2],
            ttl_security: false,
            bfd: None,
            plain_open: false,
            extended_next_hop: false,
            multihop: false,
            link_local: false,
            mode: "active",
            speaker_more: "",
            bird_more: "",
            frr_more: &[],
            reflects: false,
            exports: false,
        }
    }

    /// Signed with this key.
    pub const fn password(mut self, key: &'static str) -> Self {
        self.passwords = [Some(key); 2];
        self
    }

    /// With BFD.
    pub const fn bfd(mut self, milliseconds: u32, multiplier: u8) -> Self {
        self.bfd = Some((milliseconds, multiplier));
        self
    }

    /// The router's address.
    pub fn address(&self) -> IpAddr {
        if self.link_local {
            return self.router.link_local(self.number);
        }
        match self.router.address(self.number, self.ipv6) {
            IpAddr::V4(address) if self.multihop => {
                let [_, _, link, number] = address.octets();
                Ipv4Addr::new(10, 2, link, number).into()
            }
            IpAddr::V6(address) if self.multihop => {
                let [_, _, _, link, .., number] = address.segments();
                Ipv6Addr::new(0xfd02, 0, 0, link, 0, 0, 0, number).into()
            }
            address => address,
        }
    }

    /// The speaker's.
    pub fn speaker(&self) -> IpAddr {
        if self.link_local {
            return self.router.link_local(100 + self.number);
        }
        self.router.speaker(self.number, self.ipv6)
    }

    /// What BIRD calls it: a word that none of its own keywords is.
    pub(super) fn protocol(&self) -> String {
        format!("with_{}", self.name)
    }

    /// The router's AS in it.
    pub const fn router_as(&self) -> u32 {
        if self.plain_open { SHORT_AS } else { ROUTER_AS }
    }

    /// Whether the VIP's family was agreed on: without capabilities there is IPv4 only.
    pub fn carries(&self, vip: Vip) -> bool {
        !(self.plain_open && vip.ipv6)
    }
}

impl Expected {
    /// What the router must hold of a VIP from a session.
    pub fn of(peering: &Peering, vip: Vip) -> Self {
        let path = match peering.side {
            Side::Outside => vec![OUTSIDE_AS],
            Side::Inside => vec![],
        };
        let own = vip.ipv6 == peering.ipv6 || peering.extended_next_hop;
        let number = if own { peering.number } else { 0 };
        let shared = peering.router.speaker(number, vip.ipv6 || peering.extended_next_hop);
        Self {
            as_path: path,
            next_hop: if own && peering.link_local { peering.speaker() } else { shared },
            local_pref: (peering.side == Side::Inside).then_some(100),
        }
    }

    /// Whether it does.
    pub fn fits(&self, seen: &Seen) -> bool {
        // A router without AS numbers of four bytes shows what came in the old attribute.
        let path = seen.as_path == self.as_path || !self.as_path.is_empty() && seen.as_path == [AS_TRANS];
        path && seen.next_hop == Some(self.next_hop)
            && seen.med == Some(100)
            && (self.local_pref.is_none() || seen.local_pref == self.local_pref)
            && seen.communities == ["65010:7"]
            && seen.large_communities == ["4200000010:1:2"]
    }
}
