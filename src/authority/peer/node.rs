//! What the parts of this node share: its ballot, the links to the others, and whom to tell.
//!
//! One lock. It is held while the ballot or another node's record goes to the disk, so that nothing is promised in between; while
//! this node votes neither happens. Nothing is waited for under it but disks, and nothing is sent under it but a few words.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ballot_file::BallotFile;
use super::link::{DiskError, Link, LinkError};
use super::message::{Claim, Message, Place, State};
use super::ration::Ration;
use crate::authority::news::{Member, News, Part, Surroundings};
use crate::authority::record_file::RecordFile;
use crate::config::PeerConfig;
use crate::engine::AuthorityNews;
use crate::engine::ballot::Ballot;
use crate::engine::pact::{Pact, Presence};
use crate::engine::values::{NodeName, Term};

/// How long an heir that is there has the first word. A promotion takes less.
const HEIR_FIRST: Duration = Duration::from_secs(3);

/// See the module.
pub(super) struct Node {
    pub(super) name: NodeName,
    pub(super) identity: [u8; 32],
    pub(super) config: PeerConfig,
    pub(super) record: RecordFile,
    state: Mutex<Inner>,
    /// For whoever asks how it is: [`Other::in_step`] of each.
    pub(super) in_step: BTreeMap<NodeName, Flag>,
    /// What this node says of itself. Of its own, so that the daemon never waits for a disk.
    member: Mutex<(Member, bool)>,
    /// Something in it should not wait for the next sign of life.
    has_news: Condvar,
    /// A message has changed something that a caller may wait for.
    changed: Condvar,
    tell: Box<dyn Fn(News) + Send + Sync>,
    stopping: AtomicBool,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) pact: Pact,
    ballot_file: BallotFile,
    /// All other nodes of the configuration.
    pub(super) others: BTreeMap<NodeName, Other>,
    /// What the engine was told last of the holder.
    told: Option<Option<NodeName>>,
    /// The term that this node was asked to take, as the engine was told.
    pub(super) passed: Option<Term>,
    heir_since: Option<Instant>,
    troubles: BTreeMap<Part, String>,
}

/// Another node, as it is seen from here.
#[derive(Debug)]
pub(super) struct Other {
    pub(super) link: Option<Arc<Link>>,
    /// How often its link has come up.
    pub(super) met: u64,
    /// The newest record on its disk, as it said over this link.
    pub(super) record: Option<Place>,
    /// It has the newest record of when the link came up: votes wait for it from here on.
    pub(super) in_step: Flag,
    pub(super) due: Option<Place>,
    pub(super) member: Option<Member>,
    /// What was passed on of it last.
    pub(super) told: Option<Member>,
    pub(super) ration: Ration,
    pub(super) claim: Option<Ballot>,
    /// When it last said how it is because it was asked.
    pub(super) answered_at: Option<Instant>,
    /// Since it was met last it has ended for certain, or an operator says so: no vote waits for it.
    pub(super) is_dead: bool,
}

/// Set under the lock, and read without it: a disk may be waited for under that.
#[derive(Clone, Debug, Default)]
pub(super) struct Flag(Arc<AtomicBool>);

impl Flag {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, value: bool) {
        self.swap(value);
    }

    fn swap(&self, value: bool) -> bool {
        self.0.swap(value, Ordering::Relaxed)
    }
}

