//! Reads a keypair file once, into memory that is wiped when it is dropped.
//!
//! The file is a JSON array of 64 numbers: 32 secret bytes, then the 32 bytes of the public key. No error, warning or
//! debug output of this module contains any of them. It does not keep them out of a core file; the process does.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use super::pubkey::Pubkey;

/// Secret and public half.
const KEYPAIR_BYTES: usize = 64;
const SECRET_BYTES: usize = 32;

/// 64 numbers of three digits with their commas are 257 bytes; the rest is room for line breaks and indents.
const FILE_BYTES_MAX: usize = 2048;

/// A keypair whose public half belongs to its secret half.
pub struct Keypair {
    path: PathBuf,
    pubkey: Pubkey,
    bytes: Box<Zeroizing<[u8; KEYPAIR_BYTES]>>,
}

/// Why a keypair file is not used.
#[derive(Debug, thiserror::Error)]
pub enum KeypairError {
    #[error(
        "cannot read the keypair {path}: {source}; check the path, and that our user may read it"
    )]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the keypair {path} is not a regular file: give the path of the keypair file itself")]
    NotAFile { path: PathBuf },
    #[error(
        "the keypair {path} has mode {mode:04o}, so {who}: run `chmod 600 {path}`, and replace the key if others could reach it"
    )]
    Exposed {
        path: PathBuf,
        mode: u32,
        who: &'static str,
    },
    #[error(
        "the keypair {path} belongs to uid {owner}, who can replace it; expected uid {own} (ours) or root: run `chown {own} {path}`"
    )]
    Owner { path: PathBuf, owner: u32, own: u32 },
    #[error("the keypair {path} is longer than {FILE_BYTES_MAX} bytes: it is not a keypair file")]
    TooLong { path: PathBuf },
    #[error(
        "the keypair {path} is not a JSON array of {KEYPAIR_BYTES} numbers from 0 to 255 (byte {at} of the file does not fit): restore it from a backup"
    )]
    NotAKeypair { path: PathBuf, at: usize },
    #[error(
        "the keypair {path} has {count} numbers, a keypair has {KEYPAIR_BYTES}: restore it from a backup"
    )]
    WrongLength { path: PathBuf, count: usize },
    #[error(
        "the keypair {path} does not fit together: its public half is not the public key of its secret half; restore it from a backup"
    )]
    HalvesDiffer { path: PathBuf },
    #[error(
        "{staked} and {unstaked} are both the keypair of {pubkey}: make this node a spare of its own with `solana-keygen new -o {unstaked}`"
    )]
    Same {
        staked: PathBuf,
        unstaked: PathBuf,
        pubkey: Pubkey,
    },
}

/// What should be changed about a keypair file that is used all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error(
        "the keypair {path} has mode {mode:04o}, so its group can read it: run `chmod 600 {path}` unless that is meant"
    )]
    GroupReadable { path: PathBuf, mode: u32 },
    #[error(
        "the keypair {path} belongs to uid {owner}, who can replace it, and we run as root: run the supervisor as that user"
    )]
    ForeignOwner { path: PathBuf, owner: u32 },
}

impl Keypair {
    /// Reads and checks a keypair file. Refuses one that its group can write, that everybody can read or write, or
    /// that belongs to neither us nor root.
    pub fn read(path: &Path) -> Result<(Self, Vec<Warning>), KeypairError> {
        let (file, metadata) = open(path)?;
        let own = nix::unistd::geteuid().as_raw();
        let mut warnings = check_mode(path, metadata.permissions().mode())?;
        warnings.extend(check_owner(path, metadata.uid(), own)?);
        let text = read_bounded(path, file)?;
        Ok((Self::parse(path, &text)?, warnings))
    }

    fn parse(path: &Path, text: &[u8]) -> Result<Self, KeypairError> {
        let mut bytes = Box::new(Zeroizing::new([0; KEYPAIR_BYTES]));
        parse_array(text, &mut bytes).map_err(|error| error.of(path))?;
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        secret.copy_from_slice(&bytes[..SECRET_BYTES]);
        let public = SigningKey::from_bytes(&secret).verifying_key().to_bytes();
        if public != bytes[SECRET_BYTES..] {
            return Err(KeypairError::HalvesDiffer {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            pubkey: Pubkey::new(public),
            bytes,
        })
    }

    #[must_use]
    pub fn pubkey(&self) -> Pubkey {
        self.pubkey
    }

    /// Secret and public half, for the admin RPC alone. Do not copy them into memory that is not wiped.
    #[must_use]
    pub fn secret_bytes(&self) -> &[u8; KEYPAIR_BYTES] {
        &self.bytes
    }

    /// The file it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Names the key and its file, never the secret.
impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keypair")
            .field("path", &self.path)
            .field("pubkey", &self.pubkey)
            .finish_non_exhaustive()
    }
}

