//! URLs, taken apart.

use std::time::Instant;

use proptest::prelude::*;

use super::super::target::{Target, URL_BYTES_MAX};
use super::super::types::FailureKind::{DeniedAddress, InvalidUrl};
use super::support::fails;

fn parts(url: &str) -> [String; 4] {
    let target = Target::parse(url).unwrap();
    [target.host().to_owned(), target.authority(), target.path_and_query(), target.port().to_string()]
}

#[test]
fn a_url_is_taken_apart_as_browsers_do() {
    let cases = [
        ("http://Example.COM", ["example.com", "example.com", "/", "80"]),
        ("https://example.com./a?b#c", ["example.com", "example.com", "/a?b", "443"]),
        ("https://example.com:443/", ["example.com", "example.com", "/", "443"]),
        ("http://example.com:443/", ["example.com", "example.com:443", "/", "443"]),
        (
            "http://a_b-c.test/ \"<>`{}|^\u{fc}?'\"`{|}^\u{fc}",
            ["a_b-c.test", "a_b-c.test", "/%20%22%3C%3E%60%7B%7D|^%C3%BC?%27%22`{|}^%C3%BC", "80"],
        ),
        ("http://[2606:4700:0::1111]:8080/", ["2606:4700::1111", "[2606:4700::1111]:8080", "/", "8080"]),
        ("http://[::ffff:1.2.3.4]/", ["1.2.3.4", "1.2.3.4", "/", "80"]),
        ("http://0x1.2/", ["1.0.0.2", "1.0.0.2", "/", "80"]),
        ("http://m\u{fc}nchen.test/", ["xn--mnchen-3ya.test", "xn--mnchen-3ya.test", "/", "80"]),
        ("http://@example.com/a/../b/%2e%2E/c", ["example.com", "example.com", "/c", "80"]),
    ];
    for (url, expected) in cases {
        assert_eq!(parts(url), expected, "{url}");
    }
}

#[test]
fn what_is_no_target_says_why() {
    let long = format!("http://example.com/{}", "a".repeat(URL_BYTES_MAX));
    let grows = format!("http://example.com/{}", "\u{fc}".repeat(URL_BYTES_MAX / 3));
    let label = format!("http://{}.test/", "a".repeat(64));
    let name = format!("http://{}test/", "a.".repeat(125));
    let cases = [
        ("", "\"\" is no URL"),
        ("example.com", "is no URL: relative URL without a base"),
        ("mailto:a@b", "begins with http:// or https://, this one with mailto:"),
        ("http://a b/", "is no URL"),
        ("http://a..b/", "a part between dots is empty"),
        ("http://./", "a part between dots is empty"),
        ("http://a!b/", "characters that no host's name has"),
        ("http://*.test/", "characters that no host's name has"),
        ("http://user@a/", "user or a password"),
        ("http://:password@a/", "user or a password"),
        (&long, "may have 8192"),
        (&grows, "may have 8192"),
        (&label, "too long"),
        (&name, "too long"),
    ];
    for (url, part) in cases {
        fails(Target::parse(url), InvalidUrl, part);
    }
    fails(Target::parse("http://a:6667/"), DeniedAddress, "port 6667");
    let just = format!("http://example.com/{}", "a".repeat(URL_BYTES_MAX - 19));
    assert_eq!(Target::parse(&just).unwrap().url().len(), URL_BYTES_MAX);
    let name = format!("http://{}{}.test/", "a.".repeat(93), "b".repeat(62));
    assert_eq!(Target::parse(&name).unwrap().host().len(), 253);
    fails(Target::parse("http://a/").unwrap().redirect(b"http://\xff/"), InvalidUrl, "");
}

