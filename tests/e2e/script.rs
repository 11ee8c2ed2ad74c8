//! COMMAND as a start script that becomes the validator.

use crate::lab::{Lab, said};
use testkit::stand_in::Protocol;

fn link_of(lab: &Lab) -> String {
    format!("link = \"{}\"\n", lab.path("identity.json").display())
}

#[test]
fn a_script_that_hides_all_but_the_link_is_supervised_like_the_validator_itself() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.configure_identity(&link_of(&lab), "");
    let words = lab.start_script("sleep 0.3");
    lab.run(&words);
    lab.promote_first();
    lab.must(&["demote"]);
    lab.chain.demoted(&lab.identity, Some("a"));
    lab.chain.let_slots_pass(10);
    let status = lab.status().expect("a status");
    assert!(status["vote_account"].is_string(), "{status}");
    assert!(!lab.log().contains(NO_EXEC), "{}", lab.log());
    lab.end();
}

const NO_EXEC: &str = "it has to start it with `exec`";

#[test]
fn a_script_that_starts_the_validator_without_exec_is_named_long_before_the_start_is_given_up() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.configure_identity(&link_of(&lab), "");
    let words = lab.script("start.sh", &format!("{}\nexit $?", lab.quoted()));
    lab.run(&words);
    let child = lab.await_child();
    lab.await_log(NO_EXEC);
    lab.await_log(&format!("(pid {child}) has not become the validator"));
    assert_eq!(lab.role().as_deref(), Some("starting"), "{}", lab.log());
    // Dying of the supervisor's death is not passed on to the script's child; the signals to its group are.
    lab.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(lab.ended().is_some(), "{}", lab.log());
    lab.end();
}

#[test]
fn a_script_with_everything_in_the_configuration_is_supervised_too() {
    let mut lab = Lab::new(Protocol::Alpenglow);
    lab.configure_all();
    let words = lab.start_script("");
    lab.run(&words);
    lab.promote_first();
    lab.end();
}

#[test]
fn a_script_without_the_link_in_the_configuration_is_refused_by_key() {
    let lab = Lab::new(Protocol::Tower);
    let output = lab.to_the_end(&["run"], &lab.start_script(""));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("set identity.link"),
        "{}",
        said(&output)
    );
    lab.end();
}

#[test]
fn a_script_that_starts_the_validator_with_another_identity_is_ended_before_it_can_vote() {
    let mut lab = Lab::new(Protocol::Tower);
    let link = format!("link = \"{}\"\n", lab.path("another.json").display());
    lab.configure_identity(&link, "[restart]\nmax = 0\n");
    lab.node
        .link("staked.json")
        .expect("the link of the script");
    lab.node
        .faults(&[("start_ms", "20000")])
        .expect("time to look at it");
    let words = lab.start_script("");
    lab.run(&words);
    assert_eq!(
        lab.ended().and_then(|status| status.code()),
        Some(137),
        "{}",
        lab.log()
    );
    assert!(
        lab.log().contains("identity.link") && lab.log().contains("differs from --identity"),
        "{}",
        lab.log()
    );
    assert!(lab.chain.votes().is_empty());
    lab.end();
}

#[test]
fn a_script_that_is_called_with_the_flags_of_a_validator_is_looked_at_once_it_is_one() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.configure("[restart]\nmax = 0\n");
    let mut words = lab.start_script("sleep 0.3");
    let inner = std::fs::read_to_string(&words[0]).expect("the script");
    let inner = inner.trim_end().to_owned() + " --tower-storage etcd\n";
    std::fs::write(&words[0], inner).expect("another script");
    words.extend(lab.node.args());
    lab.run(&words);
    assert_eq!(
        lab.ended().and_then(|status| status.code()),
        Some(137),
        "{}",
        lab.log()
    );
    lab.await_log("--tower-storage etcd");
    assert!(lab.chain.votes().is_empty());
    lab.end();
}

#[test]
fn a_script_that_passes_its_arguments_on_is_supervised_like_the_validator_itself() {
    let mut lab = Lab::new(Protocol::Tower);
    let binary = lab.words()[0].clone();
    let mut words = lab.script("start.sh", &format!("exec {binary} \"$@\""));
    words.extend(lab.node.args());
    lab.run(&words);
    lab.promote_first();
    lab.end();
}

#[test]
fn a_script_that_moves_a_file_of_a_records_name_is_not_taken_for_a_validator_that_exits() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.configure_identity(&link_of(&lab), "");
    let record = lab.node.record();
    let record = record.display();
    let words = lab.start_script(&format!(
        "echo x > '{record}.x'\nmv '{record}.x' '{record}'\nrm '{record}.x'"
    ));
    lab.run(&words);
    lab.await_log(
        "any other program behind the gate has only failed to rename a file of that name",
    );
    lab.promote_first();
    assert!(!lab.log().contains("validator will exit"), "{}", lab.log());
    lab.end();
}

#[test]
fn a_script_that_hides_a_validator_without_rpc_is_ended_with_the_key_to_set() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.configure_identity(&link_of(&lab), "[restart]\nmax = 0\n");
    lab.node.more.clear();
    let words = lab.start_script("");
    lab.run(&words);
    assert_eq!(
        lab.ended().and_then(|status| status.code()),
        Some(137),
        "{}",
        lab.log()
    );
    assert!(
        lab.log().contains("validator.rpc is not set"),
        "{}",
        lab.log()
    );
    lab.end();
}

#[test]
fn a_script_that_hides_the_ledger_votes_on_after_its_supervisor_was_killed() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.configure_identity(&link_of(&lab), "");
    let words = lab.start_script("");
    lab.run(&words);
    lab.promote_first();
    lab.signal(nix::sys::signal::Signal::SIGKILL);
    lab.ended();
    lab.run(&words);
    lab.await_role("active");
    lab.await_votes(3);
    // A script that was changed since is looked at again.
    let child = lab.await_child();
    lab.node.link("staked.json").expect("a link");
    let changed = std::fs::read_to_string(&words[0])
        .expect("the script")
        .replace("identity.json", "staked.json");
    std::fs::write(&words[0], changed).expect("another script");
    lab.node
        .faults(&[("start_ms", "20000")])
        .expect("time to look at it");
    crate::lab::signal(child, nix::sys::signal::Signal::SIGKILL);
    lab.await_log("differs from --identity");
    lab.end();
}
