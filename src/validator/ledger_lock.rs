//! Who has a ledger in use: the process that holds the lock on its `ledger.lock`.
//!
//! The validator takes that lock before it opens the ledger and keeps it to its end (agave-validator `lock_ledger`).

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::Pid;

/// Our binary, as the kernel names its processes.
const SUPERVISOR: &str = "supervisor";

/// A process that has the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerUser {
    pub pid: Pid,
    /// Its name, as `ps` shows it.
    pub name: String,
}

/// The process that has `ledger` in use, if any.
///
/// # Errors
/// The lock file or the kernel's list of locks cannot be read.
pub fn user_of(ledger: &Path) -> io::Result<Option<LedgerUser>> {
    let pid = who_locks(&ledger.join("ledger.lock"))?;
    Ok(pid.map(|pid| LedgerUser {
        pid,
        name: name_of(pid),
    }))
}

/// The supervisor that works with `state_dir` and has started `pid`, itself or through others. What cannot be read is none.
#[must_use]
pub fn supervisor_of(pid: Pid, state_dir: &Path) -> Option<Pid> {
    let supervisor = who_locks(state_dir).ok()??;
    let mut above = pid;
    // No chain of parents is longer; a process number used anew could close a circle while we look.
    for _ in 0..1_000 {
        above = parent_in(&Shown::of(above)?.status)?;
        if above == supervisor {
            return Some(supervisor);
        }
        if above.as_raw() <= 1 {
            return None;
        }
    }
    None
}

/// The process that holds the lock on a file or directory, if there is both.
fn who_locks(path: &Path) -> io::Result<Option<Pid>> {
    let file = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let locks = std::fs::read_to_string("/proc/locks")?;
    let pid = holder_in(&locks, file.dev(), file.ino())
        // Some file systems (btrfs, overlayfs) show a file under another device than the kernel's list of locks.
        .or_else(|| holders_of_inode(&locks, file.ino()).find(|pid| has_open(*pid, &file)));
    Ok(pid)
}

/// Whether a process has this very file open.
fn has_open(pid: Pid, file: &std::fs::Metadata) -> bool {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    open.flatten().any(|fd| {
        std::fs::metadata(fd.path())
            .is_ok_and(|open| (open.dev(), open.ino()) == (file.dev(), file.ino()))
    })
}

/// What the kernel shows of a process, as far as [`same_unit`] asks.
#[derive(Clone, Debug, Default)]
struct Shown {
    cgroup: String,
    status: String,
    name: String,
}

impl Shown {
    fn of(pid: Pid) -> Option<Self> {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
        Some(Self {
            cgroup: read("cgroup")?,
            status: read("status")?,
            name: read("comm")?.trim_end().to_owned(),
        })
    }
}

/// Whether a process is what an earlier run of our unit has left: it is in the same service, behind a filter, and no other
/// supervisor that lives is above it. A login session is no unit: what was started there by hand is not ours to end.
/// What cannot be read is not ours.
#[must_use]
pub fn same_unit(pid: Pid) -> bool {
    is_left_over(pid, nix::unistd::getpid(), Shown::of)
}

fn is_left_over(pid: Pid, own: Pid, show: impl Fn(Pid) -> Option<Shown>) -> bool {
    let (Some(ours), Some(theirs)) = (show(own), show(pid)) else {
        return false;
    };
    let service = service_in(&ours.cgroup);
    service.is_some()
        && service == service_in(&theirs.cgroup)
        && is_filtered(&theirs.status)
        && !has_supervisor_above(&theirs, own, &ours.name, show)
}

/// The service whose control group a process is in, in the one hierarchy or, where systemd keeps its own beside those of
/// version 1, in that one, which has any number.
fn service_in(cgroup: &str) -> Option<&str> {
    cgroup.lines().find_map(|line| {
        let (number, rest) = line.split_once(':')?;
        let (hierarchy, path) = rest.split_once(':')?;
        let is_systemds = (number == "0" && hierarchy.is_empty()) || hierarchy == "name=systemd";
        (is_systemds && path.ends_with(".service")).then_some(path)
    })
}

/// Whether the status of a process says that it is behind a seccomp filter (mode 2).
fn is_filtered(status: &str) -> bool {
    field(status, "Seccomp:") == Some("2")
}

fn parent_in(status: &str) -> Option<Pid> {
    let parent = field(status, "PPid:")?.parse().ok()?;
    Some(Pid::from_raw(parent))
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = status.lines();
    lines.find_map(|line| line.strip_prefix(name).map(str::trim))
}

