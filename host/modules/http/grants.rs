//! Patterns of grants that no URL's host fits, as `[host=https://example.com]`: what `Motu::vain_grants` says of them.

use std::net::IpAddr;

use super::target::Target;

/// Why no request is allowed by a grant with this pattern, if so. The pattern is given by its pieces between `*`.
pub(super) fn never(name: &str, pieces: &[Box<str>]) -> Option<String> {
    let pattern = pieces.join("*");
    if name == "host" && is_possible(pieces) {
        return None;
    }
    let meant = host_in(&pattern, pieces.len() == 1);
    let fits = is_possible(&meant.split('*').map(Box::from).collect::<Vec<_>>());
    let meant = if fits { format!(": did you mean [host={meant}]?") } else { String::new() };
    Some(match name {
        "host" => format!("host is never {pattern:?}{meant}"),
        _ => format!("a request is allowed by its host, not by its {name}{meant}"),
    })
}

/// Whether some URL may have such a host. A host without `*` must be one as grants compare it; of others the characters are
/// looked at.
fn is_possible(pieces: &[Box<str>]) -> bool {
    if let [host] = pieces {
        return canonical(host).is_some_and(|canonical| canonical == **host);
    }
    let is_address = pieces.iter().any(|piece| piece.contains(':'));
    let is_known = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'f' | b'.' => true,
        b':' => is_address,
        b'g'..=b'z' | b'-' | b'_' => !is_address,
        _ => false,
    };
    pieces.iter().all(|piece| piece.bytes().all(is_known)) && !pieces.last().is_some_and(|last| last.ends_with('.'))
}

/// A host as grants compare it.
fn canonical(host: &str) -> Option<String> {
    let url = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("https://[{address}]"),
        _ if host.contains(['/', '\\', '?', '#', '@', ':']) => return None,
        _ => format!("https://{host}"),
    };
    Target::parse(&url).ok().map(|target| target.host().to_owned())
}

/// The host in the pattern of a URL, or in one of a host that has too much.
fn host_in(pattern: &str, is_whole: bool) -> String {
    let rest = pattern.split_once("://").map_or(pattern, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match (authority.strip_prefix('['), authority.split_once(':')) {
        (Some(rest), _) => rest.split(']').next().unwrap_or_default(),
        (None, Some((host, port))) if !port.contains(':') => host,
        _ => authority,
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if is_whole { canonical(&host).unwrap_or(host) } else { host }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that fails may panic")]
mod tests {
    use super::*;
    use crate::grant::Grant;

    fn said(grant: &str) -> Option<String> {
        let grant: Grant = format!("motu:http/client.fetch{grant}").parse().unwrap();
        grant.arguments().find_map(|(name, pieces)| never(name, pieces))
    }

    #[test]
    fn c04_hosts_that_no_url_has() {
        for (grant, meant) in [
            ("[host=https://example.com]", "example.com"),
            ("[host=https://*.example.com]", "*.example.com"),
            ("[host=https://*.example.com:8443/a?b]", "*.example.com"),
            ("[host=Example.com]", "example.com"),
            ("[host=*.Example.com]", "*.example.com"),
            ("[host=example.com:443]", "example.com"),
            ("[host=*.example.com:443]", "*.example.com"),
            ("[host=example.com.]", "example.com"),
            ("[host=*.example.com.]", "*.example.com"),
            ("[host=example.com/*]", "example.com"),
            ("[host=bücher.example]", "xn--bcher-kva.example"),
            ("[host=0x7f.1]", "127.0.0.1"),
            ("[host=::ffff:127.0.0.1]", "127.0.0.1"),
            (r"[host=[::1\]]", "::1"),
            ("[url=https://api.example.com/*]", "api.example.com"),
            ("[url=https://*.example.com/*]", "*.example.com"),
            ("[url=*]", "*"),
        ] {
            let said = said(grant).unwrap_or_default();
            assert!(said.ends_with(&format!(": did you mean [host={meant}]?")), "{grant}: {said}");
        }
        for grant in ["[host=]", "[host=a b]", "[host=*.bücher.example]", "[host=a..b]", "[url=]"] {
            let said = said(grant).unwrap_or_default();
            assert!(!said.is_empty() && !said.contains("did you mean"), "{grant}: {said}");
        }
        let good = [
            "example.com",
            "*.example.com",
            "a*b.*",
            "*",
            "127.0.0.1",
            "10.*",
            "::1",
            "2001:db8:*",
            "a_b.c",
            "localhost",
        ];
        for host in good {
            assert_eq!(said(&format!("[host={host}]")), None);
        }
    }
}
