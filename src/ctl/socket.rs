//! Makes the control socket: the right place, owner, group and mode from its first instant, a dead
//! predecessor replaced and a live one respected.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, chown};

use super::access::Group;

/// Longest path of a unix socket: `sun_path` less its closing zero (unix(7)).
pub const PATH_BYTES_MAX: usize = 107;
const DIR_MODE: u32 = 0o750;
const SOCKET_MODE: u32 = 0o660;
/// Clients that wait for a place; a full queue fails those that do not wait in `connect`.
const BACKLOG: i32 = 1024;

/// The control socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "control socket path {} is {len} bytes long and a unix socket's is at most {PATH_BYTES_MAX}: set a shorter `[control] socket`",
        path.display()
    )]
    TooLong { path: PathBuf, len: usize },
    #[error(
        "group `{0}` of `[control] group` does not exist: create it (groupadd --system {0}) or name another"
    )]
    NoSuchGroup(String),
    #[error("another supervisor answers on {}: stop it first, or set another `[control] socket`", .0.display())]
    InUse(PathBuf),
    #[error("{} exists and is not a socket: move it away, or set another `[control] socket`", .0.display())]
    NotASocket(PathBuf),
    #[error(
        "cannot give {} to group `{group}`: run the supervisor as root or as a member of that group",
        path.display()
    )]
    Group {
        path: PathBuf,
        group: String,
        source: io::Error,
    },
    #[error("cannot {what} {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// A bound, listening socket, whose file goes away with it.
#[derive(Debug)]
pub struct Listening {
    listener: UnixListener,
    file: SocketFile,
}

/// The socket's file; removed on drop if it is still the one that was made.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl Listening {
    /// The listener for a runtime, and the file to be kept as long as it serves.
    ///
    /// # Errors
    /// There is no runtime here, or it cannot take the socket.
    pub fn into_tokio(self) -> io::Result<(tokio::net::UnixListener, SocketFile)> {
        self.listener.set_nonblocking(true)?;
        Ok((
            tokio::net::UnixListener::from_std(self.listener)?,
            self.file,
        ))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|now| (now.dev(), now.ino()) == self.device_and_inode);
        if is_ours {
            // A stale file is replaced at the next start, so a failure harms nobody.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The group that `[control] group` names.
///
/// # Errors
/// There is none of that name, or the user database cannot be read.
pub fn group_named(name: &str) -> Result<Group, ListenError> {
    match nix::unistd::Group::from_name(name) {
        Ok(Some(group)) => Ok(Group {
            name: name.into(),
            gid: group.gid.as_raw(),
        }),
        Ok(None) => Err(ListenError::NoSuchGroup(name.into())),
        Err(e) => {
            let (what, path) = ("look up the control group in", PathBuf::from("/etc/group"));
            Err(ListenError::Io {
                what,
                path,
                source: e.into(),
            })
        }
    }
}

/// Refuses a path that no unix socket can have.
///
/// # Errors
/// The path is longer than [`PATH_BYTES_MAX`].
pub fn check_path(path: &Path) -> Result<(), ListenError> {
    let len = path.as_os_str().len();
    let fits = len <= PATH_BYTES_MAX;
    if fits {
        Ok(())
    } else {
        Err(ListenError::TooLong {
            path: path.into(),
            len,
        })
    }
}

/// Listens on `path`. Its directory is made (0750, the group's) when missing and otherwise left
/// alone; the socket is 0660 and the group's.
///
/// # Errors
/// Each names the path and what to do.
pub fn listen_on(path: &Path, group: Option<&Group>) -> Result<Listening, ListenError> {
    check_path(path)?;
    make_dir(path, group)?;
    clear_stale(path)?;
    let listener = bind_private(path)?;
    let made = fs::symlink_metadata(path).map_err(io_error("look at", path))?;
    let file = SocketFile {
        path: path.into(),
        device_and_inode: (made.dev(), made.ino()),
    };
    give(path, SOCKET_MODE, group)?;
    Ok(Listening { listener, file })
}

fn make_dir(path: &Path, group: Option<&Group>) -> Result<(), ListenError> {
    let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) else {
        return Ok(());
    };
    if dir.is_dir() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir);
    made.map_err(io_error("create the directory of the control socket,", dir))?;
    give(dir, DIR_MODE, group)
}

/// Removes the socket of a process that is gone.
fn clear_stale(path: &Path) -> Result<(), ListenError> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(io_error("look at", path)(e)),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(ListenError::NotASocket(path.into()));
        }
        Ok(_) => {}
    }
    match probe(path) {
        // A full queue: somebody listens, however slowly.
        Ok(()) | Err(Errno::EAGAIN) => Err(ListenError::InUse(path.into())),
        Err(Errno::ECONNREFUSED) => {
            fs::remove_file(path).map_err(io_error("remove the stale socket", path))
        }
        Err(e) => Err(io_error("find out whether a supervisor answers on", path)(
            e.into(),
        )),
    }
}