impl Node {
    pub(super) fn new(
        config: &PeerConfig,
        identity: [u8; 32],
        name: NodeName,
        record: RecordFile,
        (ballot_file, pact): (BallotFile, Pact),
        surroundings: Surroundings,
    ) -> Self {
        let other = || Other {
            link: None,
            met: 0,
            record: None,
            in_step: Flag::default(),
            due: None,
            member: None,
            told: None,
            ration: Ration::full(Instant::now()),
            claim: None,
            answered_at: None,
            is_dead: false,
        };
        let names = config.nodes.iter().map(|node| NodeName(node.name.clone()));
        let others: BTreeMap<NodeName, Other> = names
            .filter(|other| *other != name)
            .map(|name| (name, other()))
            .collect();
        let in_step = others
            .iter()
            .map(|(name, other)| (name.clone(), other.in_step.clone()))
            .collect();
        Self {
            identity,
            config: config.clone(),
            record,
            state: Mutex::new(Inner {
                pact,
                ballot_file,
                others,
                told: None,
                passed: None,
                heir_since: None,
                troubles: BTreeMap::new(),
            }),
            name,
            in_step,
            member: Mutex::default(),
            has_news: Condvar::new(),
            changed: Condvar::new(),
            tell: surroundings.tell,
            stopping: AtomicBool::new(false),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something has changed, or the time is over.
    pub(super) fn wait<'a>(
        &self,
        state: MutexGuard<'a, Inner>,
        until: Instant,
    ) -> MutexGuard<'a, Inner> {
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout(state, left);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    pub(super) fn has_changed(&self) {
        self.changed.notify_all();
    }

    /// Has a ballot on the disk before anything rests on it. What it takes from this node is told.
    ///
    /// # Errors
    /// The disk refuses: nothing has changed.
    pub(super) fn keep(&self, state: &mut Inner, ballot: Ballot) -> Result<(), DiskError> {
        let kept = state.ballot_file.write(&ballot);
        let path = state.ballot_file.path().to_owned();
        self.is_kept(state, kept, &path)?;
        state.heir_since = ballot.heir.as_ref().map(|_| Instant::now());
        if !ballot.is_of(&self.name) {
            // Another node has, or had, a term since: whoever has promised it may live.
            state
                .others
                .values_mut()
                .for_each(|other| other.is_dead = false);
        }
        if let Some(lost) = state.pact.keep(ballot) {
            self.tell_term(AuthorityNews::TermLost(lost));
        }
        self.has_changed();
        Ok(())
    }

    /// Tells how the disk is by what came of writing a file.
    pub(super) fn is_kept(
        &self,
        state: &mut Inner,
        outcome: std::io::Result<()>,
        path: &Path,
    ) -> Result<(), DiskError> {
        let outcome = outcome.map_err(|source| DiskError {
            path: path.to_owned(),
            source,
        });
        match &outcome {
            Ok(()) => self.well(state, Part::Disk),
            Err(error) => self.trouble(state, Part::Disk, error.to_string()),
        }
        outcome
    }

    /// Tells the engine who holds the term, where that has changed and where it is known.
    pub(super) fn tell_holder(&self, state: &mut Inner) {
        let Some(holder) = self.holder(state) else {
            return;
        };
        if state.told.as_ref() != Some(&holder) {
            state.told = Some(holder.clone());
            self.tell_term(AuthorityNews::Holder(holder));
        }
    }

    /// `Some(None)`: nobody, and this node could take it. `None`: it cannot be told.
    fn holder(&self, state: &Inner) -> Option<Option<NodeName>> {
        let ballot = state.pact.ballot();
        if !ballot.ended && ballot.holder.is_some() {
            return Some(ballot.holder.clone());
        }
        if state.pact.is_entitled() {
            return Some(None);
        }
        if let Some(heir) = &ballot.heir {
            let is_early = state
                .heir_since
                .is_some_and(|since| since.elapsed() < HEIR_FIRST);
            if is_early
                && state
                    .others
                    .get(heir)
                    .is_some_and(|other| other.link.is_some())
            {
                return Some(Some(heir.clone()));
            }
        }
        let mut others = state.others.values();
        others.all(Other::is_there).then_some(None)
    }

    /// From here on votes wait for another node, or no longer. Who chooses a successor hears of it with that node's own word.
    pub(super) fn put_in_step(&self, name: &NodeName, other: &Other, is_in_step: bool) {
        let was = other.in_step.swap(is_in_step);
        if was != is_in_step && other.member.is_some() {
            self.tell(News::Member {
                node: name.clone(),
                member: other.member.clone(),
            });
        }
    }

    pub(super) fn tell(&self, news: News) {
        (self.tell)(news);
    }

    pub(super) fn tell_term(&self, news: AuthorityNews) {
        self.tell(News::Term(news));
    }

    /// Tells a trouble when it begins, and when it changes.
    pub(super) fn trouble(&self, state: &mut Inner, part: Part, why: String) {
        if state.troubles.get(&part) != Some(&why) {
            state.troubles.insert(part.clone(), why.clone());
            self.tell(News::Trouble { part, why });
        }
    }

    pub(super) fn well(&self, state: &mut Inner, part: Part) {
        if state.troubles.remove(&part).is_some() {
            self.tell(News::Well(part));
        }
    }

    /// What this node says of itself.
    pub(super) fn word(&self, state: &Inner) -> State {
        State {
            claim: state.claim(),
            member: self.member().0.clone(),
            hands_over: false,
            asks: false,
            answers: false,
        }
    }

    fn member(&self) -> MutexGuard<'_, (Member, bool)> {
        self.member.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what this node says of itself from here on. Never waits.
    pub(super) fn note_member(&self, member: Member) {
        let mut now = self.member();
        let urgent = member.differs_in_kind(&now.0);
        *now = (member, now.1 || urgent);
        if urgent {
            self.has_news.notify_one();
        }
    }

    /// Until there is something that the others should know at once, or the time is over.
    pub(super) fn await_news(&self, within: Duration) {
        let now = self.member();
        let waited = self
            .has_news
            .wait_timeout_while(now, within, |(_, urgent)| !*urgent);
        waited.unwrap_or_else(PoisonError::into_inner).0.1 = false;
    }

    /// Tells every node that is there how this one is. Waits for none that takes nothing: the others must hear of it all the same.
    pub(super) fn tell_others(&self, state: &Inner) {
        let word = Message::State(self.word(state));
        for link in state
            .others
            .values()
            .filter_map(|other| other.link.as_ref())
        {
            // One that fails ends, and its reader says so.
            let _ = link.send_if_idle(&word);
        }
    }

    /// Where the newest record on this disk stands.
    pub(super) fn newest(&self) -> Option<Place> {
        self.record.mark().map(Place::from)
    }

    /// Sends the newest record to a node that has an older one. It arrives before whatever is sent after. An error ends the link:
    /// without the record it must hear nothing that rests on its having it.
    pub(super) fn bring_up_to_date(
        &self,
        link: &Link,
        has: Option<Place>,
    ) -> Result<(), LinkError> {
        if self.newest() <= has {
            return Ok(());
        }
        let record = self.record.read().map_err(|error| {
            link.close();
            LinkError::Unfit(format!("it cannot be brought up to date: {error}"))
        })?;
        record.map_or(Ok(()), |record| link.send(&Message::Record(record)))
    }

    /// Ends all threads of this node.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        for other in self.state().others.values_mut() {
            if let Some(link) = other.link.take() {
                link.close();
            }
        }
        self.has_changed();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn address_of(&self, name: &NodeName) -> Option<&str> {
        let mut nodes = self.config.nodes.iter();
        nodes
            .find(|node| node.name == name.0)
            .map(|node| node.address.as_str())
    }
}

