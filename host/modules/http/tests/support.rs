//! Servers that answer as a test says, and a resolver that knows what a test says.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::super::client::{By, Client, HttpSettings};
use super::super::limits::HttpLimits;
use super::super::networks::Networks;
use super::super::resolve::{Lookup, Resolver, Resolving};
use super::super::types::{Failure, FailureKind, Headers, Request, Response};
use crate::functions::Aside;
use crate::metering::Pace;
use crate::share::Shares;
use crate::tenant::Tenant;
use crate::vm::Gauge;

/// The address that tests allow. What listens elsewhere on this machine must stay out of reach.
pub(super) const OPEN: &str = "127.0.0.2";

/// Roomy, but for time: no test waits for long.
pub(super) const LIMITS: HttpLimits = HttpLimits {
    request_bytes: 1 << 20,
    response_bytes: 1 << 20,
    header_bytes: 16 << 10,
    redirects: 10,
    timeout_ms: 20_000,
};

/// A server that does the same with each connection, until it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Gives each connection to `serve`.
    pub(super) async fn raw<F: Future<Output = ()> + Send + 'static>(
        ip: &str,
        serve: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream));
            }
        });
        Server { address, connections, requests: Arc::default(), task }
    }

    /// Answers each request with the bytes that `answer` makes of it, then closes.
    pub(super) async fn start(ip: &str, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Server {
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answer, seen) = (Arc::new(answer), requests.clone());
        let mut server = Server::raw(ip, move |mut stream| {
            let (answer, seen) = (answer.clone(), seen.clone());
            async move {
                let request = read_request(&mut stream).await;
                let bytes = answer(&request);
                seen.lock().unwrap().push(request);
                let _ = stream.write_all(&bytes).await; // the client may have had enough
            }
        })
        .await;
        server.requests = requests;
        server
    }

    /// Answers every request with this.
    pub(super) async fn always(bytes: impl Into<Vec<u8>>) -> Server {
        let bytes = bytes.into();
        Server::start(OPEN, move |_| bytes.clone()).await
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// The head, and the body that it announces.
pub(super) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    head + &String::from_utf8_lossy(&body)
}

/// A whole response.
pub(super) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

pub(super) fn redirect(status: u16, location: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

/// Knows these names. Each has a list of answers, of which the last is given again and again.
#[derive(Default)]
pub(super) struct Names {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    pub(super) lookups: AtomicUsize,
}

impl Names {
    pub(super) fn new<'a>(names: impl IntoIterator<Item = (&'a str, Vec<Vec<&'a str>>)>) -> Arc<Names> {
        let address = |text: &str| text.parse().unwrap();
        let answers = |answers: Vec<Vec<&str>>| {
            answers.iter().rev().map(|answer| answer.iter().map(|text| address(text)).collect()).collect()
        };
        let names = names.into_iter().map(|(name, list)| (name.to_owned(), answers(list))).collect();
        Arc::new(Names { answers: Mutex::new(names), lookups: AtomicUsize::new(0) })
    }
}

impl Resolver for Names {
    fn resolve(&self, lookup: Lookup) -> Resolving<'_> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let mut answers = self.answers.lock().unwrap();
        let found = answers
            .get_mut(lookup.host())
            .and_then(|list| if list.len() > 1 { list.pop() } else { list.last().cloned() });
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }
}

/// Who asks.
pub(super) fn me() -> Tenant {
    "test:1".parse().unwrap()
}

/// A call of theirs, that nobody pays for.
pub(super) fn by(tenant: Tenant) -> By {
    let shares = Arc::new(Shares::new(Pace::USUAL, true));
    let aside = Arc::new(Aside::new(&tokio::runtime::Handle::current(), &shares));
    By { tenant, spent: Arc::default(), gauge: Gauge::default(), memory_bytes: u64::MAX, aside }
}

/// A client that reaches [`OPEN`] beside what is public.
pub(super) fn client(names: &Arc<Names>) -> Client {
    client_with(&[OPEN], names, Vec::new())
}

pub(super) fn client_with(allowed: &[&str], names: &Arc<Names>, roots: Vec<Vec<u8>>) -> Client {
    let allowed = Networks::parse(allowed).unwrap();
    Client::new(HttpSettings { allowed, resolver: names.clone(), roots, ..HttpSettings::default() })
        .unwrap_or_else(|error| panic!("{error}"))
}

/// What comes of a GET.
pub(super) async fn get(url: &str) -> Result<Response, Failure> {
    send(url, Request::default(), &LIMITS).await
}

pub(super) async fn send(url: &str, request: Request, limits: &HttpLimits) -> Result<Response, Failure> {
    client(&Names::new([])).fetch(&by(me()), url, request, limits, &|_| true).await
}

pub(super) fn headers(list: &[(&str, &str)]) -> Option<Headers> {
    let kept = list.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    Some(Headers { kept, count: list.len() })
}

#[track_caller]
pub(super) fn fails<T: std::fmt::Debug>(got: Result<T, Failure>, kind: FailureKind, part: &str) {
    match got {
        Err(failure) if failure.kind == kind && failure.message.contains(part) => (),
        other => panic!("expected {kind:?} with {part:?}, got {other:?}"),
    }
}
