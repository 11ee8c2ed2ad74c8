//! Performs effects. One arm each; none decides anything, none blocks the loop.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::task::JoinHandle;

use super::child::{self, Child};
use super::event::Event;
use super::preflight::without_file_capabilities;
use super::{Daemon, clock, install, service};
use crate::authority::{Authority, CommitError, Fault};
use crate::ctl::time::Timestamp;
use crate::ctl::wire::Reply;
use crate::engine::values::{Identity, OpId, RecordMark, Role, Term};
use crate::engine::{Effect, Exit, Input, Outcome};
use crate::probe::chain_vote;
use crate::validator::admin_rpc::{AdminError, AdminRpc};
use crate::validator::gate::{Gate, Keeper, Kept, Lease, Listener};
use crate::validator::process::Process;

/// Why what is asked of the validator cannot be done.
pub(super) const NO_VALIDATOR: &str = "no validator is running";
/// One admin RPC. The engine's own deadline for the step is longer.
pub(super) const ADMIN_WITHIN: Duration = Duration::from_millis(4_500);
/// One request about the term, with all that settles it; within the same deadline.
pub(super) const AUTHORITY_WITHIN: Duration = Duration::from_millis(4_500);

impl Daemon {
    /// Answers an exit code when it is time to end.
    pub(super) fn perform(&mut self, effect: Effect) -> Option<u8> {
        match effect {
            Effect::PointLink { op, to } => self.point_link(op, to),
            Effect::Spawn { op } => self.spawn(op),
            Effect::Mute { op } => self.admin(op, |admin| async move {
                admin.remove_all_authorized_voters(ADMIN_WITHIN).await
            }),
            Effect::Unmute { op } => self.unmute(op),
            Effect::SetIdentity { op, to, require } => self.set_identity(op, to, require),
            Effect::Acquire {
                op,
                regardless,
                tip,
            } => self.authority_does(op, move |authority| {
                let held = authority.acquire(AUTHORITY_WITHIN, regardless, tip);
                held.map(|(term, record)| Outcome::Held { term, record })
            }),
            Effect::FencePeers { op } => self.fence_peers(op),
            Effect::InstallRecord { op, term } => self.install(op, term),
            Effect::OpenGate { op, term } => self.open_gate(op, term),
            Effect::CloseGate { op, quiet_ms } => self.close_gate(op, quiet_ms),
            Effect::Release {
                op,
                term,
                to_nobody,
            } => self.authority_does(op, move |authority| {
                let released = authority.release(term, to_nobody, AUTHORITY_WITHIN);
                released.map(|()| Outcome::Done)
            }),
            Effect::PassTerm { op, term, to } => self.authority_does(op, move |authority| {
                let passed = authority.pass(term, &to, AUTHORITY_WITHIN);
                passed.map(|()| Outcome::Done)
            }),
            Effect::ConfirmTerm { op, term } => self.authority_does(op, move |authority| {
                let confirmed = authority.confirm(term, AUTHORITY_WITHIN)?;
                if confirmed {
                    return Ok(Outcome::Done);
                }
                Err(Fault::Refused(format!("term {term} is over")))
            }),
            Effect::Remember { op, parked } => {
                let flag = self.parked.clone();
                self.on_disk(op, move || done_or(flag.set(parked)));
            }
            Effect::AskExit => self.ask_exit(),
            Effect::Terminate => self.signal(Signal::SIGTERM),
            Effect::Kill => self.signal(Signal::SIGKILL),
            Effect::Progress { request, text } => {
                if let Some(replies) = self.calls.get(&request) {
                    replies.progress(text);
                }
            }
            Effect::Answer {
                request,
                verdict,
                text,
            } => {
                tracing::info!(EVENT = "ctl", REQUEST = request.0, VERDICT = ?verdict, "{text}");
                if let Some(replies) = self.calls.remove(&request) {
                    replies.finish(Reply::end(verdict, text));
                }
            }
            Effect::Transition {
                from,
                to,
                cause,
                detail,
            } => self.record_transition(from, to, cause, detail),
            Effect::Page { text } => {
                tracing::error!(EVENT = "page", ROLE = self.engine.role().name(), "{text}")
            }
            Effect::Exit { code } => return Some(code),
        }
        None
    }

    pub(super) fn done(&self, op: OpId, outcome: Outcome) {
        // The loop owns the receiver and ends after this.
        let _ = self.events.send(Event::Done(op, outcome));
    }

    pub(super) fn task(
        &self,
        op: OpId,
        work: impl Future<Output = Outcome> + 'static,
    ) -> JoinHandle<()> {
        let events = self.events.clone();
        tokio::task::spawn_local(async move {
            let _ = events.send(Event::Done(op, work.await));
        })
    }

    /// For what waits on the disk of the state directory, in order.
    fn on_disk(&self, op: OpId, work: impl FnOnce() -> Outcome + Send + 'static) {
        let events = self.events.clone();
        self.disk.run(move || {
            let _ = events.send(Event::Done(op, work()));
        });
    }

