//! The supervisor around a real validator on a real cluster: what it promises, seen from the chain.
//!
//! One cluster a protocol, and one life in it, because starting a cluster takes longer than most of what is shown here. Every
//! step says what it shows, and how long it took.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use validator_supervisor::authority::local::Local;
use validator_supervisor::validator::ledger_lock;
use validator_supervisor::validator::pubkey::Pubkey;
use validator_supervisor::validator::record::{self, VoteRecord};

use crate::admin;
use crate::chain::Chain;
use crate::cluster::Cluster;
use crate::genesis::Protocol;
use crate::process::Process;
use crate::supervisor::Supervisor;
use crate::until::until;

const UP_WITHIN: Duration = Duration::from_secs(180);
const VOTES_WITHIN: Duration = Duration::from_secs(60);
/// Slots for which the cluster watches after each of the ten demotions.
const WATCHED_SLOTS: u64 = 4;
const DEMOTIONS: u32 = 10;
const VOTES_BETWEEN: u64 = 3;
const HOLD_MAX: Duration = Duration::from_secs(6);
/// Of these clusters, about.
const SLOT: Duration = Duration::from_millis(400);
const HELD: Duration = Duration::from_secs(3);

#[test]
fn a_supervised_validator_votes_through_the_gate_in_tower_bft() {
    life(Protocol::TowerBft);
}

#[test]
fn a_supervised_validator_votes_through_the_gate_in_alpenglow() {
    life(Protocol::Alpenglow);
}

fn life(protocol: Protocol) {
    let cluster = Cluster::start(protocol);
    let lab = Lab::new(&cluster);
    let script = lab.start_script();
    let mut supervisor = lab.node.start(&[script.into_os_string()]);
    lab.step(
        "a start script that execs the validator: up, unstaked and muted",
        |lab| lab.node.await_role("standby"),
    );
    lab.step(
        "promoted: votes land on the chain through the gate",
        |lab| {
            lab.node.must(&["promote", "--first-vote"]);
            lab.await_votes();
        },
    );
    lab.step(
        "ten demotions, no vote follows; promoted again, the record goes on",
        |lab| {
            (0..DEMOTIONS).for_each(|_| lab.demote_and_promote());
            lab.await_votes();
        },
    );
    lab.step(
        "a commit held for 3 s: voting goes on after it",
        Lab::hold_a_commit,
    );
    lab.step(
        "a refused commit: the validator exits, the vote is not sent",
        Lab::refuse_a_commit,
    );
    lab.step(
        "the disk is back: the node takes its term up again, votes land",
        |lab| {
            lab.node.await_role("active");
            lab.await_votes();
        },
    );
    lab.step(
        "supervisor killed -9: the validator ends, no vote follows",
        |lab| lab.kill_supervisor(&mut supervisor),
    );
    let supervisor = lab.node.start(&lab.node.node.argv());
    lab.step(
        "started again, without a script: votes land from the record",
        |lab| {
            lab.node.await_role("active");
            lab.await_votes();
        },
    );
    lab.step("stopped in order: no vote follows", |lab| {
        lab.stop(supervisor)
    });
    let mut bare = None;
    lab.step("taken out: the bare validator votes on", |lab| {
        bare = Some(lab.vote_bare());
    });
    let bare = bare.expect("a bare validator");
    lab.step(
        "what all of it stands on: muted and unstaked, the bare validator sends nothing; unmuted, it goes on from its record",
        |lab| lab.mute_bare(bare),
    );
    let _supervisor = lab.node.start(&lab.node.node.argv());
    lab.step(
        "put back: votes go on from the bare validator's record",
        Lab::go_on_from_bare,
    );
}

/// One of our nodes under a supervisor, with its state directory on a disk that the test can make fail.
struct Lab<'a> {
    cluster: &'a Cluster,
    chain: Chain,
    node: Supervisor<'a>,
    identity: Pubkey,
    state: StateDisk,
}

