//! To whom the term may go at all: what the preflight of a handover looks at in the other node.

use super::handover::{AT_ONCE, IN_TIME, leads, passes, voter};
use super::*;

#[test]
fn a_standby_whose_record_is_of_another_kind_is_given_nothing() {
    let mut rig = voter();
    let with = |record| {
        Input::Observed(Observation::Peer(PeerFacts {
            record,
            ..peer("b", true)
        }))
    };
    rig.feed(with(Some(RecordKind::VoteHistory)));
    assert_eq!(rig.ask(2, AT_ONCE), ["answer 2 Refused"]);
    let against = rig.engine.against_handover(rig.now);
    assert!(
        against[0].contains("has a vote-history as its newest record, and this node a tower"),
        "{against:?}"
    );
    assert_eq!(rig.engine.role(), Role::Active, "it votes on");
    rig.feed(with(Some(RecordKind::Tower)));
    assert_eq!(rig.engine.against_handover(rig.now), [""; 0]);
    let begun = rig.ask(3, AT_ONCE);
    assert_eq!(begun[0], "active -> demoting: handover-asked");
    passes(&mut rig);
}

#[test]
fn a_standby_that_lost_step_before_a_planned_handover_begins_is_given_nothing() {
    let mut rig = voter();
    leads(&mut rig, 5);
    assert_eq!(rig.ask(2, IN_TIME), ["progress 2"]);
    rig.feed(Input::Observed(Observation::Peer(PeerFacts {
        ready: Err("has not got the newest record yet".into()),
        ..peer("b", true)
    })));
    rig.reads_well();
    assert_eq!(leads(&mut rig, 900), ["answer 2 Refused"]);
    assert_eq!(rig.engine.role(), Role::Active);
}

#[test]
fn a_standby_that_has_said_nothing_for_a_while_is_given_nothing() {
    let mut rig = voter();
    rig.now = rig.now.plus(rig.engine.setup.timing.stale_ms + 1);
    rig.reads_well();
    assert_eq!(rig.ask(2, AT_ONCE), ["answer 2 Refused"]);
    let against = rig.engine.against_handover(rig.now);
    assert_eq!(against, ["no standby is ready: b has said nothing for 2 s"]);
    rig.peer("b", true);
    assert_eq!(rig.engine.against_handover(rig.now), [""; 0]);
}
