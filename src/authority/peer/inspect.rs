//! A look at the files of the link, before anything depends on them. It changes nothing.

use super::tls;
use crate::authority::files::{Finding, Grade, certificate, exposed, revocations};
use crate::config::PeerConfig;
use crate::engine::values::NodeName;
use nix::unistd::{AccessFlags, access};

/// What can be told of the files.
#[must_use]
pub fn files(config: &PeerConfig, node: &NodeName) -> Vec<Finding> {
    let mut findings: Vec<Finding> = [
        exposed("peer.key", &config.key),
        certificate("peer.ca", &config.ca),
        certificate("peer.cert", &config.cert),
        config
            .crl
            .as_ref()
            .and_then(|crl| revocations("peer.crl", crl)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Err(error) = tls::check(config, node) {
        findings.push((Grade::Bad, error.to_string()));
    }
    if let Some(fence) = &config.fence {
        findings.extend(fence.command.first().and_then(|program| unusable(program)));
    }
    if findings.is_empty() {
        let others = config.nodes.iter().filter(|other| other.name != node.0);
        let others: Vec<&str> = others.map(|other| other.name.as_str()).collect();
        let said = format!("peer: {} keeps the record as well", others.join(" and "));
        findings.push((Grade::Good, said));
    }
    findings
}

/// A command that cannot be run would be found out when it is needed.
fn unusable(program: &str) -> Option<Finding> {
    let why = access(program, AccessFlags::X_OK).err()?;
    let said = format!(
        "peer.fence[0] = {program:?} cannot be run: {}; check the path and its mode",
        why.desc()
    );
    Some((Grade::Bad, said))
}
