//! The identity link: a symlink that says which keypair the validator starts with.
//!
//! It is replaced atomically and made durable, so a start after a crash finds one of the two keypairs, never
//! nothing. It decides nothing about identities and never touches a keypair file.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::fcntl::AtFlags;
use nix::unistd::{AccessFlags, faccessat};

use crate::engine::values::Identity;

/// Where the link leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pointed {
    Staked,
    Unstaked,
    /// To a third file.
    Elsewhere(PathBuf),
    /// There is no link.
    Missing,
    /// Something other than a symlink has its name.
    NotALink,
}

impl From<Identity> for Pointed {
    fn from(identity: Identity) -> Self {
        match identity {
            Identity::Staked => Self::Staked,
            Identity::Unstaked => Self::Unstaked,
        }
    }
}

/// Why the link cannot be used, or was not replaced. Nothing is left half-way.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error(
        "the identity link {link} is a {kind}, not a symlink: move it away with `mv {link} {link}.old`, and the \
         supervisor makes the symlink; if it is the keypair, name its new place as identity.staked or identity.unstaked"
    )]
    NotALink { link: PathBuf, kind: &'static str },
    #[error(
        "the identity link {link} leads to {target}, which is neither identity.staked nor identity.unstaked: correct \
         the configuration, or remove the link, and the supervisor makes it anew"
    )]
    Elsewhere { link: PathBuf, target: PathBuf },
    #[error(
        "the identity link {link} has no name or no directory: give an absolute path to a file"
    )]
    NoPlace { link: PathBuf },
    #[error(
        "the directory {dir} of the identity link cannot be written: {source}; let uid {uid} (ours) write there \
         (with systemd also ReadWritePaths={dir}), or put the link elsewhere"
    )]
    Directory {
        dir: PathBuf,
        uid: u32,
        #[source]
        source: io::Error,
    },
    #[error("cannot {action} the identity link {link}: {source}")]
    Io {
        link: PathBuf,
        action: &'static str,
        #[source]
        source: io::Error,
    },
}

/// The link and the keypair files it may lead to. Clones share what was last set.
#[derive(Clone, Debug)]
pub struct IdentityLink {
    link: PathBuf,
    dir: PathBuf,
    /// In the same directory, so that the rename is atomic. Fixed, so that one left by a crash is found.
    temporary: PathBuf,
    staked: PathBuf,
    unstaked: PathBuf,
    /// What we last made of the link. Held while it is replaced, so that nobody takes our change for another's.
    ours: Arc<Mutex<Option<Pointed>>>,
}

impl IdentityLink {
    /// Looks at no file yet.
    pub fn new(link: &Path, staked: &Path, unstaked: &Path) -> Result<Self, LinkError> {
        let no_place = || LinkError::NoPlace {
            link: link.to_owned(),
        };
        let name = link.file_name().ok_or_else(no_place)?;
        let dir = link
            .parent()
            .filter(|dir| dir.is_absolute())
            .ok_or_else(no_place)?;
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(".supervisor-new");
        Ok(Self {
            link: link.to_owned(),
            dir: dir.to_owned(),
            temporary: dir.join(temporary),
            staked: staked.to_owned(),
            unstaked: unstaked.to_owned(),
            ours: Arc::default(),
        })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.link
    }

    /// The directory that the link is in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the link leads.
    pub fn read(&self) -> Result<Pointed, LinkError> {
        match fs::read_link(&self.link) {
            Ok(target) => Ok(self.name_target(target)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Pointed::Missing),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(Pointed::NotALink),
            Err(source) => Err(self.failed("read", source)),
        }
    }

    /// Refuses a link that the supervisor should not take over, and a directory it could not replace it in.
    /// Changes nothing. A missing link is fine.
    pub fn check(&self) -> Result<Pointed, LinkError> {
        let pointed = self.read()?;
        match &pointed {
            Pointed::NotALink => return Err(self.not_a_link()),
            Pointed::Elsewhere(target) => {
                return Err(LinkError::Elsewhere {
                    link: self.link.clone(),
                    target: target.clone(),
                });
            }
            Pointed::Staked | Pointed::Unstaked | Pointed::Missing => {}
        }
        let may = AccessFlags::W_OK | AccessFlags::X_OK;
        faccessat(nix::fcntl::AT_FDCWD, &self.dir, may, AtFlags::AT_EACCESS)
            .map_err(|errno| self.directory(errno.into()))?;
        Ok(pointed)
    }

