//! Looks at everything a run depends on, changes nothing, and says all that is wrong at once.
//!
//! `check` prints the findings; `run` starts only when none of them is an error. Reading the keypairs is part of looking.

pub(super) mod authority;
mod disks;
mod program;

use std::ffi::OsString;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Keys;
use super::perform::chain;
use crate::config::{AuthorityKind, Config, FromCommandLine, Loaded, Source};
use crate::ctl::socket;
use crate::validator::command_line::{CommandLine, VoteAccount};
use crate::validator::identity_link::IdentityLink;
use crate::validator::keypair::{self, Keypair};
use crate::validator::paths::{self, ValidatorPaths};
use crate::validator::{gate, limits, process};

pub(super) use program::without_file_capabilities;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Good,
    Warning,
    Error,
}

/// What the looking is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// By hand, perhaps before the unit has ever been started.
    Check,
    /// The child is to be started after it.
    Run,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) item: &'static str,
    pub(super) level: Level,
    pub(super) text: String,
}

/// What looking has yielded for a run.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) keys: Keys,
    pub(super) link: IdentityLink,
    /// Not known yet where a start script hides them.
    pub(super) paths: Option<ValidatorPaths>,
    pub(super) vote_account: Option<VoteAccount>,
    pub(super) command: process::CommandLine,
    /// What the command line adds to the configuration.
    pub(super) found: FromCommandLine,
}

#[derive(Debug, Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    fn add(&mut self, item: &'static str, level: Level, text: impl Into<String>) {
        self.0.push(Finding {
            item,
            level,
            text: text.into(),
        });
    }

    /// A value, or an error noted.
    fn need<T>(&mut self, item: &'static str, result: Result<T, String>) -> Option<T> {
        result
            .map_err(|text| self.add(item, Level::Error, text))
            .ok()
    }

    pub(super) fn errors(&self) -> Vec<String> {
        let errors = self
            .0
            .iter()
            .filter(|finding| finding.level == Level::Error);
        errors.map(|finding| finding.text.clone()).collect()
    }

    pub(super) fn worst(&self) -> Level {
        self.0
            .iter()
            .map(|finding| finding.level)
            .max()
            .unwrap_or(Level::Good)
    }
}

/// Looks at everything. The second part is there exactly when no finding is an error and a command was given.
pub(super) fn look(
    loaded: &mut Loaded,
    argv: &[OsString],
    occasion: Occasion,
) -> (Findings, Option<Prepared>) {
    let mut findings = Findings::default();
    let program = argv.first().map(program::find_program);
    let line = command_line(program.as_ref(), argv);
    loaded.fill(line.for_config());
    let config = &loaded.config;
    if occasion == Occasion::Check && nix::unistd::geteuid().is_root() {
        findings.add(
            "user",
            Level::Warning,
            "checked as root, who can read every file: run it as the user of the validator, as in `sudo -u sol supervisor check`",
        );
    }
    // Forks, so it comes before the keys are read.
    machine(&mut findings);
    authority::look(&mut findings, config, occasion);
    without_use(&mut findings, loaded);
    let command = program.and_then(|program| program::command(&mut findings, program, argv, &line));
    let keys = keys(&mut findings, config);
    let link = link(&mut findings, config, &line);
    let paths = settle_paths(&mut findings, config, &line, argv.is_empty());
    if let Some(paths) = &paths {
        disks::ledger(&mut findings, paths, config, keys.as_ref(), occasion);
    }
    disks::state_dir(&mut findings, config, keys.as_ref(), occasion);
    control(&mut findings, config);
    let prepared = match (keys, link, command) {
        (Some(keys), Some(link), Some(command)) if findings.worst() < Level::Error => {
            Some(Prepared {
                keys,
                link,
                paths,
                vote_account: line.vote_account.clone(),
                command,
                found: line.for_config(),
            })
        }
        _ => None,
    };
    (findings, prepared)
}

/// The program is known by its path, wherever it was found.
fn command_line(program: Option<&Result<PathBuf, String>>, argv: &[OsString]) -> CommandLine {
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let Some((given, args)) = argv.split_first() else {
        return CommandLine::default();
    };
    let program = match program {
        Some(Ok(found)) => found.clone().into_os_string(),
        _ => given.clone(),
    };
    let argv: Vec<OsString> = std::iter::once(program)
        .chain(args.iter().cloned())
        .collect();
    CommandLine::read(&argv, &cwd)
}

/// A node that is alone votes on when it looks cut off, and nobody takes over from it.
fn without_use(findings: &mut Findings, loaded: &Loaded) {
    let keys = [
        "failover.mode",
        "failover.priority",
        "partition.step_down_after",
    ];
    let is_alone = loaded.config.authority.kind == AuthorityKind::Local;
    for key in keys.into_iter().filter(|_| is_alone) {
        if let Source::File { line } = loaded.source(key) {
            let text = format!(
                "line {line}: {key} would do nothing with authority.kind = \"local\", a single node that nobody takes over from: remove it"
            );
            findings.add("config", Level::Error, text);
        }
    }
}

