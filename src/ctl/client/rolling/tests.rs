use super::*;
use crate::ctl::client::tests::status_of;
use crate::ctl::time::Timestamp;

fn peer(role: Option<Role>, starts: u64) -> PeerStatus {
    PeerStatus {
        node: "b".into(),
        role,
        healthy: Some(true),
        slots_behind: Some(0),
        record_slot: None,
        version: None,
        validator_since: Some(Timestamp::from_unix_ms(starts)),
        restarts: Some(0),
        in_step: None,
        seen_ms: Some(10),
        paused_until: None,
    }
}

fn status(role: Role, peers: Vec<PeerStatus>) -> Status {
    Status {
        node: "a".into(),
        peers,
        ..status_of(role)
    }
}

fn begin(role: Role, other: PeerStatus) -> Result<Pair, String> {
    Pair::begin(&status(role, vec![other]))
}

#[test]
fn it_begins_with_one_that_votes_and_one_that_stands_by_and_nothing_else() {
    let pair = begin(Role::Active, peer(Some(Role::Standby), 3)).unwrap();
    assert_eq!(
        (pair.voted, pair.other_since),
        (true, Timestamp::from_unix_ms(3))
    );
    assert!(
        !begin(Role::Standby, peer(Some(Role::Active), 3))
            .unwrap()
            .voted
    );
    for (this, other) in [
        (Role::Active, Some(Role::CatchingUp)),
        (Role::Parked, Some(Role::Active)),
        (Role::Standby, Some(Role::Standby)),
        (Role::Active, None),
    ] {
        assert!(begin(this, peer(other, 1)).is_err(), "{this} {other:?}");
    }
    let sick = PeerStatus {
        healthy: None,
        ..peer(Some(Role::Standby), 1)
    };
    let why = begin(Role::Active, sick).unwrap_err();
    assert_eq!(why, "the validator of b is not healthy");
    let paused = PeerStatus {
        paused_until: Some(Timestamp::from_unix_ms(1)),
        ..peer(Some(Role::Standby), 1)
    };
    assert!(
        begin(Role::Active, paused)
            .unwrap_err()
            .contains("b is paused")
    );
    let three = status(Role::Active, vec![peer(None, 1), peer(None, 1)]);
    assert!(Pair::begin(&three).unwrap_err().contains("knows 2 others"));
}

#[test]
fn the_identity_comes_back_to_where_it_was() {
    assert_eq!(steps(true).last(), Some(&Step::AwaitOther));
    assert_eq!(steps(false).last(), Some(&Step::HandBack));
}

#[test]
fn the_other_one_is_back_when_it_has_started_anew_and_stands_by() {
    let pair = begin(Role::Active, peer(Some(Role::Standby), 3)).unwrap();
    let look = |role, starts| {
        let status = status(Role::Active, vec![peer(role, starts)]);
        pair.look(Step::AwaitOther, &status)
    };
    assert_eq!(
        look(Some(Role::Standby), 3),
        Look::NotYet,
        "before it began"
    );
    assert_eq!(look(Some(Role::CatchingUp), 4), Look::NotYet);
    let far = PeerStatus {
        slots_behind: Some(9),
        ..peer(Some(Role::Standby), 4)
    };
    let far = pair.look(Step::AwaitOther, &status(Role::Active, vec![far]));
    assert_eq!(far, Look::NotYet, "not near enough to be handed the term");
    let ended = PeerStatus {
        restarts: Some(1),
        ..peer(Some(Role::Starting), 4)
    };
    let ended = pair.look(Step::AwaitOther, &status(Role::Active, vec![ended]));
    assert!(matches!(ended, Look::Wrong(_)), "{ended:?}");
    let swapped = status(Role::Standby, vec![peer(Some(Role::Active), 4)]);
    let swapped = pair.look(Step::AwaitOther, &swapped);
    assert!(matches!(swapped, Look::Wrong(_)), "{swapped:?}");
    assert_eq!(look(None, 4), Look::NotYet);
    assert_eq!(look(Some(Role::Standby), 4), Look::Ready);
    assert_eq!(
        look(Some(Role::Standby), 1),
        Look::Ready,
        "its supervisor too"
    );
    assert!(matches!(look(Some(Role::Parked), 4), Look::Wrong(_)));
    let nobody = status(Role::Standby, vec![peer(Some(Role::Standby), 4)]);
    assert_eq!(pair.look(Step::AwaitOther, &nobody), Look::NotYet);
}

#[test]
fn a_pair_is_well_while_one_votes_and_both_are_heard() {
    let well = |this, other| is_well(&status(this, vec![peer(other, 1)]));
    assert!(well(Role::Active, Some(Role::Starting)));
    assert!(well(Role::CatchingUp, Some(Role::Active)));
    assert!(!well(Role::Standby, Some(Role::Standby)));
    assert!(!well(Role::Active, None));
}
