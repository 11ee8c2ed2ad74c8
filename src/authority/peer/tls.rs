//! Who may speak with whom: certificates of one authority, and a name that the configuration knows.
//!
//! The files are read anew for every connection, so that a renewed certificate needs no restart. TLS 1.3, both sides with a
//! certificate. Which node it is for stands in its common name; the address is checked as well where this node calls.
//!
//! A list of revoked certificates that cannot be read keeps everybody out: who was to be kept out is not known. One that is old is
//! used on: what it names stays revoked, and to end the link for its age would cost the votes their second disk.

use std::fmt;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime,
};
use rustls::server::VerifierBuilderError;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig,
    ServerConnection,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::config::PeerConfig;
use crate::engine::values::NodeName;

/// From the first byte to the last of a handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(3);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("peer.{key} {}: {why}", path.display())]
    File {
        key: &'static str,
        path: PathBuf,
        why: String,
    },
    #[error("{address:?} is neither an address nor a host name")]
    Address { address: String },
    #[error("{}", in_words(.0))]
    Tls(#[from] rustls::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error(
        "no handshake within {} s: does a supervisor listen there, and can both sides reach each other?",
        HANDSHAKE_WITHIN.as_secs()
    )]
    Late,
    #[error(
        "it shows no certificate with a node's name: make it one with `supervisor pki add NODE --dir DIR --host ADDRESS`"
    )]
    Nameless,
    #[error("its certificate is for {0}, which peer.nodes does not name: add it on this node")]
    Stranger(NodeName),
    #[error(
        "it is {found}, and peer.nodes has {wanted} at this address: correct the address, or peer.cert there"
    )]
    Other { found: NodeName, wanted: NodeName },
}

/// What the operator has to know, with the remedy.
pub(super) fn in_words(error: &rustls::Error) -> String {
    use rustls::{AlertDescription, CertificateError, Error};
    let remedy = match error {
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => {
            "its certificate has expired: `supervisor pki add NODE --dir DIR --renew` for that node"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "its certificate begins later: is the clock right on both nodes?",
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is not signed by peer.ca"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "its certificate is for another address: `supervisor pki add NODE --dir DIR --renew --host ADDRESS` with this one"
        }
        Error::InvalidCertificate(CertificateError::Revoked) => "its certificate is revoked",
        Error::InvalidCertificate(CertificateError::UnknownRevocationStatus) => {
            "peer.crl has no list of the authority that has signed it: add that one's crl.pem to the file"
        }
        Error::InvalidCertRevocationList(_) => "peer.crl is not what its authority has signed",
        Error::AlertReceived(AlertDescription::CertificateRevoked) => {
            "it says that peer.cert is revoked: `supervisor pki add NODE --dir DIR --renew` for this node"
        }
        Error::AlertReceived(AlertDescription::CertificateExpired) => {
            "it says that peer.cert has expired: `supervisor pki add NODE --dir DIR --renew` for this node"
        }
        Error::AlertReceived(AlertDescription::UnknownCA) => {
            "it says that peer.cert is not signed by its peer.ca"
        }
        _ => return error.to_string(),
    };
    format!("{error}; {remedy}")
}

/// Answers a connection of somebody, and says which node it is.
pub(super) fn accept(
    config: &PeerConfig,
    socket: &TcpStream,
) -> Result<(Connection, NodeName), TlsError> {
    let material = Material::read(config)?;
    let clients = clients(config, &material)?;
    let server = server(config, clients, material)?;
    let connection = ServerConnection::new(Arc::new(server))?;
    handshake(connection.into(), socket)
}

fn clients(
    config: &PeerConfig,
    material: &Material,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::clone(&material.roots), provider)
        .with_crls(material.revoked.clone())
        .build()
        .map_err(|error| verifier_error(config, &error))
}

/// Lists are taken to pieces when they are put to use, the authorities before that.
fn verifier_error(config: &PeerConfig, error: &VerifierBuilderError) -> TlsError {
    match (error, &config.crl) {
        (VerifierBuilderError::InvalidCrl(_), Some(crl)) => list_error(crl, error),
        _ => file_error("ca", &config.ca, error),
    }
}

fn server(
    config: &PeerConfig,
    clients: Arc<dyn ClientCertVerifier>,
    Material { chain, key, .. }: Material,
) -> Result<ServerConfig, TlsError> {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(|error| file_error("key", &config.key, &error))
}

/// Calls a node at `address`, `host:port`.
pub(super) fn call(
    config: &PeerConfig,
    socket: &TcpStream,
    wanted: &NodeName,
    address: &str,
) -> Result<Connection, TlsError> {
    let Material {
        roots,
        revoked,
        chain,
        key,
    } = Material::read(config)?;
    let provider = Arc::new(ring::default_provider());
    let servers = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .with_crls(revoked)
        .build()
        .map_err(|error| verifier_error(config, &error))?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_webpki_verifier(servers)
        .with_client_auth_cert(chain, key)
        .map_err(|error| file_error("key", &config.key, &error))?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(|_| TlsError::Address {
        address: address.to_owned(),
    })?;
    let connection = ClientConnection::new(Arc::new(client), name)?;
    let (connection, found) = handshake(connection.into(), socket)?;
    if found != *wanted {
        let wanted = wanted.clone();
        return Err(TlsError::Other { found, wanted });
    }
    Ok(connection)
}

