//! Preflight of the authority: its files, and what its servers say of themselves.
//!
//! A server that does not answer is a warning: a node comes up without it, as a standby. One that answers what it should not
//! is an error. A start does not wait for servers: whatever they refuse they refuse then as well.

use super::{Findings, Level, Occasion};
use crate::authority::etcd::inspect;
use crate::authority::files::Grade;
use crate::config::{AuthorityKind, Config};
use crate::engine::values::NodeName;

pub(in crate::daemon) fn look(findings: &mut Findings, config: &Config, occasion: Occasion) {
    let kind = config.authority.kind;
    if config.peer.is_some() && kind != AuthorityKind::Peer {
        findings.add(
            "config",
            Level::Error,
            "[peer] would do nothing beside another authority: remove it, or set authority.kind = \"peer\"",
        );
    }
    match kind {
        AuthorityKind::Local => findings.add(
            "authority",
            Level::Good,
            "local: a single node, no failover",
        ),
        AuthorityKind::Peer | AuthorityKind::Etcd => {}
    }
    let mut found = Vec::new();
    if let Some(etcd) = &config.authority.etcd {
        found.extend(inspect::files(etcd));
        if occasion == Occasion::Check {
            found.extend(inspect::servers(etcd, &config.state_dir));
        }
    } else if let Some(peer) = &config.peer {
        let node = NodeName(config.node.clone());
        found.extend(crate::authority::peer::inspect::files(peer, &node));
    }
    for (grade, text) in found {
        let level = match grade {
            Grade::Good => Level::Good,
            Grade::Doubtful => Level::Warning,
            Grade::Bad => Level::Error,
        };
        findings.add("authority", level, text);
    }
}