fn keys(findings: &mut Findings, config: &Config) -> Option<Keys> {
    let staked = read_keypair(findings, &config.identity.staked);
    let unstaked = read_keypair(findings, &config.identity.unstaked);
    let (staked, unstaked) = (staked?, unstaked?);
    findings.need(
        "identity",
        keypair::check_distinct(&staked, &unstaked).map_err(|error| chain(&error)),
    )?;
    findings.add(
        "identity",
        Level::Good,
        format!("staked {}, unstaked {}", staked.pubkey(), unstaked.pubkey()),
    );
    let voters = voters(findings, config, &staked)?;
    Some(Keys {
        staked,
        unstaked,
        voters,
    })
}

/// The keypairs that may sign votes. A voter given as the link means the staked key.
pub(super) fn voters(
    findings: &mut Findings,
    config: &Config,
    staked: &Arc<Keypair>,
) -> Option<Vec<Arc<Keypair>>> {
    let link = config.identity.link.as_deref();
    let Some(given) = &config.identity.authorized_voters else {
        return Some(vec![Arc::clone(staked)]);
    };
    let is_staked = |path: &Path| *path == config.identity.staked || Some(path) == link;
    let mut voters: Vec<Arc<Keypair>> = Vec::new();
    for path in given {
        let voter = if is_staked(path) {
            Arc::clone(staked)
        } else {
            read_keypair(findings, path)?
        };
        if voters.iter().all(|known| known.pubkey() != voter.pubkey()) {
            voters.push(voter);
        }
    }
    Some(voters)
}

fn read_keypair(findings: &mut Findings, path: &Path) -> Option<Arc<Keypair>> {
    let read = Keypair::read(path).map_err(|error| chain(&error));
    let (keypair, warnings) = findings.need("identity", read)?;
    for warning in warnings {
        findings.add("identity", Level::Warning, warning.to_string());
    }
    Some(Arc::new(keypair))
}

fn link(findings: &mut Findings, config: &Config, line: &CommandLine) -> Option<IdentityLink> {
    for disagreement in paths::disagreements(&config.identity, &config.validator, line) {
        findings.add("command", Level::Error, disagreement.to_string());
    }
    let path = config.identity.link.as_ref()?;
    let link = IdentityLink::new(path, &config.identity.staked, &config.identity.unstaked);
    let link = findings.need("link", link.map_err(|error| chain(&error)))?;
    let pointed = findings.need("link", link.check().map_err(|error| chain(&error)))?;
    findings.add(
        "link",
        Level::Good,
        format!("{} ({pointed:?})", path.display()),
    );
    Some(link)
}

/// A start script may hide all but the link, which has to be pointed before it runs.
fn settle_paths(
    findings: &mut Findings,
    config: &Config,
    line: &CommandLine,
    no_command: bool,
) -> Option<ValidatorPaths> {
    match ValidatorPaths::settle(&config.identity, &config.validator) {
        Ok(paths) => Some(paths),
        Err(open) => {
            for why in open {
                let settles_later = !line.is_validator
                    && !matches!(
                        why,
                        paths::Unsettled::Link | paths::Unsettled::LinkIsKeypair { .. }
                    );
                let level = if settles_later || no_command {
                    Level::Warning
                } else {
                    Level::Error
                };
                findings.add("validator", level, why.to_string());
            }
            None
        }
    }
}

fn control(findings: &mut Findings, config: &Config) {
    let path = &config.control.socket;
    let error = match std::fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            Some(socket::ListenError::NotASocket(path.clone()))
        }
        _ => socket::check_path(path).err(),
    };
    if let Some(error) = error {
        findings.add("control", Level::Error, chain(&error));
    }
    let above = path.ancestors().skip(1).find(|above| above.exists());
    if let Some(above) = above.filter(|above| !above.is_dir()) {
        let text = format!(
            "{} is not a directory, so control.socket ({}) cannot be made: move it away, or set another control.socket",
            above.display(),
            path.display()
        );
        findings.add("control", Level::Error, text);
    }
    if let Some(group) = &config.control.group
        && let Err(error) = socket::group_named(group)
    {
        findings.add("control", Level::Error, chain(&error));
    }
}

fn machine(findings: &mut Findings) {
    match gate::self_test() {
        Ok(()) => findings.add(
            "gate",
            Level::Good,
            "a rename was stopped, read and refused",
        ),
        Err(error) => findings.add("gate", Level::Error, chain(&error)),
    }
    for shortfall in limits::shortfalls() {
        findings.add("limits", Level::Warning, shortfall.to_string());
    }
    match wall_clock_is_synchronized() {
        Ok(true) => {}
        Ok(false) => findings.add("clock", Level::Warning, "the kernel says that the wall clock is not synchronized: run chrony or systemd-timesyncd (votes carry time stamps; the supervisor itself does not depend on it)"),
        Err(error) => findings.add("clock", Level::Warning, format!("whether the wall clock is synchronized cannot be asked ({error}): a sandbox that protects the clock forbids it, such as ProtectClock= of a unit; `timedatectl` tells (votes carry time stamps; the supervisor itself does not depend on it)")),
    }
}

fn wall_clock_is_synchronized() -> std::io::Result<bool> {
    // SAFETY: the structure consists of integers, of which zero is one.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: with no modes set the kernel only writes to the structure.
    if unsafe { libc::adjtimex(&raw mut state) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(state.status & libc::STA_UNSYNC == 0)
}
