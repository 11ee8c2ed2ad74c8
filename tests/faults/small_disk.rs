//! A disk of a size of its own, which takes root.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Unmounted when dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    dir: PathBuf,
    own: Option<tempfile::TempDir>,
}

impl SmallDisk {
    pub(crate) fn new(mebibytes: u32) -> Self {
        let own = tempfile::tempdir().expect("a temporary directory");
        let mut disk = Self::over(own.path(), mebibytes);
        disk.own = Some(own);
        disk
    }

    /// The same in the place of a directory, which comes to be.
    pub(crate) fn over(dir: &Path, mebibytes: u32) -> Self {
        std::fs::create_dir_all(dir).expect("a directory");
        let none: Option<&Path> = None;
        let size = format!("size={mebibytes}m,mode=700");
        mount(
            none,
            dir,
            Some("tmpfs"),
            MsFlags::empty(),
            Some(size.as_str()),
        )
        .expect("mount a tmpfs, as root");
        Self {
            dir: dir.to_owned(),
            own: None,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes all the room that is left.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file");
        let page = [7; 4096];
        loop {
            match file.write_all(&page) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("the disk: {error}"),
            }
        }
    }

    /// Gives it back.
    pub(crate) fn drain(&self) {
        std::fs::remove_file(self.filler()).expect("the file was there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(self.path(), MntFlags::MNT_DETACH);
    }
}
