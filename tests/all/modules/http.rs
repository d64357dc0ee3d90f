//! P6: `motu:http` as scripts have it. What it reaches and what it doesn't, in depth, is tested beside its code: a table of more
//! than a hundred URLs, names and redirects.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use motu::{ErrorKind, HttpSettings, Limits, Motu, Networks, Value};

use super::{ask, tenant};
use crate::support::{builder, limits};

trials![
    p6_a_script_reaches_what_it_was_granted,
    p6_grants_name_hosts,
    p6_loopback_is_not_reached,
    p6_requests_under_way_are_bounded,
    m8_a_server_is_read_in_steps_of_its_tenants,
    m4_bodies_that_are_still_coming_are_memory,
    m8_a_connection_that_ends_leaves_no_port_behind,
];

const SOURCE: &str = "local http = require('@motu/http')\nreturn {\n\
    get = function(url) return http.fetch(url) end,\n\
    kind = function(url) local ok, why = pcall(http.fetch, url) return if ok then 'ok' elseif type(why) == 'table' then why.kind else why end,\n\
    post = function(url) local r = http.fetch(url, { method = 'POST', headers = { ['x-a'] = 'b' }, body = 'hello' }) return r.status .. r.body end,\n\
    many = function(e) local kinds = {} local left = e.n local me = coroutine.running()\n\
        for i = 1, e.n do task.spawn(function() local ok, why = pcall(http.fetch, e.url) kinds[i] = if ok then 'ok' else tostring(why) left -= 1\n\
            if left == 0 then task.defer(coroutine.resume, me) end end) end\n\
        if left > 0 then coroutine.yield() end return kinds end,\n\
    stalled = function(e) for i = 1, e.n do task.spawn(function() local ok, why = pcall(http.fetch, e.url) e.failed = if ok then nil else why.message end) end\n\
        for _ = 1, e.seconds * 100 do if e.failed then break end task.wait(0.01) end return e.failed end }";

/// Answers each request after a moment, on a thread of its own for each connection.
struct Server {
    url: String,
    most: Arc<AtomicUsize>,
}

fn serve(answer: &'static str) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (now, most) = (now.clone(), seen.clone());
            std::thread::spawn(move || {
                most.fetch_max(now.fetch_add(1, Ordering::AcqRel) + 1, Ordering::AcqRel);
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 1024];
                let ends = |request: &[u8]| {
                    let text = String::from_utf8_lossy(request).into_owned();
                    text.ends_with("\r\n\r\n") && !text.contains("content-length: 5") || text.ends_with("hello")
                };
                while !ends(&request) {
                    match stream.read(&mut buffer) {
                        Ok(0) | Err(_) => break,
                        Ok(read) => request.extend_from_slice(&buffer[..read]),
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
                now.fetch_sub(1, Ordering::AcqRel);
                let body = if request.ends_with(b"hello") { "hello back" } else { answer };
                let head = if answer.starts_with("HTTP/") {
                    String::new()
                } else {
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-a: 1\r\nx-a: 2\r\n\r\n", body.len())
                };
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
            });
        }
    });
    Server { url, most }
}

/// Loopback is allowed, for the server of the test.
fn open(limits: Limits) -> Motu {
    let allowed = Networks::parse(["127.0.0.1/32"]).unwrap();
    builder(limits).http(HttpSettings { allowed, ..HttpSettings::default() }).build().unwrap()
}

fn p6_a_script_reaches_what_it_was_granted() {
    let server = serve("hello");
    let motu = open(limits());
    let tenant = tenant(&motu, "p6:1", SOURCE, &["motu:http/client.fetch[host=127.0.0.1]"]);
    let got = ask(&tenant, "get", server.url.as_str()).unwrap();
    assert_eq!(got.get("status"), Some(&Value::from(200)));
    assert_eq!(got.get("body"), Some(&Value::string("hello")));
    assert_eq!(got.get("headers").unwrap().get("x-a"), Some(&Value::string("1, 2")));
    assert_eq!(ask(&tenant, "post", server.url.as_str()).unwrap(), Value::string("200hello back"));
}

fn p6_grants_name_hosts() {
    let server = serve("HTTP/1.1 302 Found\r\nlocation: http://elsewhere.test/\r\ncontent-length: 0\r\n\r\n");
    let motu = open(limits());
    let none = tenant(&motu, "p6:none", SOURCE, &["motu:kv/*"]);
    let other = tenant(&motu, "p6:other", SOURCE, &["motu:http/client.fetch[host=*.example.com]"]);
    for tenant in [&none, &other] {
        let error = ask(tenant, "get", server.url.as_str()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.message().contains("motu:http/client.fetch"), "{error}");
    }
    for odd in ["http://127.0.0.1@elsewhere.test/", "http://[::1]/", "nonsense", "http://a.example.com.evil.test/"] {
        assert_eq!(ask(&other, "get", odd).unwrap_err().kind(), ErrorKind::Denied, "{odd}");
    }
    // what is granted redirects to what isn't
    let granted = tenant(&motu, "p6:granted", SOURCE, &["motu:http/client.fetch[host=127.0.0.1]"]);
    assert_eq!(ask(&granted, "kind", server.url.as_str()).unwrap(), Value::string("denied_host"));
}

