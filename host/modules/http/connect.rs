//! Connections to addresses that were checked: TCP, and TLS on it.

use std::collections::VecDeque;
use std::fmt::Display;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificates::{Authorities, CheckedLater};
use super::client::By;
use super::types::{Failure, FailureKind};

/// How many of a host's addresses are tried.
const ATTEMPTS_MAX: usize = 8;

/// How many are tried at once: the one that was begun first is given up for another. Each is a socket.
const ATTEMPTS_AT_ONCE: usize = 3;

/// How long an address has before the next one is tried beside it (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// A connection to the address that answers first; they are tried in turn. When the future is dropped, so are all attempts.
pub(crate) async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    first(addresses, attempt).await
}

/// When it is closed, nothing is left of it: the kernel would keep its local port for a minute. Once half of the ports to one address are
/// taken so, it looks for a free one for milliseconds, with all that the thread has to do waiting.
async fn attempt(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_zero_linger()?; // before it connects: it may be there, and be given up, before anybody looks
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// Returns what the first attempt that succeeds returns, or the last error. Attempts are parts of this future, not tasks: they are polled in the
/// tenant's turns and on its time, and are dropped with it.
pub(super) async fn first<T, A>(addresses: &[SocketAddr], attempt: impl Fn(SocketAddr) -> A) -> io::Result<T>
where
    A: Future<Output = io::Result<T>>,
{
    let mut waiting = addresses.iter().copied().take(ATTEMPTS_MAX);
    let mut attempts = VecDeque::new();
    let mut failed = io::Error::other("there is no address");
    let mut next_at = Instant::now();
    loop {
        if Instant::now() >= next_at
            && let Some(address) = waiting.next()
        {
            if attempts.len() >= ATTEMPTS_AT_ONCE {
                attempts.pop_front();
            }
            attempts.push_back(Box::pin(attempt(address)));
            next_at = Instant::now() + HEAD_START;
        }
        let ended = if waiting.len() > 0 {
            match timeout_at(next_at, any(&mut attempts)).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        } else if attempts.is_empty() {
            return Err(failed);
        } else {
            any(&mut attempts).await
        };
        match ended {
            Ok(first) => return Ok(first),
            Err(error) => failed = error,
        }
        next_at = Instant::now(); // the next has nobody to wait for
    }
}

/// Waits until one of the attempts ends, removes it, and returns its result.
async fn any<T, A: Future<Output = io::Result<T>>>(attempts: &mut VecDeque<Pin<Box<A>>>) -> io::Result<T> {
    poll_fn(|context| {
        for (index, attempt) in attempts.iter_mut().enumerate() {
            if let Poll::Ready(ended) = attempt.as_mut().poll(context) {
                attempts.remove(index);
                return Poll::Ready(ended);
            }
        }
        Poll::Pending
    })
    .await
}

/// TLS for all calls. No session is ever resumed: a ticket that one tenant got would let a server recognise another, and
/// skip the certificate.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    authorities: Arc<Authorities>,
}

impl Tls {
    /// Trusts the certificates that Mozilla does, and these, given as PEM.
    ///
    /// # Errors
    /// What is wrong with a certificate, and which one.
    pub(crate) fn new(extra: &[Vec<u8>]) -> Result<Tls, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for (index, pem) in extra.iter().enumerate() {
            let number = index.saturating_add(1);
            let mut count = 0_usize;
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let added = certificate
                    .map_err(|error| error.to_string())
                    .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
                added.map_err(|error| format!("number {number} of the root certificates can't be read: {error}"))?;
                count = count.saturating_add(1);
            }
            if count == 0 {
                return Err(format!("number {number} of the root certificates has no certificate in it: give PEM"));
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let authorities = Arc::new(Authorities::new(roots, provider.clone())?);
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| format!("TLS can't be set up: {error}"))?;
        let checked_later = Arc::new(CheckedLater(authorities.clone()));
        let mut config = config.dangerous().with_custom_certificate_verifier(checked_later).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Tls { connector: TlsConnector::from(Arc::new(config)), authorities })
    }

    /// The host is who the certificate must be for. That is checked beside the workers, on the tenant's time.
    pub(crate) async fn connect<S>(&self, by: &By, host: &str, stream: S) -> Result<TlsStream<S>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let failed =
            |error: &dyn Display| Failure::new(FailureKind::Tls, format!("no secure connection with {host}: {error}"));
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?;
        let stream = self.connector.connect(name.clone(), stream).await.map_err(|error| failed(&error))?;
        let sent = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let sent: Vec<_> = sent.iter().map(|certificate| certificate.clone().into_owned()).collect();
        let authorities = self.authorities.clone();
        let held = by.hold(sent.iter().map(|certificate| certificate.len()).sum())?;
        let check = move || {
            let _held = &held; // also while nobody waits any more
            authorities.check(&sent, &name)
        };
        let checked = by.aside.run_soon(&by.tenant, check).await;
        match checked {
            Some(Ok(())) => Ok(stream),
            Some(Err(error)) => Err(failed(&error)),
            None => Err(failed(&"the host is shutting down")),
        }
    }
}
