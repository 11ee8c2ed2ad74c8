//! Command lines as operators write them, and what is read from each.

use super::*;

const KEY: &str = "Vote111111111111111111111111111111111111111";

fn read(line: &str) -> CommandLine {
    let argv: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    CommandLine::read(&argv, Path::new("/home/sol"))
}

fn some(path: &str) -> Option<PathBuf> {
    Some(PathBuf::from(path))
}

#[test]
fn a_usual_command_line_is_read_whole() {
    let line = format!(
        "/opt/bin/agave-validator --identity id.json --vote-account {KEY} --authorized-voter /k/a.json \
         --ledger /mnt/ledger/ --tower ./tower --rpc-port 8899 --private-rpc --log - run"
    );
    let expected = CommandLine {
        is_validator: true,
        identity: some("/home/sol/id.json"),
        identity_is_asked_for: false,
        authorized_voters: vec!["/k/a.json".into()],
        vote_account: Some(VoteAccount::Address(KEY.parse().unwrap())),
        ledger: some("/mnt/ledger"),
        tower: some("/home/sol/tower"),
        tower_storage: None,
        rpc: Some("http://127.0.0.1:8899".into()),
        no_voting: false,
    };
    assert_eq!(read(&line), expected);
}

#[test]
fn every_form_of_a_flag_gives_the_same_value() {
    for form in ["--identity x", "--identity=x", "-i x", "-ix", "-i=x"] {
        let line = read(&format!("agave-validator --no-voting {form} --private-rpc"));
        assert_eq!(line.identity, some("/home/sol/x"), "{form}");
        assert!(line.no_voting, "{form}");
    }
    assert_eq!(read("agave-validator -l /x").ledger, some("/x"));
    assert_eq!(read("agave-validator --ledger=/x").ledger, some("/x"));
}

#[test]
fn voters_add_up_however_they_are_given() {
    let voters = |line: &str| read(line).authorized_voters;
    let expected: Vec<PathBuf> = vec!["/a".into(), "/b".into(), "/c".into()];
    assert_eq!(
        voters("agave-validator --authorized-voter /a /b --no-voting --authorized-voter=/c"),
        expected
    );
    assert_eq!(
        voters(
            "agave-validator --authorized-voter /a --authorized-voter /b --authorized-voter /c x"
        ),
        ["/a", "/b", "/c", "/home/sol/x"].map(PathBuf::from)
    );
    assert!(voters("agave-validator --authorized-voter ASK").is_empty());
}

#[test]
fn a_validator_known_by_name_has_the_default_ledger_and_a_script_has_none() {
    assert_eq!(
        read("agave-validator --identity x").ledger,
        some("/home/sol/ledger")
    );
    assert_eq!(read("other --identity x").ledger, None);
}

#[test]
fn start_scripts_are_told_from_validators() {
    for line in [
        "/home/sol/bin/validator.sh",
        "start-validator",
        "bash -c agave-validator.sh",
        "ionice -i x",
        "",
    ] {
        let read = read(line);
        assert!(!read.is_validator, "{line}");
        assert_eq!(read.identity, None, "{line}");
    }
    for line in [
        "agave-validator",
        "/x/agave-validator-4.2.2",
        "agave-validator-v3.0.1",
        "numactl --membind=0 -i /x/solana-validator",
        "stand-in --ledger /l",
    ] {
        assert!(read(line).is_validator, "{line}");
    }
}