/// Whether a supervisor other than us is among the ancestors. An ancestor that cannot be read may be one.
fn has_supervisor_above(
    process: &Shown,
    own: Pid,
    own_name: &str,
    show: impl Fn(Pid) -> Option<Shown>,
) -> bool {
    let mut status = process.status.clone();
    // No chain of parents is longer; a process number used anew could close a circle while we look.
    for _ in 0..1_000 {
        let Some(parent) = parent_in(&status) else {
            return true;
        };
        // 0 is a parent outside of our namespace.
        if parent == own || parent.as_raw() <= 1 {
            return false;
        }
        let Some(shown) = show(parent) else {
            return true;
        };
        if shown.name == SUPERVISOR || shown.name == own_name {
            return true;
        }
        status = shown.status;
    }
    true
}

/// Whether a process has been killed and only takes its time: a validator has much memory to give back, and keeps its lock until
/// that is done.
#[must_use]
pub fn is_ending(pid: Pid) -> bool {
    // Between taking the signal and giving back memory a process shows neither, for an instant.
    (0..3).any(|look| {
        std::thread::sleep(std::time::Duration::from_millis(10 * look));
        shows_its_end(pid)
    })
}

fn shows_its_end(pid: Pid) -> bool {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
    let has_sigkill = |line: &str| {
        let mask = line
            .strip_prefix("SigPnd:")
            .or(line.strip_prefix("ShdPnd:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (libc::SIGKILL - 1) & 1 == 1)
    };
    // Its command line is in the memory that it gives back first.
    read("cmdline").map_or(true, |line| line.is_empty())
        || read("status").is_ok_and(|status| status.lines().any(has_sigkill))
}

fn name_of(pid: Pid) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .map_or_else(|_| "a process".into(), |name| name.trim_end().into())
}

fn holder_in(locks: &str, device: u64, inode: u64) -> Option<Pid> {
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    holders(locks)
        .find(|(_, held)| *held == file)
        .map(|(pid, _)| pid)
}

fn holders_of_inode(locks: &str, inode: u64) -> impl Iterator<Item = Pid> {
    let end = format!(":{inode}");
    holders(locks)
        .filter(move |(_, held)| held.ends_with(&end))
        .map(|(pid, _)| pid)
}

/// Who holds a lock on which file. Lines read like `1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`, the device as two
/// hexadecimal halves; those with `->` wait.
fn holders(locks: &str) -> impl Iterator<Item = (Pid, &str)> {
    locks.lines().filter_map(|line| {
        let mut words = line
            .split_whitespace()
            .skip_while(|word| *word != "WRITE")
            .skip(1);
        let pid: i32 = words.next()?.parse().ok()?;
        let file = words.next()?;
        (!line.contains("->") && pid > 0).then(|| (Pid::from_raw(pid), file))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{Flock, FlockArg};

    #[test]
    fn the_holder_of_the_lock_is_found_while_it_holds_it() -> io::Result<()> {
        let ledger = tempfile::tempdir()?;
        assert_eq!(user_of(ledger.path())?, None);
        let file = std::fs::File::create(ledger.path().join("ledger.lock"))?;
        assert_eq!(user_of(ledger.path())?, None);
        let lock = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| io::Error::from(errno))?;
        assert_eq!(
            user_of(ledger.path())?.map(|user| user.pid),
            Some(nix::unistd::getpid())
        );
        drop(lock);
        assert_eq!(user_of(ledger.path())?, None);
        Ok(())
    }

    #[test]
    fn a_process_that_ends_is_told_from_one_that_lives() -> io::Result<()> {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn()?;
        let pid = Pid::from_raw(child.id() as i32);
        // In the middle of its exec it has no memory for a moment.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while is_ending(pid) {
            assert!(std::time::Instant::now() < deadline, "it lives");
            std::thread::yield_now();
        }
        child.kill()?;
        // Pending at once, then without memory, then waiting to be reaped.
        assert!(is_ending(pid));
        child.wait()?;
        assert!(is_ending(pid));
        Ok(())
    }

    const SERVICE: &str = "0::/system.slice/validator-supervisor.service\n";

    fn shown(cgroup: &str, parent: i32, seccomp: u8, name: &str) -> Shown {
        Shown {
            cgroup: cgroup.into(),
            status: format!("Name:\tx\nPPid:\t{parent}\nSeccomp:\t{seccomp}\n"),
            name: name.into(),
        }
    }

    /// Is process 50, among these, what a supervisor with the number 10 may end?
    fn left_over(processes: &[(i32, Shown)]) -> bool {
        let show = |pid: Pid| {
            let mut all = processes.iter();
            all.find_map(|(number, shown)| (*number == pid.as_raw()).then(|| shown.clone()))
        };
        is_left_over(Pid::from_raw(50), Pid::from_raw(10), show)
    }

    #[test]
    fn an_orphan_of_the_same_service_behind_a_filter_is_left_over() {
        let us = (10, shown(SERVICE, 1, 0, "supervisor"));
        let orphan = (50, shown(SERVICE, 1, 2, "agave-validator"));
        assert!(left_over(&[us.clone(), orphan]));
        let script = (40, shown(SERVICE, 1, 2, "start.sh"));
        let below_its_script = (50, shown(SERVICE, 40, 2, "agave-validator"));
        assert!(left_over(&[us, script, below_its_script]));
    }

    #[test]
    fn what_was_started_by_hand_in_the_same_session_is_left_alone() {
        let session = "0::/user.slice/user-0.slice/session-3.scope\n";
        let us = shown(session, 1, 0, "supervisor");
        let by_hand = shown(session, 1, 2, "agave-validator");
        assert!(!left_over(&[(10, us), (50, by_hand)]));
        assert!(!left_over(&[
            (10, shown("0::/\n", 1, 0, "supervisor")),
            (50, shown("0::/\n", 1, 2, "agave-validator")),
        ]));
    }

    #[test]
    fn a_process_without_a_filter_or_of_another_service_is_left_alone() {
        let us = (10, shown(SERVICE, 1, 0, "supervisor"));
        let unfiltered = (50, shown(SERVICE, 1, 0, "agave-validator"));
        assert!(!left_over(&[us.clone(), unfiltered]));
        let other = "0::/system.slice/other.service\n";
        let elsewhere = (50, shown(other, 1, 2, "agave-validator"));
        assert!(!left_over(&[us.clone(), elsewhere]));
        assert!(!left_over(&[us]));
    }

    #[test]
    fn the_child_of_another_supervisor_that_lives_is_left_alone() {
        let us = (10, shown(SERVICE, 1, 0, "supervisor-2"));
        let child = (50, shown(SERVICE, 40, 2, "agave-validator"));
        for name in ["supervisor", "supervisor-2"] {
            let other = (30, shown(SERVICE, 1, 0, name));
            let script = (40, shown(SERVICE, 30, 2, "start.sh"));
            assert!(!left_over(&[us.clone(), other, script, child.clone()]));
        }
        let unseen_parent = [us, child];
        assert!(!left_over(&unseen_parent));
    }

    #[test]
    fn the_service_is_found_whatever_the_number_of_systemds_hierarchy() {
        let hybrid =
            "9:name=systemd:/system.slice/a.service\n8:pids:/system.slice/b.service\n0::/\n";
        assert_eq!(service_in(hybrid), Some("/system.slice/a.service"));
        let first = "1:name=systemd:/system.slice/a.service\n";
        assert_eq!(service_in(first), Some("/system.slice/a.service"));
        assert_eq!(
            service_in(SERVICE),
            Some("/system.slice/validator-supervisor.service")
        );
        for none in [
            "8:pids:/system.slice/b.service\n0::/\n",
            "9:name=systemd:/user.slice/session-3.scope\n",
            "0::/system.slice/a.service/part\n",
            "nonsense\n",
            "",
        ] {
            assert_eq!(service_in(none), None, "{none}");
        }
    }

    #[test]
    fn what_the_kernel_shows_of_a_real_process_is_understood() {
        let own = Shown::of(nix::unistd::getpid()).expect("our own files");
        assert_eq!(parent_in(&own.status), Some(nix::unistd::getppid()));
        assert!(field(&own.status, "Seccomp:").is_some(), "{}", own.status);
        assert!(!own.name.is_empty());
    }

    #[test]
    fn a_process_that_waits_for_the_lock_does_not_hold_it() {
        let locks = "1: FLOCK  ADVISORY  WRITE 77 fe:00:42 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 78 fe:00:42 0 EOF\n";
        let device = nix::sys::stat::makedev(0xfe, 0);
        assert_eq!(holder_in(locks, device, 42), Some(Pid::from_raw(77)));
        assert_eq!(holder_in(locks, device, 43), None);
        assert_eq!(
            holders_of_inode(locks, 42).collect::<Vec<_>>(),
            [Pid::from_raw(77)]
        );
    }
}
