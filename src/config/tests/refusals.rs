//! What a configuration is refused for, and in which words.

use super::*;

#[test]
fn unsafe_timings_are_refused_with_their_numbers() {
    let etcd = "[authority.etcd]\nendpoints = [\"http://h:1\"]\n";
    let table = [
        (
            "ttl = \"3s\"\nmargin = \"1s\"\ninterval = \"1s\"",
            "line 7: authority.etcd.ttl (3s) must be at least margin (1s) + 3 x interval (1s)",
        ),
        (
            "interval = \"1500ms\"",
            "line 7: authority.etcd.ttl (5s) must be at least margin (1s) + 3 x interval (1500ms)",
        ),
        (
            "ttl = \"1s\"",
            r#"line 7: authority.etcd.ttl = "1s" is out of range; expected 2s to 1m"#,
        ),
        (
            "ttl = \"2500ms\"",
            "line 7: authority.etcd.ttl (2500ms) must be whole seconds, as etcd counts them",
        ),
        (
            "ttl = \"20s\"\n[gate]\nhold_max = \"15s\"",
            "line 9: gate.hold_max (15s) must be at least authority.etcd.ttl (20s), or an etcd outage shorter than the lease would end the validator",
        ),
        (
            "key = \"/c\"",
            "line 7: authority.etcd.key is set alone: authority.etcd.cert and authority.etcd.key go together",
        ),
        (
            "user = \"sol\"",
            "line 7: authority.etcd.user is set alone: authority.etcd.user and authority.etcd.password_file go together",
        ),
        (
            "ca = \"/c\"",
            "line 7: authority.etcd.ca would do nothing: http://h:1 in authority.etcd.endpoints is not https",
        ),
        (
            "prefix = \"/a/\"",
            r#"line 7: authority.etcd.prefix = "/a/" is empty or ends in a slash"#,
        ),
    ];
    for (extra, expected) in table {
        assert_eq!(complaint_after_minimal(&format!("{etcd}{extra}")), expected);
    }
}

#[test]
fn peers_that_cannot_work_are_refused() {
    let nodes = |list: &str| {
        let line = PEER.lines().last().unwrap();
        complaint(&PEER.replace(line, &format!("nodes = {list}")))
    };
    let table = [
        (
            "[]",
            "line 14: peer.nodes names no node other than this one (fra-1)",
        ),
        (
            r#"[{ name = "fra-1", address = "h:1" }]"#,
            "line 14: peer.nodes names no node other than this one (fra-1)",
        ),
        (
            r#"[{ name = "a", address = "h:1" }, { name = "a", address = "h:2" }]"#,
            r#"line 14: peer.nodes[1].name = "a" is there twice"#,
        ),
        (
            r#"[{ name = "a/b", address = "h:1" }]"#,
            r#"line 14: peer.nodes[0].name = "a/b" cannot be used; expected a name of 1 to 63 letters, digits, '.', '_' and '-'"#,
        ),
        (
            r#"[{ name = "a", address = "h" }]"#,
            r#"line 14: peer.nodes[0].address = "h" is not HOST:PORT, such as "10.0.0.2:7400""#,
        ),
        (
            r#"[{ name = "a", addr = "h:1" }]"#,
            "2 problems\n  line 14: unknown key peer.nodes[0].addr = \"h:1\"; expected name and address\n  line 14: peer.nodes[0].address is missing",
        ),
        (
            r#"["a"]"#,
            r#"line 14: peer.nodes[0] = "a" is a string; expected a table { name = "…", address = "…" }"#,
        ),
    ];
    for (list, expected) in table {
        assert_eq!(nodes(list), expected);
    }
}

#[test]
fn a_fence_command_that_cannot_work_is_refused() {
    let fence = |lines: &str| {
        let set = PEER.lines().filter(|line| line.starts_with("fence"));
        let set: Vec<_> = set.collect();
        complaint(&PEER.replace(&set.join("\n"), lines))
    };
    let table = [
        ("fence = []", "line 12: peer.fence = [] names no program"),
        (
            r#"fence = ["power-off {node}"]"#,
            r#"line 12: peer.fence[0] = "power-off {node}" is not the absolute path of a program; there is no shell"#,
        ),
        (
            r#"fence_within = "10s""#,
            "line 12: peer.fence_within is set alone: set peer.fence to the command that ends another node, or leave both out",
        ),
        (
            "fence = [\"/bin/off\", \"{node}\"]\nfence_within = \"11m\"",
            r#"line 13: peer.fence_within = "11m" is out of range; expected 1s to 10m"#,
        ),
        (
            r#"fence = "/bin/off""#,
            r#"line 12: peer.fence = "/bin/off" is a string; expected an array of strings, such as ["/usr/local/sbin/power-off", "{node}"]"#,
        ),
    ];
    for (lines, expected) in table {
        assert_eq!(fence(lines), expected);
    }
    let line = PEER.lines().last().unwrap_or_default();
    let third = line.replace("]", ", { name = \"lon-1\", address = \"lon:7400\" }]");
    let three = PEER.replace(line, &third);
    assert_eq!(
        load(&three).config.peer.map(|peer| peer.nodes.len()),
        Some(3)
    );
    let same = three.replace(", \"{node}\", \"{address}\"", "");
    assert_eq!(
        complaint(&same),
        "line 12: peer.fence is the same for every node: say which one is to be ended by {node} or {address} in an argument"
    );
}