/// Refuses a spare that is the staked identity: demoting to it would change nothing.
pub fn check_distinct(staked: &Keypair, unstaked: &Keypair) -> Result<(), KeypairError> {
    if staked.pubkey != unstaked.pubkey {
        return Ok(());
    }
    Err(KeypairError::Same {
        staked: staked.path.clone(),
        unstaked: unstaked.path.clone(),
        pubkey: staked.pubkey,
    })
}

/// What is checked is the open file: a name could be given to another file between check and use.
fn open(path: &Path) -> Result<(File, Metadata), KeypairError> {
    let read = |source| KeypairError::Read {
        path: path.to_owned(),
        source,
    };
    // Opening a pipe would wait for its writer.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).map_err(read)?;
    let metadata = file.metadata().map_err(read)?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(KeypairError::NotAFile {
            path: path.to_owned(),
        })
    }
}

fn check_mode(path: &Path, mode: u32) -> Result<Vec<Warning>, KeypairError> {
    let (path, mode) = (path.to_owned(), mode & 0o7777);
    let who = match mode {
        _ if mode & 0o002 != 0 => "every user of this machine can replace it",
        _ if mode & 0o004 != 0 => "every user of this machine can read it",
        _ if mode & 0o020 != 0 => "its group can replace it",
        _ if mode & 0o040 != 0 => return Ok(vec![Warning::GroupReadable { path, mode }]),
        _ => return Ok(Vec::new()),
    };
    Err(KeypairError::Exposed { path, mode, who })
}

/// Root often checks, by hand, what another user runs: for root a foreign owner is worth a warning only.
fn check_owner(path: &Path, owner: u32, own: u32) -> Result<Option<Warning>, KeypairError> {
    let path = path.to_owned();
    match owner {
        0 => Ok(None),
        _ if owner == own => Ok(None),
        _ if own == 0 => Ok(Some(Warning::ForeignOwner { path, owner })),
        _ => Err(KeypairError::Owner { path, owner, own }),
    }
}

fn read_bounded(path: &Path, file: File) -> Result<Zeroizing<Vec<u8>>, KeypairError> {
    // Filled in place: a buffer that grows leaves copies behind.
    let mut buffer = Zeroizing::new(vec![0; FILE_BYTES_MAX + 1]);
    let mut file = file;
    let mut len = 0;
    while len < buffer.len() {
        match file.read(&mut buffer[len..]) {
            Ok(0) => {
                buffer.truncate(len);
                return Ok(buffer);
            }
            Ok(read) => len += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(KeypairError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        }
    }
    Err(KeypairError::TooLong {
        path: path.to_owned(),
    })
}

/// Where parsing ended, without what stands there.
enum ArrayError {
    /// Offset in bytes, counted from 0.
    At(usize),
    Count(usize),
}

impl ArrayError {
    fn of(self, path: &Path) -> KeypairError {
        let path = path.to_owned();
        match self {
            Self::At(offset) => KeypairError::NotAKeypair {
                path,
                at: offset + 1,
            },
            Self::Count(count) => KeypairError::WrongLength { path, count },
        }
    }
}

/// Written here because a general JSON reader puts what it read into its errors and into memory that is not wiped.
fn parse_array(text: &[u8], into: &mut [u8; KEYPAIR_BYTES]) -> Result<(), ArrayError> {
    let mut at = expect(text, 0, b'[')?;
    let mut count = 0;
    loop {
        let (number, end) = number(text, skip_blank(text, at))?;
        if let Some(slot) = into.get_mut(count) {
            *slot = number;
        }
        count += 1;
        let separator = skip_blank(text, end);
        at = separator + 1;
        match text.get(separator) {
            Some(b',') => {}
            Some(b']') => break,
            _ => return Err(ArrayError::At(separator)),
        }
    }
    let end = skip_blank(text, at);
    if end != text.len() {
        return Err(ArrayError::At(end));
    }
    if count != KEYPAIR_BYTES {
        return Err(ArrayError::Count(count));
    }
    Ok(())
}

fn expect(text: &[u8], at: usize, byte: u8) -> Result<usize, ArrayError> {
    let at = skip_blank(text, at);
    if text.get(at) == Some(&byte) {
        Ok(at + 1)
    } else {
        Err(ArrayError::At(at))
    }
}

fn skip_blank(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

/// A number from 0 to 255 as JSON writes it, without leading zeros, and where it ends.
fn number(text: &[u8], start: usize) -> Result<(u8, usize), ArrayError> {
    let mut value: u16 = 0;
    let mut end = start;
    while let Some(digit) = text.get(end).filter(|byte| byte.is_ascii_digit()) {
        value = value * 10 + u16::from(digit - b'0');
        end += 1;
        if value > u16::from(u8::MAX) {
            return Err(ArrayError::At(start));
        }
    }
    let leading_zero = end - start > 1 && text[start] == b'0';
    match u8::try_from(value) {
        Ok(value) if end > start && !leading_zero => Ok((value, end)),
        _ => Err(ArrayError::At(start)),
    }
}

#[cfg(test)]
mod tests;
