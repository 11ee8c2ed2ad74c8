//! The admin RPC of a stand-in: answers and errors as the real one gives them.

use crate::bare::{Bare, SOON_MS, done, refused};
use serde_json::json;
use testkit::keys;
use testkit::stand_in::Protocol;

#[test]
fn it_says_who_it_is_and_since_when() {
    let bare = Bare::new(Protocol::Tower);
    let spec = bare.node("a");
    let running = spec.start().expect("it starts");
    assert!(running.is_up(SOON_MS));
    let answer = running.admin("contactInfo", &json!([])).expect("an answer");
    assert_eq!(answer["result"]["id"], keys::address(&spec.unstaked));
    let answer = running.admin("startTime", &json!([])).expect("an answer");
    assert!(
        answer["result"]["secs_since_epoch"]
            .as_u64()
            .is_some_and(|since| since > 0)
    );
    let answer = running.admin("pid", &json!([])).expect("an answer");
    assert_eq!(answer["result"], running.pid());
    let answer = running
        .admin("noSuchMethod", &json!([]))
        .expect("an answer");
    assert_eq!(answer["error"]["code"], -32601);
}

#[test]
fn a_voter_is_added_once() {
    let bare = Bare::new(Protocol::Tower);
    let spec = bare.node("a");
    let running = spec.start().expect("it starts");
    assert!(running.is_up(SOON_MS));
    let staked = json!([spec.path("staked.json")]);
    let bytes = json!([spec.staked.to_keypair_bytes().to_vec()]);
    assert_eq!(
        refused(&running, "addAuthorizedVoter", staked.clone()),
        "Authorized voter already present"
    );
    done(&running, "removeAllAuthorizedVoters", json!([]));
    done(&running, "addAuthorizedVoterFromBytes", bytes.clone());
    assert_eq!(
        refused(&running, "addAuthorizedVoterFromBytes", bytes),
        "Authorized voter already present"
    );
}

#[test]
fn an_identity_is_refused_until_start_up_is_complete() {
    let bare = Bare::new(Protocol::Tower);
    let mut spec = bare.node("a");
    spec.more = vec!["--stand-in-fault".to_owned(), "start_ms=600".to_owned()];
    let running = spec.start().expect("it starts");
    assert!(testkit::stand_in::until(SOON_MS, || running
        .admin("pid", &json!([]))
        .is_some()));
    let message = refused(
        &running,
        "setIdentity",
        json!([spec.path("staked.json"), false, false]),
    );
    assert_eq!(message, "Retry once validator start up is complete");
    assert!(running.is_up(SOON_MS));
    done(
        &running,
        "setIdentity",
        json!([spec.path("staked.json"), false, false]),
    );
}

#[test]
fn the_number_of_parameters_depends_on_the_version() {
    let bare = Bare::new(Protocol::Tower);
    for (version, right, wrong, size) in [
        ("4.2", json!(["", false, false]), json!(["", false]), 3),
        ("2", json!(["", false]), json!([""]), 2),
    ] {
        let mut spec = bare.node(&format!("version {version}"));
        spec.more = vec!["--stand-in-admin-version".to_owned(), version.to_owned()];
        let running = spec.start().expect("it starts");
        assert!(running.is_up(SOON_MS));
        let message = refused(&running, "setIdentity", wrong);
        assert!(
            message.contains(&format!("expected a tuple of size {size}")),
            "{message}"
        );
        let message = refused(&running, "setIdentity", right);
        assert!(
            message.starts_with("Failed to read identity keypair from "),
            "{message}"
        );
    }
}

#[test]
fn a_required_record_that_is_missing_is_refused_and_nothing_changes() {
    let bare = Bare::new(Protocol::Tower);
    let spec = bare.node("a");
    let running = spec.start().expect("it starts");
    assert!(running.is_up(SOON_MS));
    std::fs::remove_dir(spec.path("tower")).expect("no tower directory");
    let message = refused(
        &running,
        "setIdentity",
        json!([spec.path("staked.json"), true, false]),
    );
    assert!(
        message.starts_with("Unable to load tower file for identity "),
        "{message}"
    );
    assert!(
        spec.path("tower").is_dir(),
        "the directory is made first, as by the real one"
    );
    let answer = running.admin("contactInfo", &json!([])).expect("an answer");
    assert_eq!(answer["result"]["id"], keys::address(&spec.unstaked));
}

#[test]
fn a_vote_history_is_required_only_where_the_identity_has_voted() {
    let bare = Bare::new(Protocol::Alpenglow);
    let spec = bare.node("a");
    let running = spec.start().expect("it starts");
    assert!(running.is_up(SOON_MS));
    let required = json!([spec.path("staked.json"), false, true]);
    done(&running, "setIdentity", required.clone());
    done(
        &running,
        "setIdentity",
        json!([spec.path("unstaked.json"), false, true]),
    );
    bare.chain.land_foreign_vote(&bare.vote_account, 1_000);
    std::fs::remove_file(spec.record()).unwrap_or_default();
    bare.chain.let_slots_pass(3);
    let message = refused(&running, "setIdentity", required);
    assert!(
        message.starts_with("Unable to load vote history file for identity "),
        "{message}"
    );
    let message = refused(
        &running,
        "setIdentity",
        json!([spec.path("staked.json"), true, false]),
    );
    assert!(
        message.starts_with("Unable to load tower file"),
        "asked for even here: {message}"
    );
}

#[test]
fn exit_is_answered_before_the_end() {
    let bare = Bare::new(Protocol::Tower);
    let (_spec, mut running) = bare.voting("a");
    done(&running, "exit", json!([]));
    assert_eq!(
        running.ended(SOON_MS).and_then(|status| status.code()),
        Some(0)
    );
}