#[test]
fn sections_that_contradict_each_other_are_refused() {
    let etcd = "[authority.etcd]\nendpoints = [\"http://h:1\"]\n";
    assert_eq!(
        complaint(&format!("{PEER}{etcd}")),
        "authority.kind is missing, and both [peer] and [authority.etcd] are there: set it to \"peer\" or \"etcd\""
    );
    let local = "[authority]\nkind = \"local\"\n";
    assert_eq!(
        complaint(&format!("{PEER}{local}")),
        "line 16: authority.kind = \"local\" is for a single node: remove [peer] and [authority.etcd], or set the kind to \"peer\" or \"etcd\""
    );
}

#[test]
fn every_problem_of_a_file_is_reported_at_once() {
    let text =
        "node = \"a b\"\n[identity]\nstaked = \"/k\"\n[gate]\nhold_mx = 1\n[restart]\nmax = true\n";
    let expected = "4 problems
  identity.unstaked is missing: set it to the keypair file of this node's own spare identity
  line 1: node = \"a b\" cannot be used; expected a name of 1 to 63 letters, digits, '.', '_' and '-'
  line 5: unknown key gate.hold_mx = 1; did you mean hold_max?
  line 7: restart.max = true is a boolean; expected a whole number from 0 to 1000";
    assert_eq!(complaint(text), expected);
}

#[test]
fn the_same_file_as_both_identities_is_refused() {
    let text = "[identity]\nstaked = \"/k\"\nunstaked = \"/k\"\n";
    let expected = "line 3: identity.staked and identity.unstaked are the same file /k: give this node a spare keypair of its own";
    assert_eq!(complaint(text), expected);
}

#[test]
fn a_wrong_key_or_value_is_refused_with_key_value_line_and_remedy() {
    let table = [
        (
            "[gate]\nhold_mx = \"5s\"",
            r#"line 6: unknown key gate.hold_mx = "5s"; did you mean hold_max?"#,
        ),
        (
            "[validator]\nhold_max = \"5s\"",
            r#"line 6: unknown key validator.hold_max = "5s"; it belongs in [gate]"#,
        ),
        (
            "[gate]\nnode = \"x\"",
            r#"line 6: unknown key gate.node = "x"; it belongs at the top of the file, before the first section"#,
        ),
        ("[gate]\ncolour = 1", "line 6: unknown key gate.colour = 1"),
        (
            "[gaet]\nhold_max = \"5s\"",
            "line 5: unknown section [gaet]; did you mean [gate]?",
        ),
        (
            "[etcd]\nttl = \"5s\"",
            "line 5: unknown section [etcd]; did you mean [authority.etcd]?",
        ),
        (
            "[[gate]]\nhold_max = \"5s\"",
            "line 5: gate = [… 1 items] is an array; expected a section [gate]",
        ),
        (
            "[gate]\nhold_max = 5",
            r#"line 6: gate.hold_max = 5 is an integer; expected a time such as "5s", "250ms" or "1h""#,
        ),
        (
            "[gate]\nhold_max = \"5\"",
            r#"line 6: gate.hold_max = "5" has no unit; write a whole number and a unit, such as "250ms", "5s" or "1h""#,
        ),
        (
            "[gate]\nhold_max = \"2m\"",
            r#"line 6: gate.hold_max = "2m" is out of range; expected 1s to 1m"#,
        ),
        (
            "[gate.hold_max]\nx = 1",
            r#"line 5: gate.hold_max = { … } is a table; expected a time such as "5s", "250ms" or "1h""#,
        ),
        (
            "[restart]\nmax = \"5\"",
            r#"line 6: restart.max = "5" is a string; expected a whole number from 0 to 1000"#,
        ),
        (
            "[restart]\nmax = -1",
            "line 6: restart.max = -1 is out of range; expected a whole number from 0 to 1000",
        ),
        (
            "[failover]\nmode = \"automatic\"",
            r#"line 6: failover.mode = "automatic" is not known; expected "auto" or "manual""#,
        ),
        (
            "[validator]\nclient = true",
            r#"line 6: validator.client = true is a boolean; expected "agave" or "jito""#,
        ),
        (
            "[validator]\nclient = \"firedancer\"",
            r#"line 6: validator.client = "firedancer" is not known; expected "agave" or "jito""#,
        ),
        (
            "[validator]\nledger = \"ledger\"",
            r#"line 6: validator.ledger = "ledger" is not an absolute path: begin it with /"#,
        ),
        (
            "[validator]\nrpc = \"127.0.0.1:8899\"",
            r#"line 6: validator.rpc = "127.0.0.1:8899" is not a URL: write http://HOST:PORT or https://HOST:PORT"#,
        ),
        (
            "[validator]\nrpc = \"http://127.0.0.1:99999\"",
            r#"line 6: validator.rpc = "http://127.0.0.1:99999" has no port from 1 to 65535 behind its host: correct it, or leave it out for that of http or https"#,
        ),
        (
            "[cluster]\nrpc = [\"https://user:pass@[::1]:0/x:1\"]",
            r#"line 6: cluster.rpc[0] = "https://***@[::1]:0/x:1" has no port from 1 to 65535 behind its host: correct it, or leave it out for that of http or https"#,
        ),
        (
            "[cluster]\nrpc = \"https://a\"",
            r#"line 6: cluster.rpc = "https://a" is a string; expected an array of URLs"#,
        ),
        (
            "[cluster]\nrpc = [\"https://a\", 1]",
            "line 6: cluster.rpc[1] = 1 is an integer; expected a string",
        ),
        (
            "[control]\nhttp = \"9100\"",
            r#"line 6: control.http = "9100" is not IP:PORT, such as "127.0.0.1:8080""#,
        ),
        (
            "[control]\ngroup = \"\"",
            r#"line 6: control.group = "" names no group; leave it out for none"#,
        ),
        (
            "link = \"/k/staked.json\"",
            "line 5: identity.link and identity.staked are the same file /k/staked.json: the link is a symlink of its own beside the keypairs",
        ),
        (
            "authorized_voters = []",
            "line 5: identity.authorized_voters = [] names no voter; leave it out for the staked keypair",
        ),
        (
            "[authority]\nkind = \"peer\"",
            r#"line 6: authority.kind = "peer" needs a section [peer]"#,
        ),
        (
            "[authority]\nkind = \"etcd\"",
            r#"line 6: authority.kind = "etcd" needs a section [authority.etcd]"#,
        ),
    ];
    for (extra, expected) in table {
        assert_eq!(complaint_after_minimal(extra), expected);
    }
}

