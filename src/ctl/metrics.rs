//! The status in the text form that Prometheus scrapes. A value that is not known is left out, never 0.

use std::fmt::{Display, Write as _};

use super::status::{PeerStatus, Status};
use crate::engine::values::Role;

const PREFIX: &str = "validator_supervisor_";

/// Everything, as of this status.
#[must_use]
pub fn render(status: &Status) -> String {
    let mut page = Page(String::new());
    let node = [("node", status.node.as_str())];
    page.family("role", "gauge", "1 for the role that the node is in.");
    for role in Role::ALL {
        let labels = [node[0], ("role", role.name())];
        page.value("role", &labels, u8::from(role == status.role));
    }
    page.gauge("term", "Fencing number of the holding.", &node, status.term);
    authority(&mut page, status);
    gate(&mut page, status);
    validator(&mut page, status);
    peers(&mut page, status);
    page.0
}

fn authority(page: &mut Page, status: &Status) {
    let labels = [("kind", status.authority.kind.as_str())];
    let healthy = status.authority.healthy.map(u8::from);
    page.gauge(
        "authority_healthy",
        "The authority answers.",
        &labels,
        healthy,
    );
    let lease = status.authority.lease_left_ms.map(seconds);
    page.gauge(
        "lease_left_seconds",
        "Until the lease of the term ends.",
        &labels,
        lease,
    );
    let holder = status.authority.holder.as_deref();
    page.family("holder_info", "gauge", "Who holds the term.");
    if let Some(holder) = holder {
        page.value("holder_info", &[("node", holder)], 1);
    }
    page.gauge(
        "record_slot",
        "Last slot of the newest committed record.",
        &[],
        status.record.slot,
    );
    page.gauge(
        "record_seq",
        "Number of the newest committed record.",
        &[],
        status.record.seq,
    );
}

fn gate(page: &mut Page, status: &Status) {
    let gate = &status.gate;
    page.counter(
        "gate_commits_total",
        "Votes let out, each after its commit.",
        gate.commits,
    );
    page.counter("gate_refused_total", "Votes refused.", gate.refused);
    page.gauge(
        "gate_waiting",
        "Votes that wait for their commit.",
        &[],
        Some(gate.waiting),
    );
    page.family(
        "gate_latency_seconds",
        "gauge",
        "From a vote's arrival at the gate to its answer.",
    );
    for (quantile, us) in [
        ("0.5", gate.latency_us.p50),
        ("0.99", gate.latency_us.p99),
        ("1", gate.latency_us.max),
    ] {
        if let Some(us) = us {
            page.value(
                "gate_latency_seconds",
                &[("quantile", quantile)],
                us as f64 / 1e6,
            );
        }
    }
}

fn validator(page: &mut Page, status: &Status) {
    let validator = &status.validator;
    let healthy = validator.healthy.map(u8::from);
    page.gauge(
        "validator_healthy",
        "The validator's own word.",
        &[],
        healthy,
    );
    page.gauge(
        "validator_slot",
        "Newest slot that it has processed.",
        &[],
        validator.slot,
    );
    page.gauge(
        "validator_slots_behind",
        "Slots behind the cluster.",
        &[],
        validator.slots_behind,
    );
    page.counter(
        "validator_restarts_total",
        "Restarts that nobody asked for.",
        validator.restarts,
    );
}

