//! Row P6: no form of an address that isn't public is reached, asked for at once or through a redirect. What is to stay out
//! of reach listens on every port that is asked for, so that a hole would be seen as a connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::types::FailureKind::{self, DeniedAddress, DeniedHost, InvalidUrl, Resolve};
use super::super::types::{Failure, Request};
use super::support::{LIMITS, Names, OPEN, Server, by, client, fails, me, ok, redirect};

/// URLs of which `PORT` is the victim's, and why they are refused.
const URLS: &[(&str, FailureKind)] = &[
    // this machine
    ("http://127.0.0.1:PORT/", DeniedAddress),
    ("http://127.0.0.3:PORT/", DeniedAddress),
    ("http://127.255.255.255:PORT/", DeniedAddress),
    ("http://2130706433:PORT/", DeniedAddress),
    ("http://0x7f000001:PORT/", DeniedAddress),
    ("http://0X7F.0X0.0X0.0X1:PORT/", DeniedAddress),
    ("http://017700000001:PORT/", DeniedAddress),
    ("http://0177.0.0.01:PORT/", DeniedAddress),
    ("http://0x7f.0.1:PORT/", DeniedAddress),
    ("http://127.1:PORT/", DeniedAddress),
    ("http://127.0.1:PORT/", DeniedAddress),
    ("http://127.0.0.1.:PORT/", DeniedAddress),
    ("http://127.0.0.1..:PORT/", InvalidUrl),
    ("http://127.0.0.1.0:PORT/", InvalidUrl),
    ("http://127.0.0.256:PORT/", InvalidUrl),
    ("http://4294967296:PORT/", InvalidUrl),
    ("http://0:PORT/", DeniedAddress),
    ("http://0.0.0.0:PORT/", DeniedAddress),
    ("http://[::1]:PORT/", DeniedAddress),
    ("http://[0000:0000:0000:0000:0000:0000:0000:0001]:PORT/", DeniedAddress),
    ("http://[::]:PORT/", DeniedAddress),
    ("http://[::1%25lo]:PORT/", InvalidUrl),
    ("http://[fe80::1%25eth0]:PORT/", InvalidUrl),
    ("http://[fe80::1%eth0]:PORT/", InvalidUrl),
    // IPv4 in IPv6
    ("http://[::ffff:127.0.0.1]:PORT/", DeniedAddress),
    ("http://[::ffff:7f00:1]:PORT/", DeniedAddress),
    ("http://[0:0:0:0:0:ffff:7f00:0001]:PORT/", DeniedAddress),
    ("http://[::ffff:169.254.169.254]:PORT/", DeniedAddress),
    ("http://[::127.0.0.1]:PORT/", DeniedAddress),
    ("http://[::8.8.8.8]:PORT/", DeniedAddress),
    ("http://[::ffff:0:127.0.0.1]:PORT/", DeniedAddress),
    ("http://[64:ff9b::127.0.0.1]:PORT/", DeniedAddress),
    ("http://[64:ff9b::a9fe:a9fe]:PORT/", DeniedAddress),
    ("http://[64:ff9b::127.0.0.2]:PORT/", DeniedAddress), // allowed, but not behind a translator
    ("http://[64:ff9b:1::8.8.8.8]:PORT/", DeniedAddress),
    ("http://[2002:7f00:1::1]:PORT/", DeniedAddress),
    ("http://[2002:808:808::1]:PORT/", DeniedAddress),
    ("http://[2001:0:808:808:0:0:80ff:fffe]:PORT/", DeniedAddress),
    // where clouds have their metadata
    ("http://169.254.169.254/latest/meta-data/", DeniedAddress),
    ("http://2852039166/latest/meta-data/", DeniedAddress),
    ("http://0xa9fea9fe/", DeniedAddress),
    ("http://0251.0376.0251.0376/", DeniedAddress),
    ("http://169.254.43518/", DeniedAddress),
    ("http://100.100.100.200/", DeniedAddress),
    ("http://192.0.0.192/", DeniedAddress),
    ("http://[fd00:ec2::254]/", DeniedAddress),
    ("http://metadata.test/", DeniedAddress),
    // private and special networks
    ("http://10.0.0.1:PORT/", DeniedAddress),
    ("http://172.16.0.1:PORT/", DeniedAddress),
    ("http://172.31.255.255:PORT/", DeniedAddress),
    ("http://192.168.1.1:PORT/", DeniedAddress),
    ("http://192.0.2.1/", DeniedAddress),
    ("http://192.88.99.1/", DeniedAddress),
    ("http://198.18.0.1/", DeniedAddress),
    ("http://198.51.100.1/", DeniedAddress),
    ("http://203.0.113.1/", DeniedAddress),
    ("http://224.0.0.1/", DeniedAddress),
    ("http://240.0.0.1/", DeniedAddress),
    ("http://255.255.255.255/", DeniedAddress),
    ("http://[fc00::1]/", DeniedAddress),
    ("http://[fe80::1]/", DeniedAddress),
    ("http://[febf::1]/", DeniedAddress),
    ("http://[fec0::1]/", DeniedAddress),
    ("http://[ff02::1]/", DeniedAddress),
    ("http://[100::1]/", DeniedAddress),
    ("http://[2001:2::1]/", DeniedAddress),
    ("http://[2001:20::1]/", DeniedAddress),
    ("http://[2001:db8::1]/", DeniedAddress),
    ("http://[3fff::1]/", DeniedAddress),
    ("http://[5f00::1]/", DeniedAddress),
    ("http://[4000::1]/", DeniedAddress),
    // users, backslashes, fragments, white space
    ("http://user@127.0.0.1:PORT/", InvalidUrl),
    ("http://user:password@127.0.0.1:PORT/", InvalidUrl),
    ("http://good.test@127.0.0.1:PORT/", InvalidUrl),
    ("http://127.0.0.1:80@good.test/", InvalidUrl),
    ("http://good.test%40127.0.0.1:PORT/", InvalidUrl),
    ("http://127.0.0.1:PORT\\@good.test/", DeniedAddress),
    ("http://127.0.0.1:PORT#@good.test/", DeniedAddress),
    ("http://127.0.0.1:PORT?@good.test/", DeniedAddress),
    ("http:\\\\127.0.0.1:PORT\\", DeniedAddress),
    ("http:///127.0.0.1:PORT/", DeniedAddress),
    ("  http://127.0.0.1:PORT/  ", DeniedAddress),
    ("ht\ntp://127.0.\t0.1:PORT/", DeniedAddress),
    ("http://127.0.0.1 :PORT/", InvalidUrl),
    // letters and digits that stand for others
    ("http://\u{ff11}\u{ff12}\u{ff17}.\u{ff10}.\u{ff10}.\u{ff11}:PORT/", DeniedAddress),
    ("http://\u{2460}\u{2461}\u{2466}.\u{24ea}.\u{24ea}.\u{2460}:PORT/", DeniedAddress),
    ("http://127\u{3002}0\u{3002}0\u{3002}1:PORT/", DeniedAddress),
    ("http://127\u{ff0e}0\u{ff61}0\u{ff0e}1:PORT/", DeniedAddress),
    ("http://127.0.0.\u{ad}1:PORT/", DeniedAddress),
    ("http://%31%32%37%2e0%2e0%2e1:PORT/", DeniedAddress),
    ("http://\u{24db}ocalhost:PORT/", DeniedAddress),
    ("http://\u{ff10}\u{ff58}7f000001:PORT/", DeniedAddress),
    // names
    ("http://localhost:PORT/", DeniedAddress),
    ("http://LocalHost.:PORT/", DeniedAddress),
    ("http://localhost..:PORT/", InvalidUrl),
    ("http://b\u{fc}cher.test:PORT/", DeniedAddress),
    ("http://B\u{dc}CHER\u{3002}test:PORT/", DeniedAddress),
    ("http://xn--bcher-kva.test:PORT/", DeniedAddress),
    ("http://xn--.test:PORT/", InvalidUrl),
    ("http://six.test:PORT/", DeniedAddress),
    ("http://mapped.test:PORT/", DeniedAddress),
    ("http://unspecified.test:PORT/", DeniedAddress),
    ("http://private.test:PORT/", DeniedAddress),
    ("http://shared.test:PORT/", DeniedAddress),
    ("http://unique-local.test:PORT/", DeniedAddress),
    ("http://link-local.test:PORT/", DeniedAddress),
    ("http://nat64.test:PORT/", DeniedAddress),
    ("http://six-to-four.test:PORT/", DeniedAddress),
    ("http://teredo.test:PORT/", DeniedAddress),
    ("http://multicast.test:PORT/", DeniedAddress),
    ("http://broadcast.test:PORT/", DeniedAddress),
    // answers that are public as well
    ("http://mixed-first.test:PORT/", DeniedAddress),
    ("http://mixed-last.test:PORT/", DeniedAddress),
    ("http://mixed-families.test:PORT/", DeniedAddress),
    ("http://nobody.test:PORT/", Resolve),
    ("http://empty.test:PORT/", Resolve),
    // other ways than HTTP
    ("file:///etc/passwd", InvalidUrl),
    ("ftp://127.0.0.1:PORT/", InvalidUrl),
    ("gopher://127.0.0.1:PORT/_", InvalidUrl),
    ("data:text/plain,x", InvalidUrl),
    ("javascript:0", InvalidUrl),
    ("ws://127.0.0.1:PORT/", InvalidUrl),
    ("unix:///var/run/docker.sock", InvalidUrl),
    ("http://", InvalidUrl),
    ("http://good.test:25/", DeniedAddress),
    ("http://good.test:0/", DeniedAddress),
    ("http://good.test:65536/", InvalidUrl),
];