/// An executable file.
fn program(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_script_is_no_validator_whatever_it_is_called_with() {
    let dir = tempfile::tempdir().unwrap();
    let script = program(dir.path(), "agave-validator", "#!/bin/sh\n");
    let script = script.display();
    let line = read(&format!(
        "{script} --ledger /l --identity /k /x/agave-validator"
    ));
    assert!(!line.is_validator);
    // It may pass them on.
    assert_eq!((line.ledger, line.identity), (some("/l"), some("/k")));
    assert_eq!(read(&format!("{script} /x/agave-validator")).ledger, None);
    let binary = program(dir.path(), "validator", "\x7fELF");
    assert!(read(&format!("{} --ledger /l", binary.display())).is_validator);
}

#[test]
fn a_process_that_is_to_start_the_validator_is_none_yet() {
    let dir = tempfile::tempdir().unwrap();
    let script = program(dir.path(), "start.sh", "#!/bin/sh\n");
    let starts = |line: &str| {
        let argv: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        starts_another(&argv, dir.path())
    };
    for line in [
        "/bin/sh start.sh --ledger /l".to_owned(),
        format!("/bin/bash -e -u {} --ledger /l", script.display()),
        "/bin/sh start.sh /x/agave-validator --ledger /l".to_owned(),
        "numactl --membind=0 agave-validator --ledger /l".to_owned(),
    ] {
        assert!(starts(&line), "{line}");
    }
    for line in ["agave-validator --ledger /l", "stand-in --ledger /l"] {
        assert!(!starts(line), "{line}");
    }
}

#[test]
fn flags_of_a_launcher_before_the_validator_are_not_the_validators() {
    let line = read("env -i --ledger /no taskset -l agave-validator --identity /k");
    assert_eq!(line.identity, some("/k"));
    assert_eq!(line.ledger, some("/home/sol/ledger"));
}

#[test]
fn a_flag_without_its_value_and_what_follows_the_dashes_are_left_out() {
    assert_eq!(
        read("agave-validator --identity --no-voting").identity,
        None
    );
    assert_eq!(read("agave-validator --identity").identity, None);
    assert_eq!(read("agave-validator -- --identity x").identity, None);
    assert_eq!(
        read("agave-validator --identity-file x --ledgers y").identity,
        None
    );
}

#[test]
fn a_seed_phrase_to_be_typed_is_no_file() {
    let line = read("agave-validator --identity ASK");
    assert_eq!(line.identity, None);
    assert!(line.identity_is_asked_for);
}

#[test]
fn towers_that_are_kept_in_no_file_are_named() {
    for form in ["--tower-storage etcd", "--tower-storage=etcd"] {
        let line = read(&format!("agave-validator {form} --tower /t"));
        assert_eq!(line.tower, some("/t"));
        let problem = line.unguarded().unwrap();
        assert!(problem.starts_with("--tower-storage etcd: "), "{problem}");
    }
    for harmless in ["--tower-storage file", "--tower /t", ""] {
        let line = read(&format!("agave-validator {harmless}"));
        assert_eq!(line.unguarded(), None, "{harmless}");
    }
}

#[test]
fn the_rpc_is_reached_where_the_validator_binds_it() {
    let table = [
        ("--rpc-port 1", Some("http://127.0.0.1:1")),
        (
            "--rpc-port 1 --bind-address 10.0.0.5 10.0.0.6",
            Some("http://10.0.0.5:1"),
        ),
        (
            "--rpc-port 1 --bind-address 10.0.0.5 --private-rpc",
            Some("http://127.0.0.1:1"),
        ),
        (
            "--rpc-port 1 --bind-address 0.0.0.0",
            Some("http://127.0.0.1:1"),
        ),
        (
            "--rpc-port 1 --private-rpc --rpc-bind-address 127.0.0.3",
            Some("http://127.0.0.3:1"),
        ),
        ("--rpc-port 1 --rpc-bind-address ::", Some("http://[::1]:1")),
        (
            "--rpc-port 1 --rpc-bind-address fd00::1",
            Some("http://[fd00::1]:1"),
        ),
        (
            "--rpc-port 1 --rpc-bind-address localhost",
            Some("http://localhost:1"),
        ),
        ("--rpc-port 99999", None),
        ("--private-rpc", None),
    ];
    for (flags, expected) in table {
        assert_eq!(
            read(&format!("agave-validator {flags}")).rpc.as_deref(),
            expected,
            "{flags}"
        );
    }
}

#[test]
fn a_vote_account_may_be_a_keypair_file() {
    let line = read("agave-validator --vote-account vote.json");
    assert_eq!(
        line.vote_account,
        Some(VoteAccount::Keypair("/home/sol/vote.json".into()))
    );
}

#[test]
fn a_running_process_is_read_from_proc() {
    assert_eq!(split_cmdline(b"a\0-l\0\0b c\0"), ["a", "-l", "", "b c"]);
    assert!(split_cmdline(b"").is_empty());
    let own = CommandLine::of_process(std::process::id()).unwrap();
    assert!(!own.is_validator);
    assert!(CommandLine::of_process(u32::MAX).is_err());
}
