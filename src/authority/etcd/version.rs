//! Which releases of etcd can do what the protocol asks of them.

/// The oldest release whose transactions can compare a lease.
const OLDEST: (u32, u32) = (3, 4);

/// A server that would not understand the comparisons that fence a vote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("etcd {found} is too old: {}.{} or newer is needed", OLDEST.0, OLDEST.1)]
pub(super) struct TooOld {
    found: String,
}

/// Takes the version as a server says it; what is no version is too old.
pub(super) fn check(version: &str) -> Result<(), TooOld> {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if (major, minor) < OLDEST {
        return Err(TooOld {
            found: version.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        for old in ["3.3.27", "2.3.8", "not a version", ""] {
            assert!(check(old).is_err(), "{old}");
        }
        for good in ["3.4.0", "3.10.1", "4.0"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }
}
