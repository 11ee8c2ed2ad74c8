//! Whole texts, so that a change of the picture is seen as one.

use super::*;
use crate::ctl::status::{AuthorityStatus, GateStatus, PeerStatus, RecordStatus, ValidatorStatus};

const NOW: u64 = 1_772_323_200_000;

fn active() -> Status {
    Status {
        node: "fra-1".into(),
        identity: Some("Staked111".into()),
        vote_account: Some("Vote111".into()),
        role: Role::Active,
        since: Timestamp::from_unix_ms(NOW - 11_520_000),
        term: Some(7),
        reason: "The first vote was committed and let out.".into(),
        authority: AuthorityStatus {
            kind: "etcd".into(),
            holder: Some("fra-1".into()),
            healthy: Some(true),
            lease_left_ms: Some(4_270),
        },
        record: RecordStatus {
            kind: Some("tower".into()),
            slot: Some(312_345_678),
            seq: Some(88_001),
            sha256: Some("0123456789abcdef".repeat(4)),
        },
        gate: GateStatus {
            commits: 28_800,
            refused: 0,
            waiting: 1,
            latency_us: LatencyStatus {
                p50: Some(380),
                p99: Some(1_930),
                max: Some(12_400),
            },
        },
        validator: ValidatorStatus {
            client: Some("agave".into()),
            version: Some("4.2.2".into()),
            pid: Some(4242),
            identity: Some("Staked111".into()),
            healthy: Some(true),
            slot: Some(312_345_680),
            slots_behind: Some(0),
            rpc_trouble: None,
            restarts: 1,
        },
        peers: vec![
            PeerStatus {
                node: "ams-1".into(),
                role: Some(Role::Standby),
                healthy: Some(true),
                slots_behind: Some(2),
                record_slot: Some(312_345_676),
                version: Some("4.2.2".into()),
                validator_since: Some(Timestamp::from_unix_ms(NOW)),
                restarts: Some(0),
                in_step: Some(true),
                seen_ms: Some(430),
                paused_until: Some(Timestamp::from_unix_ms(NOW + 60_000)),
            },
            PeerStatus {
                node: "waw-1".into(),
                role: None,
                healthy: None,
                slots_behind: None,
                record_slot: None,
                version: None,
                validator_since: None,
                restarts: None,
                in_step: None,
                seen_ms: None,
                paused_until: None,
            },
        ],
        paused_until: None,
        next_leader_slot: Some(312_346_000),
    }
}

/// Everything unknown that can be.
fn newborn() -> Status {
    Status {
        node: "fra-1".into(),
        identity: None,
        vote_account: None,
        role: Role::Starting,
        since: Timestamp::from_unix_ms(NOW),
        term: None,
        reason: "The supervisor has started.".into(),
        authority: AuthorityStatus {
            kind: "local".into(),
            holder: None,
            healthy: None,
            lease_left_ms: None,
        },
        record: RecordStatus::default(),
        gate: GateStatus::default(),
        validator: ValidatorStatus::default(),
        peers: vec![],
        paused_until: None,
        next_leader_slot: None,
    }
}

fn text(of: &Status) -> String {
    status(of, Timestamp::from_unix_ms(NOW), Style::default())
}

#[test]
fn a_voting_node_reads_at_a_glance() {
    assert_eq!(
        text(&active()),
        "\
node fra-1 · active for 3h 12m · term 7 · voting

! peer waw-1 has not been heard of

why        The first vote was committed and let out.
identity   Staked111
vote acct  Vote111
authority  etcd · held by fra-1 · healthy · lease 4.2s left
record     tower · slot 312345678 · seq 88001 · sha256 0123456789ab…
gate       28800 commits · 0 refused · 1 waiting · p50 380us, p99 1.9ms, max 12ms
validator  agave 4.2.2 · pid 4242 · healthy · slot 312345680 · 0 behind · 1 restart
carries    the staked identity
leads      slot 312346000, 320 ahead

node       fra-1      ams-1                           waw-1
role       active     standby                         unknown
health     healthy    healthy                         health unknown
version    4.2.2      4.2.2
behind     0          2
record at  312345678  312345676
in step               yes
seen       this node  0.4s ago                        never
paused                until 2026-03-01T00:01:00.000Z
"
    );
}

#[test]
fn a_node_that_knows_nothing_yet_claims_nothing() {
    assert_eq!(
        text(&newborn()),
        "\
node fra-1 · starting for 0.0s · no term · not voting

why        The supervisor has started.
identity   unknown
vote acct  unknown
authority  local · holder unknown · health unknown
record     none known
gate       0 commits · 0 refused · 0 waiting
validator  not running · 0 restarts
carries    unknown
leads      unknown
"
    );
}

#[test]
fn problems_come_before_everything_but_the_header() {
    let mut bad = active();
    bad.authority.healthy = Some(false);
    bad.gate.refused = 2;
    bad.validator.healthy = Some(false);
    bad.validator.slots_behind = Some(41);
    bad.validator.identity = Some("Spare111".into());
    bad.peers[0].healthy = Some(false);
    bad.paused_until = Some(Timestamp::from_unix_ms(NOW + 1_680_000));
    let text = text(&bad);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[2..9],
        [
            "! authority etcd is not healthy: votes wait until it is, or are refused",
            "! gate refused 2 votes; the journal says why",
            "! validator is not healthy, 41 slots behind",
            "! validator carries Spare111 and not the staked identity Staked111",
            "! peer ams-1 is not healthy, seen 0.4s ago",
            "! peer waw-1 has not been heard of",
            "",
        ]
    );
    assert!(
        text.contains("carries    Spare111, not the staked one\n"),
        "{text}"
    );
    assert!(
        text.contains("paused     until 2026-03-01T00:28:00.000Z, 28m 0s left\n"),
        "{text}"
    );
}

