//! Turns events into inputs of the engine, and requests that only read into answers.

use std::time::Duration;

use super::child::Child;
use super::event::Event;
use super::perform::chain;
use super::signals::Signal;
use super::{Daemon, preflight, service};
use crate::config::{self, Loaded, Reload};
use crate::ctl::server::{Call, Event as CtlEvent};
use crate::ctl::wire::{Reply, Request};
use crate::engine::{AuthorityNews, Input, Observation, Outcome};
use crate::probe::validator::{Facts, Prober};
use crate::validator::command_line::CommandLine;
use crate::validator::gate::{GateEvent, GateId};
use crate::validator::paths::{self, ValidatorPaths};
use crate::validator::process;

/// Between two readings of the validator, and the limit of one question.
const PROBE_EVERY: Duration = Duration::from_millis(500);
const PROBE_WITHIN: Duration = Duration::from_secs(2);
/// Rounds between two looks at what changes rarely.
const PROFILE_EVERY: u32 = 120;

impl Daemon {
    /// One event. Answers an exit code when it is time to end.
    pub(super) fn handle(&mut self, event: Event) -> Option<u8> {
        match event {
            // What the gate has done before it was closed is told before that it is.
            Event::Done(op, outcome) => self
                .step_gate()
                .or_else(|| self.step(Input::Done(op, outcome))),
            Event::Installed(op, term, installed) => {
                let installed = installed.map(|installed| *installed);
                let mark = installed.as_ref().map(|(mark, _)| *mark);
                self.installed = Some((term, installed));
                self.step(Input::Done(op, Outcome::Durable(mark)))
            }
            Event::CommandLine(pid, line) => self.learn_paths(pid, &line),
            Event::ChildReady(pid) => self.child_is_ready(pid),
            Event::Gate(event) => self.gate_tells(event),
            Event::GateMoved => self.step_gate(),
            Event::Probed(pid, facts) if self.is_child(pid) => self.probed(facts),
            Event::Probed(..) => None,
            Event::Profiled(profile) => {
                self.profile = profile;
                None
            }
            Event::LinkChanged(pointed) => {
                let link = self.link.path().display();
                tracing::error!(
                    EVENT = "link-changed",
                    "the identity link {link} was changed behind the supervisor's back: {pointed:?}; it is set anew before every start of the validator"
                );
                None
            }
            Event::Ctl(CtlEvent::Call(call)) => self.serve(call),
            Event::Ctl(CtlEvent::Abandoned(request)) => {
                self.calls.remove(&request);
                self.step(Input::Forgotten(request))
            }
            Event::Signal(signal) => self.signalled(signal),
        }
    }

    fn is_child(&self, pid: i32) -> bool {
        self.child
            .as_ref()
            .is_some_and(|child| child.process.pid().as_raw() == pid)
    }

    fn is_gate(&self, gate: GateId) -> bool {
        self.child
            .as_ref()
            .is_some_and(|child| child.gate.id() == gate)
    }

    /// A start script has become the validator, and shows what it was started with. What cannot work ends it: nobody could
    /// mute it, or it carries an identity that we do not know of.
    fn learn_paths(&mut self, pid: i32, line: &CommandLine) -> Option<u8> {
        if !self.is_child(pid) {
            return None;
        }
        let before = self.paths.clone();
        let problems = self.learn_from(pid, line).err().unwrap_or_default();
        for problem in &problems {
            tracing::error!(EVENT = "page", "{problem}; the validator is ended");
        }
        let known = self.paths == before;
        if let Some(child) = &mut self.child {
            if !problems.is_empty() {
                child.process.signal(nix::sys::signal::Signal::SIGKILL);
            } else if !known {
                child.tasks.drain(..).for_each(|task| task.abort());
                self.attend_validator(pid);
            }
        }
        None
    }

