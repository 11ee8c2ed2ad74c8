//! Why a voter does not hand over to a node that asks for the term, and how that node hears of it.

use super::handover::leads;
use super::*;

#[test]
fn the_voters_reason_not_to_hand_over_reaches_the_operator_who_asked() {
    let mut holder = Rig::active(false);
    holder.lease(7, 900_000);
    let asks = |ready| {
        Input::Observed(Observation::Peer(PeerFacts {
            asks: Some(Plea::default()),
            ..peer("b", ready)
        }))
    };
    holder.feed(asks(false));
    let why = holder.engine.why_declined().map(str::to_owned);
    assert!(why.is_some_and(|why| why.contains("no standby is ready: b ")));
    leads(&mut holder, 3);
    holder.feed(asks(true));
    let near = holder.engine.why_declined().map(str::to_owned);
    let near = near.expect("a leader slot is near");
    assert!(near.contains("slots without a leader slot"), "{near}");

    let mut rig = Rig::standby(false);
    rig.peer_votes("b", 6);
    let says = |node: &str| {
        Input::Observed(Observation::PeerDeclines {
            node: NodeName(node.into()),
            why: near.clone(),
        })
    };
    assert_eq!(rig.feed(says("b")), [""; 0], "nobody has asked");
    rig.ask(1, PROMOTE);
    assert_eq!(rig.feed(says("c")), [""; 0], "it does not vote");
    assert_eq!(rig.feed(says("b")), ["progress 1"]);
    assert_eq!(rig.feed(says("b")), [""; 0], "it was said");
}

#[test]
fn the_voters_reason_is_gone_with_the_wish_and_with_the_role() {
    let mut rig = Rig::active(false);
    rig.lease(7, 900_000);
    let says = |asks| {
        Input::Observed(Observation::Peer(PeerFacts {
            asks,
            ..peer("b", false)
        }))
    };
    rig.feed(says(Some(Plea::default())));
    assert!(rig.engine.why_declined().is_some());
    rig.feed(says(None));
    assert_eq!(rig.engine.why_declined(), None);
    rig.feed(says(Some(Plea::default())));
    rig.demote(1);
    assert_eq!(rig.engine.why_declined(), None);
}
