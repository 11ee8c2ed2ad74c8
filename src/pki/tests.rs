use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

type Tried = Result<(), Box<dyn std::error::Error>>;

fn mode(path: &Path) -> std::io::Result<u32> {
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o777)
}

fn authority() -> Result<tempfile::TempDir, Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    init(dir.path())?;
    Ok(dir)
}

fn hosts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(made: Result<T, PkiError>, words: &[&str]) {
    let text = made.expect_err("it is to be refused").to_string();
    for word in words {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn keys_are_their_owners_alone_and_certificates_anybodys() -> Tried {
    let dir = authority()?;
    let [certificate, key] = add(dir.path(), "fra-1", &hosts(&["10.0.0.1"]), false)?;
    assert_eq!(key, dir.path().join("fra-1-key.pem"));
    for (path, expected) in [
        (dir.path().join("ca.pem"), 0o644),
        (dir.path().join("ca-key.pem"), 0o600),
        (certificate, 0o644),
        (key, 0o600),
    ] {
        assert_eq!(mode(&path)?, expected, "{}", path.display());
    }
    Ok(())
}

#[test]
fn what_is_shown_is_what_was_asked_for() -> Tried {
    let dir = authority()?;
    add(
        dir.path(),
        "fra-1",
        &hosts(&["10.0.0.1", "fe80::1", "fra-1.example.org"]),
        false,
    )?;
    add(dir.path(), "ams-1", &hosts(&["ams"]), false)?;
    let shown = show(dir.path())?;
    let names: Vec<_> = shown.iter().map(|one| one.name.as_str()).collect();
    assert!(names[0].starts_with("validator-supervisor "), "{names:?}");
    assert_eq!(names[1..], ["ams-1", "fra-1"]);
    assert_eq!(shown[2].hosts, ["10.0.0.1", "fe80::1", "fra-1.example.org"]);
    // Ten years, and two.
    assert_eq!((shown[0].days_left, shown[1].days_left), (3_649, 729));
    assert!(shown[0].is_authority && !shown[1].is_authority);
    Ok(())
}

#[test]
fn what_ends_soon_or_has_ended_is_to_be_renewed() -> Tried {
    let dir = authority()?;
    let mut shown = show(dir.path())?.remove(0);
    for (days_left, words) in [
        (30, "in 30 days   "),
        (29, "in 29 days: renew it"),
        (0, "in 0 days: renew it"),
        (-1, ": renew it"),
    ] {
        shown.days_left = days_left;
        let text = shown.to_string();
        assert!(text.contains(words), "{text}");
        assert_eq!(text.contains("ended"), days_left < 0, "{text}");
    }
    Ok(())
}

#[test]
fn nothing_is_written_over() -> Tried {
    let dir = authority()?;
    add(dir.path(), "a", &hosts(&["10.0.0.1"]), false)?;
    let before = std::fs::read(dir.path().join("a-key.pem"))?;
    refused(init(dir.path()), &["ca.pem exists", "another directory"]);
    refused(
        add(dir.path(), "a", &hosts(&["10.0.0.1"]), false),
        &["a.pem exists", "--renew"],
    );
    assert_eq!(std::fs::read(dir.path().join("a-key.pem"))?, before);
    Ok(())
}

#[test]
fn a_renewal_is_another_key_for_the_same_addresses() -> Tried {
    let dir = authority()?;
    let [certificate, key] = add(dir.path(), "a", &hosts(&["10.0.0.1", "a.example"]), false)?;
    let before = (std::fs::read(&key)?, show::hosts_of(&certificate)?);
    add(dir.path(), "a", &[], true)?;
    assert_ne!(std::fs::read(&key)?, before.0);
    assert_eq!(show::hosts_of(&certificate)?, before.1);
    assert_eq!(mode(&key)?, 0o600);
    add(dir.path(), "a", &hosts(&["10.0.0.2"]), true)?;
    assert_eq!(show::hosts_of(&certificate)?, ["10.0.0.2"]);
    Ok(())
}

#[test]
fn a_renewal_that_was_cut_off_shows_and_another_one_heals_it() -> Tried {
    let dir = authority()?;
    let [certificate, _] = add(dir.path(), "a", &hosts(&["10.0.0.1"]), false)?;
    let before = std::fs::read(&certificate)?;
    add(dir.path(), "a", &[], true)?;
    assert!(!show(dir.path())?[1].key_is_wrong);
    // The key was written, and the power went.
    std::fs::write(&certificate, before)?;
    let shown = show(dir.path())?;
    assert!(shown[1].key_is_wrong && !shown[0].key_is_wrong);
    assert!(
        shown[1]
            .to_string()
            .contains("its key is of another certificate: renew it")
    );
    add(dir.path(), "a", &[], true)?;
    assert!(!show(dir.path())?[1].key_is_wrong);
    Ok(())
}

#[test]
fn names_and_addresses_that_cannot_be_used_are_refused() -> Tried {
    let dir = authority()?;
    for name in ["", "ca", "crl", "a-key", "../a", "a b", "a/b"] {
        refused(
            add(dir.path(), name, &hosts(&["10.0.0.1"]), false),
            &["cannot be a node's name"],
        );
    }
    refused(
        add(dir.path(), "a", &[], false),
        &["--host ADDR is missing", "reach a"],
    );
    refused(
        add(dir.path(), "a", &hosts(&["naïve.example"]), false),
        &["naïve.example", "neither an address nor a host name"],
    );
    assert_eq!(show(dir.path())?.len(), 1, "nothing was made");
    Ok(())
}

#[test]
fn an_authority_that_is_missing_exposed_or_torn_is_named() -> Tried {
    let empty = tempfile::tempdir()?;
    let here = hosts(&["10.0.0.1"]);
    refused(
        add(empty.path(), "a", &here, false),
        &["no authority is in ", "supervisor pki init --dir "],
    );
    let (dir, other) = (authority()?, authority()?);
    let key = dir.path().join("ca-key.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640))?;
    refused(
        add(dir.path(), "a", &here, false),
        &["ca-key.pem", "0640", "chmod 600"],
    );
    std::fs::copy(other.path().join("ca-key.pem"), &key)?;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;
    refused(
        add(dir.path(), "a", &here, false),
        &["ca-key.pem", "not the key of the certificate beside it"],
    );
    std::fs::write(&key, "garbage")?;
    refused(add(dir.path(), "a", &here, false), &["ca-key.pem"]);
    std::fs::remove_file(&key)?;
    refused(
        add(dir.path(), "a", &here, false),
        &["ca-key.pem", "No such file"],
    );
    Ok(())
}

#[test]
fn a_foreign_file_is_named() -> Tried {
    let dir = authority()?;
    std::fs::write(dir.path().join("notes.pem"), "not a certificate")?;
    refused(show(dir.path()), &["notes.pem", "nothing in PEM form"]);
    Ok(())
}

#[test]
fn a_list_names_what_was_revoked_and_grows() -> Tried {
    let dir = authority()?;
    let first = list(dir.path())?.ok_or("no list")?.to_string();
    assert!(first.contains("revokes nothing"), "{first}");
    for name in ["a", "b", "c"] {
        add(dir.path(), name, &hosts(&["10.0.0.1"]), false)?;
    }
    let path = revoke(dir.path(), "b")?;
    assert_eq!(
        (path.as_path(), mode(&path)?),
        (&*dir.path().join("crl.pem"), 0o644)
    );
    revoke(dir.path(), "a")?;
    revoke(dir.path(), "a")?;
    let shown = show(dir.path())?;
    let revoked: Vec<bool> = shown.iter().map(|one| one.is_revoked).collect();
    assert_eq!(revoked, [false, true, true, false], "{shown:?}");
    assert!(shown[1].to_string().contains("revoked: renew it"));
    let listed = list(dir.path())?.ok_or("no list")?.to_string();
    assert!(listed.contains("revokes 2 certificates"), "{listed}");
    // Another certificate of that name is none of those.
    add(dir.path(), "a", &[], true)?;
    assert!(!show(dir.path())?[1].is_revoked);
    Ok(())
}

#[test]
fn what_cannot_be_revoked_is_named_and_the_list_stays() -> Tried {
    let (dir, other) = (authority()?, authority()?);
    let first = std::fs::read(dir.path().join("crl.pem"))?;
    refused(revoke(dir.path(), "a"), &["a.pem", "No such file"]);
    refused(revoke(dir.path(), "ca"), &["cannot be a node's name"]);
    let [certificate, _] = add(other.path(), "a", &hosts(&["10.0.0.1"]), false)?;
    std::fs::copy(&certificate, dir.path().join("a.pem"))?;
    refused(revoke(dir.path(), "a"), &["a.pem", "of another authority"]);
    assert_eq!(std::fs::read(dir.path().join("crl.pem"))?, first);
    std::fs::copy(revoke(other.path(), "a")?, dir.path().join("crl.pem"))?;
    add(dir.path(), "b", &hosts(&["10.0.0.1"]), false)?;
    refused(
        revoke(dir.path(), "b"),
        &["crl.pem", "of another authority"],
    );
    std::fs::write(dir.path().join("crl.pem"), "garbage")?;
    refused(revoke(dir.path(), "b"), &["crl.pem"]);
    refused(show(dir.path()), &["crl.pem"]);
    Ok(())
}
