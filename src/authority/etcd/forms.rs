//! What stands under the keys besides the record: who holds the term, and what a member says of itself.
//!
//! In the frame of every stored form, with JSON inside, so that a person with etcdctl can read it.

use serde::{Deserialize, Serialize};

use crate::authority::news::Member;
use crate::authority::stored::{self, FormError};

const HOLDER_MAGIC: &[u8; 8] = b"VSHOLDER";
const MEMBER_MAGIC: &[u8; 8] = b"VSMEMBER";

/// The value of `holder`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    pub(super) node: String,
    /// Tells the requests of one supervisor apart: an answer that got lost is found again by it. 0 when passed.
    pub(super) attempt: u64,
    /// The node that passed the term on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
}

impl Holder {
    pub(super) fn form(&self) -> Vec<u8> {
        write(HOLDER_MAGIC, self)
    }

    pub(super) fn read(form: &[u8]) -> Result<Self, FormError> {
        read(form, HOLDER_MAGIC)
    }
}

impl Member {
    pub(super) fn form(&self) -> Vec<u8> {
        write(MEMBER_MAGIC, self)
    }

    pub(super) fn read(form: &[u8]) -> Result<Self, FormError> {
        read(form, MEMBER_MAGIC)
    }
}

fn write(magic: &[u8; 8], value: &impl Serialize) -> Vec<u8> {
    // Plain fields always become JSON; were they not, the empty payload would be refused when it is read.
    let json = serde_json::to_vec(value).unwrap_or_default();
    stored::frame(magic, &json)
}

fn read<T: for<'a> Deserialize<'a>>(form: &[u8], magic: &[u8; 8]) -> Result<T, FormError> {
    serde_json::from_slice(stored::open(form, magic)?).map_err(|_| FormError::Fields)
}

/// As the fuzzer calls it: what is understood of a value, written again.
#[doc(hidden)]
#[must_use]
pub fn read_and_write_form(form: &[u8]) -> Option<Vec<u8>> {
    let holder = Holder::read(form).map(|holder| holder.form());
    holder
        .or_else(|_| Member::read(form).map(|member| member.form()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::RecordKind;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_holder_comes_back_as_it_was(node: String, attempt: u64, from: Option<String>) {
            let holder = Holder { node, attempt, from };
            prop_assert_eq!(Holder::read(&holder.form()), Ok(holder.clone()));
            prop_assert_eq!(Member::read(&holder.form()), Err(FormError::Magic));
        }

        #[test]
        fn a_damaged_holder_is_refused(node: String, at: prop::sample::Index, bit in 0..8u8) {
            let mut form = Holder { node, attempt: 1, from: None }.form();
            let at = at.index(form.len());
            form[at] ^= 1 << bit;
            prop_assert!(Holder::read(&form).is_err());
        }
    }

    #[test]
    fn a_member_of_a_newer_program_with_more_to_say_is_understood() {
        let json = br#"{"role":"standby","ready":true,"record_kind":"scroll","colour":"blue"}"#;
        let member = Member::read(&stored::frame(MEMBER_MAGIC, json));
        let expected = Member {
            role: "standby".into(),
            ready: true,
            ..Member::default()
        };
        assert_eq!(member, Ok(expected));
    }

    #[test]
    fn a_member_says_of_which_kind_its_record_is() {
        for kind in RecordKind::ALL.map(Some).into_iter().chain([None]) {
            let member = Member {
                record_kind: kind,
                ..Member::default()
            };
            assert_eq!(Member::read(&member.form()), Ok(member));
        }
    }
}
