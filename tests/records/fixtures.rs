//! Records that real validators wrote, in `tests/fixtures/records/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use validator_supervisor::validator::record::{RollbackError, file_name, may_follow};

use super::*;

type Found = BTreeMap<String, (VoteRecord, Vec<u8>)>;

/// The records in `dir`, by file name, each read as the kind and identity that its name tells.
fn records_in(dir: &str) -> Found {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/records")
        .join(dir);
    let entries = fs::read_dir(&dir).unwrap_or_else(|err| panic!("{}: {err}", dir.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let found: Found = paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "bin"))
        .map(record_at)
        .collect();
    assert!(
        found.len() >= 2,
        "{} has {} records",
        dir.display(),
        found.len()
    );
    found
}

fn record_at(path: PathBuf) -> (String, (VoteRecord, Vec<u8>)) {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let stem = name.strip_suffix(".bin").unwrap();
    let (kind, identity) = match stem.split_once('-').unwrap() {
        ("vote_history", identity) => (RecordKind::VoteHistory, identity),
        ("tower", rest) => (RecordKind::Tower, rest.strip_prefix("1_9-").unwrap()),
        _ => panic!("{name} is no name of a record"),
    };
    let identity: Pubkey = identity.parse().unwrap();
    assert_eq!(file_name(kind, &identity), name);
    let bytes = fs::read(&path).unwrap();
    let record =
        parse(kind, &bytes, &identity).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    (name, (record, bytes))
}

#[test]
fn records_of_real_validators_are_read_and_their_signatures_hold() {
    let found = records_in("");
    for kind in [RecordKind::Tower, RecordKind::VoteHistory] {
        assert!(
            found.values().any(|(record, _)| record.kind == kind),
            "no {}",
            kind.name()
        );
    }
    for (name, (record, _)) in found.iter().chain(&records_in("later")) {
        assert!(
            record.votes() > 0 && record.root() < Some(record.last_slot),
            "{name}: {record:?}"
        );
    }
}

#[test]
fn a_real_record_may_follow_an_earlier_one_of_its_identity_and_not_the_reverse() {
    let earlier = records_in("");
    for (name, (later, _)) in records_in("later") {
        let (earlier, _) = &earlier[&name];
        assert_eq!(may_follow(&later, earlier), Ok(()), "{name}");
        let refused = may_follow(earlier, &later).unwrap_err();
        match later.kind {
            RecordKind::Tower => {
                assert!(matches!(refused, RollbackError::Older { .. }), "{refused}")
            }
            RecordKind::VoteHistory => {
                assert!(
                    matches!(refused, RollbackError::RootBack { .. }),
                    "{refused}"
                );
            }
        }
    }
}

/// The order of lists differs from file to file and the clock is in a tower, so lengths are compared.
#[test]
fn the_encoder_writes_a_tower_as_long_as_a_real_one() {
    let (full, bytes) =
        &records_in("later")["tower-1_9-BKikUk3eqXkpwWe7WTbsPsb5J2cKbvsdrRwPm4rjJVMX.bin"];
    assert_eq!(
        (full.last_slot, full.root(), full.votes()),
        (79, Some(48), 31)
    );
    let votes: Vec<(u64, u32)> = (49..80).map(|slot| (slot, 80 - slot as u32)).collect();
    let encoded = encode::tower(&key(), &votes, Some(48));
    assert_eq!(encoded.len(), bytes.len());
    let vote_state = 76 + 32..76 + 32 + 16 + 65 + 8 + 31 * 12 + 9;
    assert_eq!(encoded[vote_state.clone()], bytes[vote_state]);
}

#[test]
fn a_real_record_is_refused_when_a_bit_of_it_flips() {
    for (name, (record, bytes)) in records_in("") {
        for at in (0..bytes.len()).step_by(61) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(
                parse(record.kind, &flipped, &record.identity).is_err(),
                "{name} byte {at}"
            );
        }
    }
}
