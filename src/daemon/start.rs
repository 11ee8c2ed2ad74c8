//! From the command line to the running loop: everything that may refuse to start does so here, before the child exists.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use tokio::sync::{mpsc, watch};

use super::event::Event;
use super::fence::Commands;
use super::history::History;
use super::memory::{ParkedFlag, PauseNote};
use super::perform::chain;
use super::preflight::{self, Level, Occasion, Prepared};
use super::recorder::Recorder;
use super::report::vote_account_text;
use super::worker::Worker;
use super::{Daemon, Inbox, clock, journal, signals};
use crate::authority::Authority;
use crate::authority::etcd::Etcd;
use crate::authority::local::Local;
use crate::authority::news::Surroundings;
use crate::authority::peer::Peer;
use crate::cli::{Exit, RunArgs};
use crate::config::{Config, FailoverMode, Loaded};
use crate::ctl::access::Rule;
use crate::ctl::http;
use crate::ctl::server::{self, Limits};
use crate::ctl::socket::{self, SocketFile};
use crate::engine::values::NodeName;
use crate::engine::{Engine, Fence, GateFacts, Memory, Setup, Timing};
use crate::probe::validator::Profile;
use crate::validator::gate::{Meter, Reports};
use crate::validator::identity_link_watch::IdentityLinkWatch;
use crate::validator::paths::ValidatorPaths;
use crate::validator::{ledger_lock, limits, process};

/// Requests of operators that wait for the loop.
const CTL_WAITING_MAX: usize = 64;
/// A validator that has not answered by then is killed and started anew. Loading a snapshot and replaying from it takes
/// from minutes to a few hours.
const START_WITHIN: Duration = Duration::from_secs(6 * 3600);
/// How long a left-over validator gets to die.
const STALE_WITHIN: Duration = Duration::from_secs(30);

/// How long no vote must have come before the gate closes in a demotion. One that comes later is refused, and costs a restart of
/// the validator; waiting delays the node that votes next, where there is one.
const QUIET_MS: u64 = 50;
const QUIET_ALONE_MS: u64 = 250;

/// Runs the supervisor until it ends.
#[must_use]
pub fn run(args: &RunArgs) -> ExitCode {
    journal::begin();
    abort_on_panic();
    let begun = keep_secrets_out_of_core_files().map_err(AnyError::from);
    match begun
        .and_then(|()| prepare(args))
        .and_then(|(daemon, inbox, guards)| enter(daemon, inbox, guards, args))
    {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(EVENT = "refused", "{}", chain(error.as_ref()));
            Exit::Refused.into()
        }
    }
}

type AnyError = Box<dyn std::error::Error>;

/// What has to live as long as the loop.
struct Guards {
    _state_lock: Flock<File>,
    listening: socket::Listening,
    rule: Rule,
    http: Option<TcpListener>,
    ctl: mpsc::Sender<server::Event>,
}

/// A thread of the supervisor that panics leaves the rest without a part that the promise may need: better no supervisor,
/// which ends the validator too.
fn abort_on_panic() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        default(info);
        std::process::abort();
    }));
}

fn prepare(args: &RunArgs) -> Result<(Daemon, Inbox, Guards), AnyError> {
    let mut loaded = Loaded::from_file(&args.config)?;
    let (findings, prepared) = preflight::look(&mut loaded, &args.command, Occasion::Run);
    for finding in &findings.0 {
        match finding.level {
            Level::Good => tracing::debug!("{}: {}", finding.item, finding.text),
            Level::Warning => tracing::warn!("{}: {}", finding.item, finding.text),
            Level::Error => tracing::error!("{}: {}", finding.item, finding.text),
        }
    }
    let prepared = prepared.ok_or("not started; `supervisor check` shows this list again")?;
    let config = loaded.config;
    process::become_subreaper()?;
    for shortfall in limits::raise() {
        let text = shortfall.to_string();
        if !findings.0.iter().any(|finding| finding.text == text) {
            tracing::warn!("limits: {text}");
        }
    }
    make_state_dir(&config.state_dir)?;
    let state_lock = lock_state_dir(&config.state_dir)?;
    if let Some(paths) = &prepared.paths {
        end_stale_validator(paths)?;
    }
    if prepared.link.clean()? {
        tracing::info!("removed what an interrupted change of the identity link had left");
    }
    let group = config
        .control
        .group
        .as_deref()
        .map(socket::group_named)
        .transpose()?;
    let listening = socket::listen_on(&config.control.socket, group.as_ref())?;
    let rule = Rule {
        own_uid: nix::unistd::geteuid().as_raw(),
        group,
    };
    let http = config.control.http.map(listen_for_scrapers).transpose()?;
    let (ctl, ctl_inbox) = mpsc::channel(CTL_WAITING_MAX);
    let (daemon, inbox) = build(config, args, prepared, ctl_inbox)?;
    Ok((
        daemon,
        inbox,
        Guards {
            _state_lock: state_lock,
            listening,
            rule,
            http,
            ctl,
        },
    ))
}

