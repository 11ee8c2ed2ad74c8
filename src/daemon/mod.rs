//! The imperative shell: one loop that turns events into inputs of the engine and performs the effects that come back.
//!
//! It decides nothing. Everything that can wait runs as a task or on a blocking thread and comes back as an event; the gate
//! has threads of its own and never waits for this loop.
//!
//! ```text
//! signals, ctl, gate, probes, outcomes --Event--> loop --Input--> engine.step --Effect--> perform --+
//!        ^                                                                                          |
//!        +------------------------------------------------------------------------------------------+
//! ```

mod check;
mod child;
mod clock;
mod drill;
mod event;
mod every_day;
mod fence;
mod history;
mod identity;
mod install;
mod journal;
mod members;
mod memory;
mod observe;
mod pause;
mod perform;
mod preflight;
mod probing;
mod recorder;
mod reload;
mod report;
mod service;
mod signals;
mod start;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::authority::Authority;
use crate::config::{Config, FromCommandLine};
use crate::ctl::server::Replies;
use crate::ctl::time::Timestamp;
use crate::engine::values::{RecordMark, RequestId, Role, Term};
use crate::engine::{Engine, GateFacts, Input, Violation};
use crate::probe::validator::{Facts, Profile};
use crate::validator::gate::{GateEvent, Reports};
use crate::validator::identity_link::IdentityLink;
use crate::validator::keypair::Keypair;
use crate::validator::paths::ValidatorPaths;
use crate::validator::process::{self, CommandLine};
use crate::validator::record::VoteRecord;

use child::Child;
use drill::Drills;
use event::Event;
use fence::Commands;
use history::History;
use members::Members;
use memory::{ParkedFlag, PauseNote};
use probing::Probing;
use recorder::Recorder;
use reload::Reading;
use worker::Worker;

pub use check::check;
pub use start::run;

/// Deadlines are kept on a clock that counts suspended time and waited for on one that does not.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// What an end may take beside `validator.stop_timeout`: off the identity, the term back, SIGKILL.
const STOP_GRACE: Duration = Duration::from_secs(60);
/// How often the service manager hears that all is well, at least.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// The keypairs, read once.
#[derive(Debug)]
struct Keys {
    staked: Arc<Keypair>,
    unstaked: Arc<Keypair>,
    voters: Vec<Arc<Keypair>>,
}

/// Everything the loop has in hand.
#[derive(Debug)]
struct Daemon {
    engine: Engine,
    config: Config,
    config_path: PathBuf,
    command: CommandLine,
    keys: Keys,
    link: IdentityLink,
    authority: Authority,
    paths: Option<ValidatorPaths>,
    /// Base58, once known.
    vote_account: Option<String>,
    /// What the command line adds to the configuration.
    found: FromCommandLine,
    parked: ParkedFlag,
    pause: PauseNote,
    /// Pauses that are being written down.
    pausing: BTreeSet<RequestId>,
    members: Members,
    events: mpsc::UnboundedSender<Event>,
    reports: Reports,
    child: Option<Child>,
    /// What was installed last, and under which term: the gate of that term starts from it.
    installed: Option<(Term, Option<(RecordMark, VoteRecord)>)>,
    /// For the state directory and the ledger: record, parking.
    disk: Worker,
    /// For the authority: the term.
    asker: Worker,
    /// For the fence command, which takes its time.
    fencer: Worker,
    fences: Commands,
    /// For the identity link, which may be on another disk.
    linker: Worker,
    calls: BTreeMap<RequestId, Replies>,
    drills: Drills,
    history: History,
    recorder: Recorder,
    /// The last broken invariant, which is reported once.
    violation: Option<Violation>,
    facts: Option<Facts>,
    probing: Probing,
    reading: Reading,
    profile: Profile,
    reason: String,
    restarts: u64,
    /// When the validator was started last.
    validator_since: Option<Timestamp>,
    /// The slot of a vote whose commit was not settled at the first try, until a commit is.
    unsettled: Option<u64>,
    /// Day of the last look at what comes to an end.
    looked_at_day: u64,
    told_ready: bool,
    /// That the end takes too long was said.
    told_stuck: bool,
    last_status: (String, Instant),
}

/// Where the loop's events come from.
struct Inbox {
    events: mpsc::UnboundedReceiver<Event>,
    gate: mpsc::UnboundedReceiver<GateEvent>,
    ctl: mpsc::Receiver<crate::ctl::server::Event>,
    facts: watch::Receiver<GateFacts>,
}

