//! The transactions of the protocol, and what their answers say. Nothing here talks to anybody.
//!
//! Every one compares before it writes, so that one that arrives late, or twice, changes nothing that it should not. The
//! failing branch reads what the comparison was about, in the same transaction.

use etcd_client::{
    Compare, CompareOp, GetOptions, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse,
};

use super::forms::Holder;
use super::keys::Keys;
use crate::authority::stored::{self, FormError, StoredRecord};

/// `holder` as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HolderKey {
    /// The term.
    pub(super) revision: i64,
    /// The lease it lives on; 0 for none.
    pub(super) lease: i64,
    pub(super) holder: Holder,
}

/// `record` as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordKey {
    pub(super) revision: i64,
    pub(super) stored: StoredRecord,
}

/// A key whose value is not what it should be. Nobody overwrites it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error(
        "etcd's {key} cannot be used: {error}. Restore it, or, when its loss is certain to be harmless, remove it with `etcdctl del {key}`"
    )]
    Form { key: String, error: FormError },
    #[error("etcd's {key} is a record of another identity, {}: does another program write under authority.etcd.prefix?", bs58::encode(found).into_string())]
    OtherIdentity { key: String, found: [u8; 32] },
    #[error("etcd answered a transaction in a way that makes no sense")]
    Answer,
}

/// Takes a term that nobody has, and reads the record that is final from there on.
pub(super) fn acquire(keys: &Keys, holder: &Holder, lease: i64) -> Txn {
    let free = Compare::create_revision(keys.holder.clone(), CompareOp::Equal, 0);
    take(keys, free, holder, lease)
}

/// Takes a term anew that this node has.
pub(super) fn acquire_anew(keys: &Keys, term: i64, holder: &Holder, lease: i64) -> Txn {
    take(keys, holds(keys, term), holder, lease)
}

fn take(keys: &Keys, when: Compare, holder: &Holder, lease: i64) -> Txn {
    let put = TxnOp::put(
        keys.holder.clone(),
        holder.form(),
        Some(PutOptions::new().with_lease(lease)),
    );
    Txn::new()
        .when([when])
        .and_then([put, TxnOp::get(keys.record.clone(), None)])
        .or_else(reads(keys))
}

/// Makes a record durable under a term, after the record at `last` (0: none).
pub(super) fn commit(keys: &Keys, term: i64, last: i64, form: Vec<u8>) -> Txn {
    let in_order = Compare::mod_revision(keys.record.clone(), CompareOp::Equal, last);
    Txn::new()
        .when([holds(keys, term), in_order])
        .and_then([TxnOp::put(keys.record.clone(), form, None)])
        .or_else(reads(keys))
}

/// Gives a term back.
pub(super) fn release(keys: &Keys, term: i64) -> Txn {
    Txn::new()
        .when([holds(keys, term)])
        .and_then([TxnOp::delete(keys.holder.clone(), None)])
        .or_else(reads(keys))
}

/// Passes a term to a node that is there with this lease.
pub(super) fn pass(keys: &Keys, term: i64, holder: &Holder, lease: i64) -> Txn {
    let member = keys.member(&holder.node);
    let there = Compare::lease(member, CompareOp::Equal, lease);
    let put = TxnOp::put(
        keys.holder.clone(),
        holder.form(),
        Some(PutOptions::new().with_lease(lease)),
    );
    Txn::new()
        .when([holds(keys, term), there])
        .and_then([put])
        .or_else(reads(keys))
}

/// Reads holder and record, by way of the leader.
pub(super) fn read(keys: &Keys) -> Txn {
    Txn::new().and_then(reads(keys))
}

/// Enters a member whose key is free, or is its own.
pub(super) fn enter(keys: &Keys, node: &str, form: Vec<u8>, lease: i64, own: i64) -> Txn {
    let key = keys.member(node);
    let mine = Compare::mod_revision(key.clone(), CompareOp::Equal, own);
    let put = TxnOp::put(key.clone(), form, Some(PutOptions::new().with_lease(lease)));
    Txn::new()
        .when([mine])
        .and_then([put])
        .or_else([TxnOp::get(key, Some(GetOptions::new().with_keys_only()))])
}

fn holds(keys: &Keys, term: i64) -> Compare {
    Compare::mod_revision(keys.holder.clone(), CompareOp::Equal, term)
}

fn reads(keys: &Keys) -> [TxnOp; 2] {
    [
        TxnOp::get(keys.holder.clone(), None),
        TxnOp::get(keys.record.clone(), None),
    ]
}

/// The revision at which a transaction was applied.
pub(super) fn revision(answer: &TxnResponse) -> Result<i64, KeyError> {
    let header = answer.header().ok_or(KeyError::Answer)?;
    Ok(header.revision())
}

/// What the reads of an answer found under a key; `None`: nothing.
pub(super) fn found(answer: &TxnResponse, key: &str) -> Option<KeyValue> {
    answer.op_responses().into_iter().find_map(|op| match op {
        TxnOpResponse::Get(get) => get
            .kvs()
            .iter()
            .find(|kv| kv.key() == key.as_bytes())
            .cloned(),
        _ => None,
    })
}

/// Who holds the term, as an answer shows it.
pub(super) fn holder(answer: &TxnResponse, keys: &Keys) -> Result<Option<HolderKey>, KeyError> {
    found(answer, &keys.holder)
        .map(|kv| holder_of(&kv, keys))
        .transpose()
}

pub(super) fn holder_of(kv: &KeyValue, keys: &Keys) -> Result<HolderKey, KeyError> {
    let holder = Holder::read(kv.value()).map_err(|error| KeyError::Form {
        key: keys.holder.clone(),
        error,
    })?;
    Ok(HolderKey {
        revision: kv.mod_revision(),
        lease: kv.lease(),
        holder,
    })
}

/// The record, as an answer shows it.
pub(super) fn record(
    answer: &TxnResponse,
    keys: &Keys,
    identity: &[u8; 32],
) -> Result<Option<RecordKey>, KeyError> {
    found(answer, &keys.record)
        .map(|kv| record_of(&kv, keys, identity))
        .transpose()
}

pub(super) fn record_of(
    kv: &KeyValue,
    keys: &Keys,
    identity: &[u8; 32],
) -> Result<RecordKey, KeyError> {
    let key = || keys.record.clone();
    let stored =
        stored::read_record(kv.value()).map_err(|error| KeyError::Form { key: key(), error })?;
    if stored.identity != *identity {
        return Err(KeyError::OtherIdentity {
            key: key(),
            found: stored.identity,
        });
    }
    Ok(RecordKey {
        revision: kv.mod_revision(),
        stored,
    })
}
