//! What an operator can get wrong: `run` and `check` both name the thing, the value and the remedy, and change nothing.

use crate::lab::{Lab, said};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use testkit::stand_in::Protocol;
use validator_supervisor::pki;

/// Every file below, with its content.
fn everything(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("its type"));
        if kind.is_dir() {
            found.extend(everything(&path));
            found.insert(path, Vec::new());
        } else if kind.is_symlink() {
            found.insert(
                path.clone(),
                std::fs::read_link(&path)
                    .expect("a link")
                    .into_os_string()
                    .into_encoded_bytes(),
            );
        } else if kind.is_file() {
            found.insert(path.clone(), std::fs::read(&path).expect("a file"));
        }
    }
    found
}

/// A lab with a mistake in it: refused with all of `words` by `run`, `check` and `check --json`.
#[track_caller]
fn refused(lab: &Lab, command: &[String], words: &[&str]) {
    let before = everything(lab.dir.path());
    for what in [&["run"][..], &["check"], &["check", "--json"]] {
        let output = lab.to_the_end(what, command);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{what:?}: {text}");
        let is_json = what.len() > 1;
        let text = if is_json {
            errors_in(&output.stdout)
        } else {
            text
        };
        for word in words {
            assert!(text.contains(word), "{what:?}: no `{word}` in {text}");
        }
        assert!(
            everything(lab.dir.path()) == before,
            "{what:?} has changed something"
        );
    }
}

