//! Certificates that servers send: the honest line is found, and a hostile one is short.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{Error, RootCertStore};

use super::super::certificates::{Authorities, LINE_MAX};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn root(name: &str) -> Issuer {
    CertifiedIssuer::self_signed(params(name), KeyPair::generate().unwrap()).unwrap()
}

fn issued(name: &str, by: &Issuer) -> Issuer {
    CertifiedIssuer::signed_by(params(name), KeyPair::generate().unwrap(), by).unwrap()
}

fn server(by: &Issuer) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["secure.test".to_owned()]).unwrap();
    params.signed_by(&key, by).unwrap().der().clone()
}

fn trusting(root: &Issuer) -> Authorities {
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    Authorities::new(roots, Arc::new(rustls::crypto::ring::default_provider())).unwrap()
}

fn check(authorities: &Authorities, own: &CertificateDer<'static>, others: &[&Issuer]) -> Result<(), Error> {
    let sent: Vec<_> = std::iter::once(own.clone()).chain(others.iter().map(|other| other.der().clone())).collect();
    authorities.check(&sent, &ServerName::try_from("secure.test").unwrap())
}

#[test]
fn an_honest_line_is_found_beside_what_leads_nowhere() {
    let top = root("top");
    let (one, other) = (issued("one", &top), root("other"));
    let (two, across) = (issued("two", &one), issued("one", &other));
    let own = server(&two);
    let authorities = trusting(&top);
    for others in [vec![&two, &one], vec![&one, &two], vec![&two, &one, &top], vec![&other, &across, &two, &one]] {
        assert_eq!(check(&authorities, &own, &others), Ok(()));
    }
    // an authority of which two are said to vouch
    let (unknown, deep) = (root("unknown"), issued("deep", &one));
    let of_unknown = issued("two", &unknown);
    let below = server(&two);
    for others in [
        vec![&of_unknown, &two, &one],
        vec![&two, &of_unknown, &one],
        vec![&of_unknown, &unknown, &two, &one],
        vec![&deep, &of_unknown, &two, &one],
    ] {
        assert_eq!(check(&authorities, &below, &others), Ok(()));
    }
    assert!(check(&authorities, &own, &[&two]).is_err());
    assert!(check(&authorities, &own, &[&two, &across, &other]).is_err());
    assert!(check(&authorities, &server(&other), &[&other]).is_err());
    assert!(authorities.check(&[], &ServerName::try_from("secure.test").unwrap()).is_err());
    let wrong = [CertificateDer::from(vec![0x30; 10])];
    assert!(authorities.check(&wrong, &ServerName::try_from("secure.test").unwrap()).is_err());
    assert!(matches!(
        authorities.check(&[own], &ServerName::try_from("elsewhere.test").unwrap()),
        Err(Error::InvalidCertificate(_))
    ));
}

/// A certificate was renewed, its key was, or the authority's.
#[test]
fn an_honest_line_of_what_was_renewed_is_found() {
    let top = root("top");
    let authorities = trusting(&top);
    let mut old = params("one");
    old.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = KeyPair::generate().unwrap();
    let pem = key.serialize_pem();
    let expired = CertifiedIssuer::signed_by(old, key, &top).unwrap();
    let again = CertifiedIssuer::signed_by(params("one"), KeyPair::from_pem(&pem).unwrap(), &top).unwrap();
    for others in [[&expired, &again], [&again, &expired]] {
        assert_eq!(check(&authorities, &server(&again), &others), Ok(()));
    }
    let new_key = issued("one", &top);
    for others in [[&again, &new_key], [&new_key, &again]] {
        assert_eq!(check(&authorities, &server(&new_key), &others), Ok(()));
    }
    let new_top = issued("top", &top);
    assert_eq!(check(&authorities, &server(&new_top), &[&new_top]), Ok(()));
    let below = issued("one", &new_top);
    assert_eq!(check(&authorities, &server(&below), &[&below, &new_top]), Ok(()));
}

/// Certificates that all name each other, and some that an authority is said to have issued: webpki sees few of them.
#[test]
fn m8_what_a_hostile_server_sends_has_one_way_through_it() {
    let top = root("top");
    let authorities = trusting(&top);
    let same: Vec<_> = (0..20).map(|_| root("same")).collect();
    let names = same.iter().map(|same| same.der().clone()).collect::<Vec<_>>();
    assert_eq!(authorities.line(&server(&same[0]), &names).len(), 1);
    let false_top = root("top");
    let signed: Vec<_> = (0..20).map(|_| issued("same", &false_top).der().clone()).collect();
    assert_eq!(authorities.line(&server(&same[0]), &signed).len(), 2);
    assert_eq!(authorities.line(&server(&false_top), &signed).len(), 0);
    let tops: Vec<_> = (0..20).map(|_| issued("top", &false_top).der().clone()).collect();
    assert_eq!(authorities.line(&server(&false_top), &tops).len(), 1);
    let mut long = vec![root("0")];
    for number in 1..20 {
        long.push(issued(&number.to_string(), &long[number - 1]));
    }
    let sent: Vec<_> = long.iter().map(|issuer| issuer.der().clone()).collect();
    assert_eq!(authorities.line(&server(&long[19]), &sent).len(), LINE_MAX);
}
