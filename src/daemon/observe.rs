//! Turns events into inputs of the engine, and requests that only read into answers.

use super::event::Event;
use super::signals::Signal;
use super::{Daemon, clock, preflight, service};
use crate::ctl::server::{Call, Event as CtlEvent};
use crate::ctl::wire::{Reply, Request};
use crate::engine::values::Command;
use crate::engine::{AuthorityNews, Input, Observation, Outcome};
use crate::validator::command_line::CommandLine;
use crate::validator::gate::{GateEvent, GateId};
use crate::validator::paths::{self, ValidatorPaths};
use crate::validator::process;

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
            Event::Probed(pid, told) if self.is_child(pid) => self.probed(told),
            Event::Surveyed(pid, survey) if self.is_child(pid) => self.surveyed(survey),
            Event::ChainVote(pid, slot) if self.is_child(pid) => {
                self.step(Input::Observed(Observation::ChainVote { slot }))
            }
            Event::Probed(..) | Event::Surveyed(..) | Event::ChainVote(..) => None,
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
            Event::PauseKept(request, until, kept) => self.pause_kept(request, until, kept),
            Event::Rehearsed(number, steps) => {
                self.rehearsed(number, steps);
                None
            }
            Event::Authority(news) => self.authority_tells(news),
            Event::Ctl(CtlEvent::Call(call)) => self.serve(call),
            Event::Ctl(CtlEvent::Scrape(answer)) => {
                // The scraper may have gone.
                let _ = answer.send(self.status());
                None
            }
            Event::Ctl(CtlEvent::Abandoned(request)) => {
                self.calls.remove(&request);
                self.step(Input::Forgotten(request))
            }
            Event::Signal(signal) => self.signalled(signal),
            Event::Reloaded(loaded) => self.reloaded(loaded),
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

    pub(super) fn step_gate(&mut self) -> Option<u8> {
        let mut facts = *self.reports.facts.borrow();
        // Nobody is told when a vote begins to wait.
        facts.waiting = self.reports.meter.waiting();
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
                    "the record of a vote for slot {slot_text} was not let through (EIO): {why}. A validator whose own record it is sends no vote and exits; any other program behind the gate has only failed to rename a file of that name"
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
            Signal::Reload => {
                self.reload();
                None
            }
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
        ended.iter().for_each(|reaped| self.fences.ended(reaped));
        let child = ended.into_iter().find(|reaped| Some(reaped.pid) == own);
        let exit = child.and_then(|reaped| self.child_ended(reaped.exit));
        if self.child.is_none() {
            process::kill_orphans();
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
        if request == (Request::Drill {}) {
            self.begin_drill(id, replies);
            return None;
        }
        let Some(command) = request.command(clock::now()) else {
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
        match command {
            Command::Pause { until } => {
                self.keep_pause(id, until);
                return None;
            }
            Command::Resume => self.take_back_pause(),
            _ => {}
        }
        self.step(Input::Asked(id, command))
    }
}
