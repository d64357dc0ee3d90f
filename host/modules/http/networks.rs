//! Networks that the embedder names, as CIDR text.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A set of IP networks.
///
/// ```text
/// 10.1.0.0/16      all addresses that begin with 10.1
/// fd12:3456::/32   the same for IPv6
/// 127.0.0.1        one address
/// ```
///
/// IPv6 addresses that stand for an IPv4 address (`::ffff:10.1.2.3`) are in the networks that the IPv4 address is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

/// Something is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no network: {problem}")]
pub struct NetworkError {
    text: String,
    problem: String,
}

/// The addresses whose first bits are those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    first: IpAddr,
    bits: u8,
}

impl Networks {
    /// Reads a list of networks.
    ///
    /// # Errors
    ///
    /// One of them is not an address with, perhaps, `/` and a number of bits; or it has bits that are not in the network's
    /// prefix, which is more often a mistake than meant.
    pub fn parse<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Result<Networks, NetworkError> {
        let parse = |text: S| {
            let text = text.as_ref();
            Network::parse(text).map_err(|problem| NetworkError { text: start(text), problem })
        };
        texts.into_iter().map(parse).collect::<Result<_, _>>().map(Networks)
    }

    /// Whether an address is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// Of a text that may be long.
fn start(text: &str) -> String {
    text.chars().take(64).collect()
}

impl Network {
    pub(crate) const fn v4(first: Ipv4Addr, bits: u8) -> Network {
        Network { first: IpAddr::V4(first), bits }
    }

    pub(crate) const fn v6(first: Ipv6Addr, bits: u8) -> Network {
        Network { first: IpAddr::V6(first), bits }
    }

    fn parse(text: &str) -> Result<Network, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| format!("{:?} is no IP address", start(address)))?;
        if first != first.to_canonical() {
            return Err(format!("it stands for IPv4, so write it as IPv4: {}", first.to_canonical()));
        }
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) if !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(|| format!("it has {most} bits at most"))?
            }
            Some(bits) => return Err(format!("{:?} is no number of bits", start(bits))),
        };
        let network = Network { first, bits };
        match network.start() {
            start if start == first => Ok(network),
            start => Err(format!("it has bits beyond its prefix; did you mean {start}/{bits}?")),
        }
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && Network { first: address, ..*self }.start() == self.start()
    }

    /// The address with only the bits of the prefix.
    fn start(&self) -> IpAddr {
        let bits = u32::from(self.bits);
        match self.first {
            IpAddr::V4(first) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
                Ipv4Addr::from_bits(first.to_bits() & mask).into()
            }
            IpAddr::V6(first) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
                Ipv6Addr::from_bits(first.to_bits() & mask).into()
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}
