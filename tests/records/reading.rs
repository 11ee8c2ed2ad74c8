//! Which bytes are a record.

use std::collections::BTreeSet;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::Index;
use validator_supervisor::validator::record::{Part, file_name, len_max};

use super::*;

/// A record of each kind, with the data of each.
fn samples() -> [(RecordKind, Vec<u8>); 2] {
    let votes: Vec<(u64, u32)> = (0..31).map(|at| (100 + at * 3, 31 - at as u32)).collect();
    let votes_cast = cast(&[
        (90, &[NOTARIZE, FINALIZE]),
        (91, &[SKIP, 4, 5]),
        (92, &[NOTARIZE]),
    ]);
    [
        (RecordKind::Tower, encode::tower(&key(), &votes, Some(98))),
        (
            RecordKind::VoteHistory,
            encode::vote_history(&key(), &votes_cast, 90),
        ),
    ]
}

#[test]
fn a_file_is_named_after_kind_and_identity() {
    let identity = Pubkey::new([0; 32]);
    let id = "11111111111111111111111111111111";
    assert_eq!(
        file_name(RecordKind::Tower, &identity),
        format!("tower-1_9-{id}.bin")
    );
    assert_eq!(
        file_name(RecordKind::VoteHistory, &identity),
        format!("vote_history-{id}.bin")
    );
}

#[test]
fn a_record_without_votes_ends_at_its_root() {
    assert_eq!(tower(&[], None).last_slot, 0);
    assert_eq!(tower(&[], Some(40)).last_slot, 40);
    assert_eq!(history(&Cast::new(), 40).last_slot, 40);
    assert_eq!(tower(&[(41, 1)], Some(40)).last_slot, 41);
    assert_eq!(history(&cast(&[(41, &[SKIP])]), 40).last_slot, 41);
}

#[test]
fn a_full_tower_has_the_size_measured_on_real_ones() {
    let [(_, tower), _] = samples();
    assert!((2200..2500).contains(&tower.len()), "{}", tower.len());
}

#[test]
fn every_truncation_is_refused() {
    for (kind, bytes) in samples() {
        for len in 0..bytes.len() {
            let refused = read(kind, &bytes[..len]).unwrap_err();
            let by_name = matches!(
                refused,
                RecordError::Truncated { .. }
                    | RecordError::NonsenseCount {
                        part: Part::Length,
                        ..
                    }
            );
            assert!(by_name, "{kind:?} cut to {len}: {refused}");
        }
    }
}

#[test]
fn data_cut_short_and_signed_again_is_refused_where_it_is_read() {
    let root_end = 32 + 16 + 65 + 8 + 31 * 12 + 9;
    let [(_, tower), (_, history)] = samples();
    for len in 0..root_end {
        let bytes = encode::frame(&key(), encode::TOWER_TAG, &tower[76..76 + len]);
        assert!(read(RecordKind::Tower, &bytes).is_err(), "{len}");
    }
    for len in 0..history.len() - 76 {
        let bytes = encode::frame(&key(), encode::VOTE_HISTORY_TAG, &history[76..76 + len]);
        assert!(read(RecordKind::VoteHistory, &bytes).is_err(), "{len}");
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    for (kind, bytes) in samples() {
        // Tag, length and identity throughout, signature and data in places.
        let fields = (0..4).chain(68..108);
        let places = (4..68).step_by(9).chain((108..bytes.len()).step_by(97));
        for at in fields.chain(places) {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(
                    read(kind, &flipped).is_err(),
                    "{kind:?} byte {at} bit {bit}"
                );
            }
        }
    }
}

#[test]
fn a_record_of_the_other_kind_is_refused() {
    let [(_, tower), (_, history)] = samples();
    let refused = read(RecordKind::VoteHistory, &tower).unwrap_err();
    assert_eq!(
        refused,
        RecordError::UnknownVersion {
            kind: RecordKind::VoteHistory,
            tag: 1,
            known: 0
        }
    );
    let refused = read(RecordKind::Tower, &history).unwrap_err();
    assert!(
        refused.to_string().contains("written before 1.14"),
        "{refused}"
    );
}

#[test]
fn bytes_behind_the_frame_are_refused() {
    for (kind, mut bytes) in samples() {
        bytes.extend([0; 3]);
        assert_eq!(
            read(kind, &bytes).unwrap_err(),
            RecordError::TrailingBytes { extra: 3 }
        );
    }
}

#[test]
fn signed_bytes_behind_the_data_are_refused_in_a_history_and_left_alone_in_a_tower() {
    let longer = |bytes: &[u8], tag| encode::frame(&key(), tag, &[&bytes[76..], &[0; 3]].concat());
    let [(_, tower), (_, history)] = samples();
    assert!(read(RecordKind::Tower, &longer(&tower, encode::TOWER_TAG)).is_ok());
    let refused = read(
        RecordKind::VoteHistory,
        &longer(&history, encode::VOTE_HISTORY_TAG),
    )
    .unwrap_err();
    assert_eq!(refused, RecordError::TrailingBytes { extra: 3 });
}

