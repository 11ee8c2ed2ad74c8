//! What the supervisor asks of validator and cluster, and what follows from wrong, slow and missing answers.

use crate::lab::{Lab, SOON_MS};
use std::time::Instant;
use testkit::etcd::Etcd;
use testkit::lone_rpc::{LoneRpc, Says};
use testkit::stand_in::{Protocol, until};

/// The page about a silent RPC comes 30 s after the validator is up.
const PAGE_WITHIN_MS: u64 = 60_000;
const STEP_DOWN_AFTER_MS: u64 = 3_000;
/// A round of questions each way, on a busy machine.
const SEEN_WITHIN_MS: u64 = 4_000;

fn cluster_of(urls: &[&str]) -> String {
    format!("[cluster]\nrpc = {urls:?}\n")
}

fn rpc(lab: &Lab, says: Says) -> LoneRpc {
    LoneRpc::start(&lab.chain.cluster().genesis_hash, says).expect("an RPC")
}

#[test]
fn a_cluster_rpc_that_puts_us_off_or_tells_nonsense_keeps_nobody_from_voting_and_is_named() {
    let mut lab = Lab::new(Protocol::Tower);
    let late = rpc(&lab, Says::NotNow { retry_after_s: 20 });
    let bogus = rpc(&lab, Says::Slot(400_000_000));
    let foreign = LoneRpc::start(
        "4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY",
        Says::Slot(7),
    );
    let foreign = foreign.expect("an RPC");
    lab.configure(&cluster_of(&[late.url(), bogus.url(), foreign.url()]));
    lab.start();
    lab.promote_first();
    lab.await_log(&format!("{}: it does not answer: ", late.url()));
    lab.await_log(&format!("{}: it tells of slot 400000000", bogus.url()));
    lab.await_log(&format!("{}: it is of another cluster", foreign.url()));
    let status = lab.status().expect("a status");
    assert_eq!(status["validator"]["healthy"], true, "{status}");
    assert_eq!(lab.role().as_deref(), Some("active"), "{}", lab.log());
    late.say(Says::Slot(lab.chain.slot()));
    lab.await_log(&format!(
        "{}: it answers as the others do again",
        late.url()
    ));
    lab.end();
}

#[test]
fn a_wrong_url_of_the_validators_own_rpc_is_named_in_status_explain_and_log_and_paged() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.configure("[validator]\nrpc = \"http://127.0.0.1:9\"\n");
    lab.start();
    lab.await_role("catching-up");
    let named = |text: &str| text.contains("http://127.0.0.1:9: ") && text.contains("refused");
    let trouble = || {
        lab.status()
            .map(|status| status["validator"]["rpc_trouble"].to_string())
    };
    let came = until(SOON_MS, || trouble().is_some_and(|text| named(&text)));
    assert!(came, "{:?}", lab.status());
    for words in [&["explain"][..], &["status"]] {
        let text = lab.must(words);
        assert!(named(&text), "{words:?}: {text}");
    }
    lab.await_log("the validator's RPC does not answer");
    let paged = || {
        lab.log()
            .contains("the validator is up, and its RPC has not answered for 3")
    };
    assert!(until(PAGE_WITHIN_MS, paged), "{}", lab.log());
    let begun = lab
        .log()
        .matches("the validator's RPC does not answer")
        .count();
    assert_eq!(begun, 1, "{}", lab.log());
    lab.end();
}

#[test]
fn a_validator_whose_rpc_answers_again_is_told_of_once() {
    let mut lab = Lab::new(Protocol::Tower);
    // Its replies alone: the admin RPC and the chain are other connections.
    let own = rpc(&lab, Says::Silence);
    lab.configure(&format!("[validator]\nrpc = \"{}\"\n", own.url()));
    lab.start();
    lab.await_log("the validator's RPC does not answer");
    own.say(Says::Slot(lab.chain.slot()));
    lab.await_log(&format!("the validator's RPC {} answers again", own.url()));
    lab.await_role("standby");
    assert!(lab.status().expect("a status")["validator"]["rpc_trouble"].is_null());
    lab.end();
}

/// A directory whose disk never answers, until this is dropped.
struct HungDisk {
    place: std::path::PathBuf,
    server: Option<std::fs::File>,
}

