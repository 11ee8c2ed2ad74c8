//! The one table of roles: from where, why, to where, and the sentence a person reads.
//!
//! Logs, `ctl explain`, `ctl history` and the diagram in the documentation are made from it. The engine refuses a
//! transition that has no row.

use super::values::Role::{
    self, Active, CatchingUp, Demoting, Fenced, Parked, Promoting, Standby, Starting, Stopping,
};

/// Why a role changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    ChildUp,
    ChildUpHolding,
    ChildDied,
    CaughtUp,
    FellBehind,
    OperatorPromoted,
    OperatorDemoted,
    OperatorResumed,
    OperatorRestarted,
    HandoverAsked,
    HolderGone,
    HolderSilent,
    TermPassedToUs,
    FirstVote,
    PromotionRefused,
    PromotionFailed,
    TermLost,
    LeaseRanOut,
    ForeignVote,
    IdentityElsewhere,
    HigherTermSeen,
    Isolated,
    NotVoting,
    Released,
    OffIdentity,
    StopAsked,
    GaveUp,
}

impl Cause {
    /// The word for it in logs, history and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ChildUp => "child-up",
            Self::ChildUpHolding => "child-up-holding",
            Self::ChildDied => "child-died",
            Self::CaughtUp => "caught-up",
            Self::FellBehind => "fell-behind",
            Self::OperatorPromoted => "operator-promoted",
            Self::OperatorDemoted => "operator-demoted",
            Self::OperatorResumed => "operator-resumed",
            Self::OperatorRestarted => "operator-restarted",
            Self::HandoverAsked => "handover-asked",
            Self::HolderGone => "holder-gone",
            Self::HolderSilent => "holder-silent",
            Self::TermPassedToUs => "term-passed-to-us",
            Self::FirstVote => "first-vote",
            Self::PromotionRefused => "promotion-refused",
            Self::PromotionFailed => "promotion-failed",
            Self::TermLost => "term-lost",
            Self::LeaseRanOut => "lease-ran-out",
            Self::ForeignVote => "foreign-vote",
            Self::IdentityElsewhere => "identity-elsewhere",
            Self::HigherTermSeen => "higher-term-seen",
            Self::Isolated => "isolated",
            Self::NotVoting => "not-voting",
            Self::Released => "released",
            Self::OffIdentity => "off-identity",
            Self::StopAsked => "stop-asked",
            Self::GaveUp => "gave-up",
        }
    }
}

/// One row: a transition that may happen, and what to say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    pub from: Role,
    pub cause: Cause,
    pub to: Role,
    pub because: &'static str,
}

const fn row(from: Role, cause: Cause, to: Role, because: &'static str) -> Transition {
    Transition {
        from,
        cause,
        to,
        because,
    }
}

