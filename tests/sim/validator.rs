//! What the validators of the world do: follow the chain, vote through the gate, obey the admin RPC, die.

use crate::authority::Authority;
use crate::child::Child;
use crate::event::{Admin, Event};
use crate::mistake::Mistake;
use crate::node::Waiting;
use crate::record::Record;
use crate::world::{HOLD_MAX_MS, World};
use std::rc::Rc;
use validator_supervisor::engine::values::{Identity, Millis, OpId, RecordMark};
use validator_supervisor::engine::{Exit, GateFacts, Input, Outcome};

impl World {
    pub(crate) fn spawn(&mut self, node: usize) {
        let Some(life) = self.nodes[node].life() else {
            return;
        };
        self.next_id += 1;
        let (pid, tip) = (self.next_id, self.slot);
        let behind = self.rng.within(0, 30);
        let n = &mut self.nodes[node];
        n.child = Some(Child::new(
            pid,
            life,
            n.link,
            n.ledger.as_ref(),
            tip - behind,
        ));
        let slow = if n.trouble.slow_start > self.now {
            7_000
        } else {
            0
        };
        let after = self.rng.within(200, 1_200) + slow;
        self.after(after, Event::Ready { node, pid });
    }

    pub(crate) fn child_ready(&mut self, node: usize, pid: u64) {
        let Some(child) = self.child(node, pid) else {
            return;
        };
        child.ready = true;
        let life = child.listener;
        self.after(
            3,
            Event::Tell {
                node,
                life,
                input: Input::ChildReady,
            },
        );
    }

    pub(crate) fn child(&mut self, node: usize, pid: u64) -> Option<&mut Child> {
        self.nodes[node]
            .child
            .as_mut()
            .filter(|child| child.pid == pid)
    }

    /// One slot of the cluster reaches a validator: it replays, votes and resets its bank, in either order.
    pub(crate) fn validator_slot(&mut self, node: usize) {
        let trouble = &self.nodes[node].trouble;
        if [trouble.cut_from_cluster, trouble.stalled, trouble.suspended]
            .iter()
            .any(|until| *until > self.now)
        {
            return;
        }
        let (tip, kind, vote_first) = (self.slot, self.kind, self.rng.chance(60));
        let n = &mut self.nodes[node];
        let Some(child) = &mut n.child else { return };
        if !child.replay(tip) {
            return;
        }
        let was_idle = child.queue.is_empty();
        let mut built = if vote_first {
            child.build_votes(kind)
        } else {
            0
        };
        let switched = child.reset_bank(n.ledger.as_ref());
        if !vote_first {
            built += child.build_votes(kind);
        }
        let (pid, life) = (child.pid, child.listener);
        if switched {
            self.after(
                0,
                Event::Tell {
                    node,
                    life,
                    input: Input::SwitchMarker(kind),
                },
            );
        }
        if built > 0 && was_idle {
            let after = self.rng.within(1, 40);
            self.after(after, Event::AtGate { node, pid });
        }
    }

    /// The head of the queue is stored: its rename reaches the gate.
    pub(crate) fn at_gate(&mut self, node: usize, pid: u64) {
        let Some(child) = self.child(node, pid) else {
            return;
        };
        let Some(tower) = child.queue.front().map(Rc::clone) else {
            return;
        };
        let listener = child.listener;
        let slot = tower.last().map_or(0, |vote| vote.slot);
        let (now, kind) = (self.now, self.kind);
        let Some(sup) = self.nodes[node]
            .sup
            .as_mut()
            .filter(|sup| sup.life == listener)
        else {
            if self.mistake == Some(Mistake::GateOpensWhenTheSupervisorDies) {
                let mark = RecordMark {
                    term: Default::default(),
                    seq: 0,
                    slot,
                    kind,
                };
                return self.after(
                    1,
                    Event::Send {
                        node,
                        pid,
                        record: Record { mark, tower },
                        let_go: now,
                    },
                );
            }
            return self.after(
                2,
                Event::Die {
                    node,
                    pid,
                    by_signal: false,
                },
            );
        };
        if sup.gate.holding {
            let since = *sup.gate.held_since.get_or_insert(now);
            return if now < since + HOLD_MAX_MS {
                self.after(20, Event::AtGate { node, pid })
            } else {
                self.refuse_vote(node, pid)
            };
        }
        sup.gate.busy_at = now;
        match sup.gate.vote.admit(kind, slot) {
            Err(_) => self.refuse_vote(node, pid),
            Ok(mark) => {
                let record = Record { mark, tower };
                sup.gate.waiting = Some(Waiting {
                    pid,
                    record: record.clone(),
                    mark,
                    since: now,
                });
                if self.mistake == Some(Mistake::VoteBeforeCommit) {
                    self.after(
                        0,
                        Event::Send {
                            node,
                            pid,
                            record,
                            let_go: now,
                        },
                    );
                }
                self.commit(node);
            }
        }
    }