fn peers(page: &mut Page, status: &Status) {
    page.family(
        "paused_until_seconds",
        "gauge",
        "End of the pause, in Unix time; there only where a node is paused.",
    );
    let own = [(status.node.as_str(), status.paused_until)];
    let others = status
        .peers
        .iter()
        .map(|peer| (peer.node.as_str(), peer.paused_until));
    for (node, until) in own.into_iter().chain(others) {
        if let Some(until) = until {
            page.value(
                "paused_until_seconds",
                &[("node", node)],
                seconds(until.unix_ms()),
            );
        }
    }
    let each = |page: &mut Page, name: &str, help: &str, value: fn(&PeerStatus) -> Option<f64>| {
        page.family(name, "gauge", help);
        for peer in &status.peers {
            if let Some(value) = value(peer) {
                page.value(name, &[("node", peer.node.as_str())], value);
            }
        }
    };
    each(
        page,
        "peer_connected",
        "The peer is heard. Nobody can take over from this node while none is.",
        |peer| Some(f64::from(u8::from(peer.role.is_some()))),
    );
    each(
        page,
        "peer_in_step",
        "Votes wait for the peer to keep their record; there only where peers keep it.",
        |peer| peer.in_step.map(|it| f64::from(u8::from(it))),
    );
    each(
        page,
        "peer_healthy",
        "The peer's validator is healthy.",
        |peer| peer.healthy.map(|it| f64::from(u8::from(it))),
    );
    each(
        page,
        "peer_slots_behind",
        "Slots that the peer is behind the cluster.",
        |peer| peer.slots_behind.map(|it| it as f64),
    );
    each(
        page,
        "peer_record_slot",
        "Last slot of the record that the peer keeps.",
        |peer| peer.record_slot.map(|it| it as f64),
    );
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // A String takes whatever is written to it.
        let _ = writeln!(
            self.0,
            "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}"
        );
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, text)| format!("{label}=\"{}\"", escaped(text)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.0, "{PREFIX}{name}{labels} {value}");
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        value: Option<impl Display>,
    ) {
        self.family(name, "gauge", help);
        if let Some(value) = value {
            self.value(name, labels, value);
        }
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.value(name, &[], value);
    }
}

/// As the text format wants label values.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(peers: serde_json::Value) -> String {
        let status = serde_json::json!({
            "node": "a", "identity": null, "vote_account": null, "role": "active",
            "since": "1970-01-01T00:00:00.000Z", "term": 7, "reason": "",
            "authority": {"kind": "peer", "holder": "a", "healthy": true, "lease_left_ms": null},
            "record": {"kind": null, "slot": null, "seq": null, "sha256": null},
            "gate": {"commits": 0, "refused": 0, "waiting": 0, "latency_us": {"p50": null, "p99": null, "max": null}},
            "validator": {"restarts": 0}, "peers": peers,
        });
        render(&serde_json::from_value(status).expect("a status"))
    }

    #[test]
    fn a_peer_that_is_lost_is_a_zero_and_one_that_lacks_the_record_another() {
        let page = page_of(serde_json::json!([
            {"node": "b", "role": "standby", "in_step": true},
            {"node": "c", "role": "standby", "in_step": false},
            {"node": "d", "role": null, "in_step": false},
        ]));
        for line in [
            "peer_connected{node=\"b\"} 1",
            "peer_connected{node=\"c\"} 1",
            "peer_connected{node=\"d\"} 0",
            "peer_in_step{node=\"b\"} 1",
            "peer_in_step{node=\"c\"} 0",
            "peer_in_step{node=\"d\"} 0",
        ] {
            let line = format!("\n{PREFIX}{line}\n");
            assert!(page.contains(&line), "{line}{page}");
        }
    }

    #[test]
    fn where_no_peer_keeps_the_record_none_is_out_of_step() {
        let page = page_of(serde_json::json!([{"node": "b", "role": "standby"}]));
        assert!(!page.contains("peer_in_step{"), "{page}");
        assert!(page.contains("peer_connected{node=\"b\"} 1"), "{page}");
    }

    #[test]
    fn a_label_cannot_break_out_of_its_line() {
        let mut page = Page(String::new());
        page.value("x", &[("node", "a\"} 1\nx{b=\"\\")], 1);
        assert_eq!(
            page.0,
            "validator_supervisor_x{node=\"a\\\"} 1\\nx{b=\\\"\\\\\"} 1\n"
        );
    }
}