/// Every transition there is.
#[rustfmt::skip]
pub const TRANSITIONS: &[Transition] = &[
    row(Starting, Cause::ChildUp, CatchingUp, "The validator answers and is muted."),
    row(Starting, Cause::ChildUpHolding, Promoting, "The validator came up with the identity this node still holds."),
    row(Starting, Cause::StopAsked, Stopping, "The supervisor was told to stop."),
    row(Starting, Cause::GaveUp, Stopping, "The validator died too often; the supervisor ends with its exit code."),
    row(CatchingUp, Cause::CaughtUp, Standby, "The validator is healthy and near the tip."),
    row(CatchingUp, Cause::CaughtUp, Parked, "The validator is near the tip, and an operator wants it parked."),
    row(CatchingUp, Cause::OperatorDemoted, Parked, "An operator wants this node parked."),
    row(CatchingUp, Cause::OperatorRestarted, Starting, "An operator restarts the validator."),
    row(CatchingUp, Cause::ChildDied, Starting, "The validator ended while it was catching up."),
    row(CatchingUp, Cause::StopAsked, Stopping, "The supervisor was told to stop."),
    row(Standby, Cause::FellBehind, CatchingUp, "The validator is behind, unhealthy or silent."),
    row(Standby, Cause::OperatorPromoted, Promoting, "An operator wants this node to vote."),
    row(Standby, Cause::HolderGone, Promoting, "Nobody holds the term, and this node is next."),
    row(Standby, Cause::HolderSilent, Promoting, "The holder is out of reach and its votes have ended: the fence command is to end it."),
    row(Standby, Cause::TermPassedToUs, Promoting, "The holder passed the term to this node."),
    row(Standby, Cause::OperatorDemoted, Parked, "An operator wants this node parked."),
    row(Standby, Cause::OperatorRestarted, Starting, "An operator restarts the validator."),
    row(Standby, Cause::ChildDied, Starting, "The validator ended while it stood by."),
    row(Standby, Cause::StopAsked, Stopping, "The supervisor was told to stop."),
    row(Parked, Cause::OperatorResumed, Standby, "An operator ended the parking."),
    row(Parked, Cause::OperatorResumed, CatchingUp, "An operator ended the parking; the validator is not at the tip."),
    row(Parked, Cause::OperatorPromoted, Promoting, "An operator wants this node to vote."),
    row(Parked, Cause::TermPassedToUs, Promoting, "The holder passed the term to this node, as its operator asked."),
    row(Parked, Cause::OperatorRestarted, Starting, "An operator restarts the validator."),
    row(Parked, Cause::ChildDied, Starting, "The validator ended while the node was parked."),
    row(Parked, Cause::StopAsked, Stopping, "The supervisor was told to stop."),
    row(Promoting, Cause::FirstVote, Active, "The first vote was committed and let out."),
    row(Promoting, Cause::PromotionRefused, Standby, "The term was not granted; nothing has changed."),
    row(Promoting, Cause::PromotionRefused, CatchingUp, "The term was not granted; the validator is not at the tip."),
    row(Promoting, Cause::PromotionRefused, Parked, "The term was not granted; the node stays parked."),
    row(Promoting, Cause::PromotionFailed, Demoting, "A step of the promotion failed or was late; it is undone."),
    row(Promoting, Cause::OperatorDemoted, Demoting, "An operator wants this node to stop voting."),
    row(Promoting, Cause::ForeignVote, Demoting, "The chain shows a vote of the identity that this node did not commit."),
    row(Promoting, Cause::IdentityElsewhere, Demoting, "The identity is in use elsewhere, and the term is not confirmed."),
    row(Promoting, Cause::Isolated, Demoting, "The cluster moves on and this node does not."),
    row(Promoting, Cause::TermLost, Fenced, "The term is in other hands."),
    row(Promoting, Cause::HigherTermSeen, Fenced, "A peer votes under a higher term."),
    row(Promoting, Cause::LeaseRanOut, Fenced, "The lease was not renewed in time."),
    row(Promoting, Cause::OperatorRestarted, Starting, "An operator restarts the validator."),
    row(Promoting, Cause::ChildDied, Starting, "The validator ended during the promotion."),
    row(Promoting, Cause::StopAsked, Stopping, "The supervisor was told to stop."),
    row(Active, Cause::OperatorDemoted, Demoting, "An operator wants this node to stop voting."),
    row(Active, Cause::HandoverAsked, Demoting, "The term is to be passed to another node."),
    row(Active, Cause::ForeignVote, Demoting, "The chain shows a vote of the identity that this node did not commit."),
    row(Active, Cause::IdentityElsewhere, Demoting, "The identity is in use elsewhere, and the term is not confirmed."),
    row(Active, Cause::Isolated, Demoting, "The cluster moves on and this node does not."),
    row(Active, Cause::NotVoting, Demoting, "The validator does not vote while the cluster moves on, and a standby is ready."),
    row(Active, Cause::TermLost, Fenced, "The term is in other hands."),
    row(Active, Cause::HigherTermSeen, Fenced, "A peer votes under a higher term."),
    row(Active, Cause::LeaseRanOut, Fenced, "The lease was not renewed in time."),
    row(Active, Cause::OperatorRestarted, Starting, "An operator restarts the validator."),
    row(Active, Cause::ChildDied, Starting, "The validator ended while it was voting."),
    row(Active, Cause::StopAsked, Stopping, "The supervisor was told to stop."),
    row(Demoting, Cause::Released, Standby, "The identity is off and the term is given back."),
    row(Demoting, Cause::Released, CatchingUp, "The identity is off and the term is given back; the validator is not at the tip."),
    row(Demoting, Cause::Released, Parked, "The identity is off and the term is given back; the node is parked."),
    row(Demoting, Cause::TermLost, Fenced, "The term is in other hands."),
    row(Demoting, Cause::HigherTermSeen, Fenced, "A peer votes under a higher term."),
    row(Demoting, Cause::LeaseRanOut, Fenced, "The lease was not renewed in time."),
    row(Demoting, Cause::ChildDied, Starting, "The validator ended during the demotion."),
    row(Demoting, Cause::StopAsked, Stopping, "The supervisor was told to stop."),
    row(Fenced, Cause::OffIdentity, CatchingUp, "The validator is muted and carries the unstaked identity."),
    row(Fenced, Cause::ChildDied, Starting, "The validator ended, or was ended, after the term was lost."),
    row(Fenced, Cause::StopAsked, Stopping, "The supervisor was told to stop."),
];

/// The row of a transition, if there is one.
#[must_use]
pub fn find(from: Role, cause: Cause, to: Role) -> Option<&'static Transition> {
    TRANSITIONS
        .iter()
        .find(|row| row.from == from && row.cause == cause && row.to == to)
}

/// The roles of the table as a Mermaid diagram, for the documentation.
#[must_use]
pub fn diagram() -> String {
    let mut text = String::from("stateDiagram-v2\n    [*] --> starting\n");
    for row in TRANSITIONS {
        let (from, to) = (
            row.from.name().replace('-', "_"),
            row.to.name().replace('-', "_"),
        );
        text.push_str(&format!("    {from} --> {to}: {}\n", row.cause.name()));
    }
    text.push_str("    stopping --> [*]\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_row_stands_twice() {
        let mut seen = BTreeSet::new();
        for row in TRANSITIONS {
            assert!(seen.insert((row.from, row.cause, row.to)), "{row:?}");
        }
    }

    #[test]
    fn every_role_but_the_last_can_be_entered_and_left() {
        for role in Role::ALL {
            assert!(
                role == Starting || TRANSITIONS.iter().any(|row| row.to == role),
                "{role} is never entered"
            );
            assert!(
                role == Stopping || TRANSITIONS.iter().any(|row| row.from == role),
                "{role} is never left"
            );
        }
    }

    #[test]
    fn every_role_can_be_told_to_stop() {
        for role in Role::ALL.into_iter().filter(|role| *role != Stopping) {
            assert!(find(role, Cause::StopAsked, Stopping).is_some(), "{role}");
        }
    }

    #[test]
    fn every_sentence_is_one() {
        for row in TRANSITIONS {
            assert!(
                row.because.ends_with('.') && row.because.len() > 20,
                "{row:?}"
            );
        }
    }
}
