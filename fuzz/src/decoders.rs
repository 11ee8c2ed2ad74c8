//! Every decoder of bytes that come from outside, each behind one function that must not panic and
//! must not make room for more than its input. Shared by the fuzz targets and by the run of their
//! corpus in the tests.
//!
//! A signature stops a fuzzer at the door, so all but `record_file` sign what they are given.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use testkit::encode;
use validator_supervisor::authority::etcd::read_and_write_form;
use validator_supervisor::authority::peer::{message, name_in_certificate, read_and_write_ballot};
use validator_supervisor::authority::stored;
use validator_supervisor::config::Loaded;
use validator_supervisor::ctl::wire;
use validator_supervisor::engine::values::RecordKind;
use validator_supervisor::pki::serials_in_list;
use validator_supervisor::validator::pubkey::Pubkey;
use validator_supervisor::validator::record::{VoteRecord, may_follow, parse};

/// A decoder under its name, which is also that of its target and its corpus.
pub type Decoder = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: [Decoder; 13] = [
    ("record_file", record_file),
    ("tower_data", tower_data),
    ("history_data", history_data),
    ("tower_order", tower_order),
    ("history_order", history_order),
    ("pubkey", pubkey),
    ("peer_messages", peer_messages),
    ("certificates", certificates),
    ("revocation_lists", revocation_lists),
    ("kept_words", kept_words),
    ("stored_forms", stored_forms),
    ("ctl_lines", ctl_lines),
    ("config_file", config_file),
];

/// The identity whose records the corpora hold.
fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn read(kind: RecordKind, bytes: &[u8]) -> Option<VoteRecord> {
    let record = parse(kind, bytes, &Pubkey::new(key().verifying_key().to_bytes())).ok()?;
    assert_eq!(
        may_follow(&record, &record),
        Ok(()),
        "a record may always be stored again"
    );
    assert!(
        record.votes() <= bytes.len() / 11,
        "a vote takes 11 bytes at least"
    );
    Some(record)
}

/// What another node shows, before anything is known of it.
pub fn certificates(bytes: &[u8]) {
    let name = name_in_certificate(bytes);
    assert!(name.is_none_or(|name| name.len() <= bytes.len()));
}

/// Whom a list revokes.
pub fn revocation_lists(bytes: &[u8]) {
    let serials = serials_in_list(bytes).unwrap_or_default();
    let len: usize = serials.iter().map(Vec::len).sum();
    assert!(len <= bytes.len());
}

/// A whole file, of either kind.
pub fn record_file(bytes: &[u8]) {
    let tower = read(RecordKind::Tower, bytes);
    let history = read(RecordKind::VoteHistory, bytes);
    assert!(
        tower.is_none() || history.is_none(),
        "a file is of one kind"
    );
}

/// What follows the identity in a tower.
pub fn tower_data(bytes: &[u8]) {
    signed(RecordKind::Tower, encode::TOWER_TAG, bytes);
}

/// What follows the identity in a vote history.
pub fn history_data(bytes: &[u8]) {
    signed(RecordKind::VoteHistory, encode::VOTE_HISTORY_TAG, bytes);
}

fn signed(kind: RecordKind, tag: u32, bytes: &[u8]) {
    let key = key();
    let data = [key.verifying_key().as_bytes(), bytes].concat();
    read(kind, &encode::frame(&key, tag, &data));
}

/// Two towers: a byte for the number of votes, a root, the votes; the rest is the second one.
pub fn tower_order(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let [a, b] = std::array::from_fn(|_| {
        let count = bytes.u8() % 33;
        let root = (bytes.u8() > 0).then(|| bytes.u64());
        let votes: Vec<(u64, u32)> = (0..count)
            .map(|_| (bytes.u64(), u32::from(bytes.u8())))
            .collect();
        read(RecordKind::Tower, &encode::tower(&key(), &votes, root))
    });
    let (Some(a), Some(b)) = (a, b) else { return };
    let both_ways = may_follow(&a, &b).is_ok() && may_follow(&b, &a).is_ok();
    assert!(!both_ways || a.sha256 == b.sha256, "towers are ordered");
}

