//! The certificates of a set of nodes: an authority of its own, and what it signs for each node and each etcd server.
//!
//! ```text
//! <dir>/ca.pem         goes to every node               10 years
//! <dir>/ca-key.pem     stays where it was made; signs
//! <dir>/NODE.pem       goes to that node                 2 years, for servers and clients
//! <dir>/NODE-key.pem   goes to that node alone
//! <dir>/crl.pem        goes to every node, again whenever a certificate is revoked
//! ```
//!
//! A certificate is for one name, which the other side compares with its configuration, and for the addresses it was made
//! with. Nothing that exists is written over, but for a renewal that was asked for.

mod files;
mod revoke;
mod show;

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};

#[doc(hidden)]
pub use revoke::serials_in_list;
pub use revoke::{Revoked, list, revoke};
pub use show::{Shown, show};

use crate::config::is_node_name;
use files::{Files, write_new, write_over};

const CA: &str = "ca";
const CRL: &str = "crl";
const CA_DAYS: i64 = 3_650;
const NODE_DAYS: i64 = 730;
/// A node whose clock is behind takes a fresh certificate all the same.
const BACKDATED: Duration = Duration::hours(1);

/// What went wrong, with the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("{} exists: it is not written over. {remedy}", path.display())]
    Exists { path: PathBuf, remedy: &'static str },
    #[error("{}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("no authority is in {}: `supervisor pki init --dir {}` makes one, once for all nodes", dir.display(), dir.display())]
    NoAuthority { dir: PathBuf },
    #[error("{} is not a certificate, key or list that was made here: {why}", path.display())]
    Content { path: PathBuf, why: String },
    #[error("{} has mode {mode:04o}, so others can read it and sign for any node: `chmod 600 {}`", path.display(), path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error(
        "{0:?} cannot be a node's name here: 1 to 63 letters, digits, '.', '_' and '-', not {CA:?} or {CRL:?}, and without \"-key\" at its end"
    )]
    Name(String),
    #[error("{host:?} is neither an address nor a host name: {why}")]
    Host { host: String, why: String },
    #[error(
        "--host ADDR is missing: the address or name at which the others reach {0}; repeat it for several"
    )]
    NoHost(String),
    #[error("no certificate can be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// Makes an authority in `dir`, which is made as well, and its list, which revokes nothing yet. Says which files there are now.
///
/// # Errors
/// There is one already, or it cannot be written.
pub fn init(dir: &Path) -> Result<[PathBuf; 3], PkiError> {
    let files = Files::of(dir, CA);
    files.expect_none("Every node trusts it; for another authority take another directory")?;
    std::fs::create_dir_all(dir).map_err(|source| PkiError::File {
        path: dir.to_owned(),
        source,
    })?;
    let key = KeyPair::generate()?;
    let mut params = params(&[], CA_DAYS)?;
    // Told apart from another set's authority where both are shown.
    let own = format!("{:x}", Sha256::digest(key.public_key_raw()));
    params.distinguished_name = named(&format!("validator-supervisor {own:.8}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    // The key first: a certificate without its key signs nothing, and nobody has been given it yet.
    write_new(&files.key, &key.serialize_pem(), 0o600)?;
    write_new(&files.certificate, &certificate.pem(), 0o644)?;
    let list = revoke::begin(dir)?;
    Ok([files.certificate, files.key, list])
}

/// Makes a node's certificate, or that of an etcd server. With `renew` a fresh one takes the place of that there is, for the same
/// addresses where none are given. Says which files there are now.
///
/// # Errors
/// See [`PkiError`]; nothing is written then.
pub fn add(
    dir: &Path,
    node: &str,
    hosts: &[String],
    renew: bool,
) -> Result<[PathBuf; 2], PkiError> {
    expect_name(node)?;
    let files = Files::of(dir, node);
    let hosts = match (hosts.is_empty(), renew) {
        (false, _) => hosts.to_vec(),
        (true, true) => show::hosts_of(&files.certificate)?,
        (true, false) => return Err(PkiError::NoHost(node.to_owned())),
    };
    if !renew {
        files.expect_none("`supervisor pki add NODE --dir DIR --renew` replaces it")?;
    }
    let issuer = issuer(dir)?;
    let key = KeyPair::generate()?;
    let mut params = params(&hosts, NODE_DAYS)?;
    params.distinguished_name = named(node);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let certificate = params.signed_by(&key, &issuer)?;
    let write = if renew { write_over } else { write_new };
    write(&files.key, &key.serialize_pem(), 0o600)?;
    write(&files.certificate, &certificate.pem(), 0o644)?;
    Ok([files.certificate, files.key])
}

/// One whose files are not taken for something else.
fn expect_name(node: &str) -> Result<(), PkiError> {
    if !is_node_name(node) || [CA, CRL].contains(&node) || node.ends_with("-key") {
        return Err(PkiError::Name(node.to_owned()));
    }
    Ok(())
}

fn issuer(dir: &Path) -> Result<Issuer<'static, KeyPair>, PkiError> {
    let files = Files::of(dir, CA);
    if !files.key.exists() && !files.certificate.exists() {
        return Err(PkiError::NoAuthority {
            dir: dir.to_owned(),
        });
    }
    files.expect_private_key()?;
    let (certificate, key) = (files::read(&files.certificate)?, files::read(&files.key)?);
    let key = KeyPair::from_pem(&key).map_err(|error| PkiError::Content {
        path: files.key.clone(),
        why: error.to_string(),
    })?;
    if show::public_key_of(&files.certificate)? != key.public_key_raw() {
        return Err(PkiError::Content {
            path: files.key,
            why: "it is not the key of the certificate beside it".into(),
        });
    }
    Issuer::from_ca_cert_pem(&certificate, key).map_err(|error| PkiError::Content {
        path: files.certificate,
        why: error.to_string(),
    })
}

fn params(hosts: &[String], days: i64) -> Result<CertificateParams, PkiError> {
    for host in hosts {
        CertificateParams::new([host.clone()]).map_err(|error| PkiError::Host {
            host: host.clone(),
            why: error.to_string(),
        })?;
    }
    let mut params = CertificateParams::new(hosts)?;
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BACKDATED;
    params.not_after = now + Duration::days(days);
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

#[cfg(test)]
mod tests;