    fn learn_from(&mut self, pid: i32, line: &CommandLine) -> Result<(), Vec<String>> {
        let mut config = self.config.clone();
        let _ = config.fill(line.for_config());
        let mut problems: Vec<String> =
            paths::disagreements(&config.identity, &config.validator, line)
                .iter()
                .map(ToString::to_string)
                .collect();
        let program = std::path::PathBuf::from(format!("/proc/{pid}/exe"));
        problems.extend(preflight::without_file_capabilities(&program).err());
        problems.extend(line.unguarded());
        match ValidatorPaths::settle(&config.identity, &config.validator) {
            Ok(paths) => self.paths = Some(paths),
            Err(open) => problems.extend(open.iter().map(ToString::to_string)),
        }
        let mut findings = preflight::Findings::default();
        match preflight::voters(&mut findings, &config, &self.keys.staked) {
            Some(voters) => self.keys.voters = voters,
            None => problems.extend(findings.errors()),
        }
        let named = line
            .vote_account
            .as_ref()
            .and_then(super::report::vote_account_text);
        self.vote_account = self.vote_account.take().or(named);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }

    fn child_is_ready(&mut self, pid: i32) -> Option<u8> {
        if !self.is_child(pid) {
            return None;
        }
        self.tell_ready();
        self.start_probing();
        self.step(Input::ChildReady)
    }

    /// Reads the validator again and again, for as long as this child lives.
    fn start_probing(&mut self) {
        let (Some(paths), Some(Child { tasks, process, .. })) = (&self.paths, &mut self.child)
        else {
            return;
        };
        let pid = process.pid().as_raw();
        let identity = self.keys.staked.pubkey().to_string();
        let vote_account = self.vote_account.clone();
        let prober = Prober::new(
            paths.rpc.clone(),
            &self.config.cluster.rpc,
            vote_account,
            identity,
            PROBE_WITHIN,
        );
        let events = self.events.clone();
        tasks.push(tokio::task::spawn_local(async move {
            for round in 0u32.. {
                let facts = prober.ask().await;
                let slot = facts.map(|facts| facts.slot);
                if events.send(Event::Probed(pid, facts)).is_err() {
                    return;
                }
                if let Some(slot) = slot.filter(|_| round % PROFILE_EVERY == 0) {
                    let _ = events.send(Event::Profiled(prober.profile(slot).await));
                }
                tokio::time::sleep(PROBE_EVERY).await;
            }
        }));
    }

    fn probed(&mut self, facts: Option<Facts>) -> Option<u8> {
        self.facts = facts;
        let observation = match facts {
            Some(Facts {
                healthy,
                slot,
                behind,
                ..
            }) => Observation::Own {
                healthy,
                slot,
                behind,
            },
            None => Observation::OwnSilent,
        };
        let exit = self
            .step_gate()
            .or_else(|| self.step(Input::Observed(observation)));
        let chain_vote = facts.and_then(|facts| facts.chain_vote);
        exit.or_else(|| {
            self.step(Input::Observed(Observation::ChainVote {
                slot: chain_vote?,
            }))
        })
    }

    fn step_gate(&mut self) -> Option<u8> {
        let facts = *self.reports.facts.borrow();
        let committed = facts.last.map(|mark| mark.slot);
        self.unsettled = self.unsettled.filter(|slot| committed < Some(*slot));
        self.step(Input::Gate(facts))
    }

    fn gate_tells(&mut self, event: GateEvent) -> Option<u8> {
        match event {
            GateEvent::Switched { gate, .. } if !self.is_gate(gate) => None,
            GateEvent::Switched { kind, .. } => {
                tracing::info!(
                    EVENT = "switched",
                    "the voting thread has loaded the {} of its new identity",
                    kind.name()
                );
                self.step(Input::SwitchMarker(kind))
            }
            GateEvent::Waiting { slot, why } => {
                self.unsettled = Some(slot);
                tracing::warn!(
                    EVENT = "vote-waits",
                    SLOT = slot,
                    "a vote for slot {slot} waits for its commit: {why}"
                );
                None
            }
            GateEvent::Refused { slot, why } => {
                let slot_text = slot.map_or_else(|| "unknown".into(), |slot| slot.to_string());
                tracing::error!(
                    EVENT = "vote-refused",
                    SLOT = slot,
                    "a vote for slot {slot_text} was refused, and the validator will exit: {why}"
                );
                None
            }
            GateEvent::TermLost { term, why } => {
                tracing::error!(EVENT = "term-lost", TERM = term.0, "{why}");
                self.step(Input::Authority(AuthorityNews::TermLost(term)))
            }
        }
    }