/// Two histories: a byte for the number of votes, a root, the votes; the rest is the second one.
pub fn history_order(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let [a, b] = std::array::from_fn(|_| {
        let count = bytes.u8() % 64;
        let root = bytes.u64();
        let mut votes_cast = BTreeMap::<u64, Vec<encode::CastVote>>::new();
        for _ in 0..count {
            let slot = root.saturating_add(u64::from(bytes.u8()));
            let tag = 1 + bytes.u8() % 6;
            let block_id = matches!(tag, 1 | 4 | 6).then_some([tag; 32]);
            votes_cast
                .entry(slot)
                .or_default()
                .push(encode::CastVote { tag, block_id });
        }
        read(
            RecordKind::VoteHistory,
            &encode::vote_history(&key(), &votes_cast, root),
        )
    });
    let (a, b) = (a.expect("encoded"), b.expect("encoded"));
    if may_follow(&a, &b).is_ok() {
        assert!(a.last_slot >= b.last_slot, "the last slot never falls");
    }
}

/// A public key in base58.
pub fn pubkey(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(key) = text.parse::<Pubkey>() else {
        return;
    };
    assert_eq!(key.to_string(), text, "a key has one spelling");
}

/// Numbers out of the input, and zeros behind its end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let (taken, rest) = self.0.split_at(N.min(self.0.len()));
        array[..taken.len()].copy_from_slice(taken);
        self.0 = rest;
        array
    }

    fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }
}

/// What another node sends over the link: what is understood of it means the same when it is sent on.
pub fn peer_messages(bytes: &[u8]) {
    let [once, from_stranger] = [true, false].map(|known| message::read_and_write(bytes, known));
    let again = message::read_and_write(&once.concat(), true);
    assert_eq!(again, once);
    assert!(
        once.starts_with(&from_stranger),
        "a stranger is understood no better"
    );
}

/// What a node keeps of its own promises, and what stands under the keys of etcd, as they are and with the frame and the checksum
/// made right.
pub fn kept_words(bytes: &[u8]) {
    let framed = [b"VSBALLOT", b"VSHOLDER", b"VSMEMBER"].map(|magic| stored::frame(magic, bytes));
    for form in framed.into_iter().chain([bytes.to_vec()]) {
        for read in [read_and_write_ballot, read_and_write_form] {
            let once = read(&form);
            let again = once.as_deref().and_then(read);
            assert_eq!(again, once, "what is written is what was read");
        }
    }
}

/// What an authority keeps, as it is and with the frame and the checksum made right: what is read is what was written.
pub fn stored_forms(bytes: &[u8]) {
    let framed = |magic| stored::frame(magic, bytes);
    for form in [
        bytes.to_vec(),
        framed(stored::RECORD_MAGIC),
        framed(stored::HOLDING_MAGIC),
    ] {
        if let Ok(record) = stored::read_record(&form) {
            let again = stored::record_form(record.mark, &record.identity, &record.bytes);
            assert_eq!(again, form, "a record has one form");
        }
        if let Ok(holding) = stored::read_holding(&form) {
            let again = stored::holding_form(&holding);
            assert_eq!(again, form, "a holding has one form");
        }
    }
}

/// A line from an operator's side of the control socket, and one from the supervisor's.
pub fn ctl_lines(bytes: &[u8]) {
    if let Ok(request) = wire::parse_request(bytes) {
        let again = wire::parse_request(wire::request_line(&request).as_bytes());
        assert_eq!(again.ok(), Some(request));
    }
    if let Ok(reply) = wire::parse_reply(bytes) {
        let again = wire::parse_reply(wire::reply_line(&reply).as_bytes());
        assert_eq!(again.ok(), Some(reply));
    }
}

/// A configuration: its effective form means the same.
pub fn config_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(loaded) = Loaded::parse(text, "host") else {
        return;
    };
    let effective = loaded.effective();
    let again = Loaded::parse(&effective, "host");
    let again = again.unwrap_or_else(|problems| panic!("{problems}\n{effective}"));
    if !effective.contains("***") {
        assert_eq!(again.config, loaded.config, "{effective}");
    }
}
