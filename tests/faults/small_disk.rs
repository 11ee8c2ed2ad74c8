//! A disk of a size of its own, which takes root.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Unmounted when dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    pub(crate) fn new(mebibytes: u32) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let none: Option<&Path> = None;
        let size = format!("size={mebibytes}m");
        mount(
            none,
            dir.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            Some(size.as_str()),
        )
        .expect("mount a tmpfs, as root");
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
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
