//! `supervisor pki`, as an operator types it.

use std::path::Path;
use std::process::{Command, Output};

use testkit::node::said;

fn pki(dir: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supervisor"));
    command.arg("pki").args(words).arg("--dir").arg(dir);
    command.output().expect("supervisor pki")
}

#[track_caller]
fn must(dir: &Path, words: &[&str]) -> String {
    let output = pki(dir, words);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {text}");
    text
}

#[track_caller]
fn refused(dir: &Path, words: &[&str], why: &str) {
    let output = pki(dir, words);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{words:?}: {text}");
    assert!(text.contains(why), "{words:?}: {text}");
}

#[test]
fn certificates_are_made_shown_renewed_and_revoked() {
    let temporary = tempfile::tempdir().expect("a directory");
    let dir = temporary.path().join("pki");
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap_or_default();
    refused(&dir, &["add", "fra-1", "--host", "10.0.0.11"], "pki init");
    must(&dir, &["init"]);
    refused(&dir, &["init"], "ca");
    let shown = must(&dir, &["show"]);
    assert!(shown.contains("revokes nothing"), "{shown}");
    must(&dir, &["add", "fra-1", "--host", "10.0.0.11"]);
    must(
        &dir,
        &[
            "add",
            "etcd-1",
            "--host",
            "10.0.0.1",
            "--host",
            "etcd-1.example",
        ],
    );
    let first = read("fra-1.pem");
    refused(&dir, &["add", "fra-1", "--host", "10.0.0.11"], "fra-1");
    assert_eq!(read("fra-1.pem"), first, "written over");
    let shown = must(&dir, &["show"]);
    for word in ["fra-1", "10.0.0.11", "etcd-1", "etcd-1.example"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    must(&dir, &["add", "fra-1", "--renew"]);
    assert!(
        !first.is_empty() && read("fra-1.pem") != first,
        "not renewed"
    );
    must(&dir, &["revoke", "fra-1"]);
    assert!(read("crl.pem").starts_with(b"-----BEGIN X509 CRL-----"));
    let shown = must(&dir, &["show"]);
    assert!(shown.contains("revoked"), "{shown}");
    refused(&dir, &["revoke", "ams-1"], "ams-1");
}