/// Whether the files make a connection possible, under the name of this node.
pub(super) fn check(config: &PeerConfig, node: &NodeName) -> Result<(), TlsError> {
    let material = Material::read(config)?;
    let chain = &material.chain;
    let found = chain.first().and_then(|certificate| name_in(certificate));
    if found.as_ref() != Some(node) {
        let found = found.map_or_else(|| "nobody".to_owned(), |name| name.0);
        return Err(file_error(
            "cert",
            &config.cert,
            &format!(
                "it is for {found}, and this node is {node}: set `node`, or name the right file"
            ),
        ));
    }
    let clients = clients(config, &material)?;
    if let (Some(crl), Some(own)) = (&config.crl, chain.first())
        && let Err(error) = is_listed(&*clients, own)
    {
        return Err(match error {
            rustls::Error::InvalidCertificate(CertificateError::Revoked) => file_error(
                "cert",
                &config.cert,
                &format!(
                    "{} revokes it: `supervisor pki add {node} --dir DIR --renew`, and put the new one and its key here",
                    crl.display()
                ),
            ),
            _ => file_error("crl", crl, &in_words(&error)),
        });
    }
    server(config, clients, material).map(drop)
}

/// What the lists have against a certificate. What else may be wrong with it is seen elsewhere.
fn is_listed(
    clients: &dyn ClientCertVerifier,
    certificate: &CertificateDer<'_>,
) -> Result<(), rustls::Error> {
    use CertificateError::{Revoked, UnknownRevocationStatus};
    let met = clients.verify_client_cert(certificate, &[], UnixTime::now());
    match met {
        Err(
            error @ (rustls::Error::InvalidCertificate(Revoked | UnknownRevocationStatus)
            | rustls::Error::InvalidCertRevocationList(_)),
        ) => Err(error),
        _ => Ok(()),
    }
}

/// Whether that certificate, by which a connection was made, has been revoked since.
pub(super) fn is_revoked(
    config: &PeerConfig,
    certificate: &CertificateDer<'_>,
) -> Result<bool, TlsError> {
    let clients = clients(config, &Material::read(config)?)?;
    Ok(is_listed(&*clients, certificate).is_err())
}

/// When the lists were last put there, to notice new ones.
pub(super) fn stamp_of_lists(config: &PeerConfig) -> Option<(SystemTime, u64, u64)> {
    let file = std::fs::metadata(config.crl.as_ref()?).ok()?;
    Some((file.modified().ok()?, file.ino(), file.len()))
}

struct Material {
    roots: Arc<RootCertStore>,
    /// Lists of revoked certificates.
    revoked: Vec<CertificateRevocationListDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Material {
    fn read(config: &PeerConfig) -> Result<Self, TlsError> {
        let certificates = |key: &'static str, path: &Path| {
            let read = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>);
            match read {
                Ok(found) if found.is_empty() => Err(file_error(
                    key,
                    path,
                    &"it holds no certificate in PEM form",
                )),
                other => other.map_err(|error| file_error(key, path, &error)),
            }
        };
        let mut roots = RootCertStore::empty();
        for root in certificates("ca", &config.ca)? {
            roots
                .add(root)
                .map_err(|error| file_error("ca", &config.ca, &error))?;
        }
        let revoked = config.crl.as_ref().map(|path| lists(path)).transpose()?;
        Ok(Self {
            roots: Arc::new(roots),
            revoked: revoked.unwrap_or_default(),
            chain: certificates("cert", &config.cert)?,
            key: PrivateKeyDer::from_pem_file(&config.key)
                .map_err(|error| file_error("key", &config.key, &error))?,
        })
    }
}

fn lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let read = CertificateRevocationListDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(list_error(path, &"it holds no list in PEM form")),
        other => other.map_err(|error| list_error(path, &error)),
    }
}

fn list_error(path: &Path, why: &dyn fmt::Display) -> TlsError {
    let remedy = "nobody is spoken to before it can be read: copy crl.pem here from where `supervisor pki revoke` has made it, or take peer.crl out of the configuration";
    file_error("crl", path, &format!("{why}; {remedy}"))
}

fn file_error(key: &'static str, path: &Path, error: &dyn fmt::Display) -> TlsError {
    TlsError::File {
        key,
        path: path.to_owned(),
        why: error.to_string(),
    }
}

/// Until both sides know each other, or the time is over; and a client hears it where the server does not want it.
fn handshake(
    mut connection: Connection,
    mut socket: &TcpStream,
) -> Result<(Connection, NodeName), TlsError> {
    let until = Instant::now() + HANDSHAKE_WITHIN;
    socket.set_nodelay(true)?;
    while connection.is_handshaking() || connection.wants_write() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(TlsError::Late);
        }
        socket.set_read_timeout(Some(left))?;
        socket.set_write_timeout(Some(left))?;
        let moved = if connection.wants_write() {
            connection.write_tls(&mut socket)
        } else {
            connection.read_tls(&mut socket)
        };
        match moved {
            Ok(0) => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
            Ok(_) => {}
            Err(error) if is_late(&error) => return Err(TlsError::Late),
            Err(error) => return Err(error.into()),
        }
        if let Err(error) = connection.process_new_packets() {
            // The other side learns why, as far as that is possible.
            let _ = connection.write_tls(&mut socket);
            return Err(error.into());
        }
    }
    let name = name(&connection).ok_or(TlsError::Nameless)?;
    Ok((connection, name))
}

pub(super) fn is_late(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut)
}

/// The common name in the certificate of the other side.
fn name(connection: &Connection) -> Option<NodeName> {
    name_in(connection.peer_certificates()?.first()?)
}

/// As the fuzzer calls it: the name in a certificate, in DER form.
#[doc(hidden)]
#[must_use]
pub fn name_in_certificate(certificate: &[u8]) -> Option<String> {
    name_in(certificate).map(|name| name.0)
}

fn name_in(certificate: &[u8]) -> Option<NodeName> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?.to_owned();
    names.next().is_none().then_some(NodeName(name))
}
