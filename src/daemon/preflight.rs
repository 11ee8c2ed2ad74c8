//! Looks at everything a run depends on, changes nothing, and says all that is wrong at once.
//!
//! `check` prints the findings; `run` starts only when none of them is an error. Reading the keypairs is part of looking.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Keys;
use super::perform::chain;
use crate::authority::local::Local;
use crate::config::{AuthorityKind, Config, Loaded};
use crate::ctl::socket;
use crate::engine::values::RecordKind;
use crate::validator::command_line::{CommandLine, VoteAccount};
use crate::validator::identity_link::IdentityLink;
use crate::validator::keypair::{self, Keypair};
use crate::validator::paths::{self, ValidatorPaths};
use crate::validator::pubkey::Pubkey;
use crate::validator::record;
use crate::validator::{gate, ledger_lock, limits, process};

/// The longest path of a unix socket, in bytes.
const SOCKET_PATH_MAX: usize = 107;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Good,
    Warning,
    Error,
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
    pub(super) command_is_script: bool,
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
pub(super) fn look(loaded: &mut Loaded, argv: &[OsString]) -> (Findings, Option<Prepared>) {
    let mut findings = Findings::default();
    let line = command_line(argv);
    loaded.fill(line.for_config());
    let config = &loaded.config;
    authority(&mut findings, config);
    let command = command(&mut findings, argv, &line);
    let keys = keys(&mut findings, config);
    let link = link(&mut findings, config, &line);
    let paths = settle_paths(&mut findings, config, &line, argv.is_empty());
    if let Some(paths) = &paths {
        ledger(&mut findings, paths, keys.as_ref());
    }
    state_dir(&mut findings, config, keys.as_ref());
    control(&mut findings, config);
    machine(&mut findings);
    let prepared = match (keys, link, command) {
        (Some(keys), Some(link), Some(command)) if findings.worst() < Level::Error => {
            Some(Prepared {
                keys,
                link,
                paths,
                vote_account: line.vote_account.clone(),
                command,
                command_is_script: !line.is_validator,
            })
        }
        _ => None,
    };
    (findings, prepared)
}

fn command_line(argv: &[OsString]) -> CommandLine {
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    if argv.is_empty() {
        CommandLine::default()
    } else {
        CommandLine::read(argv, &cwd)
    }
}

fn authority(findings: &mut Findings, config: &Config) {
    let later = [
        ("[authority.etcd]", config.authority.etcd.is_some()),
        ("[peer]", config.peer.is_some()),
        ("control.http", config.control.http.is_some()),
    ];
    for (key, _) in later.iter().filter(|(_, is_set)| *is_set) {
        findings.add(
            "config",
            Level::Error,
            format!("{key} is not in this version and would do nothing: remove it"),
        );
    }
    match config.authority.kind {
        AuthorityKind::Local => findings.add(
            "authority",
            Level::Good,
            "local: a single node, no failover",
        ),
        other => findings.add(
            "authority",
            Level::Error,
            format!(
                "authority.kind {:?} is not in this version: set authority.kind = \"local\"",
                other.name()
            ),
        ),
    }
}

fn command(
    findings: &mut Findings,
    argv: &[OsString],
    line: &CommandLine,
) -> Option<process::CommandLine> {
    let (program, args) = argv.split_first()?;
    let path = findings.need("command", find_program(program))?;
    findings.need("command", without_file_capabilities(&path))?;
    if line.identity_is_asked_for {
        findings.add(
            "command",
            Level::Error,
            "--identity ASK reads a seed phrase from a terminal: give it the identity link",
        );
    }
    if line.no_voting {
        findings.add(
            "command",
            Level::Warning,
            "--no-voting: this validator never votes, whatever its identity",
        );
    }
    let kind = if line.is_validator {
        "validator"
    } else {
        "start script"
    };
    findings.add(
        "command",
        Level::Good,
        format!("{} ({kind})", path.display()),
    );
    Some(process::CommandLine {
        program: path.into_os_string(),
        args: args.to_vec(),
    })
}

/// As the shell would find it.
fn find_program(program: &OsString) -> Result<PathBuf, String> {
    let given = Path::new(program);
    let found = if given.components().count() > 1 {
        given.to_owned()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut candidates = std::env::split_paths(&path).map(|dir| dir.join(given));
        candidates
            .find(|candidate| candidate.is_file())
            .ok_or_else(|| {
                format!(
                    "{} is in no directory of PATH ({}): give its full path",
                    given.display(),
                    path.display()
                )
            })?
    };
    let metadata = std::fs::metadata(&found).map_err(|error| {
        format!(
            "{}: {error}: check the command behind `--`",
            found.display()
        )
    })?;
    if !metadata.is_file() {
        return Err(format!(
            "{} is not a file: give the validator or its start script",
            found.display()
        ));
    }
    nix::unistd::access(&found, nix::unistd::AccessFlags::X_OK).map_err(|_| {
        format!(
            "{} is not executable for this user: `chmod +x {}`",
            found.display(),
            found.display()
        )
    })?;
    Ok(found)
}

/// A binary with file capabilities loses the signal that ends it with its supervisor, and without CAP_SYS_ADMIN the gate's
/// filter makes the kernel ignore those capabilities.
pub(super) fn without_file_capabilities(path: &Path) -> Result<(), String> {
    if !has_attribute(path, c"security.capability") {
        return Ok(());
    }
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let path = path.display();
    Err(format!(
        "{path} carries file capabilities (`getcap {path}`), which do not work behind the vote gate: remove them with `setcap -r {path}` \
         and give them in the unit as AmbientCapabilities="
    ))
}

fn has_attribute(path: &Path, name: &std::ffi::CStr) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: both strings have an end, and with length 0 nothing is written.
    let len = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) };
    len > 0
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