fn names() -> Arc<Names> {
    let one = |name, address| (name, vec![vec![address]]);
    Names::new([
        ("good.test", vec![vec![OPEN]]),
        one("localhost", "127.0.0.1"),
        one("xn--bcher-kva.test", "127.0.0.1"),
        one("metadata.test", "169.254.169.254"),
        one("six.test", "::1"),
        one("mapped.test", "::ffff:127.0.0.1"),
        one("unspecified.test", "0.0.0.0"),
        one("private.test", "192.168.0.1"),
        one("shared.test", "100.64.0.1"),
        one("unique-local.test", "fd12:3456::1"),
        one("link-local.test", "fe80::1"),
        one("nat64.test", "64:ff9b::10.0.0.1"),
        one("six-to-four.test", "2002:a00:1::"),
        one("teredo.test", "2001:0:7f00:1::"),
        one("multicast.test", "ff0e::1"),
        one("broadcast.test", "255.255.255.255"),
        ("mixed-first.test", vec![vec!["127.0.0.1", OPEN]]),
        ("mixed-last.test", vec![vec![OPEN, "127.0.0.1"]]),
        ("mixed-families.test", vec![vec![OPEN, "::1"]]),
        ("empty.test", vec![vec![]]),
    ])
}

async fn get(names: &Arc<Names>, url: &str) -> Result<String, Failure> {
    let response = client(names).fetch(&by(me()), url, Request::default(), &LIMITS, &|_| true).await?;
    Ok(String::from_utf8(response.body).unwrap())
}

