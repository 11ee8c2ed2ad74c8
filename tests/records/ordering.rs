//! Which record may follow which.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::Index;
use testkit::tower::Tower;
use validator_supervisor::validator::record::{RollbackError, may_follow};

use super::*;

fn record_of(tower: &Tower) -> VoteRecord {
    let votes: Vec<(u64, u32)> = tower
        .votes
        .iter()
        .map(|vote| (vote.slot, vote.confirmations))
        .collect();
    self::tower(&votes, tower.root)
}

#[test]
fn a_tower_of_an_older_or_the_same_slot_is_a_rollback() {
    let last = tower(&[(10, 2), (11, 1)], Some(0));
    assert_eq!(
        may_follow(&tower(&[(10, 1)], Some(0)), &last),
        Err(RollbackError::Older { new: 10, last: 11 })
    );
    assert_eq!(
        may_follow(&tower(&[(11, 1)], Some(0)), &last),
        Err(RollbackError::SameSlot { slot: 11 })
    );
    assert_eq!(may_follow(&last, &last.clone()), Ok(()));
}

#[test]
fn a_vote_leaves_the_stack_when_its_lockout_is_over_and_not_before() {
    let last = tower(&[(10, 2), (11, 1)], Some(0));
    let broken = |slot, until, new_slot| {
        Err(RollbackError::LockoutBroken {
            slot,
            until,
            new_slot,
        })
    };
    assert_eq!(
        may_follow(&tower(&[(10, 2), (13, 1)], Some(0)), &last),
        broken(11, 13, 13)
    );
    assert_eq!(
        may_follow(&tower(&[(10, 2), (14, 1)], Some(0)), &last),
        Ok(())
    );
    assert_eq!(
        may_follow(&tower(&[(14, 1)], Some(0)), &last),
        broken(10, 14, 14)
    );
    assert_eq!(may_follow(&tower(&[(15, 1)], Some(0)), &last), Ok(()));
}

#[test]
fn a_vote_at_or_below_the_root_may_leave_a_tower() {
    let last = tower(&[(10, 5), (11, 4), (12, 3)], Some(0));
    assert_eq!(
        may_follow(&tower(&[(12, 3), (13, 1)], Some(11)), &last),
        Ok(())
    );
    assert!(may_follow(&tower(&[(12, 3), (13, 1)], Some(10)), &last).is_err());
}

#[test]
fn a_root_that_goes_back_is_a_rollback() {
    let last = tower(&[(10, 1)], Some(5));
    let back = |new| Err(RollbackError::RootBack { new, last: 5 });
    assert_eq!(
        may_follow(&tower(&[(10, 2), (11, 1)], Some(4)), &last),
        back(Some(4))
    );
    assert_eq!(
        may_follow(&tower(&[(10, 2), (11, 1)], None), &last),
        back(None)
    );
    let last = history(&Cast::new(), 5);
    assert_eq!(
        may_follow(&history(&cast(&[(9, &[SKIP])]), 4), &last),
        back(Some(4))
    );
}

#[test]
fn a_history_keeps_every_vote_above_its_root() {
    let last = history(&cast(&[(10, &[NOTARIZE, FINALIZE]), (11, &[NOTARIZE])]), 8);
    let grown = cast(&[
        (10, &[NOTARIZE, FINALIZE]),
        (11, &[NOTARIZE]),
        (12, &[SKIP]),
    ]);
    assert_eq!(may_follow(&history(&grown, 8), &last), Ok(()));
    let late_for_an_older_slot = cast(&[(10, &[NOTARIZE, FINALIZE]), (11, &[FINALIZE, NOTARIZE])]);
    assert_eq!(
        may_follow(&history(&late_for_an_older_slot, 8), &last),
        Ok(())
    );
    let rooted = cast(&[(11, &[NOTARIZE]), (12, &[SKIP])]);
    assert_eq!(may_follow(&history(&rooted, 10), &last), Ok(()));
    assert_eq!(
        may_follow(&history(&rooted, 9), &last),
        Err(RollbackError::VoteForgotten {
            slot: 10,
            ballot: "notarize",
            root: 9
        })
    );
}

#[test]
fn a_history_with_another_block_in_a_slot_is_a_rollback() {
    let last = history(&cast(&[(10, &[NOTARIZE])]), 8);
    let other_block = CastVote {
        tag: NOTARIZE,
        block_id: Some([9; 32]),
    };
    let new = history(
        &Cast::from([(10, vec![other_block]), (11, vec![vote(SKIP)])]),
        8,
    );
    assert!(matches!(
        may_follow(&new, &last),
        Err(RollbackError::VoteForgotten { slot: 10, .. })
    ));
}

#[test]
fn a_chain_moves_from_tower_to_history_and_never_back() {
    let tower = tower(&[(100, 1)], Some(60));
    let history = history(&cast(&[(71, &[SKIP])]), 0);
    assert_eq!(may_follow(&history, &tower), Ok(()));
    assert_eq!(
        may_follow(&tower, &history),
        Err(RollbackError::BackToTower { new_slot: 100 })
    );
}

