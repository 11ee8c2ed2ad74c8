//! How a stand-in votes, in both protocols: stores first, the straggler, the mute, the duplicate.

use crate::bare::{Bare, SOON_MS, done, expect_switch, identity};
use serde_json::json;
use testkit::judge::Rule;
use testkit::record::{self, State};
use testkit::stand_in::Protocol;
use testkit::wire::Content;

const BOTH: [Protocol; 2] = [Protocol::Tower, Protocol::Alpenglow];

#[test]
fn it_votes_and_the_judge_is_content() {
    for protocol in BOTH {
        let bare = Bare::new(protocol);
        let (_spec, _running) = bare.voting("a");
        bare.chain.leave_empty(2);
        bare.expect_votes(12);
        let summary = bare.chain.expect_clean();
        assert!(summary.identities[&bare.identity].votes >= 12, "{summary}");
        let landed = bare.chain.cluster().vote_accounts[&bare.vote_account].last_vote;
        assert!(landed > 1_000, "the vote account shows the votes");
    }
}

#[test]
fn a_vote_sent_is_in_the_record_on_disk() {
    for protocol in BOTH {
        let bare = Bare::new(protocol);
        let (spec, mut running) = bare.voting("a");
        running.kill();
        bare.chain.settle();
        let last = bare.chain.votes().pop().expect("a vote");
        let bytes = std::fs::read(spec.record()).expect("a record");
        let stored = record::from_bytes(protocol.is_alpenglow(), &bare.identity, &bytes);
        match (stored.expect("a good record"), last.content) {
            (State::Tower(stored), Content::Tower { tower, .. }) => {
                assert!(stored.last_slot() >= tower.last_slot());
            }
            (State::History(stored), Content::Alpenglow(vote)) => {
                assert!(stored.votes().contains(&vote));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn without_a_mute_the_judge_sees_the_straggler() {
    for protocol in BOTH {
        let bare = Bare::new(protocol);
        let (spec, running) = bare.voting("a");
        done(&running, "setIdentity", identity(&spec, "unstaked.json"));
        bare.chain.demoted(&bare.identity, Some("a"));
        expect_switch(&running);
        let findings = bare.chain.verdict().expect_err("a straggler");
        assert!(
            findings
                .iter()
                .all(|finding| finding.rule == Rule::AfterDemotion),
            "{findings:?}"
        );
        assert_eq!(bare.votes_for_the_next(5), [], "the switch is over");
    }
}

#[test]
fn muted_first_no_straggler_follows() {
    for protocol in BOTH {
        let bare = Bare::new(protocol);
        let (spec, running) = bare.voting("a");
        done(&running, "removeAllAuthorizedVoters", json!([]));
        done(&running, "setIdentity", identity(&spec, "unstaked.json"));
        assert_eq!(bare.votes_for_the_next(12), []);
        bare.chain.demoted(&bare.identity, Some("a"));
        bare.chain.expect_clean();
    }
}

#[test]
fn it_goes_on_from_the_record_that_it_is_given() {
    for protocol in BOTH {
        let bare = Bare::new(protocol);
        let (spec_a, running_a) = bare.voting("a");
        bare.expect_votes(10);
        let spec_b = bare.node("b");
        let running_b = spec_b.start().expect("it starts");
        assert!(running_b.is_up(SOON_MS));
        done(&running_b, "removeAllAuthorizedVoters", json!([]));
        done(&running_a, "removeAllAuthorizedVoters", json!([]));
        done(
            &running_a,
            "setIdentity",
            identity(&spec_a, "unstaked.json"),
        );
        expect_switch(&running_a);
        bare.chain.demoted(&bare.identity, Some("a"));
        std::fs::copy(spec_a.record(), spec_b.record()).expect("a copy of the record");
        let staked = spec_b.path("staked.json");
        let tower = !protocol.is_alpenglow();
        done(&running_b, "setIdentity", json!([staked, tower, !tower]));
        done(&running_b, "addAuthorizedVoter", json!([staked]));
        let by_b = |votes: &[testkit::wire::SentVote]| {
            votes
                .iter()
                .filter(|vote| vote.instance.node == "b")
                .count()
                >= 5
        };
        assert!(
            bare.chain.wait(SOON_MS, by_b),
            "b votes: {}",
            running_b.log()
        );
        assert_eq!(
            bare.chain.expect_clean().identities[&bare.identity]
                .by_instance
                .len(),
            2
        );
    }
}

#[test]
fn a_record_that_cannot_be_renamed_ends_it_and_no_vote_is_sent() {
    for protocol in BOTH {
        let bare = Bare::new(protocol);
        let spec = bare.node("a");
        spec.link("staked.json").expect("a link");
        std::fs::create_dir_all(spec.record().join("full")).expect("a directory in its place");
        let mut running = spec.start().expect("it starts");
        let status = running.ended(SOON_MS).expect("it ends");
        assert_eq!(status.code(), Some(1), "{}", running.log());
        let what = if protocol.is_alpenglow() {
            "vote history"
        } else {
            "tower"
        };
        assert!(
            running
                .log()
                .contains(&format!("Unable to save {what} to storage"))
        );
        bare.chain.settle();
        assert_eq!(bare.chain.votes(), []);
    }
}

#[test]
fn of_two_with_one_identity_the_older_one_ends() {
    let bare = Bare::new(Protocol::Tower);
    let (spec_a, mut older) = bare.voting("a");
    spec_a.faults(&[("duplicate_ms", "50")]).expect("faults");
    let spec_b = bare.node("b");
    spec_b.link("staked.json").expect("a link");
    let newer = spec_b.start().expect("it starts");
    assert_eq!(
        older.ended(SOON_MS).and_then(|status| status.code()),
        Some(1)
    );
    assert!(
        older
            .log()
            .contains("duplicate running instances of the same validator node")
    );
    assert!(newer.is_up(SOON_MS), "{}", newer.log());
}

#[test]
fn a_second_one_on_the_same_ledger_is_refused() {
    let bare = Bare::new(Protocol::Tower);
    let (spec, _first) = bare.voting("a");
    let mut second = spec.start().expect("it starts");
    assert_eq!(
        second.ended(SOON_MS).and_then(|status| status.code()),
        Some(1)
    );
    assert!(
        second
            .log()
            .contains("Check if another validator is running")
    );
}

#[test]
fn nobody_votes_for_an_account_of_another_identity_or_on_a_halted_chain() {
    let bare = Bare::new(Protocol::Tower);
    let (_spec, _running) = bare.voting("a");
    bare.chain.halt(true);
    bare.chain.settle();
    let count = bare.chain.votes().len();
    assert!(!bare.chain.wait(200, |votes| votes.len() > count + 1));
    bare.chain.set_node(&bare.vote_account, "somebody else");
    bare.chain.halt(false);
    assert_eq!(bare.votes_for_the_next(5), []);
}

#[test]
fn one_that_is_cut_off_stops_at_the_slot_it_knows() {
    let bare = Bare::new(Protocol::Tower);
    let (_spec, _running) = bare.voting("a");
    bare.chain.cut_off("a", true);
    assert_eq!(bare.votes_for_the_next(5), []);
    bare.chain.cut_off("a", false);
    bare.expect_votes(2);
    bare.chain.expect_clean();
}

#[test]
fn its_threads_have_the_names_of_the_real_ones() {
    for (protocol, stores, switches) in [
        (Protocol::Tower, "solVoteService", "solReplayStage"),
        (Protocol::Alpenglow, "solVotorVoteSvc", "solVotorEvLoop"),
    ] {
        let bare = Bare::new(protocol);
        let (_spec, running) = bare.voting("a");
        let tasks = format!("/proc/{}/task", running.pid());
        let names: Vec<String> = std::fs::read_dir(tasks)
            .expect("it runs")
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
            .map(|name| name.trim().to_owned())
            .collect();
        assert!(
            [stores, switches]
                .iter()
                .all(|due| names.iter().any(|name| name == due)),
            "{names:?}"
        );
    }
}
