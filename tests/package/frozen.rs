//! A disk that does not answer for a while: a small ext4 in a file, mounted and frozen, which takes root.

use std::path::PathBuf;
use std::process::Command;

use nix::mount::{MntFlags, umount2};

/// Unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let disk = Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
        };
        let image = disk.dir.path().join("image");
        let file = std::fs::File::create(&image).expect("an image");
        file.set_len(32 << 20).expect("its size");
        must(Command::new("mkfs.ext4").arg("-q").arg(&image));
        std::fs::create_dir(disk.path()).expect("a mount point");
        must(
            Command::new("mount")
                .args(["-o", "loop"])
                .arg(&image)
                .arg(disk.path()),
        );
        disk
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Whoever writes from here on waits, and cannot be killed, until the answer is dropped.
    pub(crate) fn freeze(&self) -> Frozen {
        must(Command::new("fsfreeze").arg("--freeze").arg(self.path()));
        Frozen(self.path())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.path(), MntFlags::MNT_DETACH);
    }
}

/// A disk that does not answer. Dropping it thaws the disk.
#[derive(Debug)]
pub(crate) struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        must(Command::new("fsfreeze").arg("--unfreeze").arg(&self.0));
    }
}

fn must(command: &mut Command) {
    let output = command.output().expect("a command of the base system");
    assert!(
        output.status.success(),
        "{command:?} (takes root): {output:?}"
    );
}
