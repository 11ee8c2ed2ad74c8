//! Calls to one etcd node at a time, in a ring: a node that fails or is late is left for the next one.
//!
//! Nothing here is repeated: whether a failed call has changed anything is known to whoever made it, and settled there. The
//! library's own balancing would send a share of all calls to a node that is cut off.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, TlsOptions};
use tonic::Code;

use crate::authority::Fault;
use crate::config::EtcdConfig;

/// Why no call can be made at all.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("authority.etcd.{key} {}: {source}", path.display())]
    Unreadable {
        key: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
}

/// How to reach the nodes.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    config: EtcdConfig,
    /// One call, with the connection where there is none.
    within: Duration,
}

impl Settings {
    /// Of files that can be read.
    pub(super) fn read(config: &EtcdConfig) -> Result<Self, SettingsError> {
        let settings = Self {
            config: config.clone(),
            within: call_within(config),
        };
        settings.options().map(|_| settings)
    }

    /// With the files as they are now: what is renewed is used from the next connection on.
    fn options(&self) -> Result<ConnectOptions, SettingsError> {
        let config = &self.config;
        let mut options = ConnectOptions::new()
            .with_connect_timeout(self.within)
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if config.endpoints.iter().any(|url| url.starts_with("https")) {
            options = options.with_tls(tls(config)?);
        }
        if let (Some(user), Some(path)) = (&config.user, &config.password_file) {
            let password = read("password_file", path)?;
            let password = String::from_utf8_lossy(&password);
            options = options.with_user(user, password.trim_end_matches(['\n', '\r']));
        }
        Ok(options)
    }

    /// The same, for one node alone.
    pub(super) fn to(&self, endpoint: &str) -> Self {
        Self {
            config: EtcdConfig {
                endpoints: vec![endpoint.to_owned()],
                ..self.config.clone()
            },
            ..*self
        }
    }

    /// How many nodes there are.
    pub(super) fn count(&self) -> usize {
        self.config.endpoints.len()
    }

    pub(super) fn within(&self) -> Duration {
        self.within
    }
}

/// Several tries fit into what the lease leaves, so that one bad node costs no lease.
fn call_within(config: &EtcdConfig) -> Duration {
    let lease = config.ttl.saturating_sub(config.margin);
    (lease / 6).clamp(Duration::from_millis(250), Duration::from_secs(1))
}

fn tls(config: &EtcdConfig) -> Result<TlsOptions, SettingsError> {
    let mut tls = TlsOptions::new();
    if let Some(ca) = &config.ca {
        tls = tls.ca_certificate(Certificate::from_pem(read("ca", ca)?));
    }
    if let (Some(cert), Some(key)) = (&config.cert, &config.key) {
        tls = tls.identity(Identity::from_pem(read("cert", cert)?, read("key", key)?));
    }
    Ok(tls)
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, SettingsError> {
    std::fs::read(path).map_err(|source| SettingsError::Unreadable {
        key,
        path: path.to_owned(),
        source,
    })
}

/// One connection, to whichever node answers.
pub(super) struct Connection {
    settings: Settings,
    at: usize,
    client: Option<Client>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", &self.endpoint())
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            at: 0,
            client: None,
        }
    }

    /// The node in use.
    pub(super) fn endpoint(&self) -> &str {
        self.settings
            .config
            .endpoints
            .get(self.at)
            .map_or("", String::as_str)
    }

    /// Which of the endpoints is in use.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Leaves the connection there is; the next one goes to this endpoint.
    pub(super) fn begin_anew_at(&mut self, at: usize) {
        self.client = None;
        self.at = at;
    }

    /// Makes one call, to one node, within the time for one call. After a failure the next call goes to the next node.
    pub(super) async fn call<T, F>(&mut self, call: impl FnOnce(Client) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let within = self.settings.within;
        let whole = async {
            let client = self.client().await?;
            call(client).await.map_err(|error| fault(&error))
        };
        let fault = match tokio::time::timeout(within, whole).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(fault)) => fault,
            Err(_) => Fault::Unknown(format!("no answer within {} ms", within.as_millis())),
        };
        let fault = self.name_endpoint(fault);
        self.next_endpoint();
        Err(fault)
    }

    /// The client of the node in use; connects where there is none.
    async fn client(&mut self) -> Result<Client, Fault> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let options = self.settings.options();
        let options = options.map_err(|error| Fault::Refused(error.to_string()))?;
        let client = Client::connect([self.endpoint()], Some(options)).await;
        let client = client.map_err(|error| fault(&error))?;
        self.client = Some(client.clone());
        Ok(client)
    }

    /// Leaves the node in use.
    pub(super) fn next_endpoint(&mut self) {
        self.client = None;
        self.at = (self.at + 1) % self.settings.count().max(1);
    }

    fn name_endpoint(&self, fault: Fault) -> Fault {
        let endpoint = self.endpoint();
        match fault {
            Fault::Refused(why) => Fault::Refused(format!("etcd at {endpoint}: {why}")),
            Fault::Unsafe(why) => Fault::Unsafe(why),
            Fault::Unknown(why) => Fault::Unknown(format!("etcd at {endpoint}: {why}")),
        }
    }
}

/// Which answers are certain to have changed nothing. Whatever else fails may have been applied (etcd's
/// `api/v3rpc/rpctypes/error.go` gives the codes).
fn fault(error: &Error) -> Fault {
    let text = in_words(error);
    let certain = match error {
        Error::GRpcStatus(status) => matches!(
            status.code(),
            Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::ResourceExhausted
                | Code::FailedPrecondition
                | Code::OutOfRange
                | Code::Unimplemented
                | Code::Unauthenticated
        ),
        // Said of a lease that is over.
        Error::InvalidArgs(_) | Error::InvalidUri(_) | Error::LeaseKeepAliveError(_) => true,
        _ => false,
    };
    if certain {
        Fault::Refused(text)
    } else {
        Fault::Unknown(text)
    }
}

/// What the operator has to know: the cause at the bottom, and the remedy where there is one.
fn in_words(error: &Error) -> String {
    let text = match error {
        Error::GRpcStatus(status) => status_in_words(status),
        other => with_causes(other),
    };
    let remedies = [
        (
            "database space exceeded",
            "its database is full: compact and defragment it, then `etcdctl alarm disarm`; auto-compaction keeps it small",
        ),
        ("request is too large", "raise its --max-request-bytes"),
        (
            "user name is empty",
            "it wants authority.etcd.user and password_file",
        ),
        (
            "authentication failed",
            "check authority.etcd.user and password_file",
        ),
        (
            "permission denied",
            "give the user read and write on authority.etcd.prefix",
        ),
        (
            "UnknownIssuer",
            "its certificate is not signed by authority.etcd.ca",
        ),
        ("certificate expired", "a certificate has expired: renew it"),
        (
            "CertificateExpired",
            "the certificate authority.etcd.cert has expired: renew it",
        ),
        (
            "not valid for name",
            "its certificate is for another host name or address",
        ),
        (
            "CertificateRequired",
            "it wants a client certificate: set authority.etcd.cert and key",
        ),
        ("invalid peer certificate", "check authority.etcd.ca"),
    ];
    match remedies.iter().find(|(mark, _)| text.contains(mark)) {
        Some((_, remedy)) => format!("{text}; {remedy}"),
        None => text,
    }
}

fn status_in_words(status: &tonic::Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    if let Error::TransportError(transport) = error {
        let mut source = std::error::Error::source(transport);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
    }
    text
}
