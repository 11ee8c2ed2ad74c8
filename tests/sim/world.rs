//! The world of one run: clock, queue of events, network, chain; and what is checked after every event.

use crate::authority::Authority;
use crate::event::Event;
use crate::judge::Judge;
use crate::mistake::Mistake;
use crate::node::Node;
use crate::peer::Peers;
use crate::rng::Rng;
use crate::seed::Seed;
use crate::store::Store;
use crate::tally::Tally;
use std::collections::BTreeMap;
use validator_supervisor::engine::values::{Command, NodeName, RecordKind, RequestId};

pub(crate) const SLOT_MS: u64 = 400;
pub(crate) const WATCHDOG_MS: u64 = 2500;
pub(crate) const HOLD_MAX_MS: u64 = 2500;
/// When all faults are over, and how long the nodes then have.
pub(crate) const HEALED_AT: u64 = 40_000;
pub(crate) const SETTLE_MS: u64 = 60_000;
/// So often validators may end in that time, for reasons of before.
const DEATHS_MAX: u32 = 12;
/// From a decision to kill until the kernel is done.
pub(crate) const KILL_GRACE_MS: u64 = 150;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) rng: Rng,
    pub(crate) mistake: Option<Mistake>,
    pub(crate) authority: Authority,
    pub(crate) kind: RecordKind,
    pub(crate) nodes: Vec<Node>,
    pub(crate) store: Store,
    pub(crate) store_down: u64,
    pub(crate) peers: Peers,
    pub(crate) halted: u64,
    pub(crate) slot: u64,
    pub(crate) chain_vote: u64,
    pub(crate) judge: Judge,
    pub(crate) requests: BTreeMap<RequestId, (usize, u64, Command)>,
    pub(crate) next_id: u64,
    pub(crate) trace: Option<Vec<String>>,
    pub(crate) events: u64,
    pub(crate) tally: Tally,
    pub(crate) healed: bool,
    pub(crate) deaths_since_heal: u32,
    queue: BTreeMap<(u64, u64), Box<Event>>,
    queued: u64,
    pub(crate) broken: Option<String>,
}

impl World {
    pub(crate) fn new(seed: Seed, mistake: Option<Mistake>, traced: bool) -> Self {
        let mut rng = seed.rng();
        let authority = seed.authority(&mut rng);
        let count = match authority {
            Authority::Local => 1,
            Authority::Store | Authority::Peers => rng.within(2, 3) as usize,
        };
        let kind = if rng.chance(30) {
            RecordKind::VoteHistory
        } else {
            RecordKind::Tower
        };
        let nodes = (0..count)
            .map(|index| Node::new(index, authority, &mut rng))
            .collect();
        let mut world = Self {
            now: 1_000,
            rng,
            mistake,
            authority,
            kind,
            nodes,
            store: Store::default(),
            store_down: 0,
            peers: Peers::default(),
            halted: 0,
            slot: 1_000,
            chain_vote: 0,
            judge: Judge::default(),
            requests: BTreeMap::new(),
            next_id: 1,
            trace: traced.then(Vec::new),
            events: 0,
            tally: Tally::default(),
            healed: false,
            deaths_since_heal: 0,
            queue: BTreeMap::new(),
            queued: 0,
            broken: None,
        };
        world.arm(seed);
        world.seed_events(count);
        world
    }

    fn seed_events(&mut self, count: usize) {
        for node in 0..count {
            let after = self.rng.within(0, 1_000);
            self.after(after, Event::Boot { node });
            if self.authority != Authority::Peers {
                self.after(600, Event::Meet { node });
            }
        }
        self.after(SLOT_MS, Event::Slot);
        if self.authority != Authority::Peers {
            self.after(100, Event::Expire);
        }
        self.after(4_000, Event::Nudge);
        self.after(HEALED_AT - self.now, Event::Heal);
        self.plan_faults();
    }