    fn signalled(&mut self, signal: Signal) -> Option<u8> {
        match signal {
            Signal::ChildEnded => self.reap(),
            Signal::Stop => {
                service::stopping();
                tracing::info!(EVENT = "stop", "told to stop");
                self.step(Input::Stop)
            }
            Signal::PassOn => {
                if let Some(child) = &self.child
                    && !child.process.pass_on(nix::sys::signal::Signal::SIGUSR1)
                {
                    tracing::warn!(
                        EVENT = "signal",
                        "SIGUSR1 is not passed on: the validator does not handle it yet, and would end"
                    );
                }
                None
            }
            Signal::Reload => self.reload(),
        }
    }

    fn reap(&mut self) -> Option<u8> {
        let own = self.child.as_ref().map(|child| child.process.pid());
        // The number of a group is certain to be the child's only until the child is reaped.
        let ended = process::reap(|pid| {
            if Some(pid) == own {
                process::kill_group(pid);
            }
        });
        let child = ended.into_iter().find(|reaped| Some(reaped.pid) == own);
        let exit = child.and_then(|reaped| self.child_ended(reaped.exit));
        if self.child.is_none() {
            process::kill_orphans();
        }
        exit
    }

    /// What can change does; the rest is named. A file that cannot be used changes nothing.
    fn reload(&mut self) -> Option<u8> {
        if self.told_ready {
            service::reloading();
        }
        let exit = match Loaded::from_file(&self.config_path) {
            Ok(mut loaded) => {
                // What the command line says is in force too.
                loaded.fill(self.found.clone());
                let changes = config::changes(&self.config, &loaded.config);
                if changes.is_empty() {
                    tracing::info!(
                        EVENT = "reload",
                        "the configuration was read again: nothing has changed"
                    );
                }
                for change in changes {
                    let (key, to) = (change.key, change.to.as_deref().unwrap_or("not set"));
                    match change.reload {
                        Reload::Live => {
                            tracing::info!(EVENT = "reload", "{key} is {to} from here on")
                        }
                        Reload::Restart => tracing::warn!(
                            EVENT = "reload",
                            "{key} cannot change while the supervisor runs: restart it to make it {to}"
                        ),
                    }
                }
                self.config = config::apply_live(&self.config, &loaded.config);
                if let Some(child) = &self.child {
                    child.gate.set_hold_max(self.config.gate.hold_max);
                }
                let setup = super::start::setup(&self.config, &self.authority);
                self.step(Input::Reconfigured(Box::new(setup)))
            }
            Err(error) => {
                tracing::error!(
                    EVENT = "reload",
                    "the configuration is not read again: {}",
                    chain(&error)
                );
                None
            }
        };
        if self.told_ready {
            service::ready();
        }
        exit
    }

    fn serve(&mut self, call: Call) -> Option<u8> {
        let Call {
            id,
            request,
            peer,
            replies,
        } = call;
        let Some(command) = request.command() else {
            let reply = match request {
                Request::Explain {} => Reply::Explain {
                    explain: Box::new(self.explain()),
                },
                Request::History { limit } => Reply::History {
                    entries: self.history.last(limit).to_vec(),
                },
                _ => Reply::Status {
                    status: Box::new(self.status()),
                },
            };
            replies.finish(reply);
            return None;
        };
        tracing::info!(
            EVENT = "ctl",
            REQUEST = id.0,
            OPERATOR_UID = peer.uid,
            OPERATOR_PID = peer.pid,
            "uid {} asks: {command:?}",
            peer.uid
        );
        replies.progress(format!("admitted; this node is {}", self.engine.role()));
        self.calls.insert(id, replies);
        self.step(Input::Asked(id, command))
    }
}
