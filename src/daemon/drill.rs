//! `ctl drill`: a handover with everything real but what would stop a vote: the mute, the identity and the term itself.
//!
//! Each of the two nodes rehearses its own part, whichever it has now: the one that votes has its term confirmed by the others, the
//! other one installs the newest record where its validator would load it, and both talk to their validators and point their links. The
//! node that is asked tells the other one by what it says of itself, and that one answers in the same way; it rehearses at its own
//! discretion, once for every drill, and nothing of it moves the identity.

use std::time::{Duration, Instant};

use tokio::sync::oneshot::{Receiver, channel};

use super::event::Event;
use super::perform::{ADMIN_WITHIN, AUTHORITY_WITHIN, NO_VALIDATOR, chain};
use super::worker::Worker;
use super::{Daemon, clock, install};
use crate::authority::news::{Member, Rehearsal, Rehearsed};
use crate::config::AuthorityKind;
use crate::ctl::server::Replies;
use crate::ctl::time::Timestamp;
use crate::ctl::wire::Reply;
use crate::engine::values::{Identity, NodeName, RequestId, Role, Term, Verdict};

/// The other node hears of it and answers within this, or is taken not to.
const WITHIN: Duration = Duration::from_secs(20);
/// What other nodes ask for is done no more often.
const EVERY: Duration = Duration::from_secs(2);

/// A drill that an operator waits for.
#[derive(Debug)]
pub(super) struct Drill {
    number: u64,
    request: RequestId,
    other: NodeName,
    own: Option<Vec<Rehearsed>>,
    until: Instant,
}

/// What this node says of drills.
#[derive(Debug, Default)]
pub(super) struct Drills {
    asked: Option<Drill>,
    told: Option<Rehearsal>,
    rehearsed_at: Option<Instant>,
}

impl Drills {
    /// The drill that this node asks the others for.
    pub(super) fn asks(&self) -> Option<u64> {
        self.asked.as_ref().map(|drill| drill.number)
    }

    /// What came of the last one here.
    pub(super) fn told(&self) -> Option<Rehearsal> {
        self.told.clone()
    }
}

impl Daemon {
    pub(super) fn begin_drill(&mut self, request: RequestId, replies: Replies) {
        let refuse = |replies: Replies, why: &str| {
            replies.finish(Reply::end(Verdict::Refused, why));
        };
        if self.drills.asked.is_some() {
            return refuse(replies, "a drill is under way: ask again when it has ended");
        }
        let votes = self.engine.role() == Role::Active;
        let Some(other) = self.members.counterpart(&self.config.node, votes) else {
            let why = if votes {
                "no other node is there: `supervisor ctl status`"
            } else {
                "no other node votes, and this one does not: `supervisor ctl status`"
            };
            return refuse(replies, why);
        };
        let (from, to) = if votes {
            (self.config.node.as_str(), other.0.as_str())
        } else {
            (other.0.as_str(), self.config.node.as_str())
        };
        replies.progress(format!("rehearsing a handover from {from} to {to}"));
        self.calls.insert(request, replies);
        let number = Timestamp::now().unix_ms();
        self.drills.asked = Some(Drill {
            number,
            request,
            other,
            own: None,
            until: Instant::now() + WITHIN,
        });
        self.rehearse(number);
    }

    /// A member that asks for a drill, or has rehearsed for ours.
    pub(super) fn drill_with(&mut self, node: &NodeName, member: &Member) {
        if let Some(number) = member.drill {
            let known = self.drills.told.as_ref().map(|told| told.drill);
            let lately = self.drills.rehearsed_at;
            if known != Some(number) && lately.is_none_or(|at| at.elapsed() >= EVERY) {
                self.rehearse(number);
            }
        }
        if let (Some(asked), Some(told)) = (&self.drills.asked, &member.rehearsal)
            && asked.other == *node
            && asked.number == told.drill
        {
            let theirs = told.steps.clone();
            self.finish_drill(Some(&theirs));
        }
    }

    /// This node's part is done.
    pub(super) fn rehearsed(&mut self, number: u64, steps: Vec<Rehearsed>) {
        if let Some(asked) = &mut self.drills.asked
            && asked.number == number
        {
            asked.own = Some(steps);
            let other = asked.other.clone();
            if let Some(member) = self.members.member(&other) {
                self.drill_with(&other, &member);
            }
            return;
        }
        self.drills.told = Some(Rehearsal {
            drill: number,
            steps,
        });
    }

    pub(super) fn watch_drill(&mut self) {
        let late = |drill: &Drill| drill.until <= Instant::now();
        if self.drills.asked.as_ref().is_some_and(late) {
            self.finish_drill(None);
        }
    }

    /// Both parts are known, or the other one does not come.
    fn finish_drill(&mut self, theirs: Option<&[Rehearsed]>) {
        let own_is_due = |drill: &Drill| drill.own.is_none() && drill.until > Instant::now();
        if self.drills.asked.as_ref().is_none_or(own_is_due) {
            return;
        }
        let Some(drill) = self.drills.asked.take() else {
            return;
        };
        let Some(replies) = self.calls.remove(&drill.request) else {
            return;
        };
        let mut against = self.engine.against_handover(clock::now());
        let parts = [
            (self.config.node.as_str(), drill.own.as_deref()),
            (drill.other.0.as_str(), theirs),
        ];
        let mut took_us = 0;
        for (node, steps) in parts {
            let Some(steps) = steps else {
                against.push(format!("{node} has not rehearsed its part in time"));
                continue;
            };
            for step in steps {
                took_us += step.took_us;
                replies.progress(line(node, step));
                let trouble = step.trouble.as_ref();
                against.extend(trouble.map(|why| format!("{node}: {}: {why}", step.step)));
            }
        }
        let quiet_ms = self.engine.gate_quiet_ms();
        let gap_ms = quiet_ms + took_us.div_ceil(1_000);
        let gap = format!(
            "about {gap_ms} ms without a vote are to be expected, {quiet_ms} of them the quiet at the gate, besides what the validator takes for its switch"
        );
        let end = if against.is_empty() {
            Reply::end(Verdict::Done, format!("a handover would go through; {gap}"))
        } else {
            let why = against.join("; ");
            Reply::end(
                Verdict::Refused,
                format!("a handover would be refused or wait: {why}"),
            )
        };
        replies.finish(end);
    }

