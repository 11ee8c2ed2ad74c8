//! Votes whose record cannot be made durable: they wait, and then are refused, loudly. The disks are mounted, which takes root.

use crate::lab::{Lab, SOON_MS};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use testkit::stand_in::{Protocol, until};
use validator_supervisor::authority::stored;

/// A small disk for the state directory; gone when dropped.
struct Disk(PathBuf);

impl Disk {
    fn new(lab: &Lab) -> Self {
        let disk = Self(lab.path("state"));
        std::fs::create_dir(&disk.0).expect("the state directory");
        disk.mount(MsFlags::empty());
        disk
    }

    fn mount(&self, flags: MsFlags) {
        let mounted = mount(
            Some("none"),
            &self.0,
            Some("tmpfs"),
            flags,
            Some("size=16m,mode=700"),
        );
        mounted.expect("a mount, for which this test needs to be run as root");
    }

    /// The next commit needs room, and there is none.
    fn fill(&self) {
        std::fs::remove_file(self.0.join("record.older"))
            .expect("the room that the next record would use");
        let full = std::fs::write(self.0.join("filler"), vec![0; 17 << 20]);
        assert!(full.is_err(), "the disk is larger than it should be");
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("filler")).expect("room");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn voting_on_a_small_disk(hold_max: &str) -> (Lab, Disk) {
    let lab = Lab::new(Protocol::Tower);
    lab.configure(&format!("[gate]\nhold_max = \"{hold_max}\"\n"));
    let disk = Disk::new(&lab);
    let lab = lab.started_voting();
    // No vote is under way while the disk is changed.
    lab.chain.halt(true);
    assert!(until(SOON_MS, || waiting(&lab) == Some(0)));
    lab.chain.settle();
    // Nor is the newest record under the older one's name, as it is for a moment after a vote.
    let is_settled = || newest_in_place(&lab, &disk).is_some_and(|it| it);
    assert!(until(SOON_MS, is_settled), "{}", lab.log());
    (lab, disk)
}

fn newest_in_place(lab: &Lab, disk: &Disk) -> Option<bool> {
    let form = std::fs::read(disk.0.join("record")).ok()?;
    let there = stored::read_record(&form).ok()?.mark.seq;
    Some(lab.status()?["record"]["seq"] == there)
}

fn waiting(lab: &Lab) -> Option<u64> {
    lab.status()?["gate"]["waiting"].as_u64()
}

#[test]
fn a_vote_waits_while_the_disk_is_full_and_goes_out_when_there_is_room() {
    let (lab, disk) = voting_on_a_small_disk("60s");
    disk.fill();
    let child = lab.await_child();
    lab.chain.halt(false);
    assert!(until(SOON_MS, || waiting(&lab) == Some(1)), "{}", lab.log());
    lab.await_log("waits for its commit");
    lab.expect_silence(20);
    disk.make_room();
    lab.await_votes(5);
    assert_eq!(
        lab.child(),
        Some(child),
        "the validator that waited is the one that votes on"
    );
    assert_eq!(lab.status().expect("a status")["gate"]["refused"], 0);
    lab.end();
}

#[test]
fn a_vote_that_waits_too_long_is_refused_loudly_and_the_validator_exits_and_comes_back() {
    let (lab, disk) = voting_on_a_small_disk("1s");
    disk.fill();
    let child = lab.await_child();
    lab.chain.halt(false);
    lab.await_log("not committed within gate.hold_max (1000 ms)");
    lab.await_log("Unable to save tower to storage");
    lab.await_log("the validator ended: exit code 1");
    lab.expect_silence(5);
    disk.make_room();
    // Started without its term while the disk was full, or with it after.
    assert!(
        until(SOON_MS, || matches!(
            lab.role().as_deref(),
            Some("standby" | "active")
        )),
        "{}",
        lab.log()
    );
    lab.must(&["promote"]);
    lab.await_next_child_voting(child);
    lab.end();
}

#[test]
fn a_vote_waits_while_the_disk_is_read_only() {
    let (lab, disk) = voting_on_a_small_disk("60s");
    disk.mount(MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY);
    lab.chain.halt(false);
    assert!(until(SOON_MS, || waiting(&lab) == Some(1)), "{}", lab.log());
    lab.expect_silence(20);
    disk.mount(MsFlags::MS_REMOUNT);
    lab.await_votes(5);
    lab.end();
}

#[test]
fn a_vote_whose_commit_hangs_is_refused_in_time_and_the_supervisor_still_answers() {
    let (lab, disk) = voting_on_a_small_disk("1s");
    let child = lab.await_child();
    // Opening a pipe for writing waits for a reader: as near to a disk that does not answer as a test gets.
    let older = disk.0.join("record.older");
    std::fs::remove_file(&older).expect("the older record");
    nix::unistd::mkfifo(&older, Mode::S_IRWXU).expect("a pipe");
    lab.chain.halt(false);
    lab.await_log("its commit did not return within gate.hold_max (1000 ms)");
    lab.await_log("the validator ended: exit code 1");
    assert!(lab.role().is_some(), "the supervisor answers");
    lab.expect_silence(5);
    // The disk answers again.
    let reader = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(&older)
        .expect("the pipe");
    std::fs::remove_file(&older).expect("no pipe");
    drop(reader);
    lab.await_next_child_voting(child);
    lab.end();
}
