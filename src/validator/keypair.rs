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

    /// The keypair as the admin RPC takes it: a JSON array of 64 numbers, wiped when dropped. Do not copy it
    /// into memory that is not.
    #[must_use]
    pub fn json_array(&self) -> Zeroizing<String> {
        // Never grows, so no copy is left behind.
        let mut text = Zeroizing::new(String::with_capacity(2 + 4 * KEYPAIR_BYTES));
        let mut separator = '[';
        for byte in self.bytes.iter() {
            text.push(separator);
            push_number(&mut text, *byte);
            separator = ',';
        }
        text.push(']');
        text
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

fn push_number(text: &mut String, byte: u8) {
    let digit = |value: u8| char::from(b'0' + value % 10);
    if byte >= 100 {
        text.push(digit(byte / 100));
    }
    if byte >= 10 {
        text.push(digit(byte / 10));
    }
    text.push(digit(byte));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that are found again in any output, in decimal or hex.
    const SECRET: [u8; 32] = [199; 32];

    fn bytes() -> Vec<u8> {
        let public = SigningKey::from_bytes(&SECRET).verifying_key().to_bytes();
        [SECRET, public].concat()
    }

    fn json(bytes: &[u8]) -> String {
        format!("{bytes:?}")
    }

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn put(&self, name: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    fn refused(text: &str) -> KeypairError {
        Keypair::read(&Dir::new().put("id.json", text, 0o600)).unwrap_err()
    }

    #[test]
    fn a_keypair_is_read_and_given_on_as_it_was() {
        let dir = Dir::new();
        let path = dir.put("id.json", &format!(" {}\n", json(&bytes())), 0o600);
        let (keypair, warnings) = Keypair::read(&path).unwrap();
        assert_eq!(warnings, []);
        assert_eq!(keypair.pubkey().as_bytes(), &bytes()[32..]);
        let given: Vec<u8> = serde_json::from_str(&keypair.json_array()).unwrap();
        assert_eq!(given, bytes());
    }

    #[test]
    fn numbers_of_every_length_are_written_as_they_are() {
        let mut text = String::new();
        for byte in [0, 9, 10, 99, 100, 105, 255] {
            push_number(&mut text, byte);
            text.push(' ');
        }
        assert_eq!(text, "0 9 10 99 100 105 255 ");
    }

    #[test]
    fn modes_that_let_others_in_are_refused_and_a_reading_group_is_warned_of() {
        let dir = Dir::new();
        for (mode, expected) in [
            (0o600, ""),
            (0o400, ""),
            (0o640, "its group can read it: run `chmod 600"),
            (0o440, "its group can read it: run `chmod 600"),
            (
                0o644,
                "every user of this machine can read it: run `chmod 600",
            ),
            (
                0o602,
                "every user of this machine can replace it: run `chmod 600",
            ),
            (0o660, "its group can replace it: run `chmod 600"),
        ] {
            let path = dir.put(&format!("{mode:o}"), &json(&bytes()), mode);
            let said = match Keypair::read(&path) {
                Ok((_, warnings)) => warnings.iter().map(ToString::to_string).collect(),
                Err(error @ KeypairError::Exposed { .. }) => format!("refused: {error}"),
                Err(error) => panic!("{error}"),
            };
            assert!(said.contains(expected), "{mode:o}: {said}");
            assert_eq!(said.is_empty(), expected.is_empty(), "{mode:o}: {said}");
            let refused = mode & 0o027 != 0;
            assert_eq!(said.starts_with("refused: "), refused, "{mode:o}: {said}");
        }
    }

    #[test]
    fn a_key_of_another_user_is_refused_unless_root_looks_at_it() {
        let check = |owner, own| check_owner(Path::new("/k"), owner, own);
        assert!(matches!(check(0, 1000), Ok(None)));
        assert!(matches!(check(1000, 1000), Ok(None)));
        assert!(matches!(
            check(1000, 0),
            Ok(Some(Warning::ForeignOwner { owner: 1000, .. }))
        ));
        let error = check(1001, 1000).unwrap_err().to_string();
        assert!(
            error.contains("uid 1001") && error.contains("chown 1000 /k"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_keypair_is_refused_by_what_is_wrong_with_it() {
        let whole = json(&bytes());
        let not_a_keypair = |text: &str| match refused(text) {
            KeypairError::NotAKeypair { at, .. } => at,
            other => panic!("{text}: {other}"),
        };
        assert_eq!(not_a_keypair(""), 1);
        assert_eq!(not_a_keypair("{}"), 1);
        assert_eq!(not_a_keypair("[]"), 2);
        assert_eq!(not_a_keypair("[1,]"), 4);
        assert_eq!(not_a_keypair("[1 2]"), 4);
        assert_eq!(not_a_keypair("[256]"), 2);
        assert_eq!(not_a_keypair("[99999999999999999999]"), 2);
        assert_eq!(not_a_keypair("[-1]"), 2);
        assert_eq!(not_a_keypair("[01]"), 2);
        assert_eq!(not_a_keypair("[1.0]"), 3);
        assert_eq!(not_a_keypair("[\"1\"]"), 2);
        assert_eq!(not_a_keypair(&whole[..whole.len() - 1]), whole.len());
        assert_eq!(not_a_keypair(&format!("{whole}x")), whole.len() + 1);
        for count in [1, 32, 63, 65, 200] {
            let numbers = json(&vec![1; count]);
            assert!(
                matches!(refused(&numbers), KeypairError::WrongLength { count: c, .. } if c == count)
            );
        }
        assert!(matches!(
            refused(&" ".repeat(FILE_BYTES_MAX + 1)),
            KeypairError::TooLong { .. }
        ));
        assert!(matches!(
            refused(&" ".repeat(FILE_BYTES_MAX)),
            KeypairError::NotAKeypair { .. }
        ));
    }

    #[test]
    fn a_public_half_of_another_key_is_refused() {
        let mut bytes = bytes();
        bytes[63] ^= 1;
        assert!(matches!(
            refused(&json(&bytes)),
            KeypairError::HalvesDiffer { .. }
        ));
    }

    #[test]
    fn what_is_missing_or_no_file_is_refused_without_waiting() {
        let dir = Dir::new();
        let missing = Keypair::read(&dir.0.path().join("none.json"))
            .unwrap_err()
            .to_string();
        assert!(missing.contains("none.json: No such file"), "{missing}");
        assert!(matches!(
            Keypair::read(dir.0.path()),
            Err(KeypairError::NotAFile { .. })
        ));
        let pipe = dir.0.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(matches!(
            Keypair::read(&pipe),
            Err(KeypairError::NotAFile { .. })
        ));
    }

    #[test]
    fn one_keypair_as_both_identities_is_refused_even_from_two_files() {
        let dir = Dir::new();
        let read = |name: &str| {
            Keypair::read(&dir.put(name, &json(&bytes()), 0o600))
                .unwrap()
                .0
        };
        let error = check_distinct(&read("a"), &read("b"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/a and ") && error.contains("/b are both the keypair of "),
            "{error}"
        );
    }

    #[test]
    fn no_output_contains_a_byte_of_the_secret() {
        let dir = Dir::new();
        let mut differing = bytes();
        differing[63] ^= 1;
        let whole = json(&bytes());
        let texts = [
            whole.clone(),
            json(&differing),
            whole.replace("199,", "199;"),
            format!("{whole}199"),
            json(&SECRET),
        ];
        let mut outputs = Vec::new();
        for text in texts {
            match Keypair::read(&dir.put("k", &text, 0o640)) {
                Ok((keypair, warnings)) => outputs.push(format!("{keypair:?} {warnings:?}")),
                Err(error) => outputs.push(format!("{error} {error:?}")),
            }
        }
        assert!(outputs[0].contains("pubkey"), "{outputs:?}");
        for output in outputs {
            let output = output.replace(&dir.0.path().display().to_string(), "");
            assert!(
                !output.contains("199") && !output.to_lowercase().contains("c7c7"),
                "{output}"
            );
        }
    }
}
