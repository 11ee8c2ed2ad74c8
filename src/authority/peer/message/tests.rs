use super::*;
use crate::authority::news::{Rehearsal, Rehearsed};
use crate::engine::values::RecordKind;
use proptest::prelude::*;

fn place() -> impl Strategy<Value = Place> {
    (any::<u64>(), any::<u64>()).prop_map(|(term, seq)| Place { term, seq })
}

fn claim() -> impl Strategy<Value = Claim> {
    let name = || proptest::option::of("[a-z]{1,8}");
    let fields = (any::<u64>(), name(), any::<bool>(), name(), any::<bool>());
    fields.prop_map(|(term, holder, ended, heir, void)| Claim {
        term,
        holder,
        ended,
        heir,
        void,
    })
}

/// With everything that it can say.
fn member() -> impl Strategy<Value = Member> {
    let number = || proptest::option::of(any::<u64>());
    let text = || proptest::option::of(".{0,20}");
    let flags = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<Option<bool>>(),
    );
    let slots = (number(), number(), prop::sample::select(&KINDS));
    let step = (".{0,20}", any::<u64>(), text());
    let steps = step.prop_map(|(step, took_us, trouble)| Rehearsed {
        step,
        took_us,
        trouble,
    });
    let steps = (any::<u64>(), proptest::collection::vec(steps, 0..4));
    let rehearsal = steps.prop_map(|(drill, steps)| Rehearsal { drill, steps });
    let rest = (
        number(),
        number(),
        number(),
        proptest::option::of(rehearsal),
    );
    (
        ".{0,12}",
        flags,
        slots,
        (text(), text()),
        any::<u32>(),
        rest,
    )
        .prop_map(
            |(role, flags, slots, (version, declines), priority, rest)| Member {
                role,
                ready: flags.0,
                healthy: flags.3,
                slots_behind: slots.0,
                record_slot: slots.1,
                record_kind: slots.2,
                asks: flags.1,
                relieves: flags.2,
                at_once: flags.2,
                restarts: u64::from(priority),
                unready: None,
                validator_since_unix_ms: rest.0,
                version,
                declines,
                priority,
                active_term: rest.1,
                drill: rest.2,
                rehearsal: rest.3.map(Box::new),
                paused_until_unix_ms: rest.1,
            },
        )
}

const KINDS: [Option<RecordKind>; 3] =
    [None, Some(RecordKind::Tower), Some(RecordKind::VoteHistory)];

fn record() -> impl Strategy<Value = StoredRecord> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..3_000);
    (any::<u64>(), any::<u64>(), any::<bool>(), bytes).prop_map(|(term, seq, tower, bytes)| {
        StoredRecord {
            mark: RecordMark {
                term: Term(term),
                seq,
                slot: seq,
                kind: if tower {
                    RecordKind::Tower
                } else {
                    RecordKind::VoteHistory
                },
            },
            identity: [7; 32],
            bytes,
        }
    })
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        (any::<u32>(), ".{0,20}", proptest::option::of(place())).prop_map(
            |(version, node, record)| Message::Hello(Hello {
                version,
                node,
                identity: "Staked111".into(),
                record
            })
        ),
        (claim(), member(), any::<[bool; 3]>()).prop_map(
            |(claim, member, [hands_over, asks, answers])| {
                Message::State(State {
                    claim,
                    member,
                    hands_over,
                    asks,
                    answers,
                })
            }
        ),
        record().prop_map(Message::Record),
        record().prop_map(Message::Commit),
        place().prop_map(Message::Kept),
        claim().prop_map(Message::Fenced),
        (any::<u64>(), proptest::option::of(place()))
            .prop_map(|(term, record)| Message::Ask(Asked { term, record })),
        any::<u64>().prop_map(|term| Message::Promised(Answered { term })),
        (any::<u64>(), ".{0,40}", claim())
            .prop_map(|(term, why, claim)| Message::Refused(Refused { term, why, claim })),
    ]
}

proptest! {
    #[test]
    fn messages_come_back_as_they_were_however_they_are_cut(
        messages in proptest::collection::vec(message(), 1..5),
        piece in 1..400usize,
    ) {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.write(&mut bytes));
        let mut incoming = Incoming::from_stranger();
        incoming.is_known();
        let mut back = Vec::new();
        for piece in bytes.chunks(piece) {
            incoming.take(piece);
            while let Some(message) = incoming.next().expect("a message") {
                back.push(message);
            }
        }
        prop_assert_eq!(back, messages);
    }

    #[test]
    fn whatever_is_understood_of_any_bytes_is_understood_again(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let understood = read_and_write(&bytes, true);
        prop_assert_eq!(read_and_write(&understood.concat(), true), understood);
    }

    #[test]
    fn a_record_that_was_changed_on_the_way_is_refused(record in record(), at: prop::sample::Index, bit in 0..8u8) {
        let mut bytes = Vec::new();
        Message::Commit(record).write(&mut bytes);
        let at = HEAD + 1 + at.index(bytes.len() - HEAD - 1);
        bytes[at] ^= 1 << bit;
        prop_assert!(Message::read(&bytes[HEAD..]).is_err());
    }
}

/// A holder that was passed over meets the next one again, whose record is of a higher term (simulation, seed p17).
#[test]
fn a_record_of_another_term_is_no_answer_to_a_commit() {
    let place = |term, seq| Place { term, seq };
    assert!(place(17, 101).covers(place(17, 101)) && place(17, 102).covers(place(17, 101)));
    for other in [
        place(17, 100),
        place(16, 200),
        place(26, 74),
        place(26, 200),
    ] {
        assert!(!other.covers(place(17, 101)), "{other:?}");
    }
}

#[test]
fn a_stranger_may_send_no_record_and_nobody_a_message_without_end() {
    let head = |len: u32, kind: u8| [&len.to_be_bytes()[..], &[kind]].concat();
    for (bytes, known) in [
        (head(RECORD_MAX as u32, 4), false),
        (head(WORDS_MAX as u32 + 1, 2), true),
        (head(RECORD_MAX as u32 + 1, 4), true),
        (head(u32::MAX, 1), true),
    ] {
        let mut incoming = Incoming::from_stranger();
        if known {
            incoming.is_known();
        }
        incoming.take(&bytes);
        let refused = incoming.next();
        assert!(
            matches!(refused, Err(MessageError::TooLong { .. })),
            "{bytes:?}: {refused:?}"
        );
    }
}
