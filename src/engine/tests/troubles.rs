//! The table "Seeing trouble", row by row.

use super::*;

fn cluster(advancing: u32, failed: u32, own_advancing: bool) -> Input {
    Input::Observed(Observation::Cluster {
        asked: 3,
        advancing,
        failed,
        own_advancing,
    })
}

#[test]
fn a_vote_of_ours_that_we_did_not_commit_demotes_parks_and_pages() {
    let mut rig = Rig::active(false);
    assert_eq!(
        rig.feed(Input::Observed(Observation::ChainVote { slot: 100 })),
        [""; 0]
    );
    let seen = rig.feed(Input::Observed(Observation::ChainVote { slot: 101 }));
    assert_eq!(
        seen,
        [
            "page",
            "remember parked=true",
            "active -> demoting: foreign-vote",
            "mute"
        ]
    );
}

/// A block that the validator leads shows its own Alpenglow votes before they are stored; one of Tower BFT never does.
#[test]
fn a_vote_that_the_chain_shows_while_one_waits_is_foreign_in_tower_bft_alone() {
    let waits = |kind, waiting| {
        let mut rig = Rig::active(false);
        let last = Some(RecordMark {
            kind,
            ..mark(7, 100, 100)
        });
        rig.feed(Input::Gate(GateFacts { last, waiting }));
        rig.feed(Input::Observed(Observation::ChainVote { slot: 102 }));
        rig.engine.role()
    };
    assert_eq!(waits(RecordKind::VoteHistory, 1), Role::Active);
    assert_eq!(waits(RecordKind::VoteHistory, 0), Role::Demoting);
    assert_eq!(waits(RecordKind::Tower, 1), Role::Demoting);
}

#[test]
fn gossip_is_confirmed_before_anything_is_done() {
    let mut rig = Rig::active(false);
    assert_eq!(
        rig.feed(Input::Observed(Observation::IdentityElsewhere)),
        ["confirm 7"]
    );
    assert_eq!(
        rig.feed(Input::Observed(Observation::IdentityElsewhere)),
        [""; 0]
    );
    assert_eq!(rig.done(), ["page"]);
    rig.feed(Input::Observed(Observation::IdentityElsewhere));
    assert_eq!(
        rig.fails(),
        ["active -> demoting: identity-elsewhere", "mute"]
    );
}

#[test]
fn a_confirmation_that_never_comes_counts_as_none() {
    let mut rig = Rig::active(false);
    rig.feed(Input::Observed(Observation::IdentityElsewhere));
    assert_eq!(
        rig.wait(),
        ["active -> demoting: identity-elsewhere", "mute"]
    );
}

#[test]
fn a_denied_confirmation_fences() {
    let mut rig = Rig::active(false);
    rig.feed(Input::Observed(Observation::IdentityElsewhere));
    assert_eq!(
        rig.refused(),
        ["active -> fenced: term-lost", "close gate after 0"]
    );
}

#[test]
fn a_node_that_is_cut_off_steps_down_after_its_time() {
    for seen in [
        cluster(3, 0, false),
        cluster(0, 3, false),
        cluster(2, 1, false),
    ] {
        let mut rig = Rig::active(false);
        rig.feed(seen);
        assert_eq!(rig.later(1_499), [""; 0]);
        assert_eq!(rig.later(1), ["active -> demoting: isolated", "mute"]);
    }
}

#[test]
fn a_node_that_is_cut_off_before_its_first_vote_gives_the_promotion_up() {
    let mut rig = Rig::awaiting_switch(false);
    rig.lease(7, 20_000);
    rig.feed(cluster(3, 0, false));
    assert_eq!(rig.later(1_600), [""; 0], "only its death would help");
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.feed(cluster(3, 0, true));
    rig.done();
    rig.done();
    rig.feed(cluster(0, 3, false));
    assert_eq!(rig.later(1_499), [""; 0]);
    assert_eq!(
        rig.later(1),
        ["promoting -> demoting: isolated", "progress 1", "mute"]
    );
}

#[test]
fn a_promotion_of_a_node_that_looks_cut_off_has_the_whole_span() {
    let mut rig = Rig::standby(false);
    rig.feed(cluster(3, 0, false));
    rig.now = rig.now.plus(1_990);
    rig.engine.setup.timing.step_ms = 9_000;
    rig.ask(1, PROMOTE);
    assert_eq!(rig.later(1_499), [""; 0]);
    assert_eq!(rig.later(1)[0], "promoting -> demoting: isolated");
}

