//! Keypair files as the Solana tools write them: a JSON array of 64 bytes, secret then public key.

use ed25519_dalek::{SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use std::io;
use std::path::Path;

/// A keypair that follows from `seed`, so that a test is the same every time.
#[must_use]
pub fn from_seed(seed: &str) -> SigningKey {
    SigningKey::from_bytes(&Sha256::digest(seed.as_bytes()).into())
}

/// The public key, base-58.
#[must_use]
pub fn address(key: &SigningKey) -> String {
    bs58::encode(key.verifying_key().as_bytes()).into_string()
}

/// An address that nobody has the key of, such as that of a vote account.
#[must_use]
pub fn address_from_seed(seed: &str) -> String {
    bs58::encode(Sha256::digest(seed.as_bytes())).into_string()
}

/// Writes the keypair file of `key`, readable by its owner only.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, key: &SigningKey) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let text = serde_json::to_string(&key.to_keypair_bytes().as_slice())?;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())
}

/// Reads a keypair file.
///
/// # Errors
/// The file cannot be read, or is not a keypair; the text says which.
pub fn read(path: &Path) -> Result<SigningKey, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let bytes: Vec<u8> = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    from_bytes(&bytes)
}

/// The first bytes of the secret in a keypair file, in every shape that a program may print them in, each with a name for it.
///
/// # Panics
/// It is no keypair file.
#[must_use]
pub fn shapes_of_secret(path: &Path) -> Vec<(String, String)> {
    let key = read(path).expect("a keypair").to_keypair_bytes();
    let (seed, start) = (&key[..32], &key[..8]);
    let joined = |separator: &str, word: fn(&u8) -> String| {
        let words: Vec<String> = start.iter().map(word).collect();
        words.join(separator)
    };
    // The last digits depend on what follows.
    let base58 = |bytes: &[u8]| bs58::encode(bytes).into_string()[..16].to_owned();
    let hex = |byte: &u8| format!("{byte:02x}");
    let shapes = [
        ("a list", joined(",", u8::to_string)),
        ("a spaced list", joined(", ", u8::to_string)),
        ("hex", joined("", hex)),
        ("a list in hex", joined(", 0x", hex)),
        ("base58 of the key", base58(&key)),
        ("base58 of the seed", base58(seed)),
        (
            "the bytes themselves",
            String::from_utf8_lossy(start).into_owned(),
        ),
    ];
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let named = shapes.map(|(what, text)| (format!("{name} as {what}"), text));
    named.to_vec()
}

/// # Errors
/// Not 64 bytes, or the halves do not belong together.
pub fn from_bytes(bytes: &[u8]) -> Result<SigningKey, String> {
    let bytes: &[u8; 64] = bytes
        .try_into()
        .map_err(|_| format!("{} bytes where a keypair has 64", bytes.len()))?;
    SigningKey::from_keypair_bytes(bytes).map_err(|error| error.to_string())
}

/// # Errors
/// Not base-58, or not 32 bytes that are a public key.
pub fn public(address: &str) -> Result<VerifyingKey, String> {
    let bytes = bs58::decode(address)
        .into_vec()
        .map_err(|error| error.to_string())?;
    VerifyingKey::try_from(bytes.as_slice()).map_err(|error| error.to_string())
}
