//! Who may use the control socket: root, the supervisor's own uid, and the members of one
//! configured group. The same rule holds for reading and for commanding.
//!
//! Credentials are those that the kernel recorded when the peer connected (`SO_PEERCRED`,
//! `SO_PEERGROUPS`, unix(7)); a process cannot borrow another's by its pid being reused. A kernel
//! without `SO_PEERGROUPS` (before 4.13) is served from `/proc/<pid>/status`.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::socket::{getsockopt, sockopt};

/// A group by the name the config gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub gid: u32,
}

/// The rule of one socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The supervisor's effective uid.
    pub own_uid: u32,
    pub group: Option<Group>,
}

/// A connected process, as it was when it connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
    /// Its pid in our namespace; 0 when it lives outside.
    pub pid: i32,
    /// Primary and supplementary groups.
    pub gids: Vec<u32>,
}

/// A peer that may not use the socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error(
        "uid {uid} may not use this socket: allowed are root and uid {own_uid}; run it with sudo, or name a group in `[control] group`"
    )]
    NoGroup { uid: u32, own_uid: u32 },
    #[error(
        "uid {uid} may not use this socket: allowed are root, uid {own_uid} and members of group `{group}` (gid {gid}); run it with sudo, or add the user to the group and log in again"
    )]
    NotAMember {
        uid: u32,
        own_uid: u32,
        group: String,
        gid: u32,
    },
    #[error("the kernel does not say who is asking ({0}); nothing is answered to an unknown peer")]
    Unknown(String),
}

impl Rule {
    /// # Errors
    /// The peer is none of root, our own uid, a member of the group.
    pub fn admit(&self, peer: &Peer) -> Result<(), Denied> {
        let (uid, own_uid) = (peer.uid, self.own_uid);
        if uid == 0 || uid == own_uid {
            return Ok(());
        }
        match &self.group {
            None => Err(Denied::NoGroup { uid, own_uid }),
            Some(group) if peer.gids.contains(&group.gid) => Ok(()),
            Some(group) => {
                let Group { name, gid } = group.clone();
                Err(Denied::NotAMember {
                    uid,
                    own_uid,
                    group: name,
                    gid,
                })
            }
        }
    }
}

/// Who is at the other end of `socket`.
///
/// # Errors
/// The kernel or `/proc` does not say.
pub fn peer_of(socket: impl AsFd) -> io::Result<Peer> {
    let fd = socket.as_fd();
    let cred = getsockopt(&fd, sockopt::PeerCredentials)?;
    let mut gids = match supplementary_gids(fd) {
        Ok(gids) => gids,
        Err(e) if e.raw_os_error() == Some(libc::ENOPROTOOPT) => gids_from_proc(cred.pid())?,
        Err(e) => return Err(e),
    };
    gids.push(cred.gid());
    Ok(Peer {
        uid: cred.uid(),
        pid: cred.pid(),
        gids,
    })
}

/// Asks twice at most: the groups are fixed at connect, so the length the kernel names stays true.
fn supplementary_gids(fd: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut gids = vec![0_u32; 64];
    loop {
        let room_bytes = std::mem::size_of_val(gids.as_slice());
        let mut len = libc::socklen_t::try_from(room_bytes).map_err(io::Error::other)?;
        // SAFETY: `gids` is valid for `len` bytes of writes, `len` is a live local, and the fd is
        // borrowed and so open for the whole call.
        let answer = unsafe {
            libc::getsockopt(
                fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                gids.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        let count = len as usize / size_of::<u32>();
        if answer == 0 {
            gids.truncate(count);
            return Ok(gids);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || count <= gids.len() {
            return Err(error);
        }
        gids.resize(count, 0);
    }
}

fn gids_from_proc(pid: i32) -> io::Result<Vec<u32>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse_groups(&status)
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/status has no Groups line")))
}

fn parse_groups(status: &str) -> Option<Vec<u32>> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Groups:"))?;
    line.split_whitespace()
        .map(|gid| gid.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn rule(group: Option<u32>) -> Rule {
        let group = group.map(|gid| Group {
            name: "operators".into(),
            gid,
        });
        Rule {
            own_uid: 998,
            group,
        }
    }

    fn peer(uid: u32, gids: &[u32]) -> Peer {
        Peer {
            uid,
            pid: 1,
            gids: gids.to_vec(),
        }
    }

    #[test]
    fn root_and_our_own_uid_are_admitted_with_and_without_a_group() {
        for group in [None, Some(500)] {
            assert_eq!(rule(group).admit(&peer(0, &[])), Ok(()));
            assert_eq!(rule(group).admit(&peer(998, &[])), Ok(()));
        }
    }

    #[test]
    fn a_member_of_the_group_is_admitted_and_a_stranger_told_what_to_do() {
        assert_eq!(rule(Some(500)).admit(&peer(1001, &[100, 500])), Ok(()));
        let denied = rule(Some(500))
            .admit(&peer(1001, &[100]))
            .unwrap_err()
            .to_string();
        for part in ["uid 1001", "`operators`", "gid 500", "log in again"] {
            assert!(denied.contains(part), "{denied}");
        }
    }

    #[test]
    fn without_a_group_even_gid_0_admits_nobody() {
        let denied = rule(None)
            .admit(&peer(1001, &[0, 998]))
            .unwrap_err()
            .to_string();
        assert!(
            denied.contains("uid 1001") && denied.contains("[control] group"),
            "{denied}"
        );
    }

    #[test]
    fn the_kernel_names_this_process_as_the_peer_of_its_own_socket_pair() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = peer_of(&one).unwrap();
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(peer.pid, nix::unistd::getpid().as_raw());
        let mut own: Vec<u32> = nix::unistd::getgroups()
            .unwrap()
            .iter()
            .map(|g| g.as_raw())
            .collect();
        own.push(nix::unistd::getegid().as_raw());
        own.sort_unstable();
        let mut gids = peer.gids;
        gids.sort_unstable();
        assert_eq!(gids, own);
    }

    #[test]
    fn the_groups_line_of_proc_is_read_and_damage_is_not_taken_for_no_groups() {
        let status = "Name:\tx\nGid:\t5\t5\t5\t5\nGroups:\t4 24 1000 \nNStgid:\t1\n";
        assert_eq!(parse_groups(status), Some(vec![4, 24, 1000]));
        assert_eq!(parse_groups("Groups:\t\n"), Some(vec![]));
        assert_eq!(parse_groups("Groups:\t4 x\n"), None);
        assert_eq!(parse_groups("Name:\tx\n"), None);
    }
}