/// A validator that has just started may stand still for long, and then moves at once.
#[test]
fn a_first_vote_gives_the_whole_span_to_a_node_that_looked_cut_off() {
    let mut rig = Rig::awaiting_switch(false);
    rig.lease(7, 90_000);
    rig.feed(cluster(3, 0, false));
    assert_eq!(rig.later(1_600), [""; 0]);
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.done();
    rig.done();
    rig.votes(100);
    assert_eq!(rig.engine.role(), Role::Active);
    assert_eq!(rig.later(1_499), [""; 0]);
    assert_eq!(rig.later(1), ["active -> demoting: isolated", "mute"]);
}

#[test]
fn a_cluster_that_stands_still_moves_nobody() {
    let mut rig = Rig::active(false);
    rig.lease(7, 90_000);
    for seen in [
        cluster(0, 0, false),
        cluster(1, 1, false),
        cluster(3, 0, true),
    ] {
        rig.feed(seen);
        assert_eq!(rig.engine.isolated_since, None);
    }
    rig.feed(cluster(3, 0, false));
    rig.feed(cluster(0, 0, false));
    assert_eq!(rig.later(1_600), [""; 0]);
}

#[test]
fn a_halt_gives_no_standby_a_reason_to_take_over() {
    let mut rig = Rig::standby(false);
    rig.nobody_holds();
    let still = Observation::Own {
        healthy: true,
        slot: 501,
        behind: Some(0),
    };
    rig.feed(Input::Observed(still.clone()));
    rig.now = rig.now.plus(300);
    rig.feed(Input::Observed(still));
    assert_eq!(rig.feed(Input::Tick), [""; 0]);
    rig.reads_well();
    assert_eq!(rig.wait(), ["standby -> promoting: holder-gone", "acquire"]);
}

#[test]
fn a_silent_voter_hands_over_where_a_standby_is_ready_and_pages_where_none_is() {
    let mut rig = Rig::active(false);
    rig.lease(7, 90_000);
    rig.reads_well();
    assert_eq!(rig.later(3_000), ["page"]);
    assert_eq!(rig.later(29_999), [""; 0]);
    rig.peer("b", true);
    rig.reads_well();
    assert_eq!(rig.later(1), ["active -> demoting: not-voting", "mute"]);
}

#[test]
fn a_silence_in_which_our_own_slot_stands_still_moves_nobody() {
    let mut rig = Rig::active(false);
    rig.lease(7, 90_000);
    rig.now = rig.now.plus(3_000);
    rig.feed(Input::Observed(Observation::Own {
        healthy: true,
        slot: rig.slot,
        behind: Some(0),
    }));
    rig.peer("b", true);
    assert_eq!(rig.feed(Input::Tick), ["page"]);
}

#[test]
fn a_voter_that_says_nothing_any_more_hands_over() {
    let mut rig = Rig::active(false);
    rig.lease(7, 90_000);
    rig.feed(Input::Observed(Observation::OwnSilent));
    rig.now = rig.now.plus(3_000);
    rig.peer("b", true);
    assert_eq!(
        rig.feed(Input::Tick),
        ["active -> demoting: not-voting", "mute"]
    );
}

#[test]
fn the_standby_next_in_line_takes_over_and_the_others_wait_their_turn() {
    let mut setup = setup(false);
    setup.rank = 2;
    let mut rig = Rig::standby(false);
    rig.feed(Input::Reconfigured(Box::new(setup)));
    rig.reads_well();
    rig.nobody_holds();
    assert_eq!(rig.later(799), [""; 0]);
    assert_eq!(
        rig.later(1),
        ["standby -> promoting: holder-gone", "acquire"]
    );
}

#[test]
fn a_term_that_the_authority_says_is_ours_and_is_not_in_our_hands_is_given_back() {
    let mut rig = Rig::standby(false);
    rig.feed(Input::Authority(AuthorityNews::Holder(Some(name("a")))));
    assert_eq!(rig.later(100), ["release 0"]);
    assert_eq!(rig.done(), [""; 0]);
    assert_eq!(rig.nobody_holds(), [""; 0]);
    assert_eq!(rig.engine.stray_deadline(), None);
}

#[test]
fn an_identity_that_has_never_voted_waits_for_an_operator() {
    let mut rig = Rig::caught_up(false);
    assert_eq!(
        rig.feed(Input::Authority(AuthorityNews::Holder(None))),
        [""; 0]
    );
    rig.now = rig.now.plus(1_000);
    assert_eq!(rig.feed(Input::Tick), [""; 0]);
    // A record of before a restart of everything is enough.
    let facts = GateFacts {
        last: Some(mark(6, 40, 90)),
        waiting: 0,
    };
    rig.feed(Input::Gate(facts));
    rig.reads_well();
    assert_eq!(
        rig.feed(Input::Tick),
        ["standby -> promoting: holder-gone", "acquire"]
    );
}