#[tokio::test]
async fn p6_no_form_of_an_address_that_is_not_public_is_reached() {
    let victim = Server::start("0.0.0.0", |_| ok("secret")).await;
    let port = victim.address.port().to_string();
    let six = tokio::net::TcpListener::bind(("::1", victim.address.port())).await;
    let names = names();
    assert!(URLS.len() >= 50);
    for (url, kind) in URLS {
        let url = url.replace("PORT", &port);
        fails(get(&names, &url).await, *kind, "");
        // a redirect is read against the URL before it, so only these are what they are alone
        if url.contains("://") {
            let location = url.replace(['\n', '\t'], "");
            let door = Server::start(OPEN, move |_| redirect(302, &location)).await;
            let got = client(&names).fetch(&by(me()), &door.url("/"), Request::default(), &LIMITS, &|_| true).await;
            fails(got, *kind, "redirect 1");
        }
    }
    assert_eq!(victim.connections(), 0);
    if let Ok(six) = six {
        let accepted = std::future::poll_fn(|cx| std::task::Poll::Ready(six.poll_accept(cx).is_ready())).await;
        assert!(!accepted);
    }
    // the victim is there: it is the check that keeps it out of reach
    let open = get(&names, &format!("http://good.test:{port}/")).await;
    assert_eq!(open.unwrap(), "secret");
}