/// Names are decoded by tables and sorted: it must not take long.
#[test]
fn hosts_that_are_made_to_be_slow_are_not() {
    let hosts = [
        "\u{fc}".repeat(4000),
        format!("{}\u{fc}", "a".repeat(8000)),
        format!("xn--{}", "z9".repeat(4000)),
        "xn--a.".repeat(1300),
        "\u{fc}.".repeat(2600),
        "\u{323}\u{307}".repeat(2000),
        "\u{fdfa}".repeat(2700),
    ];
    let start = Instant::now();
    for host in hosts {
        assert!(Target::parse(&format!("http://{host}/")).is_err());
    }
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[test]
fn an_origin_is_scheme_host_and_port() {
    let same = |a: &str, b: &str| Target::parse(a).unwrap().is_same_origin(&Target::parse(b).unwrap());
    assert!(same("http://a.test/x", "http://A.test.:80/y"));
    assert!(!same("http://a.test/", "https://a.test/"));
    assert!(!same("http://a.test/", "http://a.test:81/"));
    assert!(!same("http://a.test/", "http://b.a.test/"));
    assert!(!same("http://a.test:443/", "https://a.test/"));
}

proptest! {
    #[test]
    fn any_text_is_a_target_or_says_why(text in ".{0,64}", scheme in "(https?:/{0,3})?") {
        if let Ok(target) = Target::parse(&format!("{scheme}{text}")) {
            let again = Target::parse(target.url()).unwrap();
            prop_assert_eq!(again.host(), target.host());
            prop_assert_eq!(again.url(), target.url());
            prop_assert!(target.host().is_ascii() && !target.host().ends_with('.') && !target.host().is_empty());
            prop_assert_eq!(target.host().parse().ok(), target.address());
            prop_assert!(target.path_and_query().parse::<hyper::Uri>().is_ok());
            prop_assert!(hyper::header::HeaderValue::try_from(target.authority()).is_ok());
        }
    }

    #[test]
    fn any_redirect_is_a_target_or_says_why(location in prop::collection::vec(any::<u8>(), 0..64)) {
        let from = Target::parse("https://a.test/b/c?d").unwrap();
        if let Ok(target) = from.redirect(&location) {
            prop_assert!(target.url().starts_with("http"));
        }
    }
}

/// However a URL is written, a host that is too long for a name is refused by its length: nothing is computed of it. (Before,
/// IDNA took the square of it: 2 ms for 900 letters.)
#[test]
fn t01_hosts_that_can_be_none_are_refused_by_their_length() {
    let letters = |count: u32| (0..count).filter_map(|n| char::from_u32(0x4e00 + n)).collect::<String>();
    let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let hosts = [
        format!("{0}.{0}.{0}", letters(900)),
        format!("{0}\u{3002}{0}", letters(64)),
        format!("a.{}", escaped(&letters(64))),
        format!("{}.test", letters(63)).repeat(4),
        format!("xn--{}", "z9".repeat(40)),
        format!("a%2e{}", "b".repeat(64)),
        "a.".repeat(128),
    ];
    let before = ["", " \u{1f} ", "\t", "\n\n"];
    let starts =
        ["http://", "HTTPS:\\\\", "hTtp:", "https:////", "http:/\\/", "h\ttt\np://", "http://a@b:c@", "http://@"];
    let ends = ["", ".", "/", "\\path", "?q", "#f", ":80/", ":x", "\t/"];
    for host in &hosts {
        for (before, start) in before.iter().flat_map(|before| starts.iter().map(move |start| (before, start))) {
            for end in ends {
                fails(Target::parse(&format!("{before}{start}{host}{end}")), InvalidUrl, "too long");
            }
        }
        let base = Target::parse("https://a.test/b").unwrap();
        for location in [format!("//{host}/"), format!("\\/{host}"), format!("http:{host}"), format!(" /\t/{host}?")] {
            fails(base.redirect(location.as_bytes()), InvalidUrl, "too long");
        }
        for scheme in ["ftp", "ws", "file", "FTP"] {
            fails(Target::parse(&format!("{scheme}://{host}/")), InvalidUrl, "begins with http:// or https://");
            fails(
                base.redirect(format!("{scheme}://{host}/").as_bytes()),
                InvalidUrl,
                "begins with http:// or https://",
            );
        }
        // what isn't the host may be as long
        if host.len() > 1000 {
            continue; // but a URL has its own bound
        }
        for location in [format!("/{host}"), format!("?{host}"), format!("a/{host}"), format!("/b//{host}")] {
            assert!(base.redirect(location.as_bytes()).is_ok(), "{location}");
        }
        assert!(Target::parse(&format!("https://a.test/{host}?{host}#{host}")).is_ok());
    }
    // and what fits is taken
    let label = format!("{}.test", "b".repeat(63));
    for url in [format!("http://{label}/"), format!("http://{label}./"), format!("http://{}/", letters(15))] {
        assert!(Target::parse(&url).is_ok(), "{url}");
    }
    let same =
        ["http://m%c3%bc.test/", "http://m\u{fc}.test/"].map(|url| Target::parse(url).unwrap().host().to_owned());
    assert_eq!(same[0], same[1]);
}