#[test]
fn another_identity_and_another_signer_are_told_apart() {
    let other = SigningKey::from_bytes(&[8; 32]);
    let bytes = encode::tower(&other, &[(1, 1)], Some(0));
    let found = identity(&other);
    let expected = identity(&key());
    assert_eq!(
        read(RecordKind::Tower, &bytes).unwrap_err(),
        RecordError::WrongIdentity { found, expected }
    );
    let forged = encode::frame(
        &other,
        encode::TOWER_TAG,
        &encode::tower_data(&key(), &[(1, 1)], Some(0)),
    );
    assert_eq!(
        read(RecordKind::Tower, &forged).unwrap_err(),
        RecordError::WrongSignature { identity: expected }
    );
}

#[test]
fn an_oversized_file_is_refused_before_it_is_read() {
    for kind in [RecordKind::Tower, RecordKind::VoteHistory] {
        let max = len_max(kind);
        let refused = read(kind, &vec![0; max + 1]).unwrap_err();
        assert_eq!(
            refused,
            RecordError::Oversized {
                kind,
                len: max + 1,
                max
            }
        );
        let refused = read(kind, &vec![0xff; max]).unwrap_err();
        assert!(
            matches!(refused, RecordError::UnknownVersion { .. }),
            "{refused}"
        );
    }
}

#[test]
fn a_signed_length_that_cannot_be_is_refused() {
    let votes_at = 32 + 16 + 65;
    let mut data = encode::tower_data(&key(), &[(1, 1)], Some(0));
    for (count, max) in [(u64::MAX, None), (1 << 40, None), (32, Some(31))] {
        data[votes_at..votes_at + 8].copy_from_slice(&count.to_le_bytes());
        let refused = read(
            RecordKind::Tower,
            &encode::frame(&key(), encode::TOWER_TAG, &data),
        )
        .unwrap_err();
        let RecordError::NonsenseCount {
            part: Part::TowerVotes,
            count: named,
            max: most,
        } = refused
        else {
            panic!("{refused}");
        };
        assert_eq!(named, count);
        assert!(max.is_none_or(|max| most == max), "{most}");
    }
    let mut data = encode::vote_history_data(&key(), &Cast::new(), 0);
    data[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
    let refused = read(
        RecordKind::VoteHistory,
        &encode::frame(&key(), encode::VOTE_HISTORY_TAG, &data),
    );
    assert!(matches!(
        refused,
        Err(RecordError::NonsenseCount {
            part: Part::SlotSets,
            ..
        })
    ));
}

#[test]
fn values_outside_the_format_are_refused_by_name() {
    let refused = |kind, bytes: Vec<u8>| read(kind, &bytes).unwrap_err();
    let falling = encode::tower(&key(), &[(5, 2), (5, 1)], Some(0));
    assert_eq!(
        refused(RecordKind::Tower, falling),
        RecordError::NonsenseValue {
            part: Part::TowerVotes,
            value: 5
        }
    );
    let mut data = encode::tower_data(&key(), &[], None);
    data[32 + 16 + 65 + 8] = 2;
    assert_eq!(
        refused(
            RecordKind::Tower,
            encode::frame(&key(), encode::TOWER_TAG, &data)
        ),
        RecordError::NonsenseValue {
            part: Part::Root,
            value: 2
        }
    );
    let unknown_vote = encode::vote_history(&key(), &cast(&[(5, &[7])]), 0);
    assert_eq!(
        refused(RecordKind::VoteHistory, unknown_vote),
        RecordError::NonsenseValue {
            part: Part::VotesCast,
            value: 7
        }
    );
}

fn any_cast() -> impl Strategy<Value = Cast> {
    let vote = (1u8..=6).prop_map(vote);
    btree_map(any::<u64>(), vec(vote, 0..4), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_encoder_writes_is_read_back(
        slots in vec(1u64..1_000, 0..=31),
        root in proptest::option::of(0u64..u64::MAX / 2),
        votes_cast in any_cast(),
    ) {
        let mut slot = root.unwrap_or(0);
        let votes: Vec<(u64, u32)> =
            slots.iter().map(|gap| { slot += gap; (slot, 3) }).collect();
        let record = tower(&votes, root);
        prop_assert_eq!(record.last_slot, slot);
        prop_assert_eq!((record.root(), record.votes()), (root, votes.len()));

        let root = votes_cast.keys().next().copied().unwrap_or(3);
        let record = history(&votes_cast, root);
        let last = votes_cast.iter().filter(|(_, votes)| !votes.is_empty()).map(|(slot, _)| *slot).max();
        prop_assert_eq!(record.last_slot, last.unwrap_or(root));
        let distinct = votes_cast.values().map(|votes| votes.iter().collect::<BTreeSet<_>>().len());
        prop_assert_eq!(record.votes(), distinct.sum::<usize>());
        prop_assert_eq!(record.root(), Some(root));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused(at: Index, bit in 0u8..8) {
        for (kind, mut bytes) in samples() {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(read(kind, &bytes).is_err());
        }
    }
}
