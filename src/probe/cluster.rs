//! Asks other people's RPC nodes where the cluster is, and which of them cannot be believed.
//!
//! One that is slow, puts us off or tells nonsense costs its own answer and nothing else.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::progress::Progress;
use super::{Client, Own, Shared, Silence, Subject, tip};

/// The validator's own word counts for this long.
const OWN_WITHIN: Duration = Duration::from_secs(3);
/// An RPC that answers nothing for this long is named.
const SILENT_FOR: Duration = Duration::from_secs(10);

/// What one round has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// RPCs of our cluster. Those of another one are none.
    pub asked: u32,
    /// Have moved on since the validator last did.
    pub advancing: u32,
    /// Gave no answer in this round.
    pub failed: u32,
    /// The validator has moved on since the last round; `None`: it says nothing.
    pub own_advancing: Option<bool>,
    /// By URL, without credentials.
    pub doubts: BTreeMap<String, Doubt>,
}

/// Why an RPC is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It has not answered for a while.
    Silent(String),
    /// Its genesis hash is not that of the validator.
    OtherCluster { theirs: String, ours: String },
    /// Its slot is far from what the others say, or a validator that calls itself healthy.
    FarOff { slot: u64, others: u64 },
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silent(why) => write!(f, "it does not answer: {why}"),
            Self::OtherCluster { theirs, ours } => write!(
                f,
                "it is of another cluster, and does not count: its genesis hash is {theirs}, the validator's is {ours}: correct cluster.rpc or validator.rpc"
            ),
            Self::FarOff { slot, others } => write!(
                f,
                "it tells of slot {slot}, far from {others}, where the others are, or a validator that calls itself healthy"
            ),
        }
    }
}

/// The clients of the cluster's RPCs.
pub struct Cluster {
    nodes: Vec<Node>,
    shared: Rc<Shared>,
    progress: Progress,
}

struct Node {
    client: Client,
    genesis: RefCell<Option<String>>,
    /// When it last answered, or was first asked.
    answered_at: Cell<Instant>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let urls = self.nodes.iter().map(|node| &node.client.url);
        f.debug_list().entries(urls).finish()
    }
}

impl Cluster {
    pub(super) fn new(subject: &Subject, shared: Rc<Shared>) -> Self {
        let node = |url: &String| Node {
            client: Client::new(url, subject.within),
            genesis: RefCell::default(),
            answered_at: Cell::new(Instant::now()),
        };
        Self {
            nodes: subject.cluster.iter().map(node).collect(),
            shared,
            progress: Progress::new(subject.cluster.len()),
        }
    }

    /// Whether there is nobody to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// One round, all at once: it takes as long as the slowest of them, and at most the limit of one question.
    pub async fn ask(&mut self) -> Survey {
        let ours = self.shared.genesis.borrow().clone();
        let answers = join_all(self.nodes.iter().map(|node| node.ask(ours.as_deref()))).await;
        let now = Instant::now();
        let own = self.shared.own.get();
        let own = own.filter(|own| now.duration_since(own.at) <= OWN_WITHIN);
        let told: Vec<Option<u64>> = answers.iter().map(Answer::slot).collect();
        let own_advancing = self.progress.round(now, own.map(|own| own.slot), &told);
        let slots: Vec<u64> = told.iter().copied().flatten().collect();
        let count = |is: fn(&Answer) -> bool| {
            let counted = answers.iter().filter(|answer| is(answer)).count();
            u32::try_from(counted).unwrap_or(u32::MAX)
        };
        let survey = Survey {
            asked: count(|answer| !matches!(answer, Answer::Stranger { .. })),
            advancing: self.progress.advancing(now),
            failed: count(|answer| matches!(answer, Answer::None(_))),
            own_advancing,
            doubts: self.doubts(now, &answers, &slots, own),
        };
        *self.shared.told.borrow_mut() = Some((slots, now));
        survey
    }

    fn doubts(
        &self,
        now: Instant,
        answers: &[Answer],
        slots: &[u64],
        own: Option<Own>,
    ) -> BTreeMap<String, Doubt> {
        let healthy_at = own.filter(|own| own.healthy).map(|own| own.slot);
        let mut doubts = BTreeMap::new();
        for (node, answer) in self.nodes.iter().zip(answers) {
            let doubt = match answer {
                Answer::Slot(slot) => {
                    let others = tip::far_from(*slot, slots, healthy_at);
                    others.map(|others| Doubt::FarOff {
                        slot: *slot,
                        others,
                    })
                }
                Answer::Stranger { theirs, ours } => Some(Doubt::OtherCluster {
                    theirs: theirs.clone(),
                    ours: ours.clone(),
                }),
                Answer::None(silence) => {
                    let silent = now.duration_since(node.answered_at.get()) >= SILENT_FOR;
                    silent.then(|| Doubt::Silent(silence.why.clone()))
                }
            };
            doubts.extend(doubt.map(|doubt| (node.client.url.clone(), doubt)));
        }
        doubts
    }
}

enum Answer {
    Slot(u64),
    /// It is of another cluster.
    Stranger {
        theirs: String,
        ours: String,
    },
    None(Silence),
}

impl Answer {
    fn slot(&self) -> Option<u64> {
        match self {
            Self::Slot(slot) => Some(*slot),
            _ => None,
        }
    }
}

impl Node {
    /// `ours` is the genesis hash of the validator, where it is known.
    async fn ask(&self, ours: Option<&str>) -> Answer {
        let (slot, ()) = tokio::join!(self.client.ask(self.client.rpc.get_slot()), self.learn());
        if let (Some(ours), Some(theirs)) = (ours, self.genesis.borrow().as_deref())
            && ours != theirs
        {
            let (theirs, ours) = (theirs.to_owned(), ours.to_owned());
            return Answer::Stranger { theirs, ours };
        }
        match slot {
            Ok(slot) => {
                self.answered_at.set(Instant::now());
                Answer::Slot(slot)
            }
            Err(silence) => Answer::None(silence),
        }
    }

    /// Asks for its genesis hash until it is told.
    async fn learn(&self) {
        if self.genesis.borrow().is_some() {
            return;
        }
        if let Ok(hash) = self.client.ask(self.client.rpc.get_genesis_hash()).await {
            *self.genesis.borrow_mut() = Some(hash.to_string());
        }
    }
}
