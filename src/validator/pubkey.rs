//! A public key as the validator names it: 32 bytes, written in base58.
//!
//! It does not say whether the bytes are a point on the curve; checking a signature does.

use std::fmt;
use std::str::FromStr;

/// 32 bytes take at most this many base58 digits.
const TEXT_LEN_MAX: usize = 44;

/// An ed25519 public key, such as a validator identity or a vote account's address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pubkey([u8; 32]);

/// Why a text is not a public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PubkeyError {
    #[error(
        "a public key has at most {TEXT_LEN_MAX} characters, this text has {len}: give it in base58"
    )]
    TooLong { len: usize },
    #[error(
        "{text:?} is not base58: check it for 0, O, I, l and characters that are not letters or digits"
    )]
    NotBase58 { text: String },
    #[error("{text:?} stands for {len} bytes, a public key has 32: check that it was copied whole")]
    WrongLength { text: String, len: usize },
}

impl Pubkey {
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Pubkey {
    type Err = PubkeyError;

    fn from_str(text: &str) -> Result<Self, PubkeyError> {
        if text.len() > TEXT_LEN_MAX {
            return Err(PubkeyError::TooLong { len: text.len() });
        }
        let mut bytes = [0; TEXT_LEN_MAX];
        let len = bs58::decode(text)
            .onto(&mut bytes)
            .map_err(|_| PubkeyError::NotBase58 {
                text: text.to_owned(),
            })?;
        match bytes[..len].try_into() {
            Ok(key) => Ok(Self(key)),
            Err(_) => Err(PubkeyError::WrongLength {
                text: text.to_owned(),
                len,
            }),
        }
    }
}

impl fmt::Display for Pubkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; TEXT_LEN_MAX];
        let len = bs58::encode(self.0)
            .onto(&mut text[..])
            .map_err(|_| fmt::Error)?;
        f.pad(std::str::from_utf8(&text[..len]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Pubkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_from_what_it_prints() {
        for bytes in [[0; 32], [255; 32], [7; 32]] {
            let key = Pubkey::new(bytes);
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        let system_program = "11111111111111111111111111111111";
        assert_eq!(Pubkey::new([0; 32]).to_string(), system_program);
    }

    #[test]
    fn a_text_that_is_no_key_is_refused_by_what_is_wrong_with_it() {
        let parse = |text: &str| text.parse::<Pubkey>().unwrap_err();
        assert_eq!(parse(&"1".repeat(45)), PubkeyError::TooLong { len: 45 });
        assert_eq!(
            parse("abc0"),
            PubkeyError::NotBase58 {
                text: "abc0".into()
            }
        );
        assert_eq!(
            parse("11"),
            PubkeyError::WrongLength {
                text: "11".into(),
                len: 2
            }
        );
        assert_eq!(
            parse(""),
            PubkeyError::WrongLength {
                text: String::new(),
                len: 0
            }
        );
        assert!(matches!(
            parse(&"z".repeat(44)),
            PubkeyError::WrongLength { len: 33, .. }
        ));
    }
}