/// Connects without waiting, and hangs up.
fn probe(path: &Path) -> nix::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)
}

/// Binds with the mode 0600, so that the socket is never open to more than it will be.
fn bind_private(path: &Path) -> Result<UnixListener, ListenError> {
    let bound = || -> nix::Result<OwnedFd> {
        let fd = socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        // On Linux the file made by bind takes the mode of the socket's own inode, less the umask.
        fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR)?;
        bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        listen(&fd, Backlog::new(BACKLOG)?)?;
        Ok(fd)
    };
    bound()
        .map(UnixListener::from)
        .map_err(|e| io_error("listen on", path)(e.into()))
}

fn give(path: &Path, mode: u32, group: Option<&Group>) -> Result<(), ListenError> {
    if let Some(group) = group {
        chown(path, None, Some(Gid::from_raw(group.gid))).map_err(|e| ListenError::Group {
            path: path.into(),
            group: group.name.clone(),
            source: e.into(),
        })?;
    }
    let set = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    set.map_err(io_error("set the mode of", path))
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ListenError {
    let path = path.to_path_buf();
    move |source| ListenError::Io { what, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// A group of this process that is not the one its files get anyway, where it has such a one.
    fn own_group() -> Group {
        let own = nix::unistd::getegid();
        let gid = if nix::unistd::geteuid().is_root() {
            54_321
        } else {
            own.as_raw()
        };
        Group {
            name: "operators".into(),
            gid,
        }
    }

    #[test]
    fn the_socket_and_its_new_directory_get_their_modes_and_group() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/deeper/ctl.sock");
        let group = own_group();
        let listening = listen_on(&path, Some(&group)).unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o660, 0o750));
        for made in [&path, path.parent().unwrap()] {
            assert_eq!(fs::symlink_metadata(made).unwrap().gid(), group.gid);
        }
        UnixStream::connect(&path).unwrap();
        drop(listening);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_that_exists_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let _listening = listen_on(&dir.path().join("s"), Some(&own_group())).unwrap();
        assert_eq!(mode(dir.path()), 0o711);
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_respected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ctl.sock");
        drop(UnixListener::bind(&path).unwrap());
        let first = listen_on(&path, None).unwrap();
        let error = listen_on(&path, None).unwrap_err();
        assert!(matches!(error, ListenError::InUse(_)), "{error}");
        assert!(
            error.to_string().contains("another supervisor answers"),
            "{error}"
        );
        UnixStream::connect(&path).unwrap();
        drop(first);
        listen_on(&path, None).unwrap();
    }

    #[test]
    fn a_live_socket_whose_queue_is_full_counts_as_live_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ctl.sock");
        let flags = SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
        bind(fd.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&fd, Backlog::new(1).unwrap()).unwrap();
        let mut waiting = Vec::new();
        while waiting.len() < 2 {
            waiting.push(UnixStream::connect(&path).unwrap());
        }
        assert!(matches!(listen_on(&path, None), Err(ListenError::InUse(_))));
    }

    #[test]
    fn a_file_in_the_way_is_neither_removed_nor_listened_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ctl.sock");
        fs::write(&path, "precious").unwrap();
        let error = listen_on(&path, None).unwrap_err();
        assert!(matches!(error, ListenError::NotASocket(_)), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_socket_that_another_has_put_in_its_place_is_not_removed_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ctl.sock");
        let first = listen_on(&path, None).unwrap();
        fs::rename(&path, dir.path().join("old")).unwrap();
        let _second = UnixListener::bind(&path).unwrap();
        drop(first);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_path_of_108_bytes_is_refused_with_its_length_and_one_of_107_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let room = PATH_BYTES_MAX - dir.path().as_os_str().len() - 1;
        listen_on(&dir.path().join("s".repeat(room)), None).unwrap();
        let error = listen_on(&dir.path().join("s".repeat(room + 1)), None).unwrap_err();
        assert!(error.to_string().contains("is 108 bytes long"), "{error}");
        assert!(error.to_string().contains("[control] socket"), "{error}");
    }

    #[test]
    fn a_group_is_found_by_name_or_named_as_missing() {
        assert_eq!(group_named("root").unwrap().gid, 0);
        let error = group_named("no-such-group-here").unwrap_err().to_string();
        assert!(
            error.contains("`no-such-group-here`") && error.contains("groupadd"),
            "{error}"
        );
    }
}