impl HungDisk {
    fn mount(place: std::path::PathBuf) -> Self {
        use std::os::fd::AsRawFd as _;
        std::fs::create_dir(&place).expect("a directory");
        let server = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse");
        let server = server.expect("FUSE, for which this test needs to be run as root");
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            server.as_raw_fd()
        );
        let (fuse, flags) = (Some("fuse"), nix::mount::MsFlags::empty());
        nix::mount::mount(fuse, &place, fuse, flags, Some(options.as_str())).expect("a mount");
        let server = Some(server);
        Self { place, server }
    }
}

impl Drop for HungDisk {
    fn drop(&mut self) {
        // Whoever waits gets an error.
        drop(self.server.take());
        let _ = nix::mount::umount2(&self.place, nix::mount::MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_sighup_that_waits_for_a_hung_disk_holds_up_neither_votes_nor_operators() {
    let lab = Lab::voting(Protocol::Tower);
    let disk = HungDisk::mount(lab.path("hung"));
    std::fs::rename(lab.config(), lab.path("config.kept")).expect("it moved");
    std::os::unix::fs::symlink(lab.path("hung/config.toml"), lab.config()).expect("a link");
    lab.signal(nix::sys::signal::Signal::SIGHUP);
    lab.await_votes(100);
    assert_eq!(lab.role().as_deref(), Some("active"));
    lab.signal(nix::sys::signal::Signal::SIGHUP);
    lab.await_log("is still being read for an earlier SIGHUP");
    std::fs::rename(lab.path("config.kept"), lab.config()).expect("it is back");
    drop(disk);
    lab.await_log("the configuration is not read again");
    lab.await_log("the configuration was read again: nothing has changed");
    lab.end();
}

#[test]
fn a_sighup_on_a_pipe_changes_nothing_and_is_told_of() {
    let lab = Lab::voting(Protocol::Tower);
    std::fs::remove_file(lab.config()).expect("no configuration");
    let mode = nix::sys::stat::Mode::S_IRWXU;
    nix::unistd::mkfifo(&lab.config(), mode).expect("a FIFO");
    lab.signal(nix::sys::signal::Signal::SIGHUP);
    lab.await_log("config.toml is no regular file");
    lab.await_votes(3);
    lab.end();
}

/// Two nodes of the cluster, a validator whose vote etcd keeps, and an etcd that both can reach.
fn on_etcd() -> (Lab, Etcd) {
    let etcd = Etcd::single().expect("an etcd");
    let mut lab = Lab::new(Protocol::Tower);
    let rpc = lab.chain.rpc_url();
    lab.configure(&format!(
        "[authority.etcd]\nendpoints = {:?}\n{}[partition]\nstep_down_after = \"{STEP_DOWN_AFTER_MS}ms\"\n",
        etcd.endpoints(),
        cluster_of(&[&rpc, &rpc, &rpc]),
    ));
    lab.start();
    lab.promote_first();
    (lab, etcd)
}

#[test]
fn a_node_that_stands_while_the_cluster_goes_on_steps_down_and_votes_again_when_it_is_back() {
    let (lab, _etcd) = on_etcd();
    lab.chain.cut_off("a", true);
    let began = Instant::now();
    lab.await_log("active -> demoting");
    let took_ms = began.elapsed().as_millis() as u64;
    assert!(
        took_ms <= STEP_DOWN_AFTER_MS + SEEN_WITHIN_MS,
        "after {took_ms} ms\n{}",
        lab.log()
    );
    lab.await_log("CAUSE=\"isolated\"");
    lab.await_role("catching-up");
    lab.chain.cut_off("a", false);
    lab.await_role("active");
    lab.await_votes(3);
    lab.end();
}

#[test]
fn where_everybody_stands_still_nobody_moves() {
    let (lab, _etcd) = on_etcd();
    lab.chain.halt(true);
    let began = Instant::now();
    let moved = until(STEP_DOWN_AFTER_MS + SEEN_WITHIN_MS, || {
        lab.role().is_some_and(|role| role != "active")
    });
    assert!(!moved, "after {:?}: {}", began.elapsed(), lab.log());
    lab.chain.halt(false);
    lab.await_votes(3);
    assert!(!lab.log().contains("demoting"), "{}", lab.log());
    lab.end();
}

#[test]
fn a_node_whose_cluster_rpcs_are_gone_votes_on() {
    let (lab, _etcd) = on_etcd();
    lab.chain.fail_rpc(true);
    let moved = until(STEP_DOWN_AFTER_MS + SEEN_WITHIN_MS, || {
        lab.role().is_some_and(|role| role != "active")
    });
    assert!(!moved, "{}", lab.log());
    lab.await_votes(3);
    lab.end();
}
