//! One machine: supervisor, client of the store, gate, validator and disk. Values only; what they do is in the files beside this.

use crate::client::Client;
use crate::record::{Record, Votes};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use validator_supervisor::engine::values::{Identity, NodeName, OpId, RecordMark, Term};
use validator_supervisor::engine::vote_gate::VoteGate;
use validator_supervisor::engine::{AuthorityTraits, Engine, Setup, Timing};

/// Time stands still while everything goes well: a lease that is renewed in the same round lasts until the same time. A node's
/// clock moves to the next round, or to a deadline of its engine.
pub(crate) const ROUND_MS: u64 = 1_000;
/// Spans that only order one thing after another.
const SHORT_MS: u64 = 1;
/// Spans that never end here.
const LONG_MS: u64 = 1_000_000_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    /// `None`: the supervisor is dead.
    pub(crate) engine: Option<Kept>,
    pub(crate) clock: u64,
    pub(crate) client: Client,
    pub(crate) gate: VoteGate,
    /// The vote that waits at the gate.
    pub(crate) waiting: Option<Record>,
    /// The last commit of this node that let its vote go.
    pub(crate) let_go: Option<RecordMark>,
    pub(crate) child: Option<Child>,
    /// What the supervisor is doing on its own machine.
    pub(crate) local: Option<(OpId, Local)>,
    pub(crate) slow: SlowParts,
    /// The newest record here, in the validator's directory as well.
    pub(crate) disk: Option<Record>,
    /// The record that the last holding here started from.
    pub(crate) start: Option<(Term, Votes)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Child {
    /// Identity that the admin RPC set.
    pub(crate) admin: Identity,
    /// Identity that the voting thread works with.
    pub(crate) thread: Identity,
    pub(crate) voters: bool,
    /// What the voting thread remembers of the staked identity's votes.
    pub(crate) memory: Votes,
    /// A vote that is built and has not reached the gate.
    pub(crate) built: Option<u64>,
    /// It was killed, or exits because a vote was refused.
    pub(crate) dying: bool,
}

/// What takes its time, by a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SlowParts {
    pub(crate) local: bool,
    /// The vote that is built, on its way to the gate.
    pub(crate) vote: bool,
    pub(crate) renewal: bool,
}

/// One thing the supervisor does to its validator, its disk or its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Local {
    Mute,
    Unmute,
    Identity(Identity),
    Install,
    OpenGate(Term),
    /// `true`: what waits may still pass.
    CloseGate(bool),
}

impl Node {
    pub(crate) fn new() -> Self {
        Self {
            engine: None,
            clock: 0,
            client: Client::default(),
            gate: VoteGate::default(),
            waiting: None,
            let_go: None,
            child: None,
            local: None,
            slow: SlowParts::default(),
            disk: None,
            start: None,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.engine.is_some()
    }

    /// The number of whole rounds on its clock, as a time.
    pub(crate) fn round(&self) -> u64 {
        self.clock / ROUND_MS * ROUND_MS
    }

    pub(crate) fn live_child(&self) -> Option<&Child> {
        self.child.as_ref().filter(|child| !child.dying)
    }

    /// A validator lives that nobody has ended, and it is on the staked identity.
    pub(crate) fn carries_identity(&self) -> bool {
        self.live_child().is_some_and(Child::is_staked)
    }
}

impl Child {
    pub(crate) fn new() -> Self {
        Self {
            admin: Identity::Unstaked,
            thread: Identity::Unstaked,
            voters: true,
            memory: Votes::default(),
            built: None,
            dying: false,
        }
    }

    /// It carries the identity, or can still build a vote of it.
    pub(crate) fn is_staked(&self) -> bool {
        self.admin == Identity::Staked || (self.thread == Identity::Staked && self.voters)
    }
}

/// An engine and its hash: of the nodes of a state one or two change in a step, and an engine is long to hash.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    engine: Arc<Engine>,
    hash: u64,
}

impl Kept {
    pub(crate) fn new(engine: Engine) -> Self {
        let mut folding = Folding::default();
        engine.hash(&mut folding);
        let hash = folding.finish();
        Self {
            engine: Arc::new(engine),
            hash,
        }
    }

    pub(crate) fn get(&self) -> &Engine {
        &self.engine
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.engine == other.engine
    }
}

impl Eq for Kept {}

impl Hash for Kept {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

/// Multiplies to 128 bits and folds, a word at a time: quick where nothing is optimised.
#[derive(Default)]
struct Folding(u64);

impl Folding {
    fn fold(&mut self, word: u64) {
        let wide = u128::from(self.0 ^ word ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93;
        self.0 = (wide as u64) ^ ((wide >> 64) as u64) ^ word.rotate_left(23);
    }
}

impl Hasher for Folding {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let mut whole = [0; 8];
            whole.copy_from_slice(word);
            self.fold(u64::from_le_bytes(whole));
        }
        let mut rest = [0; 8];
        rest[..words.remainder().len()].copy_from_slice(words.remainder());
        self.fold(u64::from_le_bytes(rest));
    }

    fn write_u8(&mut self, word: u8) {
        self.fold(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.fold(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.fold(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.fold(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.fold(word as u64);
    }
}

pub(crate) fn name(node: usize) -> NodeName {
    NodeName(char::from(b'A' + node as u8).to_string())
}

pub(crate) fn index(name: &NodeName) -> usize {
    name.0
        .bytes()
        .next()
        .map_or(0, |letter| usize::from(letter - b'A'))
}

/// Every standby tries at once, and every step has its deadline right after it.
pub(crate) fn setup(node: usize) -> Setup {
    let timing = Timing {
        step_ms: SHORT_MS,
        promote_ms: SHORT_MS,
        handover_ms: SHORT_MS,
        handover_slots: 8,
        clear_slots: 0,
        clear_within_ms: SHORT_MS,
        demote_clear_ms: SHORT_MS,
        gate_quiet_ms: SHORT_MS,
        start_ms: LONG_MS,
        exit_ms: SHORT_MS,
        term_ms: SHORT_MS,
        stale_ms: LONG_MS,
        caught_up_slots: 1,
        lease_margin_ms: ROUND_MS / 2,
        takeover_stagger_ms: 0,
        isolated_ms: LONG_MS,
        silent_ms: LONG_MS,
        chain_quiet_ms: LONG_MS,
        backoff_min_ms: SHORT_MS,
        backoff_max_ms: SHORT_MS,
        restart_max: 100,
        restart_window_ms: LONG_MS,
    };
    Setup {
        node: name(node),
        authority: AuthorityTraits {
            alone: false,
            passes: true,
            leased: true,
        },
        automatic: true,
        rank: 0,
        fence: None,
        timing,
    }
}
