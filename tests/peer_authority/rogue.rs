//! A node made by hand: it has a certificate, and says what a test wants it to say, as often as it wants.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBuf;
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

/// Several times within that of a link.
const WORD_EVERY_MS: u64 = 200;
const MET_WITHIN: Duration = Duration::from_secs(5);
const READ_WITHIN: Duration = Duration::from_millis(20);

/// A message as it goes over the link, to be sent again.
pub(crate) type Sent = Vec<u8>;

/// See the module.
pub(crate) struct Rogue {
    line: Arc<Line>,
    incoming: Vec<u8>,
    /// Every byte that ever came.
    pub(crate) heard: Vec<u8>,
}

struct Line {
    tls: Mutex<StreamOwned<ClientConnection, TcpStream>>,
    /// What it says of itself again and again, whatever the test is about.
    word: Mutex<Sent>,
    is_over: AtomicBool,
}

impl Line {
    fn sends(&self, message: &Sent) {
        let mut tls = self.tls.lock().expect("the line");
        // A connection that is closed is found out by who reads from it.
        let _ = tls.write_all(message).and_then(|()| tls.flush());
    }

    fn stays_alive(&self) {
        let is_over = || self.is_over.load(Ordering::Acquire);
        while !until(WORD_EVERY_MS, is_over) {
            let word = self.word.lock().expect("the word").clone();
            if !word.is_empty() {
                self.sends(&word);
            }
        }
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.line.is_over.store(true, Ordering::Release);
        if let Ok(tls) = self.line.tls.lock() {
            let _ = tls.sock.shutdown(Shutdown::Both);
        }
    }
}

impl Rogue {
    /// In the place of `name`, which comes before `target`, calls that one, and says who it is.
    #[track_caller]
    pub(crate) fn meets(set: &Set, name: &str, target: &str) -> Self {
        Self::meets_as(set, name, target, &bs58::encode(IDENTITY).into_string())
    }

    /// The same for another staked identity (address).
    #[track_caller]
    pub(crate) fn meets_as(set: &Set, name: &str, target: &str, identity: &str) -> Self {
        let mut met = None;
        let came = until(SOON_MS, || {
            let config = set.config(name);
            let own = Some((config.cert.as_path(), config.key.as_path()));
            let mut rogue = match Self::calls(set, own, target) {
                Ok(rogue) => rogue,
                Err(_) => return false,
            };
            rogue.sends(&hello(name, identity));
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
        // Past its wire, which would take what this side does not read.
        let mut socket = TcpStream::connect(set.config(target).listen)?;
        socket.set_read_timeout(Some(MET_WITHIN))?;
        let mut connection = ClientConnection::new(Arc::new(config), name)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        // What is sent does not wait for what comes from here on.
        socket.set_read_timeout(Some(READ_WITHIN))?;
        let tls = StreamOwned::new(connection, socket);
        let line = Arc::new(Line {
            tls: Mutex::new(tls),
            word: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let alive = Arc::clone(&line);
        std::thread::spawn(move || alive.stays_alive());
        Ok(Self {
            line,
            incoming: Vec::new(),
            heard: Vec::new(),
        })
    }

    pub(crate) fn introduces(&mut self, name: &str) {
        self.sends(&hello(name, &bs58::encode(IDENTITY).into_string()));
    }

    /// How many bytes came that no message was made of.
    pub(crate) fn has_heard(&self) -> usize {
        self.incoming.len()
    }

    /// Sends it, and again from time to time.
    pub(crate) fn says(&mut self, word: &Sent) {
        self.sends(word);
        self.line.word.lock().expect("the word").clone_from(word);
    }

    /// Nothing any more, unless the test has it say so.
    pub(crate) fn falls_silent(&mut self) {
        self.line.word.lock().expect("the word").clear();
    }

    /// Says that nothing follows, and sends more all the same.
    pub(crate) fn talks_on_after_its_end(&mut self, bytes: usize) {
        self.falls_silent();
        let mut tls = self.line.tls.lock().expect("the line");
        tls.conn.send_close_notify();
        let mut raw = Vec::new();
        while tls.conn.wants_write() {
            tls.conn.write_tls(&mut raw).expect("a buffer");
        }
        raw.resize(raw.len() + bytes, 0);
        tls.sock.write_all(&raw).expect("a connection");
    }

    pub(crate) fn sends(&mut self, message: &Sent) {
        self.line.sends(message);
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

    /// The kinds of all messages that come until the other side ends the connection.
    pub(crate) fn hears_until_the_end(&mut self) -> Vec<u8> {
        assert!(self.is_closed(), "the connection goes on");
        std::iter::from_fn(|| self.next().map(|(kind, _)| kind)).collect()
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

    /// Takes up to 16 KiB. `false`: the connection has ended.
    pub(crate) fn receives(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        let read = self.line.tls.lock().expect("the line").read(&mut bytes);
        match read {
            Ok(0) => false,
            Ok(count) => {
                self.incoming.extend_from_slice(&bytes[..count]);
                self.heard.extend_from_slice(&bytes[..count]);
                true
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    /// A whole message; of a record just where it stands.
    pub(crate) fn next(&mut self) -> Option<(u8, Value)> {
        let head = self.incoming.first_chunk::<4>()?;
        let end = 4 + u32::from_be_bytes(*head) as usize;
        let body = self.incoming.get(4..end)?.to_vec();
        self.incoming.drain(..end);
        let (kind, payload) = body.split_first()?;
        let words = serde_json::from_slice(payload).or_else(|_| {
            stored::read_record(payload)
                .map(|record| json!({ "term": record.mark.term.0, "seq": record.mark.seq }))
        });
        Some((*kind, words.unwrap_or_default()))
    }

    /// About so many bytes that are not read fit into this end of the connection from here on.
    pub(crate) fn has_room_for(&self, bytes: usize) {
        let tls = self.line.tls.lock().expect("the line");
        setsockopt(&tls.sock, RcvBuf, &bytes).expect("a buffer");
    }

    /// No message waits for longer to be taken.
    pub(crate) fn waits_at_most(&self, within: Duration) {
        let tls = self.line.tls.lock().expect("the line");
        let set = tls.sock.set_write_timeout(Some(within));
        set.expect("a timeout");
    }
}

pub(crate) fn framed(kind: u8, payload: &Value) -> Sent {
    framed_bytes(kind, payload.to_string().as_bytes())
}

fn framed_bytes(kind: u8, payload: &[u8]) -> Sent {
    let len = u32::try_from(payload.len() + 1).expect("a short message");
    [&len.to_be_bytes()[..], &[kind], payload].concat()
}

fn hello(name: &str, identity: &str) -> Sent {
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

/// As a node says it that has more to say of itself.
pub(crate) fn state_of(claim: &Value, member: &Value) -> Sent {
    framed(STATE, &json!({ "claim": claim, "member": member }))
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
