//! What operators and the service manager are told: status, explain, history, one line.

use std::time::{Duration, Instant};

use super::{Daemon, clock, service};
use crate::ctl::status::{
    AuthorityStatus, GateStatus, LatencyStatus, PeerStatus, RecordStatus, Status, ValidatorStatus,
};
use crate::ctl::wire::{Explain, HistoryEntry};
use crate::engine::table::{self, Cause};
use crate::engine::values::{Identity, NodeName, RecordMark, Role};
use crate::engine::{Leads, Reason};
use crate::validator::command_line::VoteAccount;
use crate::validator::keypair::Keypair;

/// Between two status lines of the same role.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// Slots for which the leader schedule has to be known before it counts as known. More than a handover looks ahead.
const KNOWN_AHEAD: u64 = 64;

/// The address of a vote account, where it can be told without a secret.
pub(super) fn vote_account_text(account: &VoteAccount) -> Option<String> {
    match account {
        VoteAccount::Address(address) => Some(address.to_string()),
        VoteAccount::Keypair(path) => Keypair::read(path)
            .ok()
            .map(|(keypair, _)| keypair.pubkey().to_string()),
    }
}

impl Daemon {
    pub(super) fn status(&self) -> Status {
        // The authority `local` may hold a term for us that could not be taken up: it is nobody else's.
        // Its own lock is not asked for: a commit that hangs has it.
        let left = self.engine.term().is_none()
            && self.authority.traits().alone
            && self.engine.claims_term();
        let astray = left && self.engine.child_identity() == Some(Identity::Unstaked);
        let holds = left || self.engine.term().is_some();
        Status {
            node: self.config.node.clone(),
            identity: Some(self.keys.staked.pubkey().to_string()),
            vote_account: self.vote_account.clone(),
            role: self.engine.role(),
            since: clock::wall(self.engine.since()),
            term: self.engine.term().map(|term| term.0),
            reason: self.reason.clone(),
            authority: AuthorityStatus {
                kind: self.authority.name().into(),
                holder: if holds {
                    Some(self.config.node.clone())
                } else {
                    self.members.holder.as_ref().map(|node| node.0.clone())
                },
                healthy: Some(self.unsettled.is_none() && self.members.all_is_well() && !astray),
                lease_left_ms: self
                    .authority
                    .lease_until()
                    .map(|until| until.since(clock::now())),
            },
            record: self.record_status(),
            gate: self.gate_status(),
            validator: self.validator_status(),
            peers: self.peers_status(),
            paused_until: self.engine.paused_until().map(clock::wall),
            next_leader_slot: self.next_leader_slot(),
        }
    }

    fn peers_status(&self) -> Vec<PeerStatus> {
        let node = NodeName(self.config.node.clone());
        let mut peers = self.members.status(&node, self.config.peer.as_ref());
        for peer in &mut peers {
            peer.in_step = self.authority.is_in_step(&NodeName(peer.node.clone()));
        }
        peers
    }

    /// The first one from the validator's present slot on.
    fn next_leader_slot(&self) -> Option<u64> {
        self.profile.next_leader_slot(self.facts?.slot)
    }

    pub(super) fn leads(&self) -> Leads {
        let ahead = |slot| self.profile.knows_ahead(slot, KNOWN_AHEAD);
        match self.next_leader_slot() {
            Some(slot) => Leads::At(slot),
            None if self.facts.is_some_and(|facts| ahead(facts.slot)) => Leads::Never,
            None => Leads::Unknown,
        }
    }

    /// The newest committed record: that of this node's gate, or one that it keeps for another.
    fn record_status(&self) -> RecordStatus {
        let place = |mark: RecordMark| (mark.term, mark.seq);
        let own = self.reports.facts.borrow().last;
        let kept = self
            .authority
            .newest_mark()
            .filter(|_| self.engine.term().is_none())
            .filter(|kept| own.map(place) < Some(place(*kept)));
        let Some(mark) = kept.or(own) else {
            return RecordStatus::default();
        };
        let gate = self.child.as_ref().filter(|_| kept.is_none());
        RecordStatus {
            kind: Some(mark.kind.name().into()),
            slot: Some(mark.slot),
            seq: Some(mark.seq),
            sha256: gate
                .and_then(|child| child.gate.last_sha256())
                .map(|sha256| hex(&sha256)),
        }
    }

    fn gate_status(&self) -> GateStatus {
        let reading = self.reports.meter.read();
        GateStatus {
            commits: reading.commits,
            refused: reading.refused,
            waiting: u64::from(reading.waiting),
            latency_us: LatencyStatus {
                p50: reading.p50_us,
                p99: reading.p99_us,
                max: reading.max_us,
            },
        }
    }

