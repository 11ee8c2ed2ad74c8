//! Who may speak with whom: certificates of one authority, and a name that the configuration knows.
//!
//! The files are read anew for every connection, so that a renewed certificate needs no restart. TLS 1.3, both sides with a
//! certificate. Which node it is for stands in its common name; the address is checked as well where this node calls.

use std::fmt;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
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
    #[error("no handshake within {} s", HANDSHAKE_WITHIN.as_secs())]
    Late,
    #[error("it shows no certificate with a node's name")]
    Nameless,
    #[error("it is {found}, and peer.nodes has {wanted} at this address")]
    Other { found: NodeName, wanted: NodeName },
}

/// What the operator has to know, with the remedy.
pub(super) fn in_words(error: &rustls::Error) -> String {
    use rustls::{AlertDescription, CertificateError, Error};
    let remedy = match error {
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "its certificate has expired: `supervisor pki add --renew` there",
        Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "its certificate begins later: is the clock right on both nodes?",
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is not signed by peer.ca"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "its certificate is for another address: `supervisor pki add --renew --host` with this one"
        }
        Error::InvalidCertificate(CertificateError::Revoked) => "its certificate is revoked",
        Error::AlertReceived(AlertDescription::CertificateExpired) => {
            "it says that peer.cert has expired: `supervisor pki add --renew` here"
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
    let Material { roots, chain, key } = Material::read(config)?;
    let provider = Arc::new(ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let clients = clients.map_err(|error| file_error("ca", &config.ca, &error))?;
    let server = server(config, clients, chain, key)?;
    let connection = ServerConnection::new(Arc::new(server))?;
    handshake(connection.into(), socket)
}

fn server(
    config: &PeerConfig,
    clients: Arc<dyn ClientCertVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
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
    let Material { roots, chain, key } = Material::read(config)?;
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
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
    let Material { chain, key, .. } = Material::read(config)?;
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
    server(config, WebPkiClientVerifier::no_client_auth(), chain, key).map(drop)
}

struct Material {
    roots: RootCertStore,
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
        Ok(Self {
            roots,
            chain: certificates("cert", &config.cert)?,
            key: PrivateKeyDer::from_pem_file(&config.key)
                .map_err(|error| file_error("key", &config.key, &error))?,
        })
    }
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

fn name_in(certificate: &[u8]) -> Option<NodeName> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?.to_owned();
    names.next().is_none().then_some(NodeName(name))
}