    /// In order, and behind nothing else: an authority that is out of reach holds up no disk.
    fn authority_does(
        &self,
        op: OpId,
        work: impl FnOnce(&Authority) -> Result<Outcome, Fault> + Send + 'static,
    ) {
        let (authority, events) = (self.authority.clone(), self.events.clone());
        self.asker.run(move || {
            let outcome = work(&authority).unwrap_or_else(|fault| match fault {
                Fault::Refused(why) => Outcome::Refused(why),
                Fault::Unsafe(why) => Outcome::Unsafe(why),
                Fault::Unknown(why) => Outcome::Failed(why),
            });
            let _ = events.send(Event::Done(op, outcome));
        });
    }

    fn fence_peers(&self, op: OpId) {
        let Some(fence) = self
            .config
            .peer
            .as_ref()
            .and_then(|peer| peer.fence.clone())
        else {
            return self.done(op, Outcome::Refused("peer.fence is not set".into()));
        };
        let (authority, commands) = (self.authority.clone(), self.fences.clone());
        let events = self.events.clone();
        self.fencer.run(move || {
            let ended = commands.end_absent(&authority, &fence);
            let outcome = ended.map_or_else(Outcome::Refused, |()| Outcome::Done);
            let _ = events.send(Event::Done(op, outcome));
        });
    }

    fn point_link(&self, op: OpId, to: Identity) {
        let (link, events) = (self.link.clone(), self.events.clone());
        self.linker.run(move || {
            let outcome = match link.point_at(to) {
                Ok(_) => Outcome::Done,
                Err(error) => Outcome::Failed(chain(&error)),
            };
            let _ = events.send(Event::Done(op, outcome));
        });
    }

    /// On the loop's own thread, which is the process's first and lives as long as it: the kernel kills the child with it.
    fn spawn(&mut self, op: OpId) {
        // The binary may have been replaced since the last start.
        let started = without_file_capabilities(Path::new(&self.command.program))
            .and_then(|()| Process::start(&self.command).map_err(|error| chain(&error)))
            .and_then(|(process, listener)| match self.start_gate(listener) {
                Ok(gate) => Ok((process, gate)),
                Err(error) => {
                    process.signal(Signal::SIGKILL);
                    Err(format!("the gate's threads cannot be started: {error}"))
                }
            });
        match started {
            Ok((process, gate)) => {
                if self.engine.child_identity() == Some(Identity::Staked) {
                    // It may vote before the engine has the gate opened.
                    gate.hold();
                }
                self.validator_since = Some(Timestamp::now());
                let pid = process.pid().as_raw();
                tracing::info!(
                    EVENT = "child-started",
                    CHILD_PID = pid,
                    "started {} as pid {pid}",
                    self.command.program.display()
                );
                self.child = Some(Child {
                    process,
                    gate,
                    admin: None,
                    roots: None,
                    tasks: Vec::new(),
                });
                self.attend_child(pid);
                self.done(op, Outcome::Done);
            }
            Err(why) => self.done(op, Outcome::Refused(why)),
        }
    }

    fn start_gate(&self, listener: Listener) -> io::Result<Gate> {
        Gate::start(
            listener,
            self.keys.staked.pubkey(),
            self.config.gate.hold_max,
            Box::new(AuthorityKeeper(self.authority.clone())),
            self.reports.clone(),
        )
    }

    /// Follows the start of the child, which is looked at until it shows that it is the validator, every time: a start script may
    /// have been changed since the last, and a launcher does not show what it starts.
    pub(super) fn attend_child(&mut self, pid: i32) {
        let events = self.events.clone();
        if let Some(child) = &mut self.child {
            let awaiting = child::await_validator(pid, events);
            child.tasks.push(tokio::task::spawn_local(awaiting));
        }
        self.attend_validator(pid);
    }

    /// As far as is known where to look.
    pub(super) fn attend_validator(&mut self, pid: i32) {
        let events = self.events.clone();
        let (Some(child), Some(paths)) = (&mut self.child, &self.paths) else {
            return;
        };
        let admin = Arc::new(AdminRpc::of_ledger(&paths.ledger));
        child
            .gate
            .set_record_dirs(child::record_dirs(&paths.tower, &paths.ledger));
        child.admin = Some(Arc::clone(&admin));
        child
            .tasks
            .push(tokio::task::spawn_local(child::await_ready(
                pid, admin, events,
            )));
        self.await_chain_vote(pid);
    }

    /// Asks the cluster for the newest vote on the chain, where the first vote of this child waits for it.
    fn await_chain_vote(&mut self, pid: i32) {
        let (Some(child), Some(vote_account)) = (&mut self.child, self.vote_account.clone()) else {
            return;
        };
        let cluster = self.config.cluster.rpc.clone();
        if self.engine.awaits_chain_vote() && !cluster.is_empty() {
            let events = self.events.clone();
            child.tasks.push(tokio::task::spawn_local(async move {
                let slot = chain_vote::awaited(&cluster, &vote_account).await;
                let _ = events.send(Event::ChainVote(pid, slot));
            }));
        }
    }