fn build(
    config: Config,
    args: &RunArgs,
    prepared: Prepared,
    ctl: mpsc::Receiver<server::Event>,
) -> Result<(Daemon, Inbox), AnyError> {
    let Prepared {
        keys,
        link,
        paths,
        vote_account,
        command,
        found,
    } = prepared;
    let (events, inbox) = mpsc::unbounded_channel();
    let authority = open_authority(&config, *keys.staked.pubkey().as_bytes(), events.clone())?;
    let parked = ParkedFlag::new(&config.state_dir);
    let memory = Memory {
        parked: parked.is_set()?,
        holds: authority.held_before(),
    };
    let (gate_events, gate) = mpsc::unbounded_channel();
    let (facts_sender, facts) = watch::channel(GateFacts {
        last: authority.newest_mark(),
        waiting: 0,
    });
    let daemon = Daemon {
        engine: Engine::new(setup(&config, &authority, 0), memory, clock::now()),
        config_path: args.config.clone(),
        command,
        keys,
        link,
        paths,
        vote_account: vote_account.as_ref().and_then(vote_account_text),
        found,
        parked,
        pause: PauseNote::new(&config.state_dir),
        pausing: Default::default(),
        members: Default::default(),
        events,
        reports: Reports {
            facts: facts_sender,
            events: gate_events,
            meter: Arc::new(Meter::default()),
        },
        child: None,
        installed: None,
        disk: Worker::start("disk")?,
        asker: Worker::start("authority")?,
        fencer: Worker::start("fence")?,
        fences: Commands::default(),
        linker: Worker::start("link")?,
        calls: Default::default(),
        drills: Default::default(),
        history: History::open(&config.state_dir),
        recorder: Recorder::start(&config.state_dir),
        violation: None,
        facts: None,
        probing: Default::default(),
        reading: Default::default(),
        profile: Profile::default(),
        reason: "The supervisor has started.".into(),
        restarts: 0,
        validator_since: None,
        unsettled: None,
        looked_at_day: super::every_day::today(),
        told_ready: false,
        told_stuck: false,
        last_status: (String::new(), Instant::now()),
        authority,
        config,
    };
    Ok((
        daemon,
        Inbox {
            events: inbox,
            gate,
            ctl,
            facts,
        },
    ))
}

