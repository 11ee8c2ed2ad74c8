//! One node's authority, as the supervisor uses it, with everything that it tells.

use std::ops::Deref;
use std::time::{Duration, Instant};

use crate::ears::Ears;
use testkit::stand_in::until;
use validator_supervisor::authority::etcd::Etcd;
use validator_supervisor::authority::news::{Member, Surroundings};
use validator_supervisor::authority::{CommitError, Fault};
use validator_supervisor::config::EtcdConfig;
use validator_supervisor::engine::values::{Millis, NodeName, RecordKind, RecordMark, Term};

pub(crate) const IDENTITY: [u8; 32] = [7; 32];
pub(crate) const SOON_MS: u64 = 40_000;
pub(crate) const WITHIN: Duration = Duration::from_secs(15);

pub(crate) struct Node {
    pub(crate) authority: Etcd,
    ears: Ears,
    pub(crate) dir: tempfile::TempDir,
}

/// The engine's clock, as good as any that does not step.
pub(crate) fn clock() -> Millis {
    static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    Millis(1_000 + BEGUN.get_or_init(Instant::now).elapsed().as_millis() as u64)
}

pub(crate) fn config(endpoints: Vec<String>) -> EtcdConfig {
    EtcdConfig {
        endpoints,
        prefix: "/test".into(),
        // A busy machine takes its time. What is about the end of a lease has a shorter one.
        ttl: Duration::from_secs(20),
        margin: Duration::from_secs(4),
        interval: Duration::from_millis(400),
        ca: None,
        cert: None,
        key: None,
        user: None,
        password_file: None,
    }
}

/// A key of the identity under test.
pub(crate) fn key(name: &str) -> String {
    format!("/test/{}/{name}", bs58::encode(IDENTITY).into_string())
}

impl Deref for Node {
    type Target = Ears;

    fn deref(&self) -> &Ears {
        &self.ears
    }
}

impl Node {
    pub(crate) fn start(name: &str, endpoints: Vec<String>) -> Self {
        Self::configured(name, &config(endpoints))
    }

    pub(crate) fn configured(name: &str, config: &EtcdConfig) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self::in_dir(name, config, dir)
    }

    pub(crate) fn in_dir(name: &str, config: &EtcdConfig, dir: tempfile::TempDir) -> Self {
        let (ears, tell) = Ears::new();
        let surroundings = Surroundings {
            clock,
            state_dir: dir.path().to_owned(),
            tell,
        };
        let authority = Etcd::start(config, IDENTITY, NodeName(name.into()), surroundings)
            .expect("an authority");
        Self {
            authority,
            ears,
            dir,
        }
    }

    /// Takes the term as soon as there is a lease and nobody holds it.
    #[track_caller]
    pub(crate) fn acquires(&self) -> (Term, Option<RecordMark>) {
        let mut last = None;
        let taken = until(SOON_MS, || {
            last = Some(self.authority.acquire(WITHIN));
            matches!(last, Some(Ok(_)))
        });
        assert!(taken, "not acquired: {last:?}");
        last.expect("an outcome").expect("a term")
    }

    /// Waits for its lease, then is refused.
    #[track_caller]
    pub(crate) fn is_refused(&self) -> String {
        let mut why = String::new();
        let refused = until(SOON_MS, || match self.authority.acquire(WITHIN) {
            Err(Fault::Refused(text)) => {
                why = text;
                !why.contains("has not granted") && !why.contains("not renewed lately")
            }
            other => panic!("not refused: {other:?}"),
        });
        assert!(refused, "no lease: {why}");
        why
    }

    /// Has it committed, however often it takes.
    #[track_caller]
    pub(crate) fn commits_well(&self, term: Term, seq: u64, bytes: &[u8]) {
        let outcome = self.settles(term, seq, bytes);
        assert_eq!(outcome, Ok(()));
    }

    pub(crate) fn commits(&self, term: Term, seq: u64, bytes: &[u8]) -> Result<(), CommitError> {
        self.authority.commit(mark(term, seq), bytes)
    }

    /// As the gate does it: again, until the outcome is certain.
    #[track_caller]
    pub(crate) fn settles(&self, term: Term, seq: u64, bytes: &[u8]) -> Result<(), CommitError> {
        let mut outcome = Ok(());
        let certain = until(SOON_MS, || {
            outcome = self.commits(term, seq, bytes);
            !matches!(outcome, Err(CommitError::Unsettled(_)))
        });
        assert!(certain, "never settled: {outcome:?}");
        outcome
    }

    pub(crate) fn tells(&self, member: Member) {
        self.authority.tell_member(member);
    }
}

pub(crate) fn mark(term: Term, seq: u64) -> RecordMark {
    RecordMark {
        term,
        seq,
        slot: 100 + seq,
        kind: RecordKind::Tower,
    }
}
