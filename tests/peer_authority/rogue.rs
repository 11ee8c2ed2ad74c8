//! A node made by hand: it has a certificate, and says what a test wants it to say, as often as it wants.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use testkit::stand_in::until;
use validator_supervisor::authority::stored;
use validator_supervisor::engine::values::RecordMark;

use crate::node::{IDENTITY, SOON_MS, Set};

pub(crate) const HELLO: u8 = 1;
pub(crate) const STATE: u8 = 2;
pub(crate) const RECORD: u8 = 3;
pub(crate) const COMMIT: u8 = 4;
pub(crate) const KEPT: u8 = 5;
pub(crate) const FENCED: u8 = 6;
pub(crate) const ASK: u8 = 7;
pub(crate) const PROMISED: u8 = 8;
pub(crate) const REFUSED: u8 = 9;

/// Of the four that tell a node is alive, more than one comes within the time of a link.
const WORD_EVERY: Duration = Duration::from_millis(200);
const READ_WITHIN: Duration = Duration::from_millis(50);

/// A message as it goes over the link, to be sent again.
pub(crate) type Sent = Vec<u8>;

/// See the module.
pub(crate) struct Rogue {
    tls: StreamOwned<ClientConnection, TcpStream>,
    incoming: Vec<u8>,
    /// What it says of itself again and again.
    word: Sent,
    said_at: Instant,
}

impl Rogue {
    /// In the place of `name`, which comes before `target`, calls that one, and says who it is.
    #[track_caller]
    pub(crate) fn meets(set: &Set, name: &str, target: &str) -> Self {
        let mut met = None;
        let came = until(SOON_MS, || {
            let config = set.config(name);
            let own = Some((config.cert.as_path(), config.key.as_path()));
            let mut rogue = match Self::calls(set, own, target) {
                Ok(rogue) => rogue,
                Err(_) => return false,
            };
            rogue.introduces(name);
            let known = rogue.awaits(HELLO, 1_000).is_some();
            met = known.then_some(rogue);
            known
        });
        assert!(came, "{target} does not let {name} in");
        let mut rogue = met.expect("a link");
        rogue.says(&state(&claim(0, None, false, None), false));
        rogue
    }

    /// Just the connection; without a certificate where none is given.
    pub(crate) fn calls(
        set: &Set,
        own: Option<(&Path, &Path)>,
        target: &str,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(set.file("ca.pem"))?)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots);
        let config = match own {
            Some((certificate, key)) => builder.with_client_auth_cert(
                vec![CertificateDer::from_pem_file(certificate)?],
                PrivateKeyDer::from_pem_file(key)?,
            )?,
            None => builder.with_no_client_auth(),
        };
        let name = ServerName::try_from("127.0.0.1")?;
        let socket = TcpStream::connect(set.address(target))?;
        socket.set_read_timeout(Some(READ_WITHIN))?;
        Ok(Self {
            tls: StreamOwned::new(ClientConnection::new(Arc::new(config), name)?, socket),
            incoming: Vec::new(),
            word: Vec::new(),
            said_at: Instant::now(),
        })
    }

    pub(crate) fn introduces(&mut self, name: &str) {
        self.sends(&hello(name));
    }

    /// How many bytes came that no message was made of.
    pub(crate) fn has_heard(&self) -> usize {
        self.incoming.len()
    }

    /// Sends it, and again from time to time.
    pub(crate) fn says(&mut self, word: &Sent) {
        self.sends(word);
        self.word.clone_from(word);
        self.said_at = Instant::now();
    }

    pub(crate) fn sends(&mut self, message: &Sent) {
        // A connection that is closed is found out by who reads from it.
        let _ = self.tls.write_all(message).and_then(|()| self.tls.flush());
    }

    /// The next message of a kind; others before it are passed over.
    #[track_caller]
    pub(crate) fn hears(&mut self, kind: u8) -> Value {
        let heard = self.awaits(kind, SOON_MS);
        heard.unwrap_or_else(|| panic!("no message of kind {kind}"))
    }

    /// Asks for a term that is promised.
    #[track_caller]
    pub(crate) fn is_promised(&mut self, term: u64) -> Sent {
        self.sends(&framed(ASK, &json!({ "term": term, "record": null })));
        assert_eq!(self.hears(PROMISED)["term"], term);
        let held = state(&claim(term, Some("a"), false, None), false);
        self.says(&held);
        held
    }

    /// Answers what the other one asks for. Says which term it is, and how it was promised.
    #[track_caller]
    pub(crate) fn promises(&mut self) -> (u64, Sent) {
        let term = self.hears(ASK)["term"].as_u64().expect("a term");
        let promise = promise(term);
        self.sends(&promise);
        (term, promise)
    }

    /// Whether the other side ends the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        until(SOON_MS, || !self.receives())
    }

    /// `None` for a connection that has ended, too.
    fn awaits(&mut self, kind: u8, within_ms: u64) -> Option<Value> {
        let mut found = None;
        let _ = until(within_ms, || {
            let is_open = self.receives();
            while let Some((of, payload)) = self.next() {
                if of == kind {
                    found = Some(payload);
                    break;
                }
            }
            found.is_some() || !is_open
        });
        found
    }

    fn receives(&mut self) -> bool {
        if self.said_at.elapsed() > WORD_EVERY && !self.word.is_empty() {
            let word = self.word.clone();
            self.says(&word);
        }
        let mut bytes = [0; 16 * 1024];
        match self.tls.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.incoming.extend_from_slice(&bytes[..count]);
                true
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    /// A whole message; a record is not looked into.
    fn next(&mut self) -> Option<(u8, Value)> {
        let head = self.incoming.first_chunk::<4>()?;
        let end = 4 + u32::from_be_bytes(*head) as usize;
        let body = self.incoming.get(4..end)?.to_vec();
        self.incoming.drain(..end);
        let (kind, payload) = body.split_first()?;
        Some((*kind, serde_json::from_slice(payload).unwrap_or_default()))
    }

    /// For a thread of its own.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.tls.sock
    }
}

pub(crate) fn framed(kind: u8, payload: &Value) -> Sent {
    framed_bytes(kind, payload.to_string().as_bytes())
}

fn framed_bytes(kind: u8, payload: &[u8]) -> Sent {
    let len = u32::try_from(payload.len() + 1).expect("a short message");
    [&len.to_be_bytes()[..], &[kind], payload].concat()
}

fn hello(name: &str) -> Sent {
    let identity = bs58::encode(IDENTITY).into_string();
    framed(
        HELLO,
        &json!({ "version": 1, "node": name, "identity": identity, "record": null }),
    )
}

pub(crate) fn claim(term: u64, holder: Option<&str>, ended: bool, heir: Option<&str>) -> Value {
    json!({ "term": term, "holder": holder, "ended": ended, "heir": heir })
}

/// As a standby that is ready says it.
pub(crate) fn state(claim: &Value, hands_over: bool) -> Sent {
    let member = json!({ "role": "standby", "ready": true });
    framed(
        STATE,
        &json!({ "claim": claim, "member": member, "hands_over": hands_over }),
    )
}

pub(crate) fn promise(term: u64) -> Sent {
    framed(PROMISED, &json!({ "term": term }))
}

pub(crate) fn record(kind: u8, mark: RecordMark, identity: [u8; 32]) -> Sent {
    let bytes = format!("record {}", mark.seq);
    framed_bytes(
        kind,
        &stored::record_form(mark, &identity, bytes.as_bytes()),
    )
}
