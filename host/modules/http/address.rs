//! Which addresses may be reached. A script names hosts, and a name may stand for any address: one of this machine, of the
//! embedder's own network, or the one where a cloud hands out its keys. So only what is public is reached, and what is
//! not known to be public is not.
//!
//! The tables follow the IANA registries of special-purpose addresses. What they can't know: public addresses that are the
//! embedder's own, and prefixes of the embedder's own that translate to IPv4 (RFC 6052). `Reach::refused` is for those.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::networks::{Network, Networks};

/// What the embedder says of addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    /// May be reached although they are not public.
    pub(crate) allowed: Networks,
    /// May not be reached, whatever else holds.
    pub(crate) refused: Networks,
}

type Table<const N: usize> = [(Network, &'static str); N];

const fn v4(a: u8, b: u8, c: u8, bits: u8, what: &'static str) -> (Network, &'static str) {
    (Network::v4(Ipv4Addr::new(a, b, c, 0), bits), what)
}

const V4: Table<17> = [
    v4(0, 0, 0, 8, "this machine's network"),
    v4(10, 0, 0, 8, "private"),
    v4(100, 64, 0, 10, "shared by a provider's customers"),
    v4(127, 0, 0, 8, "this machine"),
    v4(169, 254, 0, 16, "link-local, where clouds have their metadata"),
    (Network::v4(Ipv4Addr::new(168, 63, 129, 16), 32), "a cloud's own, for its machines"),
    v4(172, 16, 0, 12, "private"),
    v4(192, 0, 0, 24, "set aside for protocols"),
    v4(192, 0, 2, 24, "for documentation"),
    v4(192, 88, 99, 24, "relays of 6to4"),
    v4(192, 168, 0, 16, "private"),
    v4(198, 18, 0, 15, "for benchmarks"),
    v4(198, 51, 100, 24, "for documentation"),
    v4(203, 0, 113, 24, "for documentation"),
    v4(224, 0, 0, 4, "multicast"),
    (Network::v4(Ipv4Addr::BROADCAST, 32), "broadcast"), // before the next, of which it is a part
    v4(240, 0, 0, 4, "reserved"),
];

const fn v6(a: u16, b: u16, c: u16, bits: u8, what: &'static str) -> (Network, &'static str) {
    (Network::v6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), bits), what)
}

/// The first that fits counts.
const V6: Table<17> = [
    (Network::v6(Ipv6Addr::UNSPECIFIED, 128), "no address"),
    (Network::v6(Ipv6Addr::LOCALHOST, 128), "this machine"),
    v6(0, 0, 0, 96, "an outdated form of IPv4"),
    (Network::v6(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96), "IPv4 translated"),
    v6(0x64, 0xff9b, 1, 48, "IPv4 translated by a local rule"),
    v6(0x100, 0, 0, 64, "discarded"),
    v6(0x5f00, 0, 0, 16, "segment routing"),
    v6(0xfc00, 0, 0, 7, "private"),
    v6(0xfe80, 0, 0, 10, "link-local"),
    v6(0xfec0, 0, 0, 10, "site-local"),
    v6(0xff00, 0, 0, 8, "multicast"),
    v6(0x2001, 0, 0, 32, "IPv4 within Teredo"),
    v6(0x2001, 2, 0, 48, "for benchmarks"),
    v6(0x2001, 0xdb8, 0, 32, "for documentation"),
    v6(0x2001, 0, 0, 23, "set aside for protocols"),
    v6(0x2002, 0, 0, 16, "IPv4 within 6to4"),
    v6(0x3fff, 0, 0, 20, "for documentation"),
];

/// All unicast addresses that were ever given out.
const GLOBAL: Network = Network::v6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// IPv4 behind a translator (RFC 6052), which networks without IPv4 resolve every old host to.
const NAT64: Network = Network::v6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

impl Reach {
    /// The address, as it is to be connected to.
    ///
    /// # Errors
    /// It may not be reached: what it is.
    pub(crate) fn check(&self, address: IpAddr) -> Result<IpAddr, String> {
        let address = address.to_canonical();
        if self.refused.contains(address) || translated(address).is_some_and(|v4| self.refused.contains(v4)) {
            return Err("refused by this host's operator".to_owned());
        }
        if self.allowed.contains(address) {
            return Ok(address);
        }
        why_not(address).map_or(Ok(address), Err)
    }
}

/// Why an address isn't public.
fn why_not(address: IpAddr) -> Option<String> {
    let find = |table: &[(Network, &str)]| {
        let found = table.iter().find(|(network, _)| network.contains(address));
        found.map(|(network, what)| format!("{what}, {network}"))
    };
    match address {
        IpAddr::V4(_) => find(&V4),
        // What the embedder allows is not meant for this: behind the translator, a private address is another network's.
        IpAddr::V6(_) => match translated(address) {
            Some(v4) => why_not(v4),
            None => find(&V6).or_else(|| (!GLOBAL.contains(address)).then(|| "not public".to_owned())),
        },
    }
}

/// The IPv4 address that is reached through a translator.
fn translated(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(v6) = address else { return None };
    let [.., a, b, c, d] = v6.octets();
    NAT64.contains(address).then(|| Ipv4Addr::new(a, b, c, d).into())
}