#[test]
fn records_of_two_identities_do_not_follow_each_other() {
    let other = SigningKey::from_bytes(&[8; 32]);
    let bytes = encode::tower(&other, &[(11, 1)], Some(0));
    let new = parse(RecordKind::Tower, &bytes, &identity(&other)).unwrap();
    let refused = may_follow(&new, &tower(&[(10, 1)], Some(0))).unwrap_err();
    assert_eq!(
        refused,
        RollbackError::OtherIdentity {
            new: identity(&other),
            last: identity(&key())
        }
    );
}

/// A slot to vote for: how far it is from the vote before it, mostly next to it.
fn any_gaps() -> impl Strategy<Value = Vec<u64>> {
    let gap = prop_oneof![8 => Just(1u64), 4 => 2u64..6, 1 => 6u64..200];
    vec(gap, 1..80)
}

fn voted(gaps: &[u64]) -> Vec<Tower> {
    let mut tower = Tower {
        votes: Vec::new(),
        root: Some(0),
    };
    let mut slot = 0;
    gaps.iter()
        .map(|gap| {
            slot += gap;
            tower.vote(slot);
            tower.clone()
        })
        .collect()
}

/// What a validator makes of a tower that it loads when its own root is `root`: all up to there is
/// settled, and forgotten. A root older than the tower's own changes nothing.
fn load_at_root(tower: &mut Tower, root: u64) {
    if tower.root <= Some(root) {
        tower.root = Some(root);
        tower.votes.retain(|vote| vote.slot > root);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_later_tower_of_a_voter_may_follow_every_earlier_one(gaps in any_gaps(), a: Index, b: Index) {
        let towers = voted(&gaps);
        let (a, b) = (a.index(towers.len()), b.index(towers.len()));
        let (earlier, later) = (record_of(&towers[a.min(b)]), record_of(&towers[a.max(b)]));
        prop_assert_eq!(may_follow(&later, &earlier), Ok(()));
        prop_assert_eq!(may_follow(&earlier, &later).is_ok(), a == b);
    }

    #[test]
    fn a_tower_taken_over_by_a_node_with_a_newer_root_may_follow(
        gaps in any_gaps(), root: Index, ahead in 0u64..40, more in any_gaps(),
    ) {
        let mut tower = voted(&gaps).pop().unwrap();
        let last = record_of(&tower);
        let mut slot = last.last_slot;
        let candidates: Vec<u64> = tower.votes.iter().map(|vote| vote.slot).chain([slot + ahead]).collect();
        let root = candidates[root.index(candidates.len())];
        load_at_root(&mut tower, root);
        slot = slot.max(root);
        for gap in more {
            slot += gap;
            tower.vote(slot);
            prop_assert_eq!(may_follow(&record_of(&tower), &last), Ok(()));
        }
    }

    #[test]
    fn a_tower_that_missed_votes_is_refused_exactly_when_one_of_them_still_binds(
        shared in any_gaps(), missed in vec(1u64..8, 1..12), gap in 1u64..300,
    ) {
        let mut stale = voted(&shared).pop().unwrap();
        let mut last = stale.clone();
        let mut slot = last.last_slot().unwrap();
        for step in missed {
            slot += step;
            last.vote(slot);
        }
        let committed = record_of(&last);
        slot += gap;
        stale.vote(slot);
        let mut honest = last.clone();
        honest.vote(slot);
        let is_known = |vote: u64| Some(vote) <= stale.root || stale.votes.iter().any(|kept| kept.slot == vote);
        let is_safe = stale.root >= last.root
            && honest.votes.iter().all(|vote| is_known(vote.slot))
            && (honest.root == last.root || honest.root.is_none_or(is_known));
        prop_assert_eq!(may_follow(&record_of(&stale), &committed).is_ok(), is_safe);
    }

    #[test]
    fn a_history_may_follow_exactly_when_it_lost_no_vote_above_its_root(
        before in btree_map(0u64..30, vec((1u8..=6).prop_map(vote), 1..3), 0..12),
        added in btree_map(0u64..40, vec((1u8..=6).prop_map(vote), 1..3), 0..6),
        dropped in proptest::option::of(0u64..30),
        root in 0u64..30,
    ) {
        let mut after = before.clone();
        for (slot, votes) in added {
            after.entry(slot).or_default().extend(votes);
        }
        after.retain(|slot, _| *slot >= root && Some(*slot) != dropped);
        let lost = |(slot, votes): (&u64, &Vec<CastVote>)| {
            *slot > root && votes.iter().any(|vote| !after.get(slot).is_some_and(|kept| kept.contains(vote)))
        };
        let is_safe = !before.iter().any(lost);
        let verdict = may_follow(&history(&after, root), &history(&before, 0));
        prop_assert_eq!(verdict.is_ok(), is_safe);
    }
}
