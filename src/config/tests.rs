//! The configuration as an operator meets it: whole files, whole messages.

mod packaged;
mod refusals;
mod reload;

use std::path::Path;
use std::time::Duration;

use super::*;

const MINIMAL: &str = r#"
[identity]
staked = "/k/staked.json"
unstaked = "/k/unstaked.json"
"#;

const ETCD: &str = r#"
node = "fra-1"
state_dir = "/srv/state"
[identity]
link = "/k/identity.json"
staked = "/k/staked.json"
unstaked = "/k/unstaked.json"
authorized_voters = ["/k/staked.json", "/k/voter \"2\".json"]
[validator]
client = "jito"
ledger = "/l"
tower = "/t"
rpc = "http://127.0.0.1:8899"
caught_up_within = 20
stop_timeout = "90s"
[authority]
kind = "etcd"
[authority.etcd]
endpoints = ["https://10.0.0.1:2379", "https://10.0.0.2:2379"]
prefix = "/votes"
ttl = "8s"
margin = "1500ms"
interval = "2s"
ca = "/c/ca.pem"
cert = "/c/fra-1.pem"
key = "/c/fra-1-key.pem"
user = "sol"
password_file = "/c/password"
[cluster]
rpc = ["https://api.example.org"]
[partition]
step_down_after = "8s"
[failover]
mode = "manual"
priority = 7
silence = "45s"
handover_within = 12
[gate]
hold_max = "20s"
[restart]
max = 3
window = "1h"
[control]
socket = "/run/s.sock"
http = "127.0.0.1:9100"
group = "validators"
"#;

const PEER: &str = r#"node = "fra-1"
[identity]
staked = "/k/staked.json"
unstaked = "/k/unstaked.json"
[peer]
listen = "0.0.0.0:7400"
ca = "/c/ca.pem"
cert = "/c/fra-1.pem"
key = "/c/fra-1-key.pem"
crl = "/c/crl.pem"
on_loss = "hold"
fence = ["/usr/local/sbin/power-off", "{node}", "{address}"]
fence_within = "1m"
nodes = [{ name = "fra-1", address = "10.0.0.1:7400" }, { name = "ams-1", address = "ams:7400" }]
"#;

fn load(text: &str) -> Loaded {
    Loaded::parse(text, "host-1").unwrap_or_else(|problems| panic!("{problems}"))
}

fn complaint(text: &str) -> String {
    match Loaded::parse(text, "host-1") {
        Ok(loaded) => panic!("accepted: {:?}", loaded.config),
        Err(problems) => problems.to_string(),
    }
}

/// What is said of MINIMAL with `extra` after it; its first line is line 5.
fn complaint_after_minimal(extra: &str) -> String {
    complaint(&format!("{MINIMAL}{extra}"))
}

#[test]
fn three_lines_are_enough_for_one_node() {
    let Config {
        node,
        state_dir,
        identity,
        validator,
        authority,
        peer,
        gate,
        control,
        ..
    } = load(MINIMAL).config;
    assert_eq!(node, "host-1");
    assert_eq!(state_dir, Path::new(DEFAULT_STATE_DIR));
    assert_eq!(identity.link, None);
    assert_eq!(validator.client, Client::Agave);
    assert_eq!(authority.kind, AuthorityKind::Local);
    assert_eq!(peer, None);
    assert_eq!(gate.hold_max, Duration::from_secs(10));
    assert_eq!(control.socket, Path::new(DEFAULT_SOCKET));
}

#[test]
fn a_list_of_revoked_certificates_is_optional() {
    let crl = |text: &str| load(text).config.peer.and_then(|peer| peer.crl);
    assert_eq!(crl(PEER).as_deref(), Some(Path::new("/c/crl.pem")));
    assert_eq!(crl(&PEER.replace("crl = ", "# crl = ")), None);
}

#[test]
fn the_kind_of_authority_follows_from_the_sections() {
    assert_eq!(load(PEER).config.authority.kind, AuthorityKind::Peer);
    let unnamed = ETCD.replace("[authority]\nkind = \"etcd\"\n", "");
    assert_eq!(load(&unnamed).config.authority.kind, AuthorityKind::Etcd);
}