fn ledger(findings: &mut Findings, paths: &ValidatorPaths, keys: Option<&Keys>) {
    for (item, dir) in [("ledger", &paths.ledger), ("tower", &paths.tower)] {
        if let Err(text) = writable_dir(dir) {
            findings.add(item, Level::Error, text);
        }
    }
    let socket = paths.ledger.join("admin.rpc");
    let len = socket.as_os_str().len();
    if len > SOCKET_PATH_MAX {
        findings.add("ledger", Level::Error, format!("the admin socket {} has a path of {len} bytes, and {SOCKET_PATH_MAX} are possible: move the ledger to a shorter path", socket.display()));
    }
    match ledger_lock::user_of(&paths.ledger) {
        Ok(None) => findings.add("ledger", Level::Good, paths.ledger.display().to_string()),
        Ok(Some(user)) if ledger_lock::same_unit(user.pid) => {
            findings.add(
                "ledger",
                Level::Warning,
                format!(
                    "{} (pid {}) is left over from an earlier run of this unit; `run` ends it",
                    user.name, user.pid
                ),
            );
        }
        Ok(Some(user)) if ledger_lock::is_ending(user.pid) => findings.add(
            "ledger",
            Level::Warning,
            format!(
                "{} (pid {}) was killed and has not ended yet; `run` waits for it",
                user.name, user.pid
            ),
        ),
        Ok(Some(user)) => findings.add(
            "ledger",
            Level::Error,
            format!(
                "{} is in use by {} (pid {}): stop that validator first",
                paths.ledger.display(),
                user.name,
                user.pid
            ),
        ),
        Err(error) => findings.add(
            "ledger",
            Level::Error,
            format!(
                "{}: who uses it cannot be told: {error}",
                paths.ledger.display()
            ),
        ),
    }
    if let Some(keys) = keys
        && let Some(text) = foreign_records(paths, keys)
    {
        findings.add("ledger", Level::Error, text);
    }
}

/// The ledger of another validator shows by its vote records.
fn foreign_records(paths: &ValidatorPaths, keys: &Keys) -> Option<String> {
    let ours = [keys.staked.pubkey(), keys.unstaked.pubkey()];
    let names = |identity: &Pubkey| {
        [RecordKind::Tower, RecordKind::VoteHistory].map(|kind| record::file_name(kind, identity))
    };
    let own_names: Vec<String> = ours.iter().flat_map(names).collect();
    let mut foreign = None;
    for entry in std::fs::read_dir(&paths.tower).ok()?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if own_names.contains(&name) {
            return None;
        }
        let is_record = (name.starts_with("tower-1_9-") || name.starts_with("vote_history-"))
            && name.ends_with(".bin");
        foreign = foreign.or(is_record.then_some(name));
    }
    let name = foreign?;
    Some(format!(
        "{} holds {name}, a vote record of another identity, and none of ours: this looks like another validator's ledger; if it is not, move that file away",
        paths.tower.display()
    ))
}

fn writable_dir(dir: &Path) -> Result<(), String> {
    let shown = dir.display();
    let metadata = std::fs::metadata(dir).map_err(|error| format!("{shown}: {error}"))?;
    if !metadata.is_dir() {
        return Err(format!("{shown} is not a directory"));
    }
    nix::unistd::access(
        dir,
        nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK,
    )
    .map_err(|errno| {
        format!(
            "{shown} cannot be written by this user ({}): check its owner and mode",
            errno.desc()
        )
    })
}

fn state_dir(findings: &mut Findings, config: &Config, keys: Option<&Keys>) {
    let dir = &config.state_dir;
    if !dir.exists() {
        let parent = dir.parent().unwrap_or(Path::new("/"));
        return match writable_dir(parent) {
            Ok(()) => findings.add(
                "state_dir",
                Level::Good,
                format!("{} will be made", dir.display()),
            ),
            Err(text) => findings.add(
                "state_dir",
                Level::Error,
                format!(
                    "{} does not exist and cannot be made: {text}",
                    dir.display()
                ),
            ),
        };
    }
    if let Err(text) = writable_dir(dir) {
        return findings.add("state_dir", Level::Error, text);
    }
    if std::fs::metadata(dir).is_ok_and(|metadata| metadata.permissions().mode() & 0o022 != 0) {
        findings.add(
            "state_dir",
            Level::Error,
            format!(
                "{} can be written by others: `chmod 700 {}`",
                dir.display(),
                dir.display()
            ),
        );
    }
    let Some(keys) = keys else { return };
    match Local::open(dir, *keys.staked.pubkey().as_bytes()) {
        Err(error) => findings.add("record", Level::Error, chain(&error)),
        Ok(local) => {
            let text = local.mark().map_or("no vote record yet".into(), |mark| {
                format!(
                    "{} record up to slot {} (term {}, {})",
                    mark.kind.name(),
                    mark.slot,
                    mark.term,
                    mark.seq
                )
            });
            findings.add("record", Level::Good, text);
        }
    }
}

fn control(findings: &mut Findings, config: &Config) {
    if let Err(error) = socket::check_path(&config.control.socket) {
        findings.add("control", Level::Error, chain(&error));
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
    if !wall_clock_is_synchronized() {
        findings.add("clock", Level::Warning, "the kernel says that the wall clock is not synchronized: run chrony or systemd-timesyncd (votes carry time stamps; the supervisor itself does not depend on it)");
    }
}

fn wall_clock_is_synchronized() -> bool {
    // SAFETY: the structure consists of integers, and with no modes set the kernel only writes to it.
    unsafe {
        let mut state: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut state) >= 0 && state.status & libc::STA_UNSYNC == 0
    }
}
