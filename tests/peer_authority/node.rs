//! Some nodes' authorities, each as a supervisor uses it, with everything that they tell; and the wires between them.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use crate::ears::Ears;
use tempfile::TempDir;
use testkit::relay::Relay;
use testkit::stand_in::until;
use validator_supervisor::authority::news::{Member, News, Surroundings};
use validator_supervisor::authority::peer::{Peer, StartError};
use validator_supervisor::authority::{CommitError, Fault};
use validator_supervisor::config::{OnLoss, PeerConfig, PeerNode};
use validator_supervisor::engine::AuthorityNews;
use validator_supervisor::engine::values::{Millis, NodeName, RecordKind, RecordMark, Term};
use validator_supervisor::pki;

pub(crate) const IDENTITY: [u8; 32] = [7; 32];
pub(crate) const SOON_MS: u64 = 20_000;
const PORT: u16 = 7400;
pub(crate) const WITHIN: Duration = Duration::from_secs(5);
/// The newest slot of the cluster.
pub(crate) const TIP: u64 = 1_000_000;

/// What a set of nodes is made of: certificates, directories, and a wire to each node that can be cut.
pub(crate) struct Set {
    pub(crate) dir: TempDir,
    names: Vec<String>,
    wires: Vec<Wire>,
    pub(crate) on_loss: OnLoss,
}

