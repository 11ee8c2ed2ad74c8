//! A look at the files that a configuration names, before anything depends on them. It changes nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

/// A certificate that ends within this time is worth a word.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 86_400);
/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    Good,
    Doubtful,
    Bad,
}

/// What was found, for a person.
pub type Finding = (Grade, String);

/// A file with a secret in it that is not its owner's alone. `name` is its key in the configuration.
pub(super) fn exposed(name: &str, path: &Path) -> Option<Finding> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    let shown = path.display();
    (mode & 0o027 != 0).then(|| {
        (
            Grade::Bad,
            format!("{name} {shown} has mode {mode:04o}, so others can read or replace it: `chmod 600 {shown}`"),
        )
    })
}

/// What is wrong with the certificates in a file, or soon will be. A file that cannot be read is named by whoever needs its content.
pub(super) fn certificate(name: &str, path: &Path) -> Option<Finding> {
    let shown = path.display();
    let bytes = std::fs::read(path).ok()?;
    let ends = Pem::iter_from_buffer(&bytes)
        .filter_map(Result::ok)
        .filter_map(|pem| Some(pem.parse_x509().ok()?.validity().not_after.timestamp()))
        .min();
    let Some(ends) = ends else {
        return Some((
            Grade::Bad,
            format!("{name} {shown} holds no certificate in PEM form"),
        ));
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let left_s = ends.saturating_sub(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    if left_s <= 0 {
        return Some((
            Grade::Bad,
            format!(
                "{name} {shown} has expired {} days ago: renew it",
                -left_s / 86_400
            ),
        ));
    }
    let soon = left_s < i64::try_from(RENEW_BEFORE.as_secs()).unwrap_or(i64::MAX);
    soon.then(|| {
        (
            Grade::Doubtful,
            format!(
                "{name} {shown} expires in {} days: renew it",
                left_s / 86_400
            ),
        )
    })
}

/// Lists of revoked certificates that are past their end. They are used on.
pub(super) fn revocations(name: &str, path: &Path) -> Option<Finding> {
    let bytes = std::fs::read(path).ok()?;
    let ended = Pem::iter_from_buffer(&bytes)
        .filter_map(Result::ok)
        .filter_map(|pem| {
            let (_, list) = CertificateRevocationList::from_der(&pem.contents).ok()?;
            Some(list.next_update()?.timestamp())
        })
        .min()?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let over_s = i64::try_from(now.as_secs())
        .unwrap_or(i64::MAX)
        .saturating_sub(ended);
    (over_s > 0).then(|| {
        (
            Grade::Doubtful,
            format!(
                "{name} {} was to be renewed {} days ago, and is used on: `supervisor pki revoke` for a node that is on it makes a fresh one",
                path.display(),
                over_s / 86_400
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_can_read_is_named() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("key.pem");
        std::fs::write(&path, "key")?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        assert_eq!(exposed("peer.key", &path), None);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
        let (grade, text) = exposed("peer.key", &path).ok_or("nothing found")?;
        assert!(
            grade == Grade::Bad && text.contains("0644") && text.contains("chmod 600"),
            "{text}"
        );
        Ok(())
    }
}