fn errors_in(stdout: &[u8]) -> String {
    let answer: serde_json::Value = serde_json::from_slice(stdout).expect("one JSON object");
    assert_eq!(answer["result"], "error", "{answer}");
    let findings = answer["findings"].as_array().expect("findings").iter();
    let errors = findings.filter(|finding| finding["level"] == "error");
    errors
        .map(|finding| finding["text"].as_str().expect("a text"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[track_caller]
fn configuration_is_refused(more: &str, words: &[&str]) {
    let lab = Lab::new(Protocol::Tower);
    lab.configure(more);
    refused(&lab, &lab.words(), words);
}

#[track_caller]
fn is_refused(change: impl FnOnce(&mut Lab), words: &[&str]) {
    let mut lab = Lab::new(Protocol::Tower);
    change(&mut lab);
    refused(&lab, &lab.words(), words);
}

#[test]
fn mistakes_in_the_configuration_are_named_with_key_value_and_line() {
    configuration_is_refused(
        "[gate]\nhold_mx = \"2s\"\n",
        &["gate.hold_mx", "hold_max", "config.toml"],
    );
    configuration_is_refused("[gate]\nhold_max = 2\n", &["gate.hold_max"]);
    configuration_is_refused("[gate]\nhold_max = \"2h\"\n", &["gate.hold_max", "2h"]);
    configuration_is_refused("[gates]\n", &["gates"]);
    configuration_is_refused(
        "[authority]\nkind = \"consul\"\n",
        &["authority.kind", "consul"],
    );
    configuration_is_refused("[restart]\nmax = -1\n", &["restart.max", "-1"]);
    configuration_is_refused("[gate\n", &["config.toml"]);
}

#[test]
fn files_of_the_link_that_are_not_there_are_refused_by_name() {
    let peer = "[peer]\nlisten = \"127.0.0.1:7400\"\nca = \"/nowhere/ca\"\ncert = \"/nowhere/cert\"\nkey = \"/nowhere/key\"\nnodes = [{ name = \"b\", address = \"127.0.0.2:7400\" }]\n";
    configuration_is_refused(peer, &["peer.ca /nowhere/ca: "]);
}

#[test]
fn a_certificate_of_another_node_or_another_key_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    pki::init(dir.path()).expect("an authority");
    for name in ["a", "b"] {
        pki::add(dir.path(), name, &["127.0.0.1".to_owned()], false).expect("a certificate");
    }
    let file = |name: &str| dir.path().join(name).display().to_string();
    let peer = |cert: &str, key: &str| {
        format!(
            "[peer]\nlisten = \"127.0.0.1:7400\"\nca = {:?}\ncert = {:?}\nkey = {:?}\nnodes = [{{ name = \"b\", address = \"127.0.0.2:7400\" }}]\n",
            file("ca.pem"),
            file(cert),
            file(key)
        )
    };
    configuration_is_refused(
        &peer("b.pem", "b-key.pem"),
        &["b.pem: it is for b, and this node is a"],
    );
    configuration_is_refused(&peer("a.pem", "b-key.pem"), &["peer.key", "b-key.pem"]);
}

#[test]
fn what_does_nothing_for_a_single_node_is_refused_by_name() {
    let more =
        "[failover]\nmode = \"manual\"\npriority = 5\n[partition]\nstep_down_after = \"5s\"\n";
    configuration_is_refused(
        more,
        &[
            "failover.mode would do nothing with authority.kind = \"local\"",
            "failover.priority would do nothing",
            "partition.step_down_after would do nothing",
        ],
    );
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let lab = Lab::new(Protocol::Tower);
    std::fs::remove_file(lab.config()).expect("no configuration");
    refused(&lab, &lab.words(), &["config.toml"]);
}

fn make_fifo(path: &Path) {
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
}

#[test]
fn a_pipe_where_a_file_belongs_is_named_and_not_waited_for() {
    is_refused(
        |lab| {
            std::fs::remove_file(lab.config()).expect("no configuration");
            make_fifo(&lab.config());
        },
        &["config.toml is no regular file", "--config"],
    );
    for name in ["state/record", "state/holding"] {
        is_refused(
            |lab| {
                std::fs::create_dir(lab.path("state")).expect("a directory");
                std::fs::set_permissions(lab.path("state"), PermissionsExt::from_mode(0o700))
                    .expect("its mode");
                make_fifo(&lab.path(name));
            },
            &[name, "no regular file: move it away"],
        );
    }
}

#[test]
fn a_place_where_no_control_socket_can_be_is_named() {
    let at = |name: &'static str| {
        move |lab: &mut Lab| {
            let text = std::fs::read_to_string(lab.config()).expect("the configuration");
            let text = text.replace("ctl.sock", name);
            std::fs::write(lab.config(), text).expect("another place");
        }
    };
    is_refused(at("ledger"), &["ledger exists and is not a socket"]);
    is_refused(
        at("staked.json/ctl.sock"),
        &["staked.json is not a directory", "control.socket"],
    );
}

#[test]
fn a_state_directory_that_goes_with_the_ledger_is_warned_of() {
    let lab = Lab::new(Protocol::Tower);
    for place in ["ledger", "ledger/supervisor/state"] {
        lab.configure("");
        let text = std::fs::read_to_string(lab.config()).expect("the configuration");
        let text = text.replace("/state\"", &format!("/{place}\""));
        std::fs::write(lab.config(), text).expect("another place");
        std::fs::set_permissions(lab.path("ledger"), PermissionsExt::from_mode(0o700))
            .expect("its mode");
        let output = lab.to_the_end(&["check"], &lab.words());
        let text = said(&output);
        assert!(text.contains(" is in the ledger "), "{place}: {text}");
        assert_eq!(output.status.code(), Some(0), "{text}");
    }
}

#[test]
fn a_check_beside_the_supervisor_that_runs_finds_it_and_nothing_wrong() {
    let lab = Lab::voting(Protocol::Tower);
    let output = lab.to_the_end(&["check"], &lab.words());
    let text = said(&output);
    let pid = lab.supervisor();
    assert!(
        text.contains(&format!(
            "runs under the supervisor of this state_dir (pid {pid})"
        )),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(0), "{text}");
    lab.end();
}

#[test]
fn keys_that_cannot_be_used_are_named() {
    let remove = |name: &'static str| {
        move |lab: &mut Lab| std::fs::remove_file(lab.path(name)).expect("no key")
    };
    is_refused(remove("staked.json"), &["staked.json"]);
    is_refused(remove("unstaked.json"), &["unstaked.json"]);
    let write = |name: &'static str, text: &'static str| {
        move |lab: &mut Lab| std::fs::write(lab.path(name), text).expect("a bad key")
    };
    is_refused(write("staked.json", ""), &["staked.json"]);
    is_refused(write("staked.json", "[1,2,3]"), &["staked.json"]);
    is_refused(write("unstaked.json", "not a key"), &["unstaked.json"]);
    is_refused(
        |lab| {
            std::fs::remove_file(lab.path("staked.json")).expect("no key");
            std::fs::create_dir(lab.path("staked.json")).expect("a directory in its place");
        },
        &["staked.json"],
    );
}

#[test]
fn a_command_that_cannot_run_is_named() {
    let lab = Lab::new(Protocol::Tower);
    let with = |program: &str| {
        let mut words = lab.words();
        program.clone_into(&mut words[0]);
        words
    };
    refused(
        &lab,
        &with("/nonexistent/agave-validator"),
        &["/nonexistent/agave-validator"],
    );
    refused(
        &lab,
        &with("agave-validator-of-nowhere"),
        &["agave-validator-of-nowhere", "PATH"],
    );
    let directory = lab.path("ledger").display().to_string();
    refused(&lab, &with(&directory), &[&directory, "not a file"]);
    let plain = lab.path("plain");
    std::fs::write(&plain, "x").expect("a file");
    std::fs::set_permissions(&plain, PermissionsExt::from_mode(0o644)).expect("its mode");
    refused(
        &lab,
        &with(&plain.display().to_string()),
        &["not executable", "chmod +x"],
    );
}

