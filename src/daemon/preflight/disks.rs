//! Are ledger, tower directory and state directory ours, free and writable, and their records whole?

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{Findings, Keys, Level, chain};
use crate::authority::local::Local;
use crate::config::Config;
use crate::engine::values::RecordKind;
use crate::validator::ledger_lock;
use crate::validator::paths::ValidatorPaths;
use crate::validator::pubkey::Pubkey;
use crate::validator::record;

/// The longest path of a unix socket, in bytes.
const SOCKET_PATH_MAX: usize = 107;

pub(super) fn ledger(findings: &mut Findings, paths: &ValidatorPaths, keys: Option<&Keys>) {
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

pub(super) fn state_dir(findings: &mut Findings, config: &Config, keys: Option<&Keys>) {
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