impl Set {
    pub(crate) fn new(names: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        pki::init(dir.path()).expect("an authority");
        for name in names {
            pki::add(dir.path(), name, &["127.0.0.1".to_owned()], false).expect("a certificate");
            std::fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        Self {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            wires: names.iter().map(|_| Wire::new()).collect(),
            on_loss: OnLoss::Continue,
            dir,
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn state_dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn at(&self, name: &str) -> usize {
        let at = self.names.iter().position(|known| known == name);
        at.expect("a node of the set")
    }

    /// As that node is configured. The others call it over its wire.
    pub(crate) fn config(&self, name: &str) -> PeerConfig {
        let nodes = self.names.iter().zip(&self.wires);
        PeerConfig {
            listen: self.wires[self.at(name)].behind,
            ca: self.file("ca.pem"),
            cert: self.file(&format!("{name}.pem")),
            key: self.file(&format!("{name}-key.pem")),
            crl: None,
            on_loss: self.on_loss,
            fence: None,
            nodes: nodes
                .map(|(name, wire)| PeerNode {
                    name: name.clone(),
                    address: wire.relay.address().to_string(),
                })
                .collect(),
        }
    }

    pub(crate) fn start(&self, name: &str) -> Node {
        self.start_as(name, &self.config(name), IDENTITY)
    }

    /// The same with another configuration, or identity.
    #[track_caller]
    pub(crate) fn start_as(&self, name: &str, config: &PeerConfig, identity: [u8; 32]) -> Node {
        let mut started = None;
        // The one before may still be about to leave its port, or a connection of somebody may have it for a moment.
        let came = until(SOON_MS, || {
            started = Some(Node::start(name, config, identity, &self.state_dir(name)));
            matches!(started, Some(Ok(_)))
        });
        assert!(came, "{name} cannot be started");
        started.expect("an outcome").expect("an authority")
    }

    /// Where others reach that node.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.wires[self.at(name)].relay.address()
    }

    /// Cuts or mends the wire to that node.
    pub(crate) fn cut(&self, name: &str, is_cut: bool) {
        self.wires[self.at(name)].relay.close(is_cut);
    }
}

/// What is in front of a node's port.
struct Wire {
    relay: Relay,
    behind: SocketAddr,
}

impl Wire {
    /// To a node at an address of its own, so that nobody else can be on its port.
    fn new() -> Self {
        static WIRES: AtomicU16 = AtomicU16::new(0);
        let [high, low] = (WIRES.fetch_add(1, Ordering::Relaxed) + 1).to_be_bytes();
        let process = 64 + (std::process::id() % 64) as u8;
        let behind = SocketAddr::from(([127, process, high, low], PORT));
        let relay = Relay::to(behind).expect("a relay");
        Self { relay, behind }
    }
}

pub(crate) struct Node {
    pub(crate) name: NodeName,
    pub(crate) authority: Arc<Peer>,
    ears: Ears,
    passed: Arc<AtomicUsize>,
    words: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
}

impl Deref for Node {
    type Target = Ears;

    fn deref(&self) -> &Ears {
        &self.ears
    }
}

impl Node {
    fn start(
        name: &str,
        config: &PeerConfig,
        identity: [u8; 32],
        state_dir: &Path,
    ) -> Result<Self, StartError> {
        let (ears, tell) = Ears::new();
        let passed = Arc::new(AtomicUsize::new(0));
        let words = Arc::new(AtomicUsize::new(0));
        let lost = Arc::new(AtomicUsize::new(0));
        let counts = [&passed, &words, &lost].map(Arc::clone);
        let surroundings = Surroundings {
            clock: || Millis(0),
            state_dir: state_dir.to_owned(),
            tell: Box::new(move |news| {
                let [passed, words, lost] = &counts;
                match news {
                    News::Term(AuthorityNews::Passed { .. }) => {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                    News::Member { ref member, .. } => {
                        words.fetch_add(1, Ordering::Relaxed);
                        lost.fetch_add(usize::from(member.is_none()), Ordering::Relaxed);
                    }
                    _ => {}
                }
                tell(news);
            }),
        };
        let name = NodeName(name.into());
        let authority = Arc::new(Peer::start(config, identity, name.clone(), surroundings)?);
        authority.tell_member(Member {
            role: "standby".into(),
            ready: true,
            ..Member::default()
        });
        Ok(Self {
            name,
            authority,
            ears,
            passed,
            words,
            lost,
        })
    }

    /// How often it was handed a term.
    pub(crate) fn times_passed(&self) -> usize {
        self.passed.load(Ordering::Relaxed)
    }

    /// How often it was told something of another node.
    pub(crate) fn times_told_of_others(&self) -> usize {
        self.words.load(Ordering::Relaxed)
    }

    /// How often another node was gone.
    pub(crate) fn times_lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }

    #[track_caller]
    pub(crate) fn hears_from(&self, other: &str) {
        let from = |news: &News| match news {
            News::Member {
                node,
                member: Some(member),
            } => node.0 == other && member.ready,
            _ => false,
        };
        self.hears(other, from);
    }

    #[track_caller]
    pub(crate) fn acquires(&self) -> (Term, Option<RecordMark>) {
        acquired(&self.authority)
    }

    #[track_caller]
    pub(crate) fn is_refused(&self) -> String {
        match self.authority.acquire(WITHIN, false, TIP) {
            Err(Fault::Refused(why) | Fault::Unsafe(why)) => why,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(crate) fn commits(&self, term: Term, seq: u64) -> Result<(), CommitError> {
        self.authority
            .commit(mark(term, seq), format!("record {seq}").as_bytes())
    }

    /// As the gate does it: again, until the outcome is certain.
    #[track_caller]
    pub(crate) fn settles(&self, term: Term, seq: u64) -> Result<(), CommitError> {
        let mut outcome = Ok(());
        let certain = until(SOON_MS, || {
            outcome = self.commits(term, seq);
            !matches!(outcome, Err(CommitError::Unsettled(_)))
        });
        assert!(certain, "never settled: {outcome:?}");
        outcome
    }

    pub(crate) fn newest(&self) -> Option<u64> {
        let record = self.authority.record().expect("a readable record")?;
        assert_eq!(
            record.bytes,
            format!("record {}", record.mark.seq).as_bytes()
        );
        Some(record.mark.seq)
    }

    #[track_caller]
    pub(crate) fn comes_to(&self, seq: u64) {
        let came = until(SOON_MS, || self.newest() == Some(seq));
        assert!(came, "{} is at {:?}, not {seq}", self.name, self.newest());
    }
}

/// Takes a term, as soon as it is granted.
#[track_caller]
pub(crate) fn acquired(authority: &Peer) -> (Term, Option<RecordMark>) {
    let mut last = None;
    let taken = until(SOON_MS, || {
        last = Some(authority.acquire(WITHIN, false, TIP));
        matches!(last, Some(Ok(_)))
    });
    assert!(taken, "not acquired: {last:?}");
    last.expect("an outcome").expect("a term")
}

pub(crate) fn mark(term: Term, seq: u64) -> RecordMark {
    RecordMark {
        term,
        seq,
        slot: 100 + seq,
        kind: RecordKind::Tower,
    }
}

/// Two nodes that know each other; the first one holds a term and has committed one record.
pub(crate) fn voting(set: &Set) -> (Node, Node, Term) {
    voting_as(set, |name| set.config(name))
}

/// The same with other configurations.
pub(crate) fn voting_as(set: &Set, config: impl Fn(&str) -> PeerConfig) -> (Node, Node, Term) {
    let [a, b] = ["a", "b"].map(|name| set.start_as(name, &config(name), IDENTITY));
    a.hears_from("b");
    b.hears_from("a");
    let (term, none) = a.acquires();
    assert_eq!(none, None);
    a.settles(term, 1).expect("a commit");
    b.comes_to(1);
    (a, b, term)
}