impl Other {
    /// It can be asked: it has said what it has promised, and is heard.
    pub(super) fn is_there(&self) -> bool {
        self.presence() == Presence::There
    }

    pub(super) fn presence(&self) -> Presence {
        match (&self.link, &self.claim) {
            (None, _) => Presence::Away,
            (Some(_), None) => Presence::Met,
            (Some(_), Some(_)) => Presence::There,
        }
    }

    /// It has said that it keeps this record.
    pub(super) fn has(&self, place: Place) -> bool {
        self.record.is_some_and(|record| record.covers(place))
    }
}

impl Inner {
    /// What the others are told of this node's ballot.
    pub(super) fn claim(&self) -> Claim {
        let there = self.others.values().map(Other::is_there);
        Claim::from(&self.pact.told(there))
    }

    /// The links that there are of those others.
    pub(super) fn links_of(&self, wanted: impl Fn(&Other) -> bool) -> Vec<(NodeName, Arc<Link>)> {
        let others = self.others.iter().filter(|(_, other)| wanted(other));
        others
            .filter_map(|(name, other)| Some((name.clone(), other.link.clone()?)))
            .collect()
    }

    /// The node that would be given the next term, of those that are there and ready.
    pub(super) fn successor(&self) -> Option<NodeName> {
        let ready = self.others.iter().filter_map(|(name, other)| {
            let member = other.member.as_ref().filter(|member| member.ready)?;
            other.link.as_ref()?;
            Some((std::cmp::Reverse(member.priority), name))
        });
        ready.min().map(|(_, name)| name.clone())
    }
}
