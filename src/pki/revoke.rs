//! Certificates that are to be trusted no more: `crl.pem`, which the authority signs and every node gets.
//!
//! A list has no use for an end: what is revoked stays so, and a node that took an old list for none would let everybody in. So
//! it lasts as long as an authority does, and is used beyond that.

use std::path::{Path, PathBuf};

use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
};
use time::{Duration, OffsetDateTime};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use super::files::{self, write_over};
use super::{BACKDATED, CA, CA_DAYS, CRL, Files, PkiError, expect_name, issuer, show};

/// The list of a directory, as far as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Of the certificates, as bytes.
    pub(super) serials: Vec<Vec<u8>>,
    since: Vec<OffsetDateTime>,
    issuer: String,
    ends: Option<OffsetDateTime>,
}

impl std::fmt::Display for Revoked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.serials.len() {
            0 => "revokes nothing".to_owned(),
            1 => "revokes 1 certificate".to_owned(),
            count => format!("revokes {count} certificates"),
        };
        write!(f, "{CRL:<16} {what:<28}")?;
        match self.ends {
            Some(ends) => write!(f, " ends {}", ends.date()),
            None => Ok(()),
        }
    }
}

/// Where the list of `dir` is.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(format!("{CRL}.pem"))
}

/// Puts the certificate of `node` that lies in `dir` on the list, which is made where there is none. One that is on it already gets
/// a fresh list as well. Says which file there is now.
///
/// # Errors
/// See [`PkiError`]; nothing is written then.
pub fn revoke(dir: &Path, node: &str) -> Result<PathBuf, PkiError> {
    expect_name(node)?;
    let serial = show::serial_of(&Files::of(dir, node).certificate, dir)?;
    let issuer = issuer(dir)?;
    let now = OffsetDateTime::now_utc();
    let (mut serials, mut since) = match list(dir)? {
        Some(list) => (list.serials, list.since),
        None => (Vec::new(), Vec::new()),
    };
    if !serials.contains(&serial) {
        serials.push(serial);
        since.push(now);
    }
    write(dir, &issuer, serials.into_iter().zip(since))
}

/// A list that revokes nothing yet: nodes have a file to read from the first day on, and take what stands in it later.
pub(super) fn begin(dir: &Path) -> Result<PathBuf, PkiError> {
    write(dir, &issuer(dir)?, std::iter::empty())
}

fn write(
    dir: &Path,
    issuer: &Issuer<'_, KeyPair>,
    revoked: impl Iterator<Item = (Vec<u8>, OffsetDateTime)>,
) -> Result<PathBuf, PkiError> {
    let now = OffsetDateTime::now_utc();
    let number = now.unix_timestamp().unsigned_abs();
    let params = CertificateRevocationListParams {
        // A node whose clock is behind takes it all the same.
        this_update: now - BACKDATED,
        next_update: now + Duration::days(CA_DAYS),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: revoked
            .map(|(serial, at)| RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: at,
                reason_code: None,
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let path = path(dir);
    write_over(&path, &params.signed_by(issuer)?.pem()?, 0o644)?;
    Ok(path)
}

/// The list in `dir`, if there is one.
///
/// # Errors
/// It cannot be read, or is of another authority.
pub fn list(dir: &Path) -> Result<Option<Revoked>, PkiError> {
    let path = path(dir);
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    let revoked = read(&path)?;
    if revoked.issuer != show::subject_of(&Files::of(dir, CA).certificate)? {
        return Err(content(&path, &"it is of another authority"));
    }
    Ok(Some(revoked))
}

fn read(path: &Path) -> Result<Revoked, PkiError> {
    let text = files::read(path)?;
    let pem = match Pem::iter_from_buffer(text.as_bytes()).next() {
        Some(Ok(pem)) => pem,
        Some(Err(error)) => return Err(content(path, &error)),
        None => return Err(content(path, &"it holds nothing in PEM form")),
    };
    understood(&pem.contents).map_err(|why| content(path, &why))
}

/// As the fuzzer calls it: the serial numbers on a list, in DER form.
#[doc(hidden)]
#[must_use]
pub fn serials_in_list(list: &[u8]) -> Option<Vec<Vec<u8>>> {
    understood(list).ok().map(|list| list.serials)
}

fn understood(der: &[u8]) -> Result<Revoked, String> {
    let parsed = CertificateRevocationList::from_der(der);
    let (_, list) = parsed.map_err(|error| error.to_string())?;
    let revoked = || list.iter_revoked_certificates();
    Ok(Revoked {
        serials: revoked().map(|one| one.raw_serial().to_vec()).collect(),
        since: revoked()
            .map(|one| one.revocation_date.to_datetime())
            .collect(),
        issuer: list.issuer().to_string(),
        ends: list.next_update().map(|ends| ends.to_datetime()),
    })
}

fn content(path: &Path, why: &dyn std::fmt::Display) -> PkiError {
    PkiError::Content {
        path: path.to_owned(),
        why: why.to_string(),
    }
}
