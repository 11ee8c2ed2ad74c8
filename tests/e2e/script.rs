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
    lab.start_command(&words);
    lab.promote_first();
    lab.must(&["demote"]);
    lab.chain.demoted(&lab.identity, Some("a"));
    lab.chain.let_slots_pass(10);
    let status = lab.status().expect("a status");
    assert!(status["vote_account"].is_string(), "{status}");
    lab.end();
}

#[test]
fn a_script_with_everything_in_the_configuration_is_supervised_too() {
    let mut lab = Lab::new(Protocol::Alpenglow);
    let path = |name: &str| lab.path(name).display().to_string();
    let more = format!(
        "[validator]\nledger = \"{}\"\ntower = \"{}\"\nrpc = \"http://127.0.0.1:{}\"\n",
        path("ledger"),
        path("tower"),
        lab.node.more[1],
    );
    lab.configure_identity(&link_of(&lab), &more);
    let words = lab.start_script("");
    lab.start_command(&words);
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
    lab.start_command(&words);
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
fn a_script_that_hides_a_validator_without_rpc_is_ended_with_the_key_to_set() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.configure_identity(&link_of(&lab), "[restart]\nmax = 0\n");
    lab.node.more.clear();
    let words = lab.start_script("");
    lab.start_command(&words);
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
    lab.start_command(&words);
    lab.promote_first();
    lab.signal(nix::sys::signal::Signal::SIGKILL);
    lab.ended();
    lab.start_command(&words);
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
