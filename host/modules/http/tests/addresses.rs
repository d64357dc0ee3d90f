//! Which addresses are public, and what the embedder may say about others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::super::address::Reach;
use super::super::networks::Networks;

fn reach(allowed: &[&str], refused: &[&str]) -> Reach {
    Reach { allowed: Networks::parse(allowed).unwrap(), refused: Networks::parse(refused).unwrap() }
}

fn is_open(reach: &Reach, address: &str) -> bool {
    reach.check(address.parse().unwrap()).is_ok()
}

#[test]
fn public_addresses_are_open_up_to_the_edges_of_what_is_not() {
    let edges = "1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 \
                 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0 \
                 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 \
                 203.0.114.0 223.255.255.255 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2001:200:: 2001:db7:ffff:: 2001:db9:: \
                 2001:4860:4860::8888 2003:: 2606:4700:4700::1111 2a00:: 3ffe:ffff:: 3fff:1000::";
    for address in edges.split_whitespace() {
        assert!(is_open(&Reach::default(), address), "{address}");
    }
}

/// Whichever way it is written, or a translator reaches it.
#[test]
fn what_the_embedder_refuses_is_refused_behind_a_translator_too() {
    let reach = reach(&["10.0.0.0/8"], &["8.8.8.0/24", "10.1.0.0/16"]);
    for address in ["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3"]
    {
        let refused = reach.check(address.parse().unwrap()).unwrap_err();
        assert_eq!(refused, "refused by this host's operator", "{address}");
    }
    for address in ["8.8.9.8", "64:ff9b::8.8.9.8", "10.2.0.1"] {
        assert!(is_open(&reach, address), "{address}");
    }
    assert!(!is_open(&reach, "64:ff9b::10.2.0.1"), "what is allowed here isn't behind a translator");
}

#[test]
fn what_is_not_public_is_refused_with_a_reason() {
    let cases = [
        ("0.0.0.0", "this machine's network, 0.0.0.0/8"),
        ("0.255.255.255", "0.0.0.0/8"),
        ("10.255.255.255", "private, 10.0.0.0/8"),
        ("100.64.0.0", "a provider's customers, 100.64.0.0/10"),
        ("100.127.255.255", "100.64.0.0/10"),
        ("127.0.0.1", "this machine, 127.0.0.0/8"),
        ("169.254.169.254", "metadata, 169.254.0.0/16"),
        ("168.63.129.16", "a cloud's own, for its machines, 168.63.129.16/32"),
        ("172.31.255.255", "private, 172.16.0.0/12"),
        ("192.0.0.255", "protocols, 192.0.0.0/24"),
        ("192.0.2.255", "documentation, 192.0.2.0/24"),
        ("192.88.99.255", "6to4, 192.88.99.0/24"),
        ("192.168.255.255", "private, 192.168.0.0/16"),
        ("198.19.255.255", "benchmarks, 198.18.0.0/15"),
        ("198.51.100.255", "documentation, 198.51.100.0/24"),
        ("203.0.113.255", "documentation, 203.0.113.0/24"),
        ("239.255.255.255", "multicast, 224.0.0.0/4"),
        ("255.255.255.254", "reserved, 240.0.0.0/4"),
        ("255.255.255.255", "broadcast, 255.255.255.255/32"),
        ("::", "no address"),
        ("::1", "this machine"),
        ("::2", "outdated"),
        ("::8.8.8.8", "outdated"),
        ("::ffff:10.0.0.1", "private, 10.0.0.0/8"),
        ("::ffff:0:8.8.8.8", "translated"),
        ("64:ff9b::10.0.0.1", "private, 10.0.0.0/8"),
        ("64:ff9b::1:0:0", "not public"),
        ("64:ff9b:1:ffff::8.8.8.8", "a local rule"),
        ("100::1", "discarded"),
        ("100:0:0:1::", "not public"),
        ("1fff:ffff::", "not public"),
        ("2001::", "Teredo"),
        ("2001:2::", "benchmarks"),
        ("2001:10::", "protocols"),
        ("2001:1ff:ffff::", "protocols"),
        ("2001:db8:ffff::", "documentation"),
        ("2002:808:808::", "6to4"),
        ("3fff:fff:ffff::", "documentation"),
        ("4000::", "not public"),
        ("5f00::", "segment routing"),
        ("fbff::", "not public"),
        ("fdff::", "private"),
        ("fe00::", "not public"),
        ("febf::", "link-local"),
        ("feff::", "site-local"),
        ("ff00::", "multicast"),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"),
    ];
    for (address, part) in cases {
        let why = Reach::default().check(address.parse().unwrap()).unwrap_err();
        assert!(why.contains(part), "{address}: {why}");
    }
}

