//! Whether a server is who its certificates say. They are checked beside the workers, on the tenant's time, after the handshake and before
//! anything of the request is sent: a signature takes up to a millisecond here, and rustls checks all of a chain in one step of a handshake.
//!
//! What a server sends is hostile. webpki tries each certificate as the issuer of each, 200,000 times: eleven that name each other took 5 s,
//! of a thread that all tenants share. So only those are given to it that form one line from the server's to an authority.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use webpki::EndEntityCert;

/// The most certificates between a server's and an authority. Servers send one or two.
pub(super) const LINE_MAX: usize = 6;

/// How many of one name are tried that an authority may have issued: servers send one that has expired beside the one that hasn't. Each may be
/// a signature or two, of up to a millisecond.
const LAST_MAX: usize = 2;

/// The authorities that are trusted.
#[derive(Debug)]
pub(super) struct Authorities {
    /// What they are called, as certificates name their issuer.
    names: HashSet<Vec<u8>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Authorities {
    /// # Errors
    /// There are none.
    pub(super) fn new(roots: RootCertStore, provider: Arc<CryptoProvider>) -> Result<Authorities, String> {
        let names = roots.roots.iter().map(|root| root.subject.to_vec()).collect();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = verifier.map_err(|error| format!("TLS can't be set up: {error}"))?;
        Ok(Authorities { names, verifier })
    }

    /// Whether a server that sent these certificates, its own first, is the one of this name.
    ///
    /// # Errors
    /// It isn't, or no authority that is trusted says so.
    pub(super) fn check(&self, sent: &[CertificateDer<'_>], name: &ServerName<'_>) -> Result<(), Error> {
        let Some((own, others)) = sent.split_first() else { return Err(Error::NoCertificatesPresented) };
        let line = self.line(own, others);
        self.verifier.verify_server_cert(own, &line, name, &[], UnixTime::now()).map(drop)
    }

    /// Of the certificates beside a server's own, those that lead from it to an authority, each issued by the next. None has the name of one
    /// before it, so there is one way through them, but for [some](LAST_MAX) that the authority may have issued, of one name.
    pub(super) fn line<'a>(
        &self,
        own: &CertificateDer<'_>,
        others: &'a [CertificateDer<'a>],
    ) -> Vec<CertificateDer<'a>> {
        let mut line = Vec::new();
        let Ok(own) = EndEntityCert::try_from(own) else { return line }; // the verifier says why
        let parsed = |sent: &'a CertificateDer<'a>| EndEntityCert::try_from(sent).ok().map(|other| (sent, other));
        let others: Vec<_> = others.iter().filter_map(parsed).collect();
        let called = |name| others.iter().filter(move |(_, other)| other.subject() == name);
        let leads = self.leads(others.iter().map(|(_, other)| other));
        let (mut issuer, mut names) = (own.issuer(), HashSet::new());
        while !self.names.contains(issuer) && names.insert(issuer) && line.len() < LINE_MAX {
            let last = called(issuer).filter(|(_, other)| self.names.contains(other.issuer()));
            let mut last = last.take(LAST_MAX).peekable();
            if let Some((_, other)) = last.peek() {
                issuer = other.issuer();
                line.extend(last.map(|(sent, _)| (*sent).clone()));
                break;
            }
            // an authority that others vouch for may be there several times: the one is taken that leads to one of ours by the fewest
            let from = |other: &EndEntityCert<'_>| leads.get(other.issuer()).copied().unwrap_or(usize::MAX);
            let Some((sent, next)) = called(issuer).min_by_key(|(_, other)| from(other)) else { break };
            line.push((*sent).clone());
            issuer = next.issuer();
        }
        if self.names.contains(issuer) {
            // an authority's new key, which its old one vouches for
            line.extend(called(issuer).take(1).map(|(sent, _)| (*sent).clone()));
        }
        line
    }

    /// By name, how many certificates lead from its own to an authority.
    fn leads<'a>(&self, others: impl Iterator<Item = &'a EndEntityCert<'a>> + Clone) -> HashMap<&'a [u8], usize> {
        let mut leads = HashMap::new();
        for count in 1..=LINE_MAX {
            let is_next = |issuer: &[u8]| match count {
                1 => self.names.contains(issuer),
                _ => leads.get(issuer) == Some(&(count - 1)),
            };
            let found: Vec<_> = others.clone().filter(|other| is_next(other.issuer())).collect();
            for other in found {
                leads.entry(other.subject()).or_insert(count);
            }
        }
        leads
    }
}

/// What a handshake asks. It takes any server for the one that is meant: [`Authorities::check`] says afterwards whether it is.
#[derive(Debug)]
pub(super) struct CheckedLater(pub(super) Arc<Authorities>);

impl ServerCertVerifier for CheckedLater {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.verifier.supported_verify_schemes()
    }
}