    /// Points the link at a keypair; on return that is durable. Replaces a link to anywhere and makes a missing
    /// one, but leaves alone what is no symlink. Returns where it led before.
    pub fn point_at(&self, identity: Identity) -> Result<Pointed, LinkError> {
        let mut ours = self.lock();
        let before = self.read()?;
        if before == Pointed::NotALink {
            return Err(self.not_a_link());
        }
        if before != Pointed::from(identity) {
            self.replace(self.target(identity))?;
        }
        *ours = Some(identity.into());
        drop(ours);
        // Also when nothing was replaced: the replacement that made it so may have ended before this.
        self.sync_dir()?;
        Ok(before)
    }

    /// Removes what a crash in the middle of a replacement left behind. Returns whether there was something.
    pub fn clean(&self) -> Result<bool, LinkError> {
        let _ours = self.lock();
        if !self.temporary.is_symlink() {
            return Ok(false);
        }
        fs::remove_file(&self.temporary).map_err(|source| self.directory(source))?;
        Ok(true)
    }

    /// Where the link leads, if that is not what we made of it. Until the first `point_at`, what is found first counts.
    pub(super) fn foreign(&self) -> Result<Option<Pointed>, LinkError> {
        let mut ours = self.lock();
        let found = self.read()?;
        let expected = ours.get_or_insert_with(|| found.clone());
        Ok((*expected != found).then_some(found))
    }

    fn target(&self, identity: Identity) -> &Path {
        match identity {
            Identity::Staked => &self.staked,
            Identity::Unstaked => &self.unstaked,
        }
    }

    /// A target is relative to the link's directory, and may be another name of the same file.
    fn name_target(&self, target: PathBuf) -> Pointed {
        let target = self.dir.join(target);
        let leads_to = |file: &Path| {
            let same =
                matches!((target.canonicalize(), file.canonicalize()), (Ok(a), Ok(b)) if a == b);
            same || target == file
        };
        if leads_to(&self.staked) {
            Pointed::Staked
        } else if leads_to(&self.unstaked) {
            Pointed::Unstaked
        } else {
            Pointed::Elsewhere(target)
        }
    }

