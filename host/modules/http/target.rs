//! Where a request goes: a URL that was taken apart once, so that what is checked, what is connected to and what the server
//! is told can't differ.

use std::borrow::Cow;
use std::net::IpAddr;

use url::{Host, ParseError, Url};

use super::types::{Failure, FailureKind};

/// The longest URL, in bytes, as it is given and as it is sent.
pub(crate) const URL_BYTES_MAX: usize = 8192;

/// Ports of protocols that could take an HTTP request for their own, as the Fetch standard lists them: with a body of its
/// choice, a script could send mail.
const PORTS_REFUSED: [u16; 83] = [
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
    532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060,
    5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
];

/// A URL that a request may be made of, as far as the URL alone says.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    url: Url,
    host: String,
    /// The host, if it is an address.
    address: Option<IpAddr>,
    port: u16,
}

impl Target {
    /// Reads a URL as browsers do: what they take for an address (`0x7f.1`, `2130706433`) is one.
    pub(crate) fn parse(text: &str) -> Result<Target, Failure> {
        bounded(text)?;
        can_have_host(text)?;
        Url::parse(text).map_err(|error| unreadable(text, error)).and_then(Target::new)
    }

    /// Where a redirect from here leads.
    pub(crate) fn redirect(&self, location: &[u8]) -> Result<Target, Failure> {
        let text = match std::str::from_utf8(location) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(percent_encoded(location)),
        };
        bounded(&text)?;
        can_have_host(&text)?;
        self.url.join(&text).map_err(|error| unreadable(&text, error)).and_then(Target::new)
    }

    fn new(mut url: Url) -> Result<Target, Failure> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(scheme(url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("a URL can't have a user or a password: send the header authorization"));
        }
        url.set_fragment(None);
        let none = || invalid("the URL has no host");
        let (host, address) = match url.host().ok_or_else(none)? {
            Host::Domain(name) => (domain(name)?, None),
            Host::Ipv4(address) => (address.to_string(), Some(IpAddr::V4(address))),
            Host::Ipv6(address) => {
                // one that stands for IPv4 is that to the kernel, so to grants as well
                let address = IpAddr::V6(address).to_canonical();
                (address.to_string(), Some(address))
            }
        };
        let set = match address {
            Some(address) => url.set_ip_host(address).is_ok(),
            None => url.set_host(Some(&host)).is_ok() && url.host_str() == Some(&host),
        };
        if !set {
            return Err(none());
        }
        bounded(url.as_str())?;
        let port = url.port_or_known_default().unwrap_or_default();
        if PORTS_REFUSED.contains(&port) {
            let message = format!("port {port} may not be reached: it is another protocol's");
            return Err(Failure::new(FailureKind::DeniedAddress, message));
        }
        Ok(Target { url, host, address, port })
    }

    /// What grants match: a name in lower case, in ASCII, without a dot at its end; an address in its shortest form, IPv6
    /// without brackets, which would have to be escaped in a grant.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The host, if it is an address and no name.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The URL, without a fragment.
    pub(crate) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The header `host`: with the port, if it isn't the scheme's own.
    pub(crate) fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// What stands in the request's first line.
    pub(crate) fn path_and_query(&self) -> String {
        let path = self.url.path();
        self.url.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
    }

    /// Whether headers that are meant for one server may go to both.
    pub(crate) fn is_same_origin(&self, other: &Target) -> bool {
        self.url.scheme() == other.url.scheme() && self.host == other.host && self.port == other.port
    }
}

/// The longest name of a host, and the longest part of one, as servers of names have them.
const HOST_CHARS_MAX: usize = 253;
const LABEL_CHARS_MAX: usize = 63;

/// What stands between the parts of a name.
const DOTS: [char; 4] = ['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'];

/// Refuses a URL whose host can be none by its length, before anything is computed of it: to write a name in ASCII takes a time that
/// goes with the square of its parts' lengths. A character that isn't ASCII takes at least one there, so what has too many
/// characters has too many in ASCII.
///
/// This finds the host as browsers do (the WHATWG's standard), or something longer.
fn can_have_host(text: &str) -> Result<(), Failure> {
    let text = text.trim_matches(|char| char <= ' ');
    let text: String = text.chars().filter(|char| !matches!(char, '\t' | '\n' | '\r')).collect();
    let is_of_scheme = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '+' | '-' | '.'))
    };
    let slashes = ['/', '\\'];
    let rest = match text.split_once(':').filter(|(before, _)| is_of_scheme(before)) {
        Some((before, rest)) if ["http", "https"].iter().any(|known| before.eq_ignore_ascii_case(known)) => rest,
        Some((before, _)) => return Err(scheme(&before.to_ascii_lowercase())),
        None => match text.strip_prefix(slashes).filter(|rest| rest.starts_with(slashes)) {
            Some(rest) => rest,
            None => return Ok(()), // the host is another URL's, or there is none
        },
    };
    let authority = rest.trim_start_matches(slashes).split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if host.starts_with('[') {
        return Ok(()); // an address
    }
    let host = unescaped(host.split(':').next().unwrap_or_default());
    let is_too_long = |part: &str, most: usize| part.chars().nth(most).is_some();
    let name = host.strip_suffix(DOTS).unwrap_or(&host);
    match is_too_long(name, HOST_CHARS_MAX) || name.split(DOTS).any(|label| is_too_long(label, LABEL_CHARS_MAX)) {
        true => Err(no_name()),
        false => Ok(()),
    }
}

/// A host with the bytes that `%XX` stands for.
fn unescaped(host: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut bytes = Vec::with_capacity(host.len());
    let mut rest = host.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let value = match (*first, digit(after.first()), digit(after.get(1))) {
            (b'%', Some(high), Some(low)) => u8::try_from(high << 4 | low).ok(),
            _ => None,
        };
        bytes.push(value.unwrap_or(*first));
        rest = after.get(if value.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn scheme(scheme: &str) -> Failure {
    invalid(format!("a URL begins with http:// or https://, this one with {:.32}:", scheme.escape_debug()))
}

fn no_name() -> Failure {
    invalid("the URL's host is no name: it is too long, or a part between dots is empty or too long")
}

/// A host's name, such as it is looked up.
fn domain(name: &str) -> Result<String, Failure> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    if !name.bytes().all(is_known) {
        return Err(invalid("the URL's host has characters that no host's name has"));
    }
    if name.len() > HOST_CHARS_MAX || !name.split('.').all(|label| (1..=LABEL_CHARS_MAX).contains(&label.len())) {
        return Err(no_name());
    }
    if name.parse::<IpAddr>().is_ok() {
        return Err(invalid("the URL's host is an address with a dot too many"));
    }
    Ok(name.to_owned())
}

fn bounded(text: &str) -> Result<(), Failure> {
    match text.len() {
        ..=URL_BYTES_MAX => Ok(()),
        bytes => Err(invalid(format!("the URL has {bytes} bytes, and may have {URL_BYTES_MAX}"))),
    }
}

fn unreadable(text: &str, error: ParseError) -> Failure {
    let start: String = text.chars().take(64).collect();
    invalid(format!("{start:?} is no URL: {error}"))
}

/// A URL in Latin-1 or another encoding, which is not known: the server that sent it knows its bytes again.
fn percent_encoded(location: &[u8]) -> String {
    let mut text = String::with_capacity(location.len());
    for byte in location {
        match byte {
            0..=0x7f => text.push(char::from(*byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::InvalidUrl, message)
}
