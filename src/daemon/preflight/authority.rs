//! Preflight of the authority: its files, and what its servers say of themselves.
//!
//! A server that does not answer is a warning: a node comes up without it, as a standby. One that answers what it should not
//! is an error. A start does not wait for servers: whatever they refuse they refuse then as well.

use super::{Findings, Level, Occasion};
use crate::authority::etcd::inspect;
use crate::config::{AuthorityKind, Config};

pub(super) fn look(findings: &mut Findings, config: &Config, occasion: Occasion) {
    if config.peer.is_some() {
        findings.add(
            "config",
            Level::Error,
            "[peer] is not in this version and would do nothing: remove it",
        );
    }
    match (config.authority.kind, &config.authority.etcd) {
        (AuthorityKind::Local, _) => findings.add(
            "authority",
            Level::Good,
            "local: a single node, no failover",
        ),
        (AuthorityKind::Etcd, Some(etcd)) => {
            let mut found = inspect::files(etcd);
            if occasion == Occasion::Check {
                found.extend(inspect::servers(etcd, &config.state_dir));
            }
            for (grade, text) in found {
                let level = match grade {
                    inspect::Grade::Good => Level::Good,
                    inspect::Grade::Doubtful => Level::Warning,
                    inspect::Grade::Bad => Level::Error,
                };
                findings.add("authority", level, text);
            }
        }
        (other, _) => findings.add(
            "authority",
            Level::Error,
            format!(
                "authority.kind {:?} is not in this version: set authority.kind = \"local\" or \"etcd\"",
                other.name()
            ),
        ),
    }
}