    fn validator_status(&self) -> ValidatorStatus {
        let identity = self.engine.child_identity().map(|identity| match identity {
            Identity::Staked => self.keys.staked.pubkey().to_string(),
            Identity::Unstaked => self.keys.unstaked.pubkey().to_string(),
        });
        ValidatorStatus {
            client: Some(self.config.validator.client.name().into()),
            version: self.profile.version.clone(),
            pid: self
                .child
                .as_ref()
                .map(|child| child.process.pid().as_raw().unsigned_abs()),
            identity,
            healthy: self.facts.map(|facts| facts.healthy),
            slot: self.facts.map(|facts| facts.slot),
            slots_behind: self.facts.and_then(|facts| facts.behind),
            rpc_trouble: self.probing.own_trouble(),
            restarts: self.restarts,
        }
    }

    pub(super) fn explain(&self) -> Explain {
        let explanation = self.engine.explain(clock::now());
        let deadline = self.engine.next_deadline();
        Explain {
            node: self.config.node.clone(),
            role: explanation.role,
            since: clock::wall(self.engine.since()),
            because: explanation.because.to_owned(),
            detail: Some(explanation.detail).filter(|detail| !detail.is_empty()),
            doing: explanation.doing.to_owned(),
            next: Some(self.with_rpc_trouble(explanation.next)).filter(|next| !next.is_empty()),
            deadline: deadline.map(|(at, _)| clock::wall(at)),
            deadline_for: deadline.map(|(_, reason)| reason_text(reason).to_owned()),
        }
    }

    /// A validator that does not say how it is would keep a node where it is for a reason that nobody sees.
    fn with_rpc_trouble(&self, next: String) -> String {
        match (self.probing.own_trouble(), next.as_str()) {
            (None, _) => next,
            (Some(trouble), "") => format!("the validator's RPC does not answer: {trouble}"),
            (Some(trouble), next) => format!("{next}; its RPC does not answer: {trouble}"),
        }
    }

    /// Logs, keeps and shows a change of role.
    pub(super) fn record_transition(&mut self, from: Role, to: Role, cause: Cause, detail: String) {
        let because = table::find(from, cause, to).map_or("", |row| row.because);
        self.reason = sentence(because, &detail);
        let term = self.engine.term().map(|term| term.0);
        let slot = self.engine.last_committed().map(|mark| mark.slot);
        tracing::info!(
            EVENT = "transition",
            ROLE = to.name(),
            FROM = from.name(),
            CAUSE = cause.name(),
            TERM = term,
            SLOT = slot,
            "{from} -> {to}: {}",
            self.reason
        );
        let entry = HistoryEntry {
            at: clock::wall(clock::now()),
            from,
            to,
            term,
            cause: cause.name().into(),
            text: self.reason.clone(),
        };
        let write = self.history.add(entry);
        self.disk.run(move || {
            if let Err(error) = write() {
                tracing::warn!("the history of this node could not be written: {error}");
            }
        });
    }

    /// One line for the service manager, sent when it differs from the last.
    pub(super) fn tell_status(&mut self) {
        let mut text = self.engine.role().name().to_owned();
        if let Some(term) = self.engine.term() {
            text.push_str(&format!(" · term {term}"));
        }
        let voted = self
            .engine
            .last_committed()
            .map(|mark| mark.slot)
            .filter(|_| self.engine.role() == Role::Active);
        if let Some(slot) = voted.or(self.facts.map(|facts| facts.slot)) {
            text.push_str(&format!(" · slot {slot}"));
        }
        text.push_str(&format!(" · {} waiting", self.reports.meter.waiting()));
        // Every slot would be a message to the service manager; once a second is enough for a person.
        let role_changed = !self.last_status.0.starts_with(self.engine.role().name());
        let due = role_changed || self.last_status.1.elapsed() >= STATUS_EVERY;
        if due && text != self.last_status.0 {
            service::status(&text);
            self.last_status = (text, Instant::now());
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sentence(because: &str, detail: &str) -> String {
    match (because, detail) {
        ("", detail) => detail.to_owned(),
        (because, "") => because.to_owned(),
        (because, detail) => format!("{} ({detail}).", because.trim_end_matches('.')),
    }
}

fn reason_text(reason: Reason) -> &'static str {
    match reason {
        Reason::Step => "the step counts as failed",
        Reason::Backoff => "the validator is started again",
        Reason::Reading => "the last reading of the validator is too old",
        Reason::LeaseMargin => "the node leaves the identity, because its lease is not renewed",
        Reason::LeaseEnd => "the validator is killed, because the lease has ended",
        Reason::Silence => "a page, because no vote was sent",
        Reason::Switch => {
            "its voting thread has switched by then, or the validator is started anew"
        }
        Reason::Isolation => "the node steps down, because it is cut off",
        Reason::CatchUp => "a page, because the validator has not caught up",
        Reason::Takeover => "this standby takes over",
        Reason::Pause => "the pause ends",
        Reason::Answer => "an answer counts as failed",
        Reason::Return => "a term that is not in use is given back",
        Reason::Handover => "a handover that is not over is given up",
    }
}