#[tokio::test]
async fn p6_a_name_that_is_bound_anew_is_checked_anew() {
    let victim = Server::start("0.0.0.0", |_| ok("secret")).await;
    let url = format!("http://rebinding.test:{}/", victim.address.port());
    let names = Names::new([("rebinding.test", vec![vec![OPEN], vec!["127.0.0.1"]])]);
    assert_eq!(get(&names, &url).await.unwrap(), "secret");
    assert_eq!(names.lookups.load(Ordering::Relaxed), 1); // no second one between the check and the connection
    fails(get(&names, &url).await, DeniedAddress, "rebinding.test");
    assert_eq!((victim.connections(), names.lookups.load(Ordering::Relaxed)), (1, 2));
}

#[tokio::test]
async fn p6_a_name_that_is_bound_anew_between_redirects_is_checked_anew() {
    let server = Server::start("0.0.0.0", |_| redirect(307, "/again")).await;
    let url = format!("http://rebinding.test:{}/", server.address.port());
    let names = Names::new([("rebinding.test", vec![vec![OPEN], vec![OPEN], vec!["127.0.0.1"]])]);
    fails(get(&names, &url).await, DeniedAddress, "redirect 2");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn p6_only_hosts_that_are_granted_are_reached() {
    let cases: &[(&str, Option<&str>)] = &[
        ("http://good.test/", Some("good.test")),
        ("http://GOOD.test./", Some("good.test")),
        ("http://good\u{3002}test/", Some("good.test")),
        ("http://good.test.evil.test/", Some("good.test.evil.test")),
        ("http://evil.test/good.test", Some("evil.test")),
        ("http://evil.test\\.good.test/", Some("evil.test")),
        ("http://evil.test#.good.test", Some("evil.test")),
        ("http://evil.test?.good.test", Some("evil.test")),
        ("http://good.test@evil.test/", None),
        ("http://[::ffff:1.2.3.4]/", Some("1.2.3.4")),
        ("http://0x01020304/", Some("1.2.3.4")),
        ("http://[2606:4700:0:0::1111]/", Some("2606:4700::1111")),
    ];
    let client = client(&Names::new([]));
    for (url, host) in cases {
        let asked = std::sync::Mutex::new(Vec::new());
        let may = |host: &str| {
            asked.lock().unwrap().push(host.to_owned());
            false
        };
        let got = client.fetch(&by(me()), url, Request::default(), &LIMITS, &may).await;
        fails(got, if host.is_some() { DeniedHost } else { InvalidUrl }, "");
        assert_eq!(asked.into_inner().unwrap(), host.iter().copied().collect::<Vec<_>>(), "{url}");
    }
}

#[tokio::test]
async fn p6_a_redirect_to_a_host_that_is_not_granted_is_refused() {
    let other = Server::always(ok("other")).await;
    let port = other.address.port();
    let door = Server::start(OPEN, move |_| redirect(302, &format!("http://other.test:{port}/"))).await;
    let names = Names::new([("good.test", vec![vec![OPEN]]), ("other.test", vec![vec![OPEN]])]);
    let url = format!("http://good.test:{}/", door.address.port());
    let only_good = |host: &str| host == "good.test";
    let got = client(&names).fetch(&by(me()), &url, Request::default(), &LIMITS, &only_good).await;
    fails(got, DeniedHost, "redirect 1: no grant allows the host other.test");
    assert_eq!((door.connections(), other.connections()), (1, 0));
    assert_eq!(names.lookups.load(Ordering::Relaxed), 1); // nor was it looked up
    assert_eq!(get(&names, &url).await.unwrap(), "other");
}

#[tokio::test]
async fn p6_a_chain_of_redirects_is_checked_to_its_end() {
    let victim = Server::start("127.0.0.1", |_| ok("secret")).await;
    let end = victim.address;
    let names = Names::new([]);
    let chain = Server::start(OPEN, move |request| match &request[5..6] {
        "a" => redirect(301, "b"),
        "b" => redirect(303, "/c?x"),
        "c" => redirect(307, "./d"),
        _ => redirect(308, &format!("http://{end}/")),
    })
    .await;
    fails(get(&names, &chain.url("/a")).await, DeniedAddress, "redirect 4: 127.0.0.1 may not be reached");
    assert_eq!((chain.connections(), victim.connections()), (4, 0));
}

#[tokio::test]
async fn what_names_stand_for_is_not_told() {
    let failure = get(&names(), "http://private.test/").await.unwrap_err();
    assert!(!failure.message.contains("192.168.0.1"), "{failure:?}");
}
