//! Certificates for tests: authorities of their own, and what they sign, good or flawed on purpose.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flaw {
    #[default]
    None,
    /// Since 2001.
    Expired,
    /// Until 2100.
    NotYetValid,
    /// It is for `other.invalid`.
    OtherHost,
}

/// A certificate and its key, as files in PEM; only the owner may read the key.
#[derive(Clone, Debug)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Signs certificates. Its files go when the last clone does.
#[derive(Clone, Debug)]
pub struct Authority {
    issuer: Arc<CertifiedIssuer<'static, KeyPair>>,
    dir: Arc<TempDir>,
}

impl Authority {
    /// A fresh one: nobody who trusts another one of the same name trusts it.
    ///
    /// # Errors
    /// Its directory cannot be written.
    pub fn new(name: &str) -> io::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;
        let dir = tempfile::Builder::new().prefix("authority-").tempdir()?;
        std::fs::write(dir.path().join("ca.pem"), issuer.pem())?;
        Ok(Self {
            issuer: Arc::new(issuer),
            dir: Arc::new(dir),
        })
    }

    /// The file of its own certificate, for whoever is to trust it.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate for the server at `hosts`, names or addresses. The files are named after `name`.
    ///
    /// # Errors
    /// A host is neither, or the directory cannot be written.
    pub fn server(&self, name: &str, hosts: &[String], flaw: Flaw) -> io::Result<Files> {
        let other = ["other.invalid".to_owned()];
        let hosts = if flaw == Flaw::OtherHost {
            &other
        } else {
            hosts
        };
        // etcd's own gateway is a client with the server's certificate.
        let usages = [
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.issue(name, hosts, &usages, flaw)
    }

    /// A certificate for a client; `name` is its common name.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn client(&self, name: &str, flaw: Flaw) -> io::Result<Files> {
        self.issue(name, &[], &[ExtendedKeyUsagePurpose::ClientAuth], flaw)
    }

    fn issue(
        &self,
        name: &str,
        hosts: &[String],
        usages: &[ExtendedKeyUsagePurpose],
        flaw: Flaw,
    ) -> io::Result<Files> {
        let mut params = CertificateParams::new(hosts).map_err(io::Error::other)?;
        params.distinguished_name = named(name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages.to_vec();
        match flaw {
            Flaw::Expired => params.not_after = date_time_ymd(2001, 1, 1),
            Flaw::NotYetValid => params.not_before = date_time_ymd(2100, 1, 1),
            Flaw::None | Flaw::OtherHost => {}
        }
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.signed_by(&key, &*self.issuer);
        // Two certificates of one name do not share a file.
        let dir = tempfile::tempdir_in(self.dir.path())?.keep();
        let files = Files {
            certificate: dir.join(format!("{name}.pem")),
            key: dir.join(format!("{name}-key.pem")),
        };
        let certificate = certificate.map_err(io::Error::other)?.pem();
        std::fs::write(&files.certificate, certificate)?;
        write_private(&files.key, &key.serialize_pem())?;
        Ok(files)
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())
}
