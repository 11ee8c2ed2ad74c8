//! The steps of a handover between peers, and how it is held at each of them: what comes before has happened, nothing after it.
//!
//! ```text
//! from   Wait  Mute  Unstake  LastVote  End  Ended                 Promise
//! to                                              Heard  (asks)             Take  Install  Identity  Unmute  FirstVote
//! ```

use crate::SOON_MS;
use crate::pair::Pair;
use std::fs::File;
use std::path::PathBuf;
use std::process::Child;
use testkit::children;
use testkit::held::{Held, Point};
use testkit::record;
use testkit::stand_in::{StandIn, until};

/// Of the one that hands over, up to `Ended`, and `Promise`; else of the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Asked for, and not begun: leader slots are near.
    Wait,
    /// The validator's last voter is about to be taken.
    Mute,
    /// It is about to be given its own identity.
    Unstake,
    /// A vote waits in the gate for this disk.
    LastVote,
    /// The end of the term is about to be written.
    End,
    /// It is on the disk, and nobody has heard of it.
    Ended,
    /// The other one has heard of it, and is about to write it.
    Heard,
    /// It has asked for the next term, and the promise is about to be written.
    Promise,
    /// The promise has come, and the term is about to be written as its own.
    Take,
    /// The record is about to be given to the validator.
    Install,
    /// The validator is about to be given the identity.
    Identity,
    /// And its voter.
    Unmute,
    /// It may vote, and has not yet.
    FirstVote,
}

/// How it is held.
enum Way {
    /// By the leader slots of the pair ([`lead`]).
    Leads,
    /// The validator does not answer this call.
    Call(&'static str),
    /// The supervisor does not come past this file.
    File(Point),
    /// The validator does not vote.
    Silence,
}

/// Gives the identity leader slots for as long as a test runs. To be called before the nodes start, which rarely ask for them.
pub(crate) fn lead(pair: &Pair) {
    let now = pair.chain.slot();
    let slots = now..now + 20_000;
    pair.chain.set_leader_slots(&pair.identity, slots);
}

impl Step {
    /// A step of the node that gives its term away.
    pub(crate) fn is_of_giver(self) -> bool {
        use Step::{End, Ended, LastVote, Mute, Promise, Unstake, Wait};
        matches!(
            self,
            Wait | Mute | Unstake | LastVote | End | Ended | Promise
        )
    }

    /// Nothing of the term has gone to the other one.
    pub(crate) fn is_before_end(self) -> bool {
        matches!(
            self,
            Self::Wait | Self::Mute | Self::Unstake | Self::LastVote
        )
    }

    fn way(self, pair: &Pair, node: &str) -> Way {
        let state = |file: &str, skip: usize| Point {
            dir: pair.node(node).path("state"),
            file: file.into(),
            skip,
            named: false,
        };
        match self {
            Self::Wait => Way::Leads,
            Self::Mute => Way::Call("removeAllAuthorizedVoters"),
            Self::Unstake | Self::Identity => Way::Call("setIdentityFromBytes"),
            Self::LastVote => Way::File(state("record.older", 0)),
            Self::End | Self::Heard => Way::File(state("ballot.new", 0)),
            Self::Ended => Way::File(Point {
                named: true,
                ..state("ballot.new", 0)
            }),
            // The end of the term before it is the first.
            Self::Promise | Self::Take => Way::File(state("ballot.new", 1)),
            Self::Install => {
                let path = pair.node(node).record();
                let file = record::file_name(pair.protocol.is_alpenglow(), &pair.identity);
                Way::File(Point {
                    dir: path.parent().map(PathBuf::from).unwrap_or_default(),
                    file: format!("{file}.new"),
                    skip: 0,
                    named: false,
                })
            }
            Self::Unmute => Way::Call("addAuthorizedVoterFromBytes"),
            Self::FirstVote => Way::Silence,
        }
    }
}

/// A handover that was asked for, and is held at a step.
pub(crate) struct Handover {
    way: Way,
    from: String,
    /// Where it is held.
    at: StandIn,
    log_from: usize,
    file: Option<Held>,
    client: Child,
    said: PathBuf,
}

impl Handover {
    /// Asks for it, and waits until it stands there.
    #[track_caller]
    pub(crate) fn held_at(step: Step, pair: &Pair, from: &str, to: &str) -> Self {
        let node = pair.node(if step.is_of_giver() { from } else { to });
        let way = step.way(pair, node.name());
        let said = pair.dir.path().join("handover");
        let (log_from, mut file) = (node.log().len(), None);
        match &way {
            Way::Leads => {
                let seen = until(SOON_MS, || leads_soon(pair, from));
                assert!(seen, "{from} does not see its leader slots");
            }
            Way::Call(method) => node.faults(&[("admin_hold", method)]).expect("a fault"),
            Way::Silence => node.faults(&[("stop_voting", "true")]).expect("a fault"),
            Way::File(point) => {
                file = Some(Held::at(node.supervisor(), point.clone()).expect("fanotify, as root"));
            }
        }
        if step == Step::LastVote {
            let waits = || file.as_ref().is_some_and(Held::is_reached);
            assert!(until(SOON_MS, waits), "no vote waits");
        }
        let words: &[&str] = match way {
            Way::Leads => &["handover"],
            _ => &["handover", "--now"],
        };
        let handover = Self {
            client: ask(pair, from, words, &said),
            way,
            from: from.to_owned(),
            at: node.stand_in.clone(),
            log_from,
            file,
            said,
        };
        let reached = until(SOON_MS, || handover.is_reached(step, pair));
        assert!(reached, "{step:?} is not reached: {}", handover.said());
        handover
    }

    fn is_reached(&self, step: Step, pair: &Pair) -> bool {
        match &self.way {
            Way::Leads => self.said().contains("without a leader slot"),
            Way::Call(method) => {
                let log = pair.node(&self.at.node).log();
                let fresh = log.get(self.log_from..).unwrap_or_default();
                fresh.contains(&format!("holding {method}"))
            }
            Way::File(_) => {
                let stands = self.file.as_ref().is_some_and(Held::is_reached);
                stands
                    && (step != Step::LastVote || self.said().contains("the last vote to settle"))
            }
            Way::Silence => {
                let output = pair.node(&self.at.node).ctl(&["explain"]);
                String::from_utf8_lossy(&output.stdout).contains("first vote")
            }
        }
    }

    /// What the operator was told so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// It goes on from there, or would.
    pub(crate) fn let_go(&mut self, pair: &Pair) {
        self.file = None;
        self.at.faults(&[]).expect("no fault");
        if matches!(self.way, Way::Leads) {
            // Joins the one that waits, and has it begin.
            let mut now = ask(pair, &self.from, &["handover", "--now"], &self.said);
            let _ = now.wait();
        }
    }

    /// Whether the operator was told that the other one votes.
    pub(crate) fn has_succeeded(&mut self) -> bool {
        let ended = self.client.try_wait().ok().flatten();
        ended.is_some_and(|status| status.success())
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        // How it ends for the operator is shown elsewhere.
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

fn leads_soon(pair: &Pair, node: &str) -> bool {
    let status = pair.node(node).status();
    status.is_some_and(|status| status["next_leader_slot"].is_u64())
}

/// In the background.
fn ask(pair: &Pair, node: &str, words: &[&str], said: &PathBuf) -> Child {
    let said = File::create(said).expect("a file");
    let mut command = pair.node(node).ctl_command(words);
    command.stdout(said.try_clone().expect("a file"));
    command.stderr(said);
    children::spawn(command).expect("supervisor ctl")
}