impl Inbox {
    /// The next event, or `None` when `within` is over.
    async fn next(&mut self, within: Duration) -> Option<Event> {
        tokio::select! {
            biased;
            Some(event) = self.events.recv() => Some(event),
            Some(event) = self.gate.recv() => Some(Event::Gate(event)),
            Ok(()) = self.facts.changed() => Some(Event::GateMoved),
            Some(event) = self.ctl.recv() => Some(Event::Ctl(event)),
            () = tokio::time::sleep(within) => None,
        }
    }
}

impl Daemon {
    /// Runs until the engine says `Exit`.
    async fn run(mut self, mut inbox: Inbox) -> ExitCode {
        let watchdog = service::watchdog();
        let mut told_alive = Instant::now();
        let mut exit = self.step(Input::Begin);
        self.resume_pause();
        while exit.is_none() {
            self.reports.meter.loop_is_alive();
            let event = inbox.next(self.wait()).await;
            exit = match event {
                Some(event) => self.handle(event),
                None => None,
            };
            if exit.is_none() && self.is_due() {
                let paused = self.engine.paused_until();
                exit = self.step(Input::Tick);
                self.tell_pause(paused);
            }
            self.tell_status();
            self.watch_drill();
            self.look_every_day();
            self.tell_members();
            if told_alive.elapsed() >= SIGN_OF_LIFE.min(watchdog.unwrap_or(SIGN_OF_LIFE) / 4) {
                told_alive = Instant::now();
                self.tell_alive(watchdog);
            }
        }
        self.end();
        ExitCode::from(exit.unwrap_or(0))
    }

    fn wait(&self) -> Duration {
        let next = self
            .engine
            .next_deadline()
            .map(|(at, _)| Duration::from_millis(at.since(clock::now())));
        next.unwrap_or(WAIT_MAX).min(WAIT_MAX)
    }

    fn is_due(&self) -> bool {
        self.engine
            .next_deadline()
            .is_some_and(|(at, _)| at <= clock::now())
    }

    /// One step of the engine, and all its effects. Answers the exit code of the last one.
    fn step(&mut self, input: Input) -> Option<u8> {
        let now = clock::now();
        let effects = self.engine.step(now, input.clone());
        self.recorder.step(now, &input, &effects);
        let exit = effects
            .into_iter()
            .fold(None, |exit, effect| exit.or(self.perform(effect)));
        let violation = self.engine.check().err();
        if violation != self.violation {
            if let Some(violation) = &violation {
                tracing::error!(
                    EVENT = "invariant",
                    "{violation}; please report this with flight.log of the state directory"
                );
            }
            self.violation = violation;
        }
        exit
    }

    /// The loop turns; the gate's threads turn too, or have a vote in hand that may wait.
    fn tell_alive(&mut self, watchdog: Option<Duration>) {
        let may_wait = self.config.gate.hold_max + Duration::from_secs(2);
        let gate_is_well = self.child.is_none() || self.reports.meter.stalled() < may_wait;
        if watchdog.is_some() && gate_is_well {
            service::alive();
        }
        self.ask_for_time();
    }

    /// An end takes as long as it takes, within reason: a validator that not even SIGKILL ends would hold up the service manager,
    /// and a machine that shuts down, for ever.
    fn ask_for_time(&mut self) {
        if self.engine.role() != Role::Stopping {
            return;
        }
        let lasted = Duration::from_millis(clock::now().since(self.engine.since()));
        let in_reason = self.config.validator.stop_timeout + STOP_GRACE;
        if let Some(more) = service::extension(lasted, in_reason) {
            service::extend(more);
        } else if !std::mem::replace(&mut self.told_stuck, true) {
            tracing::error!(
                EVENT = "page",
                "the end has lasted {} s, and the validator is still there: SIGKILL is repeated, and the service manager is not asked for more time; a process in state D waits for a disk that does not answer",
                lasted.as_secs()
            );
        }
    }

    /// Whatever is left of the child's group ends with us.
    fn end(&mut self) {
        let alone = self.child.is_none();
        if let Some(child) = self.child.take() {
            child.process.signal(nix::sys::signal::Signal::SIGKILL);
        }
        process::kill_orphans();
        for (_, replies) in std::mem::take(&mut self.calls) {
            replies.finish(crate::ctl::wire::Reply::end(
                crate::engine::values::Verdict::Refused,
                "the supervisor is ending",
            ));
        }
        let _ = process::reap(|_| {});
        if alone {
            // Not from within the loop's own runtime; takes no longer than one call.
            let authority = self.authority.clone();
            let _ = std::thread::spawn(move || authority.leave()).join();
        }
    }
}
