//! TLS to a server of its own on loopback, whose authority is made here.

use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::super::HttpSettings;
use super::super::client::Client;
use super::super::types::FailureKind::{InsecureRedirect, Timeout, Tls};
use super::super::types::{Failure, Request, Response};
use super::support::{LIMITS, Names, OPEN, Server, by, client_with, fails, me, ok, read_request, redirect};

/// An authority, as PEM, and a server with a certificate of its for `secure.test`.
struct Secure {
    authority: Vec<u8>,
    server: Server,
    handshakes: Arc<Mutex<Vec<HandshakeKind>>>,
}

/// Sends this, and says that it is through, or just closes.
async fn secure(answer: Vec<u8>, is_ended: bool, days: std::ops::Range<i32>) -> Secure {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["secure.test".to_owned(), OPEN.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(days.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(days.end, 1, 1);
    let certificate = params.signed_by(&key, &authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let handshakes: Arc<Mutex<Vec<HandshakeKind>>> = Arc::default();
    let seen = handshakes.clone();
    let server = Server::raw(OPEN, move |stream: TcpStream| {
        let (acceptor, answer, seen) = (acceptor.clone(), answer.clone(), seen.clone());
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            seen.lock().unwrap().extend(stream.get_ref().1.handshake_kind());
            read_request(&mut stream).await;
            let _ = stream.write_all(&answer).await; // the client may have had enough
            let _ = stream.flush().await;
            if is_ended {
                let _ = stream.shutdown().await;
            }
        }
    })
    .await;
    Secure { authority: authority.pem().into_bytes(), server, handshakes }
}

const VALID: std::ops::Range<i32> = 2020..2100;

async fn get(roots: Vec<Vec<u8>>, url: String) -> Result<Response, Failure> {
    let names = Names::new([("secure.test", vec![vec![OPEN]]), ("other.test", vec![vec![OPEN]])]);
    client_with(&[OPEN], &names, roots).fetch(&by(me()), &url, Request::default(), &LIMITS, &|_| true).await
}

#[tokio::test]
async fn an_authority_of_the_embedders_is_trusted() {
    let Secure { authority, server, .. } = secure(ok("secret"), true, VALID).await;
    let port = server.address.port();
    let roots = vec![authority];
    let response = get(roots.clone(), format!("https://secure.test:{port}/")).await.unwrap();
    assert_eq!(response.body, b"secret");
    assert_eq!(get(roots.clone(), format!("https://{OPEN}:{port}/")).await.unwrap().body, b"secret");
    fails(get(roots, format!("https://other.test:{port}/")).await, Tls, "no secure connection with other.test");
}

/// A server can't tell that two calls came from the same client.
#[tokio::test]
async fn no_session_is_resumed() {
    let Secure { authority, server, handshakes } = secure(ok("secret"), true, VALID).await;
    let names = Names::new([("secure.test", vec![vec![OPEN]])]);
    let client = client_with(&[OPEN], &names, vec![authority]);
    let url = format!("https://secure.test:{}/", server.address.port());
    for _ in 0..3 {
        client.fetch(&by(me()), &url, Request::default(), &LIMITS, &|_| true).await.unwrap();
    }
    assert_eq!(*handshakes.lock().unwrap(), [HandshakeKind::Full; 3]);
}

#[tokio::test]
async fn an_authority_that_nobody_knows_is_not() {
    let Secure { server, .. } = secure(ok("secret"), true, VALID).await;
    let other = secure(ok(""), true, VALID).await;
    let url = format!("https://secure.test:{}/", server.address.port());
    fails(get(Vec::new(), url.clone()).await, Tls, "UnknownIssuer");
    fails(get(vec![other.authority], url).await, Tls, "invalid peer certificate");
}

#[tokio::test]
async fn a_certificate_that_is_too_old_or_too_young_is_refused() {
    for days in [2020..2021, 2090..2100] {
        let Secure { authority, server, .. } = secure(ok("secret"), true, days).await;
        fails(get(vec![authority], format!("https://secure.test:{}/", server.address.port())).await, Tls, "");
    }
}

/// What was cut off on the way must not pass for the whole.
#[tokio::test]
async fn a_body_that_is_cut_off_is_a_failure() {
    let body = b"HTTP/1.1 200 OK\r\n\r\nbegins".to_vec();
    let Secure { authority, server, .. } = secure(body.clone(), true, VALID).await;
    let url = format!("https://secure.test:{}/", server.address.port());
    assert_eq!(get(vec![authority], url).await.unwrap().body, b"begins");
    let Secure { authority, server, .. } = secure(body, false, VALID).await;
    let url = format!("https://secure.test:{}/", server.address.port());
    fails(
        get(vec![authority], url).await,
        super::super::types::FailureKind::Protocol,
        "closed the connection before the response was whole",
    );
}

/// What is read in steps comes through TLS as well.
#[tokio::test]
async fn small_pieces_come_through() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = format!("{head}{}1\r\nx\r\n0\r\n\r\n", "0".repeat(100_000)).into_bytes();
    let Secure { authority, server, .. } = secure(answer, true, VALID).await;
    let names = Names::new([("secure.test", vec![vec![OPEN]])]);
    let (by, url) = (by(me()), format!("https://secure.test:{}/", server.address.port()));
    let client = client_with(&[OPEN], &names, vec![authority]);
    let response = client.fetch(&by, &url, Request::default(), &LIMITS, &|_| true).await.unwrap();
    assert_eq!(response.body, b"x");
    assert!(by.spent.gave_way());
}

#[tokio::test]
async fn what_is_not_tls_is_refused() {
    let server = Server::raw(OPEN, |mut stream: TcpStream| async move {
        let _ = stream.write_all(&ok("plain")).await;
    })
    .await;
    fails(get(Vec::new(), format!("https://secure.test:{}/", server.address.port())).await, Tls, "");
}

#[tokio::test]
async fn a_handshake_counts_as_time() {
    let server = Server::raw(OPEN, |stream: TcpStream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let names = Names::new([("secure.test", vec![vec![OPEN]])]);
    let request = Request { timeout: Some(0.5), ..Request::default() };
    let url = format!("https://secure.test:{}/", server.address.port());
    let got = client_with(&[OPEN], &names, Vec::new()).fetch(&by(me()), &url, request, &LIMITS, &|_| true).await;
    fails(got, Timeout, "a secure connection was waited for");
}

#[tokio::test]
async fn a_redirect_to_http_is_refused() {
    let plain = Server::always(ok("plain")).await;
    let Secure { authority, server, .. } = secure(redirect(302, &plain.url("/")), true, VALID).await;
    let url = format!("https://secure.test:{}/", server.address.port());
    fails(get(vec![authority], url).await, InsecureRedirect, "secure.test redirects from https to http");
    assert_eq!(plain.connections(), 0);
}

#[tokio::test]
async fn a_redirect_to_https_is_followed() {
    let Secure { authority, server, .. } = secure(ok("secret"), true, VALID).await;
    let location = format!("https://secure.test:{}/", server.address.port());
    let plain = Server::start(OPEN, move |_| redirect(302, &location)).await;
    assert_eq!(get(vec![authority], plain.url("/")).await.unwrap().body, b"secret");
}

#[test]
fn roots_that_are_wrong_say_which() {
    let bad = |roots: &[&[u8]]| {
        let roots = roots.iter().map(|root| root.to_vec()).collect();
        Client::new(HttpSettings { roots, ..HttpSettings::default() }).err().unwrap().to_string()
    };
    assert!(bad(&[b""]).contains("number 1 of the root certificates has no certificate in it"));
    let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(bad(&[garbage]).contains("number 1 of the root certificates can't be read"));
    assert!(bad(&[b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"]).contains("can't be read"));
}