#[test]
fn a_command_whose_interpreter_is_missing_is_given_up_with_127() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.configure("[restart]\nmax = 0\n");
    let path = lab.path("broken");
    std::fs::write(&path, "#!/nonexistent/sh\n").expect("a program");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("its mode");
    let mut words = lab.words();
    words[0] = path.display().to_string();
    lab.run(&words);
    assert_eq!(
        lab.ended().and_then(|status| status.code()),
        Some(127),
        "{}",
        lab.log()
    );
    let log = lab.log();
    assert!(
        log.contains("interpreter") && log.contains(&words[0]),
        "{log}"
    );
    lab.end();
}

#[test]
fn directories_that_cannot_be_used_are_named() {
    let remove = |name: &'static str| {
        move |lab: &mut Lab| std::fs::remove_dir_all(lab.path(name)).expect("no directory")
    };
    is_refused(remove("ledger"), &["ledger"]);
    is_refused(remove("tower"), &["tower"]);
    is_refused(
        |lab| std::fs::write(lab.path("state"), "").expect("a file in its place"),
        &["state is not a directory"],
    );
    is_refused(
        |lab| {
            std::fs::create_dir(lab.path("state")).expect("a directory");
            std::fs::set_permissions(lab.path("state"), PermissionsExt::from_mode(0o777))
                .expect("its mode");
        },
        &["state can be written by others", "chmod 700"],
    );
    is_refused(
        |lab| std::fs::write(lab.path("tower/tower-1_9-SomebodyElse.bin"), "").expect("a record"),
        &["tower-1_9-SomebodyElse.bin", "another validator's ledger"],
    );
}

#[test]
fn a_state_directory_on_a_read_only_disk_is_refused() {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    let lab = Lab::new(Protocol::Tower);
    let state = lab.path("state");
    std::fs::create_dir(&state).expect("a directory");
    let mounted = mount(
        Some("none"),
        &state,
        Some("tmpfs"),
        MsFlags::MS_RDONLY,
        Some("mode=700"),
    );
    mounted.expect("a mount, for which this test needs to be run as root");
    let output = lab.to_the_end(&["run"], &lab.words());
    umount2(&state, MntFlags::MNT_DETACH).expect("the mount gone");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("state cannot be written by this user (Read-only file system)"),
        "{}",
        said(&output)
    );
}

#[test]
fn paths_too_long_for_a_socket_are_refused_with_their_length() {
    is_refused(
        |lab| {
            let text = std::fs::read_to_string(lab.config()).expect("the configuration");
            let long = format!("{}.sock", "x".repeat(120));
            std::fs::write(lab.config(), text.replace("ctl.sock", &long)).expect("a long path");
        },
        &["control.socket", "107"],
    );
    let mut lab = Lab::new(Protocol::Tower);
    let deep = lab.path(&"d".repeat(90));
    std::fs::create_dir(&deep).expect("a deep directory");
    lab.node
        .more
        .extend(["--ledger".to_owned(), deep.display().to_string()]);
    let words: Vec<String> = lab.words();
    let at = words
        .iter()
        .position(|word| word == "--ledger")
        .expect("the first ledger");
    let words = [&words[..at], &words[at + 2..]].concat();
    refused(&lab, &words, &["admin.rpc", "107"]);
}

#[test]
fn a_damaged_a_missing_and_a_newer_record_of_ours_are_refused_by_name() {
    let mut lab = Lab::voting(Protocol::Tower);
    lab.signal(nix::sys::signal::Signal::SIGTERM);
    lab.ended();
    std::fs::write(lab.path("state/record"), "damaged").expect("damage");
    refused(
        &lab,
        &lab.words(),
        &["record is damaged", "record.older is whole"],
    );
    std::fs::remove_file(lab.path("state/record")).expect("removed");
    refused(
        &lab,
        &lab.words(),
        &["record is missing", "Put it back", "record.older is whole"],
    );
    let older = lab.path("state/record.older");
    let mut newer = std::fs::read(&older).expect("the older record");
    newer[8] = 7;
    std::fs::write(lab.path("state/record"), newer).expect("a record");
    refused(
        &lab,
        &lab.words(),
        &["record cannot be read", "newer supervisor, in version 7"],
    );
    lab.end();
}

#[test]
fn usage_errors_end_with_2() {
    let lab = Lab::new(Protocol::Tower);
    assert_eq!(lab.to_the_end(&["run"], &[]).status.code(), Some(2));
    assert_eq!(lab.ctl(&["explode"]).status.code(), Some(2));
    assert_eq!(
        lab.ctl(&["demote", "--timeout", "5"]).status.code(),
        Some(2)
    );
    assert_eq!(lab.ctl(&["status"]).status.code(), Some(1), "nobody there");
    assert_eq!(
        lab.to_the_end(&["check"], &lab.words()).status.code(),
        Some(0)
    );
}
