//! One node's authority, as the supervisor uses it, with everything that it tells.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use testkit::stand_in::until;
use validator_supervisor::authority::etcd::Etcd;
use validator_supervisor::authority::news::{Member, News, Surroundings};
use validator_supervisor::authority::{CommitError, Fault};
use validator_supervisor::config::EtcdConfig;
use validator_supervisor::engine::AuthorityNews;
use validator_supervisor::engine::values::{Millis, NodeName, RecordKind, RecordMark, Term};

pub(crate) const IDENTITY: [u8; 32] = [7; 32];
pub(crate) const SOON_MS: u64 = 40_000;
pub(crate) const WITHIN: Duration = Duration::from_secs(15);

pub(crate) struct Node {
    pub(crate) authority: Etcd,
    news: Receiver<News>,
    heard: Mutex<Vec<News>>,
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

impl Node {
    pub(crate) fn start(name: &str, endpoints: Vec<String>) -> Self {
        Self::configured(name, &config(endpoints))
    }

    pub(crate) fn configured(name: &str, config: &EtcdConfig) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self::in_dir(name, config, dir)
    }

    pub(crate) fn in_dir(name: &str, config: &EtcdConfig, dir: tempfile::TempDir) -> Self {
        let (sender, news) = channel();
        let surroundings = Surroundings {
            clock,
            state_dir: dir.path().to_owned(),
            tell: Box::new(move |told| {
                let _ = sender.send(told);
            }),
        };
        let authority = Etcd::start(config, IDENTITY, NodeName(name.into()), surroundings)
            .expect("an authority");
        Self {
            authority,
            news,
            heard: Mutex::default(),
            dir,
        }
    }

    /// Waits until something is told that fits; what was told before counts.
    #[track_caller]
    pub(crate) fn hears(&self, what: &str, fits: impl Fn(&News) -> bool) -> News {
        let mut found = None;
        let heard = until(SOON_MS, || {
            let mut all = self.heard.lock().expect("the lock");
            all.extend(self.news.try_iter());
            found = all.iter().rev().find(|news| fits(news)).cloned();
            found.is_some()
        });
        assert!(heard, "never heard of {what}: {:?}", self.heard);
        found.expect("what was found")
    }

    /// What was told so far is not counted any more.
    pub(crate) fn forget(&self) {
        let mut all = self.heard.lock().expect("the lock");
        self.news.try_iter().for_each(drop);
        all.clear();
    }

    #[track_caller]
    pub(crate) fn hears_of_holder(&self, holder: Option<&str>) {
        let holder = holder.map(|name| NodeName(name.into()));
        let wanted = News::Term(AuthorityNews::Holder(holder));
        self.hears(&format!("{wanted:?}"), |news| *news == wanted);
    }

    #[track_caller]
    pub(crate) fn hears_of_trouble(&self, words: &str) -> String {
        let news = self.hears(
            words,
            |news| matches!(news, News::Trouble { why, .. } if why.contains(words)),
        );
        match news {
            News::Trouble { why, .. } => why,
            _ => String::new(),
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