    /// The rename fails: the validator exits and the vote is not sent.
    pub(crate) fn refuse_vote(&mut self, node: usize, pid: u64) {
        if let Some(sup) = &mut self.nodes[node].sup {
            sup.gate.waiting = None;
        }
        self.after(
            2,
            Event::Die {
                node,
                pid,
                by_signal: false,
            },
        );
    }

    /// The authority has answered: the rename goes on.
    pub(crate) fn vote_committed(&mut self, node: usize, mark: RecordMark) {
        let n = &mut self.nodes[node];
        let Some(sup) = &mut n.sup else { return };
        let Some(waiting) = sup.gate.waiting.take_if(|waiting| waiting.mark == mark) else {
            return;
        };
        sup.gate.vote.committed(mark);
        let overdue = sup.gate.vote.may_leave(Millis(self.now)).is_err();
        if overdue && self.mistake != Some(Mistake::GateForgetsTheLease) {
            return self.refuse_vote(node, waiting.pid);
        }
        sup.gate.busy_at = self.now;
        sup.gate.facts = GateFacts {
            last: sup.gate.vote.last(),
            waiting: 0,
        };
        let (life, facts) = (sup.life, sup.gate.facts);
        n.disk.keep(Some(waiting.record.clone()));
        n.ledger_before = n.ledger.replace(waiting.record.clone());
        let after = self.rng.within(0, 4);
        if self.mistake != Some(Mistake::VoteBeforeCommit) {
            self.after(
                after,
                Event::Send {
                    node,
                    pid: waiting.pid,
                    record: waiting.record,
                    let_go: self.now,
                },
            );
        }
        self.after(
            0,
            Event::Tell {
                node,
                life,
                input: Input::Gate(facts),
            },
        );
    }

    /// The vote is on the wire; the next one is stored.
    pub(crate) fn vote_leaves(&mut self, node: usize, pid: u64, record: &Record, let_go: u64) {
        let Some(child) = self.child(node, pid) else {
            return;
        };
        child.queue.pop_front();
        let more = !child.queue.is_empty();
        let now = self.now;
        let verdict = self.judge.sent(now, node, record);
        self.break_rule(verdict);
        // Once the rename is let go, only a machine that stands still keeps the vote from leaving within milliseconds.
        if self.authority == Authority::Store && let_go > self.store.lease_end(node) {
            self.break_rule(Err(format!(
                "I5: node {node} lets a vote go after its lease"
            )));
        }
        self.judge_leaving(node, record);
        if self.nodes[node].demoted {
            self.break_rule(Err(format!(
                "node {node} votes after its demotion was answered"
            )));
        }
        if self.nodes[node].trouble.cut_from_cluster <= now {
            self.chain_vote = self.chain_vote.max(record.mark.slot);
        }
        if more {
            self.after(2, Event::AtGate { node, pid });
        }
    }

    /// That vote, where it still waits at the gate of that life of the supervisor.
    pub(crate) fn waiting_at(&self, node: usize, life: u64, mark: RecordMark) -> Option<Waiting> {
        let sup = self.nodes[node].sup.as_ref()?;
        let waiting = sup.gate.waiting.as_ref()?;
        (sup.life == life && waiting.mark == mark).then(|| waiting.clone())
    }

    pub(crate) fn commit_again(&mut self, node: usize, life: u64, mark: RecordMark) {
        let Some(waiting) = self.waiting_at(node, life, mark) else {
            return;
        };
        if self.now >= waiting.since + HOLD_MAX_MS {
            return self.refuse_vote(node, waiting.pid);
        }
        self.commit(node);
    }

    pub(crate) fn gate_quiet(&mut self, node: usize, life: u64, op: OpId) {
        let now = self.now;
        let Some(sup) = self.nodes[node].sup.as_mut().filter(|sup| sup.life == life) else {
            return;
        };
        let Some((_, quiet_ms)) = sup.gate.closing.filter(|(closing, _)| *closing == op) else {
            return;
        };
        if sup.gate.waiting.is_some() || sup.gate.busy_at + quiet_ms > now {
            return self.after(10, Event::GateQuiet { node, life, op });
        }
        sup.gate.closing = None;
        sup.gate.vote.close();
        self.after(
            0,
            Event::Tell {
                node,
                life,
                input: Input::Done(op, Outcome::Done),
            },
        );
    }

