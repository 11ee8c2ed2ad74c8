//! Somebody else on the validator's admin socket: requests carry secret keys, and go to nobody but our own validator.

use crate::lab::{Lab, SOON_MS, said};
use std::io::Read as _;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::stand_in::{Protocol, until};

/// A process, this one, that has put its own socket in the validator's place. It keeps what it is told.
struct Squatter {
    /// One for each connection.
    told: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Squatter {
    fn on(lab: &Lab) -> Self {
        let path = lab.path("ledger/admin.rpc");
        assert!(until(SOON_MS, || path.exists()), "{}", lab.log());
        let aside = lab.path("ledger/squatter");
        let listener = UnixListener::bind(&aside).expect("a socket");
        std::fs::rename(&aside, &path).expect("in the validator's place");
        let told = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&told);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut bytes = Vec::new();
                let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                let _ = stream.read_to_end(&mut bytes);
                keep.lock().expect("a lock").push(bytes);
            }
        });
        Self { told }
    }

    #[track_caller]
    fn was_told_nothing(&self) {
        assert!(until(SOON_MS, || !self
            .told
            .lock()
            .expect("a lock")
            .is_empty()));
        let told = self.told.lock().expect("a lock");
        let texts: Vec<_> = told
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes))
            .collect();
        assert!(texts.iter().all(|text| text.is_empty()), "{texts:?}");
    }
}

fn named() -> String {
    format!("pid {} (", std::process::id())
}

#[test]
fn a_stranger_on_the_admin_socket_is_given_no_key_and_is_named() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.start();
    lab.await_role("standby");
    let child = lab.await_child();
    let squatter = Squatter::on(&lab);
    let output = lab.ctl(&["promote", "--first-vote"]);
    assert!(!output.status.success(), "{}", said(&output));
    lab.await_log(&named());
    lab.await_log("is not the validator that this supervisor started");
    squatter.was_told_nothing();
    assert!(lab.chain.votes().is_empty());
    // The next validator opens the socket anew, and all is well.
    if lab.child() == Some(child) {
        crate::lab::signal(child, nix::sys::signal::Signal::SIGKILL);
    }
    assert!(until(SOON_MS, || lab
        .child()
        .is_some_and(|pid| pid != child)));
    lab.promote_first();
    lab.end();
}

#[test]
fn a_stranger_on_the_admin_socket_while_the_validator_starts_is_not_taken_for_it() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.node.faults(&[("start_ms", "600000")]).expect("a fault");
    lab.start();
    let child = lab.await_child();
    let squatter = Squatter::on(&lab);
    lab.await_log(&named());
    squatter.was_told_nothing();
    assert_eq!(lab.role().as_deref(), Some("starting"), "{}", lab.log());
    lab.node.faults(&[]).expect("no fault");
    crate::lab::signal(child, nix::sys::signal::Signal::SIGKILL);
    lab.promote_first();
    lab.end();
}