    /// Runs to the end, or to the first broken invariant.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        loop {
            let Some(((at, _), event)) = self.queue.pop_first() else {
                return Err("nothing happens any more".into());
            };
            self.now = self.now.max(at);
            if let Some(event) = self.not_frozen(*event) {
                self.events += 1;
                if event.is_news() {
                    self.note(|| format!("{event:?}"));
                }
                self.happen(event);
                self.check()?;
            }
            if self.healed && self.settled() {
                return Ok(());
            }
            if self.deaths_since_heal > DEATHS_MAX {
                return Err(format!(
                    "I9: validators die again and again: {}",
                    self.roles()
                ));
            }
            if self.now > HEALED_AT + SETTLE_MS {
                return Err(format!(
                    "I7: faults are over for {SETTLE_MS} ms, and it is not one node that votes: {}",
                    self.roles()
                ));
            }
        }
    }

    pub(crate) fn after(&mut self, ms: u64, event: Event) {
        self.queued += 1;
        self.queue
            .insert((self.now + ms, self.queued), Box::new(event));
    }

    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now:>6} {}", text()));
        }
    }

    pub(crate) fn break_rule(&mut self, result: Result<(), String>) {
        if let Err(rule) = result {
            self.broken.get_or_insert(rule);
        }
    }

    pub(crate) fn name(&self, node: usize) -> NodeName {
        NodeName(format!("n{node}"))
    }

    pub(crate) fn index(&self, name: &NodeName) -> usize {
        name.0.trim_start_matches('n').parse().unwrap_or(0)
    }

    /// Puts an event off while the machine or the supervisor it concerns stands still.
    fn not_frozen(&mut self, event: Event) -> Option<Event> {
        let (machine, supervisor) = event.stands_still_with();
        let suspended = machine.map_or(0, |node| self.nodes[node].trouble.suspended);
        let hung = supervisor.map_or(0, |node| self.nodes[node].trouble.hung);
        let until = suspended.max(hung);
        let Some(node) = machine else {
            return Some(event);
        };
        let stalled = &mut self.nodes[node].stalled;
        if until > self.now {
            stalled.push_back(event);
            self.after(until - self.now, Event::Thaw { node });
            return None;
        }
        // What was put off comes first.
        if supervisor.is_some() && !stalled.is_empty() {
            stalled.push_back(event);
            return None;
        }
        Some(event)
    }

    fn thaw(&mut self, node: usize) {
        let trouble = &self.nodes[node].trouble;
        let until = trouble.suspended.max(trouble.hung);
        if until > self.now {
            return self.after(until - self.now, Event::Thaw { node });
        }
        for event in std::mem::take(&mut self.nodes[node].stalled) {
            self.after(0, event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake { node, life } => self.wake(node, life),
            Event::Tell { node, life, input } => self.tell(node, life, input),
            Event::Boot { node } => self.boot(node),
            Event::Thaw { node } => self.thaw(node),
            Event::Slot => self.new_slot(),
            Event::Observe { node, life } => self.observe(node, life),
            Event::Meet { node } => self.meet(node),
            Event::Ready { node, pid } => self.child_ready(node, pid),
            Event::Die {
                node,
                pid,
                by_signal,
            } => self.child_dies(node, pid, by_signal),
            Event::AtGate { node, pid } => self.at_gate(node, pid),
            Event::CommitAgain { node, life, mark } => self.commit_again(node, life, mark),
            Event::GateQuiet { node, life, op } => self.gate_quiet(node, life, op),
            Event::DiskCommit { node, life, mark } => self.disk_commit(node, life, mark),
            Event::Send {
                node,
                pid,
                record,
                let_go,
            } => self.vote_leaves(node, pid, &record, let_go),
            Event::Admin {
                node,
                pid,
                life,
                op,
                what,
            } => self.admin(node, pid, life, op, what),
            Event::AdminLate { node, pid, what } => {
                self.admin_applies(node, pid, &what).map_or((), |_| ())
            }
            Event::Keepalive { node, life } => self.keepalive(node, life),
            Event::ToStore {
                node,
                life,
                id,
                call,
            } => self.store_receives(node, life, id, call),
            Event::FromStore {
                node,
                life,
                id,
                reply,
            } => self.store_answered(node, life, id, Some(reply)),
            Event::GiveUp { node, life, id } => self.store_answered(node, life, id, None),
            Event::Watch { node, life } => self.watch(node, life),
            Event::Expire => self.expire(),
            Event::Message {
                to,
                from,
                conn,
                message,
            } => self.message_arrives(to, from, conn, message),
            Event::Peer { node, life, what } => self.peer_goes_on(node, life, what),
            Event::Fault(fault) => self.strike(fault),
            Event::SupDies { node, life, orphan } => self.sup_dies(node, life, orphan),
            Event::Heal => self.heal(),
            Event::Nudge => self.nudge(),
        }
    }

    fn new_slot(&mut self) {
        self.after(SLOT_MS, Event::Slot);
        if self.halted > self.now {
            return;
        }
        self.slot += 1;
        for node in 0..self.nodes.len() {
            self.validator_slot(node);
        }
    }

    fn expire(&mut self) {
        self.after(100, Event::Expire);
        if self.store_down <= self.now {
            let now = self.now;
            self.store.expire(now);
            self.spread_changes();
        }
    }
}