    pub(crate) fn admin(&mut self, node: usize, pid: u64, life: u64, op: OpId, what: Admin) {
        let flaky = self.nodes[node].trouble.admin > self.now;
        let outcome = match if flaky { self.rng.within(0, 9) } else { 9 } {
            0 => Outcome::Refused("the admin RPC says no".into()),
            1 => {
                let _ = self.admin_applies(node, pid, &what);
                return self.after(
                    300,
                    Event::Tell {
                        node,
                        life,
                        input: Input::Done(op, Outcome::Failed("no answer".into())),
                    },
                );
            }
            2 => {
                let late = self.rng.within(100, 2_500);
                self.after(late, Event::AdminLate { node, pid, what });
                return self.after(
                    300,
                    Event::Tell {
                        node,
                        life,
                        input: Input::Done(op, Outcome::Failed("no answer".into())),
                    },
                );
            }
            3 => {
                let _ = self.admin_applies(node, pid, &what);
                let late = self.rng.within(100, 800);
                return self.after(
                    late,
                    Event::Tell {
                        node,
                        life,
                        input: Input::Done(op, Outcome::Done),
                    },
                );
            }
            _ => self
                .admin_applies(node, pid, &what)
                .unwrap_or_else(Outcome::Refused),
        };
        let twice = flaky && self.rng.chance(20);
        if twice {
            self.after(
                40,
                Event::Tell {
                    node,
                    life,
                    input: Input::Done(op, outcome.clone()),
                },
            );
        }
        self.after(
            1,
            Event::Tell {
                node,
                life,
                input: Input::Done(op, outcome),
            },
        );
    }

    /// The validator carries out an admin request.
    pub(crate) fn admin_applies(
        &mut self,
        node: usize,
        pid: u64,
        what: &Admin,
    ) -> Result<Outcome, String> {
        let (kind, mistake) = (self.kind, self.mistake);
        let no_record = self.nodes[node].ledger.is_none();
        let Some(child) = self.child(node, pid).filter(|child| child.ready) else {
            return Err("no validator answers".into());
        };
        match what {
            Admin::Mute if mistake == Some(Mistake::MuteThatLies) => {}
            Admin::Mute => child.voters = false,
            Admin::Unmute => child.voters = true,
            Admin::Identity(Identity::Staked, Some(_)) if no_record => {
                return Err("the record does not restore".into());
            }
            Admin::Identity(Identity::Unstaked, _) if mistake == Some(Mistake::UnstakeThatLies) => {
            }
            Admin::Identity(to, _) => {
                child.admin = *to;
                let life = child.listener;
                if mistake == Some(Mistake::MarkerOfTheWrongThread) {
                    self.after(
                        0,
                        Event::Tell {
                            node,
                            life,
                            input: Input::SwitchMarker(kind),
                        },
                    );
                }
            }
        }
        Ok(Outcome::Done)
    }

    pub(crate) fn kill(&mut self, node: usize) {
        let Some((pid, life)) = self.nodes[node]
            .child
            .as_ref()
            .map(|child| (child.pid, child.listener))
        else {
            return;
        };
        if self.mistake == Some(Mistake::DeathBelievedTooEarly) {
            self.after(
                0,
                Event::Tell {
                    node,
                    life,
                    input: Input::ChildExited(Exit::Signal(9)),
                },
            );
            return self.after(
                1_500,
                Event::Die {
                    node,
                    pid,
                    by_signal: true,
                },
            );
        }
        let after = self.rng.within(1, 30);
        self.after(
            after,
            Event::Die {
                node,
                pid,
                by_signal: true,
            },
        );
    }

    /// The child is gone. Its own supervisor reaps it.
    pub(crate) fn child_dies(&mut self, node: usize, pid: u64, by_signal: bool) {
        let Some(life) = self.child(node, pid).map(|child| child.listener) else {
            return;
        };
        self.nodes[node].child = None;
        self.deaths_since_heal += u32::from(self.healed);
        if let Some(sup) = self.nodes[node].sup.as_mut().filter(|sup| sup.life == life) {
            sup.gate.waiting = None;
            sup.gate.vote.close();
        }
        if self.mistake != Some(Mistake::DeathBelievedTooEarly) || !by_signal {
            let exit = if by_signal {
                Exit::Signal(9)
            } else {
                Exit::Code(1)
            };
            self.after(
                1,
                Event::Tell {
                    node,
                    life,
                    input: Input::ChildExited(exit),
                },
            );
        }
    }
}