fn p6_loopback_is_not_reached() {
    let server = serve("secret");
    let port = server.url.rsplit(':').next().unwrap();
    let motu = builder(limits()).build().unwrap();
    let tenant = tenant(&motu, "p6:1", SOURCE, &["motu:http/*"]);
    for host in
        ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]", "169.254.169.254", "0"]
    {
        let kind = ask(&tenant, "kind", format!("http://{host}:{port}/")).unwrap();
        assert_eq!(kind, Value::string("denied_address"), "{host}");
    }
    assert_eq!(server.most.load(Ordering::Acquire), 0, "nobody came");
}

fn p6_requests_under_way_are_bounded() {
    let server = serve("hello");
    let motu = open(Limits { http_in_flight: 3, ..limits() });
    let tenant = tenant(&motu, "p6:1", SOURCE, &["motu:http/*"]);
    let payload = |n: i32| Value::from([("n", Value::from(n)), ("url", Value::string(server.url.as_str()))]);
    let Value::Array(kinds) = ask(&tenant, "many", payload(3)).unwrap() else { panic!() };
    assert!(kinds.iter().all(|kind| *kind == Value::string("ok")), "{kinds:?}");
    let Value::Array(kinds) = ask(&tenant, "many", payload(4)).unwrap() else { panic!() };
    let refused = kinds.iter().filter(|kind| kind.as_str().unwrap().contains("the limit http_in_flight")).count();
    assert_eq!((refused, kinds.len()), (1, 4), "{kinds:?}");
    assert!(server.most.load(Ordering::Acquire) <= 3);
}

/// What no script sees of a response takes a worker, in its tenant's turns, and not the runtime.
fn m8_a_server_is_read_in_steps_of_its_tenants() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let zeros = |count: usize| -> &'static str { format!("{head}{}1\r\nx\r\n0\r\n\r\n", "0".repeat(count)).leak() };
    let steps = Arc::new(AtomicUsize::new(0));
    let counted = steps.clone();
    let allowed = Networks::parse(["127.0.0.1/32"]).unwrap();
    let motu = builder(limits())
        .http(HttpSettings { allowed, ..HttpSettings::default() })
        .on_step(move |_| {
            counted.fetch_add(1, Ordering::AcqRel);
        })
        .build()
        .unwrap();
    let tenant = tenant(&motu, "m8:1", SOURCE, &["motu:http/*"]);
    let steps_for = |url: &str| {
        steps.store(0, Ordering::Release);
        let kind = ask(&tenant, "kind", url).unwrap();
        (kind, steps.load(Ordering::Acquire))
    };
    let (kind, few) = steps_for(&serve(zeros(1)).url);
    assert_eq!(kind, Value::string("ok"));
    let (kind, many) = steps_for(&serve(zeros(150_000)).url);
    assert_eq!(kind, Value::string("ok"));
    // 12 KiB are read in a poll at most, if all of it is there
    assert!(many >= few + 6 || !cfg!(debug_assertions), "{many} steps, and {few} without");
    let (kind, _) = steps_for(&serve(zeros(1_300_000)).url);
    assert_eq!(kind, Value::string("too_large"));
}

/// A server that sends half of a body of 900 KB, and then nothing.
fn stall() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n");
            let _ = stream.write_all(&[b'x'; 450_000]);
            kept.push(stream);
        }
    });
    url
}

/// The server never closes first. Whoever does would keep the port for a minute.
fn m8_a_connection_that_ends_leaves_no_port_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
        }
    });
    let motu = open(limits());
    let tenant = tenant(&motu, "m8:1", SOURCE, &["motu:http/*"]);
    for _ in 0..10 {
        assert_eq!(ask(&tenant, "kind", format!("http://127.0.0.1:{port}/")).unwrap(), Value::string("ok"));
    }
    // in the kernel's table: the address of either end, and the state, of which 06 is that of a port that is kept
    let kept = || {
        let all = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let is_ours = |line: &&str| line.contains(&format!(":{port:04X} 06 "));
        all.lines().filter(is_ours).count()
    };
    assert_eq!(kept(), 0);
}

fn m4_bodies_that_are_still_coming_are_memory() {
    let motu = open(Limits { memory_bytes: 4 << 20, ..limits() });
    let tenant = tenant(&motu, "m4:1", SOURCE, &["motu:http/*"]);
    let url = stall();
    let stalled = |n: i32, seconds: f64| {
        let url = Value::string(url.as_str());
        ask(&tenant, "stalled", Value::from([("n", n.into()), ("seconds", seconds.into()), ("url", url)]))
    };
    assert_eq!(stalled(2, 0.5).unwrap(), Value::Nil, "two have room");
    // whoever asks for more first is refused: a body, or the script, which has to grow for its tasks
    match stalled(12, 5.0) {
        Ok(why) => assert!(why.as_str().unwrap().contains("over the limit memory_bytes of 4194304"), "{why:?}"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Memory, "{error}");
            assert!(error.message().contains("that the host holds for it"), "{error}");
        }
    }
}