#[test]
fn an_unknown_is_a_problem_for_a_node_that_votes() {
    let mut unsure = active();
    unsure.peers.clear();
    unsure.authority.healthy = None;
    unsure.validator.healthy = None;
    assert_eq!(
        problems(&unsure),
        [
            "authority etcd: health unknown",
            "validator: health unknown"
        ]
    );
}

#[test]
fn the_staked_identity_on_a_node_that_must_not_carry_it_is_a_problem() {
    let mut standby = active();
    standby.peers.clear();
    for role in [Role::CatchingUp, Role::Standby] {
        standby.role = role;
        let expected = format!("validator carries the staked identity while {role}");
        assert_eq!(problems(&standby), [expected]);
    }
    standby.validator.identity = Some("Spare111".into());
    assert!(problems(&standby).is_empty());
    standby.validator.pid = None;
    assert_eq!(problems(&standby), ["validator is not running"]);
}

#[test]
fn parked_and_fenced_nodes_say_so_first() {
    let mut node = active();
    node.validator.identity = Some("Spare111".into());
    for (role, word) in [(Role::Parked, "! parked: "), (Role::Fenced, "! fenced: ")] {
        node.role = role;
        assert!(text(&node).lines().nth(2).unwrap().starts_with(word));
        assert!(
            text(&node)
                .lines()
                .next()
                .unwrap()
                .ends_with("· not voting")
        );
    }
}

#[test]
fn foreign_text_cannot_write_to_the_terminal() {
    let mut evil = active();
    let attack = "\x1b]0;owned\x07\x1b[2J\n";
    for text in [
        &mut evil.node,
        &mut evil.reason,
        &mut evil.authority.kind,
        &mut evil.peers[0].node,
    ] {
        *text = attack.into();
    }
    evil.peers[0].healthy = Some(false);
    for text in [
        &mut evil.identity,
        &mut evil.vote_account,
        &mut evil.authority.holder,
        &mut evil.record.kind,
        &mut evil.record.sha256,
        &mut evil.validator.client,
        &mut evil.validator.version,
    ] {
        *text = Some(attack.into());
    }
    let lines_usual = text(&active()).lines().count();
    for text in [text(&evil), format!("{}\n", one_line(&evil))] {
        assert!(!text.contains(['\x1b', '\x07']), "{text:?}");
        assert!(text.lines().count() <= lines_usual + 3, "{text}");
    }
}

#[test]
fn colour_only_dresses_the_same_text() {
    let coloured = status(
        &active(),
        Timestamp::from_unix_ms(NOW),
        Style { colour: true },
    );
    assert!(coloured.contains("\x1b[32mactive\x1b[0m"), "{coloured:?}");
    let mut bare = coloured;
    for ink in [0, 1, 2, 31, 32, 33, 36] {
        bare = bare.replace(&format!("\x1b[{ink}m"), "");
    }
    assert_eq!(bare, text(&active()));
}

#[test]
fn the_one_line_form_ignores_what_changes_by_itself() {
    let before = active();
    let mut after = before.clone();
    after.since = Timestamp::from_unix_ms(NOW);
    after.gate.commits += 1;
    after.gate.waiting = 0;
    after.validator.slot = Some(1);
    after.validator.slots_behind = Some(3);
    after.record.slot = Some(1);
    after.authority.lease_left_ms = Some(1);
    after.peers[0].seen_ms = Some(9_000);
    assert_eq!(one_line(&before), one_line(&after));
    assert_eq!(
        one_line(&before),
        "node fra-1 · active · term 7 · voting · peer waw-1 has not been heard of"
    );
    after.peers[0].healthy = Some(false);
    assert_ne!(one_line(&before), one_line(&after));
}

#[test]
fn slots_behind_the_next_leader_slot_do_not_underflow() {
    let mut late = active();
    late.next_leader_slot = Some(5);
    assert!(text(&late).contains("leads      slot 5\n"));
}

#[test]
fn a_standby_that_is_cut_off_from_its_authority_says_that_it_cannot_vote() {
    let mut status = active();
    status.role = Role::Standby;
    status.authority.healthy = Some(false);
    let found = problems(&status);
    let said = "authority etcd is not healthy: this node cannot vote until it is";
    assert!(found.iter().any(|problem| problem == said), "{found:#?}");
}

#[test]
fn a_peer_that_is_gone_is_unreachable_and_was_last_seen_some_time_ago() {
    let mut of = active();
    of.peers.truncate(1);
    let [peer] = &mut of.peers[..] else {
        panic!("one peer");
    };
    (peer.role, peer.seen_ms) = (None, Some(12_000));
    let text = text(&of);
    assert!(
        text.contains("\n! peer ams-1 is unreachable, last seen 12s ago\n"),
        "{text}"
    );
    for line in [
        "\nrole       active     unreachable\n",
        "\nrecord at  312345678  312345676\n",
        "\nseen       this node  last 12s ago\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}