    fn admin<F>(&self, op: OpId, call: impl FnOnce(Arc<AdminRpc>) -> F)
    where
        F: Future<Output = Result<(), AdminError>> + 'static,
    {
        let Some(admin) = self.child.as_ref().and_then(|child| child.admin.clone()) else {
            return self.done(op, Outcome::Refused(NO_VALIDATOR.into()));
        };
        let call = call(admin);
        self.task(op, async move { outcome_of(call.await) });
    }

    fn unmute(&self, op: OpId) {
        let voters = self.keys.voters.clone();
        self.admin(op, |admin| async move {
            for voter in voters {
                admin
                    .add_authorized_voter_from_bytes(voter.secret_bytes(), ADMIN_WITHIN)
                    .await?;
            }
            Ok(())
        });
    }

    fn install(&self, op: OpId, term: Term) {
        let Some(paths) = self.paths.clone() else {
            // Known once the child is up, and tried again then.
            let why = "the ledger is not known before the start script has run; validator.ledger is not set";
            return self.done(op, Outcome::Failed(why.into()));
        };
        let (authority, identity, events) = (
            self.authority.clone(),
            self.keys.staked.pubkey(),
            self.events.clone(),
        );
        self.disk.run(move || {
            let event = match install::install(&authority, &paths, &identity, term) {
                Ok(installed) => Event::Installed(op, term, installed.map(Box::new)),
                Err(error) => Event::Done(op, Outcome::Refused(error.to_string())),
            };
            let _ = events.send(event);
        });
    }

    fn open_gate(&self, op: OpId, term: Term) {
        let outcome = match (&self.child, &self.installed) {
            (None, _) => Outcome::Refused(NO_VALIDATOR.into()),
            (Some(child), Some((of, installed))) if *of == term => {
                child.gate.open(term, installed.clone());
                Outcome::Done
            }
            _ => Outcome::Refused(format!("no record was installed under term {term}")),
        };
        self.done(op, outcome);
    }

    fn close_gate(&self, op: OpId, quiet_ms: u64) {
        match &self.child {
            Some(child) => {
                let gate = child.gate.clone();
                self.task(op, async move {
                    gate.close(Duration::from_millis(quiet_ms)).await;
                    Outcome::Done
                });
            }
            None => self.done(op, Outcome::Done),
        }
    }

    /// The answer is not waited for: the process ends, or the engine's deadline comes.
    fn ask_exit(&self) {
        if let Some(admin) = self.child.as_ref().and_then(|child| child.admin.clone()) {
            tokio::task::spawn_local(async move {
                if let Err(error) = admin.exit(ADMIN_WITHIN).await {
                    tracing::warn!(
                        "the validator could not be asked to exit: {}",
                        chain(&error)
                    );
                }
            });
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            child.process.signal(signal);
        }
    }

    /// The child is reaped, and its group was killed before that. What had left the group falls to us and is killed too.
    pub(super) fn child_ended(&mut self, exit: Exit) -> Option<u8> {
        self.child = None;
        self.facts = None;
        self.probing = Default::default();
        let wanted = self.engine.wants_child_to_end();
        if wanted {
            tracing::info!(
                EVENT = "child-ended",
                "the validator ended, as it was told to: {exit}"
            );
        } else {
            tracing::warn!(EVENT = "child-ended", "the validator ended: {exit}");
        }
        let code = self.step(Input::ChildExited(exit));
        if !wanted && self.engine.role() != Role::Stopping {
            self.restarts += 1;
        }
        code
    }

    pub(super) fn tell_ready(&mut self) {
        if !std::mem::replace(&mut self.told_ready, true) {
            service::ready();
        }
    }
}

pub(super) fn outcome_of(answered: Result<(), AdminError>) -> Outcome {
    match answered {
        Ok(()) => Outcome::Done,
        Err(error) if error.fault.is_certain() => Outcome::Refused(chain(&error)),
        Err(error) => Outcome::Failed(chain(&error)),
    }
}

/// Commits of the gate, by the configured authority.
struct AuthorityKeeper(Authority);

impl Keeper for AuthorityKeeper {
    fn keep(&mut self, mark: RecordMark, bytes: &[u8]) -> Kept {
        match self.0.commit(mark, bytes) {
            Ok(()) => Kept::Committed,
            Err(CommitError::TermLost(why)) => Kept::TermLost(why),
            Err(CommitError::Unsettled(why)) => Kept::Unsettled(why),
        }
    }

    fn lease(&self) -> Option<Lease> {
        // A lease that is known to be lost is over.
        let until = self.0.lease_until().unwrap_or_default();
        self.0.traits().leased.then(|| Lease {
            now: clock::now(),
            until,
        })
    }

    fn rest(&mut self) {
        // The next commit tries again what fails, and says so.
        let _ = self.0.settle();
    }
}

fn done_or(result: io::Result<()>) -> Outcome {
    result.map_or_else(
        |error| Outcome::Failed(error.to_string()),
        |()| Outcome::Done,
    )
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
