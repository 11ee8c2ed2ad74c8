//! Are ledger, tower directory and state directory ours, free and writable, and their records whole?

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, User, access, geteuid};

use super::{Findings, Keys, Level, Occasion, chain};
use crate::authority::local::Local;
use crate::config::Config;
use crate::engine::values::RecordKind;
use crate::validator::ledger_lock::{self, LedgerUser};
use crate::validator::paths::ValidatorPaths;
use crate::validator::pubkey::Pubkey;
use crate::validator::record;

/// The longest path of a unix socket, in bytes.
const SOCKET_PATH_MAX: usize = 107;
/// Where systemd makes what a unit names in `StateDirectory=`, before it starts the unit (systemd.exec(5)).
const SYSTEMD_STATE_ROOT: &str = "/var/lib";

pub(super) fn ledger(
    findings: &mut Findings,
    paths: &ValidatorPaths,
    config: &Config,
    keys: Option<&Keys>,
    occasion: Occasion,
) {
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
    if is_within(&config.state_dir, &paths.ledger) {
        let (state_dir, ledger) = (config.state_dir.display(), paths.ledger.display());
        let text = format!(
            "{state_dir} is in the ledger {ledger}: whoever empties the ledger removes the vote record with it, and without that the identity may vote twice: move it, and set state_dir"
        );
        findings.add("state_dir", Level::Warning, text);
    }
    let (level, text) = match ledger_lock::user_of(&paths.ledger) {
        Ok(None) => (Level::Good, paths.ledger.display().to_string()),
        Ok(Some(user)) => in_use(&paths.ledger, &user, &config.state_dir, occasion),
        Err(error) => (
            Level::Error,
            format!(
                "{}: who uses it cannot be told: {error}",
                paths.ledger.display()
            ),
        ),
    };
    findings.add("ledger", level, text);
    if let Some(keys) = keys
        && let Some(text) = foreign_records(paths, keys)
    {
        findings.add("ledger", Level::Error, text);
    }
}

fn in_use(
    ledger: &Path,
    user: &LedgerUser,
    state_dir: &Path,
    occasion: Occasion,
) -> (Level, String) {
    let who = format!("{} (pid {})", user.name, user.pid);
    let supervisor = ledger_lock::supervisor_of(user.pid, state_dir);
    if let (Some(pid), Occasion::Check) = (supervisor, occasion) {
        let text = format!(
            "{} is in use by {who}, which runs under the supervisor of this state_dir (pid {pid})",
            ledger.display()
        );
        return (Level::Good, text);
    }
    if ledger_lock::same_unit(user.pid) {
        let text = format!("{who} is left over from an earlier run of this unit; `run` ends it");
        return (Level::Warning, text);
    }
    if ledger_lock::is_ending(user.pid) {
        let text = format!("{who} was killed and has not ended yet; `run` waits for it");
        return (Level::Warning, text);
    }
    let text = format!(
        "{} is in use by {who}: stop that validator first",
        ledger.display()
    );
    (Level::Error, text)
}

/// By where they lead, as far as they exist.
fn is_within(dir: &Path, above: &Path) -> bool {
    let real = |path: &Path| {
        let there = path.ancestors().find(|ancestor| ancestor.exists());
        let there = there.unwrap_or(Path::new("/"));
        let rest = path.strip_prefix(there).unwrap_or(Path::new(""));
        let there = std::fs::canonicalize(there).unwrap_or_else(|_| there.to_owned());
        there.join(rest)
    };
    real(dir).starts_with(real(above))
}

/// The ledger of another validator shows by its vote records.
fn foreign_records(paths: &ValidatorPaths, keys: &Keys) -> Option<String> {
    let ours = [keys.staked.pubkey(), keys.unstaked.pubkey()];
    let names = |identity: &Pubkey| RecordKind::ALL.map(|kind| record::file_name(kind, identity));
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
    may_write(dir).map_err(|errno| {
        format!(
            "{shown} cannot be written by this user ({}): check its owner and mode",
            errno.desc()
        )
    })
}

fn may_write(dir: &Path) -> Result<(), Errno> {
    access(dir, AccessFlags::W_OK | AccessFlags::X_OK)
}

