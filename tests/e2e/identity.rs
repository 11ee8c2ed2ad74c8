//! The identity link: refused where it cannot be used, turned with the identity, and watched.

use crate::lab::{Lab, SOON_MS, said};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use testkit::keys;
use testkit::stand_in::{Protocol, until};

fn leads_to(lab: &Lab) -> String {
    let target = std::fs::read_link(lab.path("identity.json")).expect("the link");
    target
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned()
}

/// `run` and `check` both refuse, with these words.
#[track_caller]
fn refused(lab: Lab, words: &[&str]) {
    for what in ["run", "check"] {
        let output = lab.to_the_end(&[what], &lab.words());
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        for word in words {
            assert!(text.contains(word), "no `{word}` in {text}");
        }
    }
    lab.end();
}

#[test]
fn a_link_that_is_a_file_is_refused_with_the_way_to_make_it_one() {
    let lab = Lab::new(Protocol::Tower);
    std::fs::remove_file(lab.path("identity.json")).expect("no link");
    std::fs::copy(lab.path("staked.json"), lab.path("identity.json")).expect("a file");
    refused(lab, &["not a symlink", "mv ", "identity.json"]);
}

#[test]
fn a_link_to_a_third_file_is_refused_by_both_names() {
    let lab = Lab::new(Protocol::Tower);
    std::fs::remove_file(lab.path("identity.json")).expect("no link");
    symlink("third.json", lab.path("identity.json")).expect("a link");
    refused(
        lab,
        &[
            "identity.json leads to",
            "third.json",
            "neither identity.staked nor identity.unstaked",
        ],
    );
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_command_that_mends_it() {
    let lab = Lab::new(Protocol::Tower);
    let key = lab.path("staked.json");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).expect("a mode");
    let remedy = format!("chmod 600 {}", key.display());
    refused(lab, &["staked.json", &remedy]);
}

#[test]
fn one_key_for_both_identities_is_refused() {
    let lab = Lab::new(Protocol::Tower);
    std::fs::copy(lab.path("staked.json"), lab.path("unstaked.json")).expect("the same key");
    let identity = lab.identity.clone();
    refused(lab, &["unstaked", "staked", &identity]);
}

#[test]
fn the_link_follows_the_identity_and_every_start_finds_it_right() {
    let mut lab = Lab::voting(Protocol::Tower);
    assert!(until(SOON_MS, || leads_to(&lab) == "staked.json"));
    lab.must(&["demote"]);
    lab.chain.demoted(&lab.identity, Some("a"));
    assert_eq!(
        leads_to(&lab),
        "unstaked.json",
        "after `demote` has returned"
    );
    lab.chain.promoted(&lab.identity, "a");
    lab.must(&["promote"]);
    assert_eq!(
        leads_to(&lab),
        "staked.json",
        "after `promote` has returned"
    );
    lab.signal(nix::sys::signal::Signal::SIGTERM);
    lab.ended();
    assert_eq!(
        leads_to(&lab),
        "unstaked.json",
        "after the supervisor has ended"
    );
    // A link that is gone is made anew.
    std::fs::remove_file(lab.path("identity.json")).expect("no link");
    lab.start();
    lab.await_role("active");
    lab.await_votes(3);
    assert_eq!(leads_to(&lab), "staked.json");
    lab.end();
}

#[test]
fn a_link_turned_by_somebody_else_is_reported_and_set_right_at_the_next_start() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.start();
    lab.await_role("standby");
    assert!(
        !lab.log().contains("behind the supervisor's back"),
        "our own turns are not reported\n{}",
        lab.log()
    );
    lab.node.link("staked.json").expect("the link turned");
    lab.await_log("was changed behind the supervisor's back");
    let before = lab.await_child();
    crate::lab::signal(before, nix::sys::signal::Signal::SIGKILL);
    assert!(until(SOON_MS, || lab
        .child()
        .is_some_and(|pid| pid != before)));
    lab.await_role("standby");
    assert_eq!(leads_to(&lab), "unstaked.json");
    assert!(lab.chain.votes().is_empty());
    lab.end();
}

#[test]
fn no_secret_key_is_in_a_log_or_on_a_command_line() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.environment
        .push(("SUPERVISOR_LOG".into(), "trace".into()));
    let lab = lab.started_voting();
    lab.must(&["demote"]);
    lab.chain.demoted(&lab.identity, Some("a"));
    let secrets: Vec<(String, String)> = ["staked.json", "unstaked.json"]
        .into_iter()
        .flat_map(|name| keys::shapes_of_secret(&lab.path(name)))
        .collect();
    let mut places: Vec<PathBuf> = vec![lab.log_path()];
    let processes = [lab.supervisor(), lab.await_child()];
    places.extend(processes.map(|pid| PathBuf::from(format!("/proc/{pid}/cmdline"))));
    let state = std::fs::read_dir(lab.path("state"))
        .expect("the state")
        .flatten()
        .map(|entry| entry.path());
    places.extend(state);
    for place in places {
        let bytes = std::fs::read(&place).expect("a place to look");
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        for (what, secret) in &secrets {
            assert!(
                !text.contains(&secret.to_lowercase()),
                "{} shows {what}",
                place.display()
            );
        }
    }
    lab.end();
}