    /// Does this node's part, and says so by an event. What it writes it writes in its turn, before whatever a handover that begins
    /// meanwhile writes; one that is under way is not disturbed.
    fn rehearse(&mut self, number: u64) {
        self.drills.rehearsed_at = Some(Instant::now());
        let role = self.engine.role();
        if !matches!(role, Role::Active | Role::Standby | Role::Parked) {
            let why = format!("this node is {role}, and rehearses at rest");
            let step = finished("begin", Instant::now(), Err(why));
            let _ = self.events.send(Event::Rehearsed(number, vec![step]));
            return;
        }
        let term = self.engine.term().filter(|_| role == Role::Active);
        let first = match term {
            Some(term) => self.rehearse_confirm(term),
            None => self.rehearse_install(),
        };
        let passing =
            (self.config.authority.kind == AuthorityKind::Peer).then(|| self.rehearse_passing());
        let link = self.link.clone();
        let carried = self.engine.child_identity().unwrap_or(Identity::Unstaked);
        let last = in_turn(&self.linker, move || {
            timed("point the identity link", || match link.point_at(carried) {
                Ok(_) => Ok(()),
                Err(error) => Err(chain(&error)),
            })
        });
        let admin = self.child.as_ref().and_then(|child| child.admin.clone());
        let events = self.events.clone();
        tokio::task::spawn_local(async move {
            // As often as a demotion and a promotion talk to it, without saying anything.
            let talks = if term.is_some() {
                [
                    "admin RPC, as for the mute",
                    "admin RPC, as for the identity",
                ]
            } else {
                [
                    "admin RPC, as for the identity",
                    "admin RPC, as for the voters",
                ]
            };
            let mut steps = Vec::new();
            for step in talks {
                steps.push(talk(step, admin.as_deref()).await);
            }
            for part in [Some(first), passing, Some(last)].into_iter().flatten() {
                steps.extend(part.await);
            }
            let _ = events.send(Event::Rehearsed(number, steps));
        });
    }

    fn rehearse_confirm(&self, term: Term) -> Receiver<Rehearsed> {
        let authority = self.authority.clone();
        let (tell, told) = channel();
        // It writes nothing, and a handover must not wait for it.
        tokio::task::spawn_blocking(move || {
            let _ = tell.send(timed("have the term confirmed", || {
                match authority.confirm(term, AUTHORITY_WITHIN) {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(format!("term {term} is over")),
                    Err(fault) => Err(fault.to_string()),
                }
            }));
        });
        told
    }

    fn rehearse_passing(&self) -> Receiver<Rehearsed> {
        let authority = self.authority.clone();
        in_turn(&self.asker, move || {
            timed("write the term's passing", || {
                let written = authority.rehearse_passing();
                written.map_err(|error| error.to_string())
            })
        })
    }

    fn rehearse_install(&self) -> Receiver<Rehearsed> {
        let (authority, paths) = (self.authority.clone(), self.paths.clone());
        let identity = self.keys.staked.pubkey();
        in_turn(&self.disk, move || {
            timed("install the newest record", || {
                let paths = paths.ok_or("the validator's ledger is not known yet")?;
                match install::rehearse(&authority, &paths, &identity) {
                    Ok(Some(_)) => Ok(()),
                    Ok(None) => Err("there is no vote record yet".into()),
                    Err(error) => Err(chain(&error)),
                }
            })
        })
    }
}

/// By the worker that does it in earnest.
fn in_turn(
    worker: &Worker,
    work: impl FnOnce() -> Rehearsed + Send + 'static,
) -> Receiver<Rehearsed> {
    let (tell, told) = channel();
    worker.run(move || {
        // The loop may have ended.
        let _ = tell.send(work());
    });
    told
}

async fn talk(step: &str, admin: Option<&crate::validator::admin_rpc::AdminRpc>) -> Rehearsed {
    let begun = Instant::now();
    let answered = match admin {
        Some(admin) => admin
            .contact_info(ADMIN_WITHIN)
            .await
            .map(|_| ())
            .map_err(|error| chain(&error)),
        None => Err(NO_VALIDATOR.into()),
    };
    finished(step, begun, answered)
}

fn timed(step: &str, work: impl FnOnce() -> Result<(), String>) -> Rehearsed {
    let begun = Instant::now();
    let ended = work();
    finished(step, begun, ended)
}

fn finished(step: &str, begun: Instant, ended: Result<(), String>) -> Rehearsed {
    Rehearsed {
        step: step.to_owned(),
        took_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
        trouble: ended.err(),
    }
}

fn line(node: &str, step: &Rehearsed) -> String {
    let took_ms = step.took_us as f64 / 1_000.0;
    let end = step
        .trouble
        .as_deref()
        .map_or(String::new(), |why| format!(": {why}"));
    format!("{node:<12} {:<32} {took_ms:>8.1} ms{end}", step.step)
}
