//! What an operator has to see first. Each problem is one line that names the thing and, where there
//! is one, the remedy.

use super::style::{clean, or_unknown};
use super::units::{count, span_ms};
use crate::ctl::status::{PeerStatus, Status};
use crate::engine::values::Role;

pub(super) fn problems(status: &Status) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(of_role(status));
    found.extend(of_authority(status));
    found.extend(of_gate(status));
    found.extend(of_validator(status));
    found.extend(of_identity(status));
    found.extend(status.peers.iter().filter_map(of_peer));
    found
}

fn of_role(status: &Status) -> Option<String> {
    match status.role {
        Role::Fenced => Some(
            "fenced: the term is lost, and the validator is being taken off the staked identity"
                .into(),
        ),
        Role::Parked => Some(
            "parked: not promoted until `supervisor ctl resume` or `supervisor ctl promote`".into(),
        ),
        _ => None,
    }
}

fn of_authority(status: &Status) -> Option<String> {
    let kind = clean(&status.authority.kind);
    match (status.authority.healthy, status.role) {
        (Some(true), _) => None,
        (Some(false), Role::CatchingUp | Role::Standby | Role::Parked) => Some(format!(
            "authority {kind} is not healthy: this node cannot vote until it is"
        )),
        (Some(false), Role::Active) if status.authority.kind == "peer" => Some(
            "authority peer is not healthy: unless peer.on_loss = \"hold\", votes go on with their records on this disk alone"
                .into(),
        ),
        (Some(false), _) => Some(format!(
            "authority {kind} is not healthy: votes wait until it is, or are refused"
        )),
        // Unknown is not healthy, but before a first answer it is no news either.
        (None, Role::Active) => Some(format!("authority {kind}: health unknown")),
        (None, _) => None,
    }
}

fn of_gate(status: &Status) -> Option<String> {
    let refused = status.gate.refused;
    (refused > 0).then(|| {
        format!(
            "gate refused {}; the journal says why",
            count(refused, "vote")
        )
    })
}

fn of_validator(status: &Status) -> Option<String> {
    let child = &status.validator;
    if child.pid.is_none() {
        let is_expected = matches!(status.role, Role::Starting | Role::Stopping);
        return (!is_expected).then(|| "validator is not running".into());
    }
    if let Some(trouble) = &child.rpc_trouble {
        return Some(format!(
            "validator's RPC does not answer: {}",
            clean(trouble)
        ));
    }
    match (child.healthy, status.role) {
        (Some(false), Role::Starting | Role::CatchingUp | Role::Stopping) => None,
        (Some(false), _) => Some(match child.slots_behind {
            Some(behind) => format!("validator is not healthy, {} behind", count(behind, "slot")),
            None => "validator is not healthy".into(),
        }),
        (None, Role::Active) => Some("validator: health unknown".into()),
        _ => None,
    }
}

/// The staked identity where it should not be, or another one where it should. Roles in which it
/// changes are left out.
fn of_identity(status: &Status) -> Option<String> {
    let (carried, staked) = (
        status.validator.identity.as_deref()?,
        status.identity.as_deref()?,
    );
    match status.role {
        Role::Active if carried != staked => Some(format!(
            "validator carries {} and not the staked identity {}",
            or_unknown(Some(carried)),
            or_unknown(Some(staked))
        )),
        Role::CatchingUp | Role::Standby | Role::Parked if carried == staked => Some(format!(
            "validator carries the staked identity while {}",
            status.role
        )),
        _ => None,
    }
}

fn of_peer(peer: &PeerStatus) -> Option<String> {
    let node = clean(&peer.node);
    match (peer.seen_ms, peer.healthy) {
        (None, _) => Some(format!("peer {node} has not been heard of")),
        (Some(ms), _) if peer.role.is_none() => Some(format!(
            "peer {node} is unreachable, last seen {} ago",
            span_ms(ms)
        )),
        (Some(ms), Some(false)) => Some(format!(
            "peer {node} is not healthy, seen {} ago",
            span_ms(ms)
        )),
        _ => None,
    }
}
