//! Whether votes of ours exclude each other: judged by the votes and the committed records, and asked of the other validators.

use testkit::judge::{Judge, Summary, report};
use testkit::record::State;
use testkit::wire::{Content, Instance, SentVote};

use crate::cluster::Cluster;
use crate::commits::Commit;

/// There is one identity, and the chain does not tell which node a vote is of.
const IDENTITY: &str = "ours";

fn vote(content: Content, sent_us: u64) -> SentVote {
    SentVote {
        identity: IDENTITY.to_owned(),
        vote_account: String::new(),
        instance: Instance {
            node: "a or b".to_owned(),
            pid: 0,
            outset_us: 0,
        },
        sent_us,
        content,
    }
}

/// What is wrong with these votes of ours, as a text: two that exclude each other, one that gives up another, or one that no
/// committed record holds.
///
/// They are judged in the order of their commits: that in which they land is not that in which they left, as a vote can be
/// under way while the next node's passes it.
pub(crate) fn of(mut votes: Vec<Content>, commits: &[Commit]) -> Result<Summary, String> {
    votes.sort_by_key(|vote| {
        let held = commits.iter().position(|commit| holds(&commit.state, vote));
        held.unwrap_or(commits.len())
    });
    let mut judge = Judge::new();
    for commit in commits {
        judge.committed(IDENTITY, 0, commit.state.clone());
    }
    for (content, sent_us) in votes.into_iter().zip(1..) {
        judge.vote(vote(content, sent_us));
    }
    judge.verdict().map_err(|findings| report(&findings))
}

fn holds(committed: &State, vote: &Content) -> bool {
    match (committed, vote) {
        (State::Tower(committed), Content::Tower { tower, .. }) => committed == tower,
        (State::History(history), Content::Alpenglow(vote)) => {
            let cast = history.cast.get(&vote.slot());
            cast.is_some_and(|cast| cast.contains(vote))
        }
        _ => false,
    }
}

/// Alpenglow: the lines in which bootstrap and relay say that a vote of ours excludes one that they had from us before.
///
/// They do not say so of a second notarization of another block, which they drop as one that they have; the committed
/// records show it.
pub(crate) fn conflicts_told(cluster: &Cluster) -> Vec<String> {
    let ours = format!("pubkey: {}", cluster.vote_account());
    let logs = cluster.logs_always_on();
    let lines = logs.iter().flat_map(|log| log.lines());
    let told = lines.filter(|line| line.contains("Conflicting vote type") && line.contains(&ours));
    told.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use testkit::history::{History, Vote};
    use testkit::tower::Tower;

    use super::*;

    fn commit(state: State) -> Commit {
        Commit {
            term: 1,
            seq: 1,
            slot: 1,
            state,
        }
    }

    fn tower(slots: &[u64]) -> Tower {
        let mut tower = Tower::default();
        slots.iter().for_each(|slot| assert!(tower.vote(*slot)));
        tower
    }

    fn sent(tower: Tower) -> Content {
        let hash = "hash".to_owned();
        Content::Tower { tower, hash }
    }

    #[test]
    fn towers_that_go_on_from_one_another_and_were_committed_are_good() {
        let towers = [tower(&[1, 2]), tower(&[1, 2, 3])];
        let commits = towers.clone().map(|tower| commit(State::Tower(tower)));
        let votes = towers.map(sent).to_vec();
        assert_eq!(of(votes, &commits).map(|summary| summary.votes()), Ok(2));
    }

    #[test]
    fn a_vote_that_lands_late_is_good() {
        let towers = [tower(&[1, 2]), tower(&[1, 2, 3])];
        let commits = towers.clone().map(|tower| commit(State::Tower(tower)));
        let votes = towers.into_iter().rev().map(sent).collect();
        assert!(of(votes, &commits).is_ok());
    }

    #[test]
    fn a_tower_that_has_forgotten_a_vote_and_one_that_nobody_committed_are_found() {
        let towers = [tower(&[1, 2, 3]), tower(&[1, 2, 4])];
        let commits = towers.clone().map(|tower| commit(State::Tower(tower)));
        let found = of(towers.clone().map(sent).to_vec(), &commits);
        assert!(found.is_err_and(|found| found.contains("LockoutViolation")));
        let found = of(towers.map(sent).to_vec(), &commits[..1]);
        assert!(found.is_err_and(|found| found.contains("Uncommitted")));
    }

    #[test]
    fn two_alpenglow_votes_that_exclude_each_other_are_found() {
        let votes = [Vote::Skip { slot: 7 }, Vote::Finalize { slot: 7 }];
        let commits = votes.clone().map(|vote| {
            let cast = [(7, vec![vote])].into();
            commit(State::History(History { root: 0, cast }))
        });
        let found = of(votes.map(Content::Alpenglow).to_vec(), &commits);
        assert!(found.is_err_and(|found| found.contains("Conflict")));
    }
}
