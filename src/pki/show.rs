//! What the certificates of a directory say of themselves.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::KeyPair;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

use super::{CA, CRL, Files, PkiError, files, revoke};

/// Worth a word when it ends within so many days.
const SOON_DAYS: i64 = 30;

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub name: String,
    pub is_authority: bool,
    /// Addresses and host names.
    pub hosts: Vec<String>,
    /// The day of its end, as `2028-11-20`.
    pub ends: String,
    /// Negative when it has ended.
    pub days_left: i64,
    /// SHA-256 of the certificate, in hex.
    pub fingerprint: String,
    /// A key lies beside it that is another's: a renewal was cut off, or files were mixed up.
    pub key_is_wrong: bool,
    /// It is on the list beside it.
    pub is_revoked: bool,
    serial: Vec<u8>,
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match (self.is_authority, self.hosts.is_empty()) {
            (true, _) => "authority".to_owned(),
            (false, true) => "no address".to_owned(),
            (false, false) => self.hosts.join(", "),
        };
        let (name, ends, days) = (&self.name, &self.ends, self.days_left);
        let end = match days {
            ..0 => format!("ended {ends}: renew it"),
            0..SOON_DAYS => format!("ends {ends}, in {days} days: renew it"),
            _ => format!("ends {ends}, in {days} days"),
        };
        let short = self.fingerprint.get(..16).unwrap_or(&self.fingerprint);
        write!(f, "{name:<16} {what:<28} {end}   sha256 {short}…")?;
        if self.key_is_wrong {
            write!(f, "   its key is of another certificate: renew it")?;
        }
        if self.is_revoked {
            write!(f, "   revoked: renew it")?;
        }
        Ok(())
    }
}

/// The certificates in `dir`, the authority first, then by name.
///
/// # Errors
/// The directory or one of its certificates cannot be read.
pub fn show(dir: &Path) -> Result<Vec<Shown>, PkiError> {
    let unreadable = |source| PkiError::File {
        path: dir.to_owned(),
        source,
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
    }
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".pem") && !name.ends_with("-key.pem") && *name != *format!("{CRL}.pem")
    });
    let revoked = revoke::list(dir)?.map_or_else(Vec::new, |list| list.serials);
    let shown: Result<Vec<Shown>, _> = paths.iter().map(|path| of(path)).collect();
    let mut shown = shown?;
    for one in &mut shown {
        one.is_revoked = revoked.contains(&one.serial);
    }
    shown.sort_by_key(|shown| (!shown.is_authority, shown.name.clone()));
    Ok(shown)
}

pub(super) fn hosts_of(path: &Path) -> Result<Vec<String>, PkiError> {
    of(path).map(|shown| shown.hosts)
}

/// What a list has it by. It is to be one that the authority of `dir` has signed.
pub(super) fn serial_of(path: &Path, dir: &Path) -> Result<Vec<u8>, PkiError> {
    let pem = pem(path)?;
    let certificate = parsed(path, &pem)?;
    if certificate.issuer().to_string() != subject_of(&Files::of(dir, CA).certificate)? {
        return Err(content(path, &"it is of another authority"));
    }
    Ok(certificate.raw_serial().to_vec())
}

pub(super) fn subject_of(path: &Path) -> Result<String, PkiError> {
    let pem = pem(path)?;
    Ok(parsed(path, &pem)?.subject().to_string())
}

/// The bare key, as its own bytes.
pub(super) fn public_key_of(path: &Path) -> Result<Vec<u8>, PkiError> {
    let pem = pem(path)?;
    let certificate = parsed(path, &pem)?;
    Ok(certificate.public_key().subject_public_key.data.to_vec())
}

fn pem(path: &Path) -> Result<Pem, PkiError> {
    let text = files::read(path)?;
    match Pem::iter_from_buffer(text.as_bytes()).next() {
        Some(Ok(pem)) => Ok(pem),
        Some(Err(error)) => Err(content(path, &error)),
        None => Err(content(path, &"it holds nothing in PEM form")),
    }
}

fn parsed<'p>(path: &Path, pem: &'p Pem) -> Result<X509Certificate<'p>, PkiError> {
    pem.parse_x509().map_err(|error| content(path, &error))
}

fn content(path: &Path, why: &dyn std::fmt::Display) -> PkiError {
    PkiError::Content {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

fn of(path: &Path) -> Result<Shown, PkiError> {
    let pem = pem(path)?;
    let certificate = parsed(path, &pem)?;
    let mut names = certificate.subject().iter_common_name();
    let name = names.next().and_then(|name| name.as_str().ok());
    let alternative = certificate
        .subject_alternative_name()
        .map_err(|error| content(path, &error))?;
    let hosts = alternative.map_or_else(Vec::new, |names| {
        let names = names.value.general_names.iter();
        names.filter_map(host).collect()
    });
    let ends = certificate.validity().not_after.to_datetime();
    Ok(Shown {
        name: name.unwrap_or_default().to_owned(),
        is_authority: certificate.is_ca(),
        hosts,
        ends: ends.date().to_string(),
        days_left: (ends - OffsetDateTime::now_utc()).whole_days(),
        fingerprint: format!("{:x}", Sha256::digest(&pem.contents)),
        key_is_wrong: key_beside(path)
            .is_some_and(|key| key != certificate.public_key().subject_public_key.data.as_ref()),
        is_revoked: false,
        serial: certificate.raw_serial().to_vec(),
    })
}

/// The public half of the key in the file beside a certificate, where there is one that can be read.
fn key_beside(certificate: &Path) -> Option<Vec<u8>> {
    let stem = certificate.file_stem()?.to_str()?;
    let path = certificate.with_file_name(format!("{stem}-key.pem"));
    let key = KeyPair::from_pem(&files::read(&path).ok()?).ok()?;
    Some(key.public_key_raw().to_vec())
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}