    fn replace(&self, target: &Path) -> Result<(), LinkError> {
        match symlink(target, &self.temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&self.temporary)
                    .and_then(|()| symlink(target, &self.temporary))
                    .map_err(|source| self.directory(source))?;
            }
            made => made.map_err(|source| self.directory(source))?,
        }
        fs::rename(&self.temporary, &self.link).map_err(|source| self.failed("replace", source))
    }

    fn sync_dir(&self) -> Result<(), LinkError> {
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|source| self.failed("make durable", source))
    }

    /// The value is whole even if a holder panicked.
    fn lock(&self) -> MutexGuard<'_, Option<Pointed>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_a_link(&self) -> LinkError {
        LinkError::NotALink {
            link: self.link.clone(),
            kind: if self.link.is_dir() {
                "directory"
            } else {
                "file"
            },
        }
    }

    fn directory(&self, source: io::Error) -> LinkError {
        LinkError::Directory {
            dir: self.dir.clone(),
            uid: nix::unistd::geteuid().as_raw(),
            source,
        }
    }

    fn failed(&self, action: &'static str, source: io::Error) -> LinkError {
        LinkError::Io {
            link: self.link.clone(),
            action,
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        dir: tempfile::TempDir,
        link: IdentityLink,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let [link, staked, unstaked] =
                ["id.json", "staked.json", "unstaked.json"].map(|name| dir.path().join(name));
            fs::write(&staked, "").unwrap();
            fs::write(&unstaked, "").unwrap();
            let link = IdentityLink::new(&link, &staked, &unstaked).unwrap();
            Self { dir, link }
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.dir.path()).unwrap();
            let mut names: Vec<_> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    #[test]
    fn the_link_is_made_turned_and_read_back() {
        let place = Place::new();
        let link = &place.link;
        assert_eq!(link.check().unwrap(), Pointed::Missing);
        assert_eq!(link.point_at(Identity::Unstaked).unwrap(), Pointed::Missing);
        assert_eq!(link.point_at(Identity::Staked).unwrap(), Pointed::Unstaked);
        assert_eq!(link.point_at(Identity::Staked).unwrap(), Pointed::Staked);
        assert_eq!(link.check().unwrap(), Pointed::Staked);
        assert_eq!(fs::read_link(link.path()).unwrap(), link.staked);
        assert_eq!(place.names(), ["id.json", "staked.json", "unstaked.json"]);
    }

    #[test]
    fn a_reader_finds_a_keypair_at_every_moment_of_the_replacement() {
        let place = Place::new();
        place.link.point_at(Identity::Staked).unwrap();
        let turning = place.link.clone();
        let turner = std::thread::spawn(move || {
            for _ in 0..200 {
                turning.point_at(Identity::Unstaked).unwrap();
                turning.point_at(Identity::Staked).unwrap();
            }
        });
        while !turner.is_finished() {
            let found = place.link.read().unwrap();
            assert!(
                matches!(found, Pointed::Staked | Pointed::Unstaked),
                "{found:?}"
            );
        }
        turner.join().unwrap();
    }

    #[test]
    fn a_relative_target_and_another_name_of_a_keypair_are_recognised() {
        let place = Place::new();
        symlink("unstaked.json", place.link.path()).unwrap();
        assert_eq!(place.link.read().unwrap(), Pointed::Unstaked);
        fs::remove_file(place.link.path()).unwrap();
        symlink("staked.json", place.dir.path().join("alias")).unwrap();
        symlink("alias", place.link.path()).unwrap();
        assert_eq!(place.link.read().unwrap(), Pointed::Staked);
    }

    #[test]
    fn a_file_or_directory_in_its_place_is_refused_and_left_alone() {
        let place = Place::new();
        let path = place.link.path();
        fs::write(path, "[1,2,3]").unwrap();
        for error in [
            place.link.check().unwrap_err(),
            place.link.point_at(Identity::Staked).unwrap_err(),
        ] {
            let shown = path.display();
            let expected = format!(
                "the identity link {shown} is a file, not a symlink: move it away with `mv {shown} {shown}.old`, and the \
                 supervisor makes the symlink; if it is the keypair, name its new place as identity.staked or identity.unstaked"
            );
            assert_eq!(error.to_string(), expected);
        }
        assert_eq!(fs::read_to_string(path).unwrap(), "[1,2,3]");
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
        let error = place.link.point_at(Identity::Staked).unwrap_err();
        assert!(
            matches!(
                error,
                LinkError::NotALink {
                    kind: "directory",
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn a_link_to_a_third_file_is_refused_at_the_check_and_replaced_when_told() {
        let place = Place::new();
        symlink("/third.json", place.link.path()).unwrap();
        let error = place.link.check().unwrap_err().to_string();
        assert!(
            error.contains("leads to /third.json, which is neither identity.staked nor"),
            "{error}"
        );
        let third = Pointed::Elsewhere("/third.json".into());
        assert_eq!(place.link.point_at(Identity::Unstaked).unwrap(), third);
        assert_eq!(place.link.read().unwrap(), Pointed::Unstaked);
    }

    #[test]
    fn a_directory_that_is_missing_or_takes_no_file_is_named() {
        let link = |path: &str| {
            IdentityLink::new(Path::new(path), Path::new("/s"), Path::new("/u")).unwrap()
        };
        for path in ["/nonexistent/id.json", "/proc/id.json"] {
            let dir = Path::new(path).parent().unwrap().display().to_string();
            let error = link(path)
                .point_at(Identity::Staked)
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with(&format!(
                    "the directory {dir} of the identity link cannot be written"
                )),
                "{error}"
            );
            assert!(error.contains(&format!("ReadWritePaths={dir}")), "{error}");
        }
        let error = link("/nonexistent/id.json").check().unwrap_err();
        assert!(matches!(error, LinkError::Directory { .. }), "{error}");
        for path in ["/", "id.json", ""] {
            let made = IdentityLink::new(Path::new(path), Path::new("/s"), Path::new("/u"));
            assert!(matches!(made, Err(LinkError::NoPlace { .. })), "{path:?}");
        }
    }

    #[test]
    fn what_a_crash_left_behind_is_cleaned_and_does_not_stop_a_replacement() {
        let place = Place::new();
        symlink("/old", &place.link.temporary).unwrap();
        assert!(place.link.clean().unwrap());
        assert!(!place.link.clean().unwrap());
        symlink("/old", &place.link.temporary).unwrap();
        place.link.point_at(Identity::Unstaked).unwrap();
        assert_eq!(place.names(), ["id.json", "staked.json", "unstaked.json"]);
    }
}
