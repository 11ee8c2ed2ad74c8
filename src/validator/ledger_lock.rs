//! Who has a ledger in use: the process that holds the lock on its `ledger.lock`.
//!
//! The validator takes that lock before it opens the ledger and keeps it to its end (agave-validator `lock_ledger`).

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::Pid;

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
    let file = match std::fs::metadata(ledger.join("ledger.lock")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let locks = std::fs::read_to_string("/proc/locks")?;
    let pid = holder_in(&locks, file.dev(), file.ino())
        // Some file systems (btrfs, overlayfs) show a file under another device than the kernel's list of locks.
        .or_else(|| holders_of_inode(&locks, file.ino()).find(|pid| has_open(*pid, &file)));
    Ok(pid.map(|pid| LedgerUser {
        pid,
        name: name_of(pid),
    }))
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

/// Two processes in the same control group, other than the root one, belong to the same unit.
#[must_use]
pub fn same_unit(pid: Pid) -> bool {
    let group = |pid: &str| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let line = text.lines().find_map(|line| {
            line.strip_prefix("0::")
                .or(line.strip_prefix("1:name=systemd:"))
        })?;
        (line != "/").then(|| line.to_owned())
    };
    let ours = group("self");
    ours.is_some() && ours == group(&pid.to_string())
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
        assert!(!is_ending(pid));
        child.kill()?;
        // Pending at once, then without memory, then waiting to be reaped.
        assert!(is_ending(pid));
        child.wait()?;
        assert!(is_ending(pid));
        Ok(())
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