#[test]
fn a_host_name_that_is_no_node_name_asks_for_one() {
    let problems = Loaded::parse(MINIMAL, "häst").unwrap_err();
    assert_eq!(
        problems.to_string(),
        "node is missing, and the host name \"häst\" cannot stand in: set it to a name of 1 to 63 letters, digits, '.', '_' and '-'"
    );
}

#[test]
fn a_socket_path_that_no_kernel_takes_is_refused() {
    let long = format!("[control]\nsocket = \"/{}\"\n", "s".repeat(107));
    let expected = "line 6: control.socket has 108 bytes; a unix socket's path has at most 107: use a shorter one";
    assert_eq!(complaint_after_minimal(&long), expected);
}

#[test]
fn text_that_is_not_toml_is_refused_by_line_without_repeating_it() {
    let text = "[identity]\nstaked = [1,2,3\nunstaked == 5KJvsngHeMpm884wtkJNzQGaCErckhHJBGFsvd3VyK5qMZXj3hS\n";
    let message = complaint(text);
    assert!(message.contains("line 3: not TOML: "), "{message}");
    assert!(!message.contains("5KJvsng"), "{message}");
}

#[test]
fn a_secret_key_pasted_where_its_path_belongs_is_not_repeated() {
    let bytes: Vec<String> = (100..164).map(|b: u8| b.to_string()).collect();
    let array = format!("[{}]", bytes.join(","));
    let base58 = "5KJvsngHeMpm884wtkJNzQGaCErckhHJBGFsvd3VyK5qMZXj3hS";
    let cases = [
        array.clone(),
        format!("\"{array}\""),
        format!("\"{base58}\""),
        "\"abandon ability able about above absent absorb abstract absurd abuse access\""
            .to_owned(),
    ];
    for pasted in cases {
        let text = format!("[identity]\nunstaked = \"/k\"\nstaked = {pasted}\nsecret = {pasted}\n");
        let message = complaint(&text);
        for secret in ["100,101", "5KJv", "abandon"] {
            assert!(!message.contains(secret), "{message}");
        }
        assert!(message.contains("line 3: identity.staked = "), "{message}");
    }
}

#[test]
fn a_file_that_cannot_be_read_or_is_no_text_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let error = |expected: &str| {
        let message = Loaded::from_file(&path).unwrap_err().to_string();
        assert!(
            message.contains(expected) && message.contains("config.toml"),
            "{message}"
        );
    };
    error("create it, or name another with --config");
    std::fs::write(&path, b"node = 1\nx = \"\xff\"").unwrap();
    error("is not UTF-8 text, first at line 2");
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    error("is longer than 1048576 bytes");
    std::fs::write(&path, "nod = 1").unwrap();
    error("line 1: unknown key nod = 1; did you mean node?");
    std::fs::write(&path, ETCD).unwrap();
    assert_eq!(Loaded::from_file(&path).unwrap().config, load(ETCD).config);
    // Nobody will ever write to it.
    std::fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    error("is no regular file: put one in its place");
}
