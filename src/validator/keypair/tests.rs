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
    assert_eq!(keypair.secret_bytes()[..], bytes()[..]);
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
