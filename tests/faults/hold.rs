//! The steps of a handover, and how it is held at each of them: what comes before has happened, nothing after it.
//!
//! ```text
//! between peers
//! from   Wait  Mute  Unstake  LastVote  End  Ended                 Promise
//! to                                              Heard  (asks)             Take  Install  Identity  Unmute  FirstVote
//!
//! over etcd
//! from   Wait  Mute  Unstake  LastVote  Pass  Passed
//! to                                                  Heard  Install  Identity  Unmute  FirstVote
//! ```

use crate::SOON_MS;
use crate::scene::Scene;
use std::fs::File;
use std::ops::DerefMut;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use testkit::children;
use testkit::held::{Held, Point};
use testkit::record;
use testkit::relay::{Message, Relay};
use testkit::stand_in::{StandIn, until};

/// Of the one that hands over, up to `Passed`, and `Promise`; else of the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Asked for, and not begun: leader slots are near.
    Wait,
    /// The validator's last voter is about to be taken.
    Mute,
    /// It is about to be given its own identity.
    Unstake,
    /// A vote waits in the gate for this disk, or for etcd.
    LastVote,
    /// The end of the term is about to be written.
    End,
    /// It is on the disk, and nobody has heard of it.
    Ended,
    /// etcd is about to be told that the other one has the term.
    Pass,
    /// It has been told, and does not get to answer.
    Passed,
    /// The other one has heard of it, and is about to write it; over etcd, it is about to hear of it.
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
pub(crate) enum Way {
    /// By the leader slots of the pair ([`lead`]).
    Leads,
    /// The validator does not answer this call.
    Call(&'static str),
    /// The supervisor does not come past this file.
    File(Point),
    /// It does not come past this message.
    Message(Arc<Relay>, Message),
    /// The validator does not vote.
    Silence,
}

/// Two nodes that hand over to each other by an authority of some kind.
pub(crate) trait Ground: DerefMut<Target = Scene> {
    /// How a node is held at a step of its authority.
    fn way(&self, step: Step, node: &str) -> Way;

    /// Cuts a node from its authority, or joins it again.
    fn cut(&self, node: &str, is_cut: bool);
}

/// Gives the identity leader slots for as long as a test runs. To be called before the nodes start, which rarely ask for them.
pub(crate) fn lead(scene: &Scene) {
    let now = scene.chain.slot();
    let slots = now..now + 20_000;
    scene.chain.set_leader_slots(&scene.identity, slots);
}

impl Step {
    /// A step of the node that gives its term away.
    pub(crate) fn is_of_giver(self) -> bool {
        use Step::{End, Ended, LastVote, Mute, Pass, Passed, Promise, Unstake, Wait};
        matches!(
            self,
            Wait | Mute | Unstake | LastVote | End | Ended | Pass | Passed | Promise
        )
    }

    /// Nothing of the term has gone to the other one.
    pub(crate) fn is_before_end(self) -> bool {
        matches!(
            self,
            Self::Wait | Self::Mute | Self::Unstake | Self::LastVote
        )
    }

    /// How a node is held at a step that it comes to by whatever authority.
    fn way(self, scene: &Scene, node: &str) -> Option<Way> {
        Some(match self {
            Self::Wait => Way::Leads,
            Self::Mute => Way::Call("removeAllAuthorizedVoters"),
            Self::Unstake | Self::Identity => Way::Call("setIdentityFromBytes"),
            Self::Install => {
                let path = scene.node(node).record();
                let file = record::file_name(scene.protocol.is_alpenglow(), &scene.identity);
                Way::File(Point {
                    dir: path.parent().map(PathBuf::from).unwrap_or_default(),
                    file: format!("{file}.install"),
                    skip: 0,
                    named: false,
                })
            }
            Self::Unmute => Way::Call("addAuthorizedVoterFromBytes"),
            Self::FirstVote => Way::Silence,
            _ => return None,
        })
    }
}

impl Way {
    /// Whether a file or a message has been come to.
    fn stands(&self, file: Option<&Held>) -> bool {
        match self {
            Self::Message(relay, _) => relay.is_reached(),
            _ => file.is_some_and(Held::is_reached),
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
    pub(crate) fn held_at(step: Step, pair: &impl Ground, from: &str, to: &str) -> Self {
        let node = pair.node(if step.is_of_giver() { from } else { to });
        let way = step.way(pair, node.name());
        let way = way.unwrap_or_else(|| pair.way(step, node.name()));
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
            Way::Message(relay, message) => relay.hold(message.clone()),
        }
        if step == Step::LastVote {
            let waits = || way.stands(file.as_ref());
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
        // One that waits for the other one's disk takes it for dead after a while.
        let is_before = !step.is_of_giver() && !matches!(step, Step::Unmute | Step::FirstVote);
        assert!(
            !(is_before && pair.carries_identity(to)),
            "{step:?} is over"
        );
        handover
    }

    fn is_reached(&self, step: Step, pair: &Scene) -> bool {
        match &self.way {
            Way::Leads => self.said().contains("without a leader slot"),
            Way::Call(method) => {
                let log = pair.node(&self.at.node).log();
                let fresh = log.get(self.log_from..).unwrap_or_default();
                fresh.contains(&format!("holding {method}"))
            }
            Way::File(_) | Way::Message(..) => {
                self.way.stands(self.file.as_ref())
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
    pub(crate) fn let_go(&mut self, pair: &Scene) {
        self.file = None;
        if let Way::Message(relay, _) = &self.way {
            relay.let_go();
        }
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

fn leads_soon(pair: &Scene, node: &str) -> bool {
    let status = pair.node(node).status();
    status.is_some_and(|status| status["next_leader_slot"].is_u64())
}

/// In the background.
fn ask(pair: &Scene, node: &str, words: &[&str], said: &PathBuf) -> Child {
    let said = File::create(said).expect("a file");
    let mut command = pair.node(node).ctl_command(words);
    command.stdout(said.try_clone().expect("a file"));
    command.stderr(said);
    children::spawn(command).expect("supervisor ctl")
}
