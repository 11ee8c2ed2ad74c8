//! Why the node is in the role it is in, and what would change that: the content of `ctl explain`.

use super::promote::step_name;
use super::state::{DemoteStep, Demotion, End, Launch, Quiet, Stage, Stop, StopStep};
use super::values::{Millis, Role};
use super::{Engine, Reason};

/// An answer to "why?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub role: Role,
    /// How long it has lasted, in milliseconds.
    pub for_ms: u64,
    /// The sentence of the transition that led here.
    pub because: &'static str,
    /// What that transition adds, such as a slot or an error.
    pub detail: String,
    /// What is under way.
    pub doing: &'static str,
    /// What would end this role.
    pub next: String,
    /// Milliseconds until the next deadline, and what it is for.
    pub deadline: Option<(u64, Reason)>,
}

impl Engine {
    /// Explains the present role.
    #[must_use]
    pub fn explain(&self, now: Millis) -> Explanation {
        Explanation {
            role: self.role(),
            for_ms: now.since(self.entered.at),
            because: self
                .entered
                .by
                .and_then(|by| by.row())
                .map_or("The supervisor has started.", |row| row.because),
            detail: self.entered.detail.clone(),
            doing: self.doing(),
            next: self.what_comes_next(now),
            deadline: self
                .next_deadline()
                .map(|(at, reason)| (at.since(now), reason)),
        }
    }

    fn doing(&self) -> &'static str {
        match &self.stage {
            Stage::Starting(launch) => launch_name(launch),
            Stage::CatchingUp => "waiting until the validator is healthy and near the tip",
            Stage::Standby => "standing by",
            Stage::Promoting(promotion) => step_name(promotion.step),
            Stage::Active(_) => "letting votes out, each after its commit",
            Stage::Demoting(Demotion {
                step: DemoteStep::Settle,
                ..
            })
            | Stage::Stopping(Stop {
                step: StopStep::Release,
                ..
            }) => "giving the term back",
            Stage::Demoting(Demotion {
                step: DemoteStep::Quiet(quiet),
                ..
            })
            | Stage::Fenced(quiet)
            | Stage::Stopping(Stop {
                step: StopStep::Quiet(quiet),
                ..
            }) => quiet_name(*quiet),
            Stage::Parked => "waiting for an operator",
            Stage::Stopping(Stop {
                step: StopStep::End(end),
                ..
            }) => end_name(*end),
        }
    }

    fn what_comes_next(&self, now: Millis) -> String {
        match &self.stage {
            Stage::CatchingUp => self.fit(now).err().unwrap_or_default(),
            Stage::Parked if self.asks_for_term() => {
                "it votes when the holder hands over, which it was asked to".into()
            }
            Stage::Parked => {
                "`supervisor ctl resume` makes it a standby, `supervisor ctl promote` lets it vote"
                    .into()
            }
            Stage::Standby if self.asks_for_term() => {
                "it votes when the holder hands over, which it was asked to".into()
            }
            Stage::Standby if self.setup.authority.alone => {
                "`supervisor ctl promote` lets it vote".into()
            }
            Stage::Standby if self.paused_until.is_some() => {
                "it is paused, and takes nothing over: `supervisor ctl resume` ends that".into()
            }
            Stage::Standby if !self.setup.automatic => {
                "failover.mode is manual: `supervisor ctl promote` lets it vote".into()
            }
            Stage::Standby => match self.barred() {
                Some(why) => format!("an operator has to decide: {why}"),
                None if !self.has_voted => {
                    "no vote of this identity is known: `supervisor ctl promote` lets this node vote, with --first-vote where it has never voted".into()
                }
                None if self.isolated_since.is_some() => {
                    "it looks cut off from the cluster, and takes nothing over until that ends".into()
                }
                None => self
                    .votes_without_holder(now)
                    .unwrap_or_else(|| "it takes over when nobody holds the term".into()),
            },
            Stage::Active(_) => match &self.moves.planned {
                Some(plan) => format!(
                    "it hands over to {} when {} slots without a leader slot of this identity lie ahead{}",
                    plan.to,
                    self.setup.timing.clear_slots,
                    if plan.parks {
                        ", or at its deadline all the same"
                    } else {
                        ""
                    }
                ),
                None => "it votes until it is demoted, loses the term or fails".into(),
            },
            _ => String::new(),
        }
    }
}

fn launch_name(launch: &Launch) -> &'static str {
    match launch {
        Launch::EndFirst(end) => end_name(*end),
        Launch::Release(_) => "giving the dead validator's term back",
        Launch::Backoff => "waiting before the validator is started again",
        Launch::Acquire => "taking the term up again",
        Launch::Install(_) => "installing the record",
        Launch::Link(_) => "pointing the identity link",
        Launch::Spawn(_) => "starting the validator",
        Launch::OpenGate(..) => "opening the gate",
        Launch::AwaitReady(_) => "waiting for the validator's admin RPC",
        Launch::Compare(..) => "comparing the record with the chain's newest vote",
        Launch::Mute => "muting the validator",
        Launch::Kill { .. } => "killing the validator",
    }
}

pub(super) fn quiet_name(quiet: Quiet) -> &'static str {
    match quiet {
        Quiet::RefuseVotes => "refusing the votes that wait",
        Quiet::Mute => "muting the validator",
        Quiet::Unstake => "setting the unstaked identity",
        Quiet::CloseGate => "waiting for the last vote to settle",
        Quiet::Kill => "killing the validator",
        Quiet::Link => "pointing the identity link",
    }
}

fn end_name(end: End) -> &'static str {
    match end {
        End::Asked => "waiting for the validator to exit",
        End::Terminated => "waiting for the validator to end after SIGTERM",
        End::Killed => "waiting for the kernel to end the validator",
    }
}
