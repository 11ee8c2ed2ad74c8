//! Runs every decoder over its fuzz corpus and over what grows from it, so that what the fuzzers have
//! found stays found without them.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

#[path = "../fuzz/src/decoders.rs"]
pub mod decoders;

/// The seeds of a decoder, in the order of their names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let entries = fs::read_dir(&dir).unwrap_or_else(|err| panic!("{}: {err}", dir.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn every_decoder_survives_its_corpus() {
    for (name, decode) in decoders::ALL {
        let seeds = corpus(name);
        assert!(
            seeds.len() >= 2,
            "fuzz/corpus/{name} has {} seeds",
            seeds.len()
        );
        seeds.iter().for_each(|seed| decode(seed));
        decode(&[]);
    }
}

/// A decoder that refuses everything would survive as well.
#[test]
fn the_names_in_the_certificates_of_the_corpus_are_read() {
    let names: Vec<_> = corpus("certificates")
        .iter()
        .map(|seed| validator_supervisor::authority::peer::name_in_certificate(seed))
        .collect();
    let read: Vec<_> = names.iter().flatten().collect();
    assert_eq!(read.len(), 2, "{names:?}");
    assert!(read[1] == "fra-1" && read[0].starts_with("validator-supervisor"));
}

#[test]
fn the_lists_of_the_corpus_are_read() {
    let lists: Vec<_> = corpus("revocation_lists")
        .iter()
        .map(|seed| validator_supervisor::pki::serials_in_list(seed).map(|serials| serials.len()))
        .collect();
    assert_eq!(lists, [Some(0), Some(2)]);
}

#[test]
fn every_decoder_has_a_fuzz_target() {
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
    for (name, _) in decoders::ALL {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "{name}"
        );
    }
    assert_eq!(manifest.matches("[[bin]]").count(), decoders::ALL.len());
}

/// What a fuzzer does to an input.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    /// A number of the sizes that lengths and slots have.
    Number(Index, u64),
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    let number = prop_oneof![
        0u64..64,
        Just(u64::MAX),
        Just(1 << 32),
        Just(1 << 61),
        any::<u64>()
    ];
    prop_oneof![
        any::<(Index, u8)>().prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        any::<Index>().prop_map(Mutation::Cut),
        any::<(Index, Vec<u8>)>().prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (any::<Index>(), number).prop_map(|(at, number)| Mutation::Number(at, number)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: Mutation) {
    let len = bytes.len();
    match mutation {
        Mutation::Insert(at, more) => {
            let at = at.index(len + 1);
            bytes.splice(at..at, more);
        }
        _ if bytes.is_empty() => {}
        Mutation::Set(at, byte) => bytes[at.index(len)] = byte,
        Mutation::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
        Mutation::Cut(at) => bytes.truncate(at.index(len)),
        Mutation::Number(at, number) => {
            let at = at.index(len);
            let end = len.min(at + 8);
            bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_decoder_survives_mutated_seeds(
        seed: Index,
        mutations in proptest::collection::vec(any_mutation(), 1..6),
    ) {
        for (name, decode) in decoders::ALL {
            let seeds = corpus(name);
            let mut bytes = seeds[seed.index(seeds.len())].clone();
            for mutation in mutations.clone() {
                mutate(&mut bytes, mutation);
            }
            decode(&bytes);
        }
    }

    #[test]
    fn every_decoder_survives_arbitrary_bytes(bytes: Vec<u8>) {
        decoders::ALL.iter().for_each(|(_, decode)| decode(&bytes));
    }
}
