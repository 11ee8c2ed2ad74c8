//! Which etcd cluster this node belongs to, remembered on its disk: terms and records of another one mean nothing here.

use std::path::{Path, PathBuf};

use crate::authority::durable_file;
use crate::authority::stored::{self, FormError};

const MAGIC: &[u8; 8] = b"VSETCDID";
const FILE: &str = "etcd-cluster";
const LEN_MAX: usize = 256;

/// Why an etcd is not ours.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClusterError {
    #[error("etcd has cluster id {found:016x}, and this node has voted with cluster {known:016x}: it is another etcd, or was made anew. Correct authority.etcd.endpoints; if the change is meant and no other node votes, remove {} on every node", path.display())]
    Other {
        known: u64,
        found: u64,
        path: PathBuf,
    },
    #[error("{} is damaged: {error}. Remove it when authority.etcd.endpoints are certainly right", path.display())]
    Damaged { path: PathBuf, error: FormError },
    #[error("{}: {source}", path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// Whether `found` is the cluster of before; the first one is remembered.
pub(super) fn check(state_dir: &Path, found: u64) -> Result<(), ClusterError> {
    if compare(state_dir, found)? {
        return Ok(());
    }
    let path = state_dir.join(FILE);
    let form = stored::frame(MAGIC, &found.to_le_bytes());
    durable_file::replace(&path, &form).map_err(|source| ClusterError::Io { path, source })
}

/// Whether one is remembered, which then is `found`.
pub(super) fn compare(state_dir: &Path, found: u64) -> Result<bool, ClusterError> {
    let path = state_dir.join(FILE);
    let read = durable_file::read(&path, LEN_MAX).map_err(|source| ClusterError::Io {
        path: path.clone(),
        source,
    })?;
    let Some(form) = read else {
        return Ok(false);
    };
    let payload = stored::open(&form, MAGIC)
        .and_then(|payload| payload.try_into().map_err(|_| FormError::Fields));
    match payload.map(u64::from_le_bytes) {
        Ok(known) if known == found => Ok(true),
        Ok(known) => Err(ClusterError::Other { known, found, path }),
        Err(error) => Err(ClusterError::Damaged { path, error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_cluster_is_refused_and_the_first_one_stays_known()
    -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        check(dir.path(), 7)?;
        check(dir.path(), 7)?;
        let refused = check(dir.path(), 8);
        assert!(matches!(
            refused,
            Err(ClusterError::Other {
                known: 7,
                found: 8,
                ..
            })
        ));
        check(dir.path(), 7)?;
        std::fs::write(dir.path().join(FILE), b"nonsense")?;
        assert!(matches!(
            check(dir.path(), 7),
            Err(ClusterError::Damaged { .. })
        ));
        Ok(())
    }
}