impl<'a> Lab<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        let node = Supervisor::new(cluster, "a");
        let state = StateDisk::mount(node.state_dir());
        // The ledger and all else the validator's command line says, a start script or not.
        node.configure(&format!(
            "[validator]\ncaught_up_within = 200\n[gate]\nhold_max = \"{}s\"\n",
            HOLD_MAX.as_secs()
        ));
        Self {
            cluster,
            chain: cluster.chain(),
            identity: node.node.staked.pubkey.parse().expect("a public key"),
            state,
            node,
        }
    }

    fn start_script(&self) -> PathBuf {
        let words: Vec<String> = self
            .node
            .node
            .argv()
            .iter()
            .map(|word| format!("'{}'", word.display()))
            .collect();
        let path = self.node.dir().join("start.sh");
        fs::write(&path, format!("#!/bin/sh\nexec {}\n", words.join(" ")))
            .expect("write the start script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .expect("make the start script executable");
        path
    }

    fn step(&self, what: &str, run: impl FnOnce(&Self)) {
        let started = Instant::now();
        run(self);
        eprintln!(
            "{:?}: {what} ({:.1} s)",
            self.cluster.protocol,
            started.elapsed().as_secs_f64()
        );
    }

    #[track_caller]
    fn await_votes(&self) {
        let now = self.chain.slot().expect("the bootstrap answers");
        self.chain
            .wait_until_our_vote_at_or_after(now + 2, VOTES_WITHIN);
    }

    fn commits(&self) -> u64 {
        self.node
            .status()
            .and_then(|status| status["gate"]["commits"].as_u64())
            .expect("a status")
    }

    fn record(&self) -> VoteRecord {
        let stored =
            Local::open(&self.state.0, *self.identity.as_bytes()).and_then(|local| local.record());
        let stored = stored
            .expect("the committed record is readable")
            .expect("there is one");
        record::parse(stored.mark.kind, &stored.bytes, &self.identity)
            .expect("the committed record is a record")
    }

    fn demote_and_promote(&self) {
        self.node.must(&["demote"]);
        let before = self.record();
        self.chain
            .assert_no_vote_of_ours_after(before.last_slot, WATCHED_SLOTS);
        assert_eq!(
            self.record().sha256,
            before.sha256,
            "a record was committed after the demotion"
        );
        // A vote that came too late for the demotion was refused, and the validator starts again.
        until("promoted again", UP_WITHIN, || {
            self.node.may(&["promote"]).ok()
        });
        let commits = self.commits();
        until("votes go on", VOTES_WITHIN, || {
            (self.commits() >= commits + VOTES_BETWEEN).then_some(())
        });
        record::may_follow(&self.record(), &before)
            .expect("the record goes on from the one before");
    }

    /// A node of Alpenglow that leads shows the votes that wait at its gate in its own blocks.
    fn await_no_leader_slot_for(&self, span: Duration) {
        let slots = span.as_millis().div_ceil(SLOT.as_millis()) as u64 + WATCHED_SLOTS;
        until("a stretch without leader slots", UP_WITHIN, || {
            let status = self.node.status()?;
            let slot = status["validator"]["slot"].as_u64()?;
            let next = status["next_leader_slot"].as_u64();
            next.is_none_or(|next| next > slot + slots).then_some(())
        });
    }

    fn hold_a_commit(&self) {
        self.await_no_leader_slot_for(HELD);
        self.state.make_read_only();
        until("a vote waits", VOTES_WITHIN, || {
            self.node
                .status()
                .filter(|status| status["gate"]["waiting"] == 1)
        });
        let (commits, last) = (self.commits(), self.record().last_slot);
        let held = Instant::now();
        while held.elapsed() < HELD {
            assert_eq!(
                self.commits(),
                commits,
                "a vote went out without its commit"
            );
            let landed = self.chain.our_last_vote().expect("the bootstrap answers");
            assert!(
                landed <= last,
                "the vote for slot {landed} is on the chain, the last commit is for {last}"
            );
        }
        self.state.make_writable();
        self.await_votes();
        assert!(self.commits() > commits);
        assert_eq!(
            self.node.status().expect("a status")["validator"]["restarts"],
            0
        );
    }

    fn refuse_a_commit(&self) {
        let pid = self.node.status().expect("a status")["validator"]["pid"].as_u64();
        self.await_no_leader_slot_for(HOLD_MAX);
        self.state.make_read_only();
        until("the validator has exited", UP_WITHIN, || {
            self.node.status().filter(|status| {
                status["gate"]["refused"].as_u64() > Some(0)
                    && status["validator"]["pid"].as_u64() != pid
            })
        });
        let last = self.record().last_slot;
        self.chain.assert_no_vote_of_ours_after(last, WATCHED_SLOTS);
        self.state.make_writable();
    }

    fn kill_supervisor(&self, supervisor: &mut Process) {
        supervisor.signal(libc::SIGKILL);
        supervisor.wait(VOTES_WITHIN);
        self.await_no_validator();
        self.chain
            .assert_no_vote_of_ours_after(self.record().last_slot, 4 * WATCHED_SLOTS);
    }

    fn stop(&self, mut supervisor: Process) {
        supervisor.signal(libc::SIGTERM);
        let status = supervisor.wait(UP_WITHIN);
        assert_eq!(status.code(), Some(0));
        self.await_no_validator();
        self.chain
            .assert_no_vote_of_ours_after(self.record().last_slot, WATCHED_SLOTS);
    }

    /// As the README says: point the link, start the validator.
    fn vote_bare(&self) -> Process {
        self.node.node.point_link_at(&self.node.node.staked.path);
        let validator = self.cluster.start_bare(&self.node.node);
        self.await_votes();
        validator
    }

    /// As the supervisor does it, but without one.
    fn mute_bare(&self, mut validator: Process) {
        let (node, protocol) = (&self.node.node, self.cluster.protocol);
        admin::mute(node.ledger()).expect("mute");
        admin::set_identity(node.ledger(), &node.unstaked.path, protocol, false)
            .expect("set the unstaked identity");
        let last = node.last_recorded_slot().expect("a record");
        self.chain
            .assert_no_vote_of_ours_after(last, 2 * WATCHED_SLOTS);
        assert_eq!(
            node.last_recorded_slot(),
            Some(last),
            "a muted validator stored a vote"
        );
        admin::set_identity(node.ledger(), &node.staked.path, protocol, true)
            .expect("set the staked identity, from its record");
        admin::unmute(node.ledger(), &node.staked.path).expect("unmute");
        self.await_votes();
        assert!(
            !validator.output().contains("panicked at"),
            "the validator panicked"
        );
        validator.signal(libc::SIGTERM);
        validator.wait(UP_WITHIN);
    }

    fn go_on_from_bare(&self) {
        let bare = self
            .node
            .node
            .last_recorded_slot()
            .expect("the bare validator has voted");
        assert!(
            bare > self.record().last_slot,
            "the bare validator's votes are not newer"
        );
        self.node.await_role("active");
        self.await_votes();
        assert!(self.record().last_slot > bare);
        assert_eq!(self.node.status().expect("a status")["gate"]["refused"], 0);
    }

    fn await_no_validator(&self) {
        until("the validator has ended", UP_WITHIN, || {
            ledger_lock::user_of(self.node.node.ledger())
                .expect("the ledger's lock is readable")
                .is_none()
                .then_some(())
        });
    }
}

/// A small disk of its own for the state directory; gone when dropped.
struct StateDisk(PathBuf);

impl StateDisk {
    fn mount(at: PathBuf) -> Self {
        fs::create_dir(&at).expect("make the state directory");
        let none: Option<&Path> = None;
        mount(
            none,
            &at,
            Some("tmpfs"),
            MsFlags::empty(),
            Some("size=16m,mode=700"),
        )
        .expect("mount a tmpfs, as root");
        Self(at)
    }

    fn make_read_only(&self) {
        // Busy while a commit has its file open.
        until("the state disk is read-only", VOTES_WITHIN, || {
            self.remount(MsFlags::MS_RDONLY).ok()
        });
    }

    fn make_writable(&self) {
        self.remount(MsFlags::empty())
            .expect("make the state disk writable");
    }

    fn remount(&self, flags: MsFlags) -> nix::Result<()> {
        let none: Option<&Path> = None;
        mount(none, &self.0, none, MsFlags::MS_REMOUNT | flags, none)
    }
}

impl Drop for StateDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