#[test]
fn the_embedder_opens_and_closes_networks() {
    let reach = reach(&["10.1.0.0/16", "127.0.0.1", "fd00:1::/32"], &["10.1.2.0/24", "8.8.8.0/24", "2606::/16"]);
    for open in ["10.1.0.1", "::ffff:10.1.0.1", "127.0.0.1", "fd00:1:ffff::", "1.1.1.1"] {
        assert!(is_open(&reach, open), "{open}");
    }
    let closed = ["10.1.2.3", "10.2.0.1", "127.0.0.2", "fd00:2::", "8.8.8.8", "::ffff:8.8.8.8", "2606:4700::1111"];
    for closed in closed {
        assert!(!is_open(&reach, closed), "{closed}");
    }
    assert!(!is_open(&reach, "64:ff9b::10.1.0.1"), "behind a translator it is another network's");
}

#[test]
fn networks_that_are_wrong_say_how() {
    let cases = [
        ("", "\"\" is no IP address"),
        ("localhost", "\"localhost\" is no IP address"),
        ("10.1.0.0/", "\"\" is no number of bits"),
        ("10.1.0.0/+8", "\"+8\" is no number of bits"),
        ("10.1.0.0/33", "32 bits at most"),
        ("10.1.0.0/999", "32 bits at most"),
        ("::/129", "128 bits at most"),
        ("10.1.2.3/16", "did you mean 10.1.0.0/16?"),
        ("fd00::1/8", "did you mean fd00::/8?"),
        ("0.0.0.1/0", "did you mean 0.0.0.0/0?"),
        ("::ffff:10.1.0.0/112", "write it as IPv4: 10.1.0.0"),
        ("fe80::1%lo", "is no IP address"),
        ("10.1/16", "is no IP address"),
        (" 10.1.0.0/16", "is no IP address"),
    ];
    for (text, part) in cases {
        let error = Networks::parse([text]).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    let long = Networks::parse(["x".repeat(1 << 20)]).unwrap_err().to_string();
    assert!(long.len() < 256, "{long}");
}

proptest! {
    #[test]
    fn ipv4_in_ipv6_is_judged_as_ipv4(bits: u32) {
        let v4 = Ipv4Addr::from_bits(bits);
        let is_open = Reach::default().check(v4.into()).is_ok();
        let mapped = Reach::default().check(v4.to_ipv6_mapped().into());
        prop_assert_eq!(mapped.ok(), is_open.then_some(IpAddr::V4(v4)));
        let translated = Ipv6Addr::from_bits(0x64_ff9b << 96 | u128::from(bits));
        prop_assert_eq!(Reach::default().check(translated.into()).is_ok(), is_open);
        // what the standard library knows to be special is special here
        let is_special = v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_multicast()
            || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified();
        prop_assert!(!(is_open && is_special));
    }

    #[test]
    fn only_global_unicast_is_open(bits: u128) {
        let v6 = Ipv6Addr::from_bits(bits);
        let is_open = Reach::default().check(v6.into()).is_ok();
        prop_assert!(!is_open || bits >> 125 == 1);
    }

    #[test]
    fn a_network_contains_what_has_its_prefix(bits in 0..=128_u32, first: u128, other: u128) {
        let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
        let start = first & mask;
        prop_assume!(Ipv6Addr::from_bits(start).to_ipv4_mapped().is_none());
        let networks = Networks::parse([format!("{}/{bits}", Ipv6Addr::from_bits(start))]).unwrap();
        for address in [first, other, start, start | !mask] {
            let v6 = Ipv6Addr::from_bits(address);
            prop_assume!(v6.to_ipv4_mapped().is_none());
            prop_assert_eq!(networks.contains(v6.into()), address & mask == start);
        }
    }
}
