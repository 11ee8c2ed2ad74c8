//! Who answers on the admin socket: nobody but the validator that this supervisor started is told anything.
//!
//! A socket is a name in a directory. Whoever may write there can put another in its place, and requests carry secret keys.

use nix::unistd::Pid;
use tokio::net::UnixStream;

use super::{Fault, Shown};

/// No chain of parents is longer; a process number used anew could close a circle while we look.
const ANCESTORS_MAX: usize = 1_000;

/// Whether the process that listens is below us. We are the subreaper of all that the validator's command starts, so what has
/// lost its parent there stays below us too. The kernel keeps who called listen(2), so passing the socket on changes nothing
/// (unix(7), SO_PEERCRED).
///
/// # Errors
/// It is not, or it cannot be told.
pub(super) fn check(stream: &UnixStream) -> Result<(), Fault> {
    let peer = stream.peer_cred().map_err(Fault::Io)?;
    // 0 is a process outside of our namespace.
    let pid = peer.pid().unwrap_or(0);
    if is_below(pid, nix::unistd::getpid().as_raw(), parent_of) {
        return Ok(());
    }
    let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    Err(Fault::Stranger {
        pid: Pid::from_raw(pid),
        name: Shown::plain(name.trim_ascii_end()),
        uid: peer.uid(),
    })
}

fn is_below(pid: i32, own: i32, parent_of: impl Fn(i32) -> Option<i32>) -> bool {
    let above = std::iter::successors(Some(pid), |pid| parent_of(*pid));
    above
        .take(ANCESTORS_MAX)
        .take_while(|pid| *pid > 0)
        .any(|pid| pid == own)
}

fn parent_of(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut lines = status.lines();
    lines
        .find_map(|line| line.strip_prefix("PPid:"))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 has started 10, us, and 90; 10 has started 20, and 20 has started 30.
    fn parents(pid: i32) -> Option<i32> {
        match pid {
            1 => Some(0),
            10 | 90 => Some(1),
            20 => Some(10),
            30 => Some(20),
            50 => Some(51),
            51 => Some(50),
            _ => None,
        }
    }

    #[test]
    fn the_child_and_what_it_started_are_below_us_and_all_else_is_not() {
        for ours in [10, 20, 30] {
            assert!(is_below(ours, 10, parents), "{ours}");
        }
        for other in [1, 90, 50, 77, 0, -1] {
            assert!(!is_below(other, 10, parents), "{other}");
        }
    }

    #[test]
    fn the_parent_of_a_real_process_is_found() -> std::io::Result<()> {
        let own = nix::unistd::getpid().as_raw();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn()?;
        let pid = child.id() as i32;
        let found = (parent_of(pid), is_below(pid, own, parent_of));
        child.kill()?;
        child.wait()?;
        assert_eq!(found, (Some(own), true));
        assert!(!is_below(nix::unistd::getppid().as_raw(), own, parent_of));
        Ok(())
    }
}