pub(super) fn state_dir(
    findings: &mut Findings,
    config: &Config,
    keys: Option<&Keys>,
    occasion: Occasion,
) {
    let dir = &config.state_dir;
    if !dir.exists() {
        let (level, text) = missing_state_dir(dir, occasion, may_write);
        return findings.add("state_dir", level, text);
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

/// It is made at the start, with the directories above it: by the supervisor where its user may, else by systemd.
fn missing_state_dir(
    dir: &Path,
    occasion: Occasion,
    may_write: impl Fn(&Path) -> Result<(), Errno>,
) -> (Level, String) {
    let shown = dir.display();
    let above = dir.ancestors().skip(1).find(|above| above.exists());
    let above = above.unwrap_or(Path::new("/"));
    let errno = match may_write(above) {
        Ok(()) if above.is_dir() => return (Level::Good, format!("{shown} will be made")),
        Ok(()) => Errno::ENOTDIR,
        Err(errno) => errno,
    };
    let why = format!("{}: {}", above.display(), errno.desc());
    let user = user_name();
    let by_hand = format!("as root, `install --directory --mode=700 --owner={user} {shown}`");
    let name = dir.strip_prefix(SYSTEMD_STATE_ROOT).ok();
    match (name, errno, occasion) {
        (Some(name), Errno::EACCES, Occasion::Check) => (
            Level::Warning,
            format!(
                "{shown} does not exist and {user} cannot make it: a unit with `StateDirectory={}` makes it at its start, as ours does; without one, {by_hand}",
                name.display()
            ),
        ),
        (Some(name), Errno::EACCES, Occasion::Run) => (
            Level::Error,
            format!(
                "{shown} does not exist and {user} cannot make it: set `StateDirectory={}` in the unit, or, {by_hand}",
                name.display()
            ),
        ),
        (_, Errno::EACCES, _) => (
            Level::Error,
            format!("{shown} does not exist and cannot be made ({why}): {by_hand}"),
        ),
        _ => (
            Level::Error,
            format!(
                "{shown} does not exist and cannot be made ({why}): set another state_dir, or mend that"
            ),
        ),
    }
}

fn user_name() -> String {
    let user = User::from_uid(geteuid()).ok().flatten();
    user.map_or_else(|| geteuid().to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(_: &Path) -> Result<(), Errno> {
        Err(Errno::EACCES)
    }

    #[test]
    fn a_missing_directory_that_systemd_makes_is_a_warning_to_a_check_and_an_error_to_a_run() {
        let dir = Path::new("/var/lib/none-of-this-name");
        let (level, text) = missing_state_dir(dir, Occasion::Check, refused);
        assert_eq!(level, Level::Warning, "{text}");
        let (level, text_of_run) = missing_state_dir(dir, Occasion::Run, refused);
        assert_eq!(level, Level::Error, "{text_of_run}");
        for text in [text, text_of_run] {
            assert!(
                text.contains("`StateDirectory=none-of-this-name`"),
                "{text}"
            );
            assert!(text.contains(" /var/lib/none-of-this-name`"), "{text}");
        }
    }

    #[test]
    fn a_directory_is_found_within_another_wherever_links_lead() {
        let here = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| here.path().join(name);
        std::fs::create_dir_all(path("ledger/state")).expect("directories");
        std::os::unix::fs::symlink(path("ledger"), path("link")).expect("a link");
        for (dir, above, expected) in [
            ("ledger/state", "ledger", true),
            ("ledger", "ledger/", true),
            ("link/to/be/made", "ledger", true),
            ("ledger/state", "link", true),
            ("ledger-state", "ledger", false),
            ("state", "ledger", false),
        ] {
            assert_eq!(is_within(&path(dir), &path(above)), expected, "{dir}");
        }
    }

    #[test]
    fn one_that_nobody_makes_is_an_error_with_a_remedy() {
        for (dir, errno) in [
            ("/none-of-this-name/state", Errno::EACCES),
            ("/var/library/state", Errno::EACCES),
            ("/var/lib/none-of-this-name", Errno::EROFS),
        ] {
            let missing = missing_state_dir(Path::new(dir), Occasion::Check, |_| Err(errno));
            assert_eq!(missing.0, Level::Error, "{missing:?}");
            assert!(!missing.1.contains("StateDirectory="), "{missing:?}");
            let remedy = if errno == Errno::EACCES {
                format!(" {dir}`")
            } else {
                "set another state_dir".into()
            };
            assert!(missing.1.contains(&remedy), "{missing:?}");
        }
    }

    #[test]
    fn one_is_made_with_those_above_it_where_the_nearest_may_be_written() {
        let here = tempfile::tempdir().expect("a temporary directory");
        let dir = here.path().join("a/b/state");
        let asked = |path: &Path| {
            assert_eq!(path, here.path());
            Ok(())
        };
        let (level, text) = missing_state_dir(&dir, Occasion::Run, asked);
        assert_eq!((level, text.ends_with("will be made")), (Level::Good, true));

        std::fs::write(here.path().join("a"), "").expect("a file");
        let (level, text) = missing_state_dir(&dir, Occasion::Run, |_| Ok(()));
        assert_eq!(level, Level::Error, "{text}");
        assert!(text.contains("Not a directory"), "{text}");
    }
}