fn listen_for_scrapers(address: SocketAddr) -> Result<TcpListener, AnyError> {
    let listener = TcpListener::bind(address).map_err(|error| {
        format!("control.http = \"{address}\" cannot be listened on: {error}: choose another address or port")
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn open_authority(
    config: &Config,
    identity: [u8; 32],
    events: mpsc::UnboundedSender<Event>,
) -> Result<Authority, AnyError> {
    let surroundings = Surroundings {
        clock: clock::now,
        state_dir: config.state_dir.clone(),
        tell: Box::new(move |news| {
            // The loop owns the receiver and ends last.
            let _ = events.send(Event::Authority(news));
        }),
    };
    let node = NodeName(config.node.clone());
    Ok(match (&config.authority.etcd, &config.peer) {
        (Some(etcd), _) => {
            Authority::Etcd(Arc::new(Etcd::start(etcd, identity, node, surroundings)?))
        }
        (None, Some(peer)) => {
            Authority::Peer(Arc::new(Peer::start(peer, identity, node, surroundings)?))
        }
        (None, None) => Authority::Local(Arc::new(Local::open(&config.state_dir, identity)?)),
    })
}

/// The loop runs on the process's first thread, which is the one that starts the child.
fn enter(
    daemon: Daemon,
    inbox: Inbox,
    guards: Guards,
    args: &RunArgs,
) -> Result<ExitCode, AnyError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        .build()?;
    let events = daemon.events.clone();
    signals::listen(events.clone())?;
    let _watch = watch_link(&daemon, events);
    tracing::info!(
        EVENT = "start",
        "node {} supervises {} (configuration {})",
        daemon.config.node,
        daemon.command.program.display(),
        args.config.display()
    );
    let Guards {
        _state_lock,
        listening,
        rule,
        http,
        ctl,
    } = guards;
    let local = tokio::task::LocalSet::new();
    let code = local.block_on(&runtime, async move {
        let (listener, _file): (_, SocketFile) = listening.into_tokio()?;
        if let Some(http) = http {
            let http = tokio::net::TcpListener::from_std(http)?;
            tokio::task::spawn_local(http::serve(http, ctl.clone()));
        }
        let server =
            tokio::task::spawn_local(server::serve(listener, rule, Limits::default(), ctl));
        let code = daemon.run(inbox).await;
        // The last answers are on their way to their clients.
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.abort();
        Ok::<_, io::Error>(code)
    })?;
    // A thread that hangs on a disk must not keep the process.
    runtime.shutdown_background();
    Ok(code)
}

/// Losing the watch loses a report, no more: every start points the link anew.
fn watch_link(daemon: &Daemon, events: mpsc::UnboundedSender<Event>) -> Option<IdentityLinkWatch> {
    let report = move |pointed| {
        let _ = events.send(Event::LinkChanged(pointed));
    };
    IdentityLinkWatch::start(daemon.link.clone(), report)
        .inspect_err(|error| {
            tracing::warn!(
                "changes of the identity link will not be noticed: {}",
                chain(error)
            )
        })
        .ok()
}

/// The engine's constants.
pub(super) fn setup(config: &Config, authority: &Authority, rank: u32) -> Setup {
    let ms = |duration: Duration| duration.as_millis() as u64;
    let stop_ms = ms(config.validator.stop_timeout);
    Setup {
        node: NodeName(config.node.clone()),
        authority: authority.traits(),
        automatic: config.failover.mode == FailoverMode::Auto,
        rank,
        fence: fence(config),
        timing: Timing {
            step_ms: 5_000,
            promote_ms: 30_000,
            handover_ms: 10_000,
            handover_slots: config.failover.handover_within_slots,
            clear_slots: 12,
            clear_within_ms: 300_000,
            demote_clear_ms: 30_000,
            gate_quiet_ms: if authority.traits().alone {
                QUIET_ALONE_MS
            } else {
                QUIET_MS
            },
            start_ms: ms(START_WITHIN),
            exit_ms: stop_ms / 2,
            term_ms: stop_ms - stop_ms / 2,
            stale_ms: 5_000,
            caught_up_slots: config.validator.caught_up_within_slots,
            lease_margin_ms: config
                .authority
                .etcd
                .as_ref()
                .map_or(0, |etcd| ms(etcd.margin)),
            takeover_stagger_ms: 500,
            isolated_ms: ms(config.partition.step_down_after),
            silent_ms: ms(config.failover.silence),
            chain_quiet_ms: 5_000,
            backoff_min_ms: 1_000,
            backoff_max_ms: 60_000,
            restart_max: config.restart.max,
            restart_window_ms: ms(config.restart.window),
        },
    }
}

/// The command with the time it may take, run once for each other node.
fn fence(config: &Config) -> Option<Fence> {
    let peer = config.peer.as_ref()?;
    let within_ms = peer.fence.as_ref()?.within.as_millis() as u64;
    let others = peer.nodes.iter().map(|node| node.name.clone());
    let nodes = others.chain([config.node.clone()]).map(NodeName).collect();
    Some(Fence {
        within_ms: within_ms.saturating_mul(peer.nodes.len() as u64) + 1_000,
        nodes,
    })
}

/// No core file of ours, and no debugger of another user: they would hold the staked key. The validator is not affected.
pub(super) fn keep_secrets_out_of_core_files() -> io::Result<()> {
    nix::sys::prctl::set_dumpable(false).map_err(io::Error::from)
}

fn make_state_dir(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

/// Locks the directory itself: no file is held open in it, which would keep its disk from being made read-only.
fn lock_state_dir(dir: &Path) -> Result<Flock<File>, AnyError> {
    let file = File::open(dir)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        format!("{} is locked ({}): another supervisor runs with this state_dir; stop it, or set another state_dir", dir.display(), errno.desc()).into()
    })
}

/// A validator of an earlier run of this unit must not live beside a new one.
fn end_stale_validator(paths: &ValidatorPaths) -> Result<(), AnyError> {
    let until = Instant::now() + STALE_WITHIN;
    while let Some(user) = ledger_lock::user_of(&paths.ledger)? {
        let ending = ledger_lock::is_ending(user.pid);
        if !ending && !ledger_lock::same_unit(user.pid) {
            return Err(format!(
                "{} is in use by {} (pid {}): stop that validator first",
                paths.ledger.display(),
                user.name,
                user.pid
            )
            .into());
        }
        if Instant::now() > until {
            return Err(format!(
                "{} (pid {}) of an earlier run does not end",
                user.name, user.pid
            )
            .into());
        }
        if !ending {
            tracing::warn!(
                EVENT = "stale-validator",
                CHILD_PID = user.pid.as_raw(),
                "ending {} (pid {}), left over from an earlier run",
                user.name,
                user.pid
            );
            let _ = kill(user.pid, Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