#[test]
fn etcd_timings_scale_with_the_ttl() {
    let extra = "[authority.etcd]\nendpoints = [\"http://[::1]:2379\"]\n";
    let timings = |ttl: &str| {
        let etcd = load(&format!("{MINIMAL}{extra}{ttl}")).config;
        let hold_max = etcd.gate.hold_max;
        let etcd = etcd.authority.etcd.unwrap();
        [etcd.ttl, etcd.margin, etcd.interval, hold_max].map(duration::show)
    };
    assert_eq!(timings(""), ["5s", "1s", "500ms", "10s"]);
    assert_eq!(timings("ttl = \"2s\""), ["2s", "400ms", "200ms", "10s"]);
    assert_eq!(timings("ttl = \"30s\""), ["30s", "1s", "1s", "30s"]);
}

#[test]
fn the_effective_form_reads_back_as_the_same_configuration() {
    for text in [MINIMAL, ETCD, PEER] {
        let mut loaded = load(text);
        for _ in 0..2 {
            let effective = loaded.effective();
            assert_eq!(load(&effective).config, loaded.config, "{effective}");
            loaded.fill(FromCommandLine {
                link: Some("/k/identity.json".into()),
                authorized_voters: Some(vec!["/k/voter.json".into()]),
                ledger: Some("/ledger".into()),
                tower: Some("/tower".into()),
                rpc: Some("http://127.0.0.1:1".into()),
            });
        }
    }
}

#[test]
fn between_them_the_full_files_set_every_key() {
    let effective = load(ETCD).effective() + &load(PEER).effective();
    for key in schema::KEYS {
        let (_, name) = key.place();
        assert!(
            effective.contains(&format!("\n{name} = ")) || effective.starts_with(name),
            "{name}"
        );
    }
}

#[test]
fn the_effective_form_says_where_each_value_comes_from() {
    let mut loaded = load(MINIMAL);
    loaded.fill(FromCommandLine {
        ledger: Some("/ledger".into()),
        ..FromCommandLine::default()
    });
    let expected = r#"node = "host-1"  # default
state_dir = "/var/lib/validator-supervisor"  # default

[identity]
staked = "/k/staked.json"  # line 3
unstaked = "/k/unstaked.json"  # line 4

[validator]
client = "agave"  # default
ledger = "/ledger"  # the validator's command line
caught_up_within = 32  # default
stop_timeout = "1m"  # default

[authority]
kind = "local"  # default

[cluster]
rpc = []  # default

[partition]
step_down_after = "10s"  # default

[failover]
mode = "auto"  # default
priority = 100  # default
silence = "30s"  # default
handover_within = 8  # default

[gate]
hold_max = "10s"  # default

[restart]
max = 5  # default
window = "10m"  # default

[control]
socket = "/run/validator-supervisor/ctl.sock"  # default
"#;
    assert_eq!(loaded.effective(), expected);
}

#[test]
fn the_command_line_fills_only_what_the_file_leaves_open() {
    let mut loaded = load(ETCD);
    loaded.fill(FromCommandLine {
        ledger: Some("/other".into()),
        ..FromCommandLine::default()
    });
    assert_eq!(
        loaded.config.validator.ledger.as_deref(),
        Some(Path::new("/l"))
    );
    assert_eq!(loaded.source("validator.ledger"), Source::File { line: 11 });
}

#[test]
fn credentials_in_urls_are_compared_but_never_shown() {
    let with = |rpc: &str| {
        load(&format!(
            "{MINIMAL}[cluster]\nrpc = [\"https://{rpc}\", \"https://plain.example.org\"]\n"
        ))
    };
    let (old, new) = (
        with("user:first@h/?api-key=one"),
        with("user:second@h/?api-key=two"),
    );
    let shown = "[\"https://***@h/?api-key=***\", \"https://plain.example.org\"]";
    let effective = old.effective();
    assert!(effective.contains(shown), "{effective}");
    let changes = changes(&old.config, &new.config);
    assert_eq!(
        changes,
        [Change {
            key: "cluster.rpc",
            from: Some(shown.to_owned()),
            to: Some(shown.to_owned()),
            reload: Reload::Restart,
        }]
    );
    assert_eq!(
        new.config.cluster.rpc[0],
        "https://user:second@h/?api-key=two"
    );
    let refused =
        complaint_after_minimal("[validator]\nrpc = \"ftp://user:secret@h/?api-key=one\"\n");
    assert!(
        refused.contains("validator.rpc")
            && !refused.contains("secret")
            && !refused.contains("one"),
        "{refused}"
    );
}
