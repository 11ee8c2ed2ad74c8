//! One node as an operator has it, and the chain it votes on.
//!
//! Dropping it ends every process by its number. [`Lab::end`] has the chain's judge speak first.

use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output, Stdio};
use testkit::chain::{Chain, ChainSpec};
pub(crate) use testkit::children::{lives, signal};
use testkit::keys;
pub(crate) use testkit::node::{Node, SOON_MS, said};
use testkit::stand_in::{Protocol, StandIn, until};

const SLOT_MS: u64 = 50;

pub(crate) struct Lab {
    pub(crate) node: Node,
    pub(crate) chain: Chain,
    pub(crate) identity: String,
    pub(crate) dir: tempfile::TempDir,
}

impl Deref for Lab {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl DerefMut for Lab {
    fn deref_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}

impl Lab {
    /// Keys, directories and a configuration; nothing runs yet but the chain.
    pub(crate) fn new(protocol: Protocol) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let staked = keys::from_seed("the staked identity");
        let identity = keys::address(&staked);
        let vote_account = keys::address_from_seed("the vote account");
        let chain = Chain::start(ChainSpec::new(SLOT_MS).vote_account(&vote_account, &identity))
            .expect("a chain");
        let stand_in = StandIn::new(
            dir.path(),
            "a",
            chain.addr(),
            protocol,
            &vote_account,
            &staked,
        );
        let supervisor = env!("CARGO_BIN_EXE_supervisor").into();
        let node = Node::new(stand_in.expect("a stand-in"), supervisor, None).expect("a node");
        node.configure("");
        Self {
            node,
            chain,
            identity,
            dir,
        }
    }

    /// A node that votes.
    #[track_caller]
    pub(crate) fn voting(protocol: Protocol) -> Self {
        Self::new(protocol).started_voting()
    }

    /// Started as it is configured, and promoted.
    #[track_caller]
    pub(crate) fn started_voting(mut self) -> Self {
        self.start();
        self.promote_first();
        self
    }

    #[track_caller]
    pub(crate) fn promote_first(&self) {
        self.await_role("standby");
        self.must(&["promote", "--first-vote"]);
        self.await_votes(5);
    }

    /// Everything that a start script may hide.
    pub(crate) fn configure_all(&self) {
        let path = |name: &str| self.path(name).display().to_string();
        let link = format!("link = \"{}\"\n", path("identity.json"));
        let more = format!(
            "[validator]\nledger = \"{}\"\ntower = \"{}\"\nrpc = \"http://127.0.0.1:{}\"\n",
            path("ledger"),
            path("tower"),
            self.node.more[1],
        );
        self.node.configure_identity(&link, &more);
    }

    /// An executable script in the lab's directory, as the words to run it.
    pub(crate) fn script(&self, name: &str, text: &str) -> Vec<String> {
        let (path, text_path) = (self.path(name), self.path("script.text"));
        std::fs::write(&text_path, format!("#!/bin/sh\n{text}\n")).expect("a script");
        // By another process: a test beside this one may fork while we have it open for writing, and for as long as that lasts
        // nothing can execute it (ETXTBSY).
        let copied = Command::new("cp").args([&text_path, &path]).status();
        assert!(copied.expect("cp").success());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("its mode");
        vec![path.display().to_string()]
    }

    /// A start script that ends in the stand-in, after `before`.
    pub(crate) fn start_script(&self, before: &str) -> Vec<String> {
        self.script("start.sh", &format!("{before}\nexec {}", self.quoted()))
    }

    /// The stand-in's command line for a shell.
    pub(crate) fn quoted(&self) -> String {
        let quote = |word: &String| format!("'{word}'");
        self.words().iter().map(quote).collect::<Vec<_>>().join(" ")
    }

    /// From here on the supervisor is started by a shell, after `before` and by `with`, if that is a program.
    pub(crate) fn run_after(&mut self, before: &str, with: &str) {
        let supervisor = env!("CARGO_BIN_EXE_supervisor");
        let words = self.script(
            "supervise.sh",
            &format!("{before}\nexec {with} '{supervisor}' \"$@\""),
        );
        self.program = words[0].clone().into();
    }

    /// `supervisor <what> --config … -- words`, to its end.
    pub(crate) fn to_the_end(&self, what: &[&str], words: &[String]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(what).arg("--config").arg(self.config());
        if !words.is_empty() {
            command.arg("--").args(words);
        }
        command
            .stdin(Stdio::null())
            .output()
            .expect("the supervisor")
    }

    /// `ctl status --watch`, its output in a pipe.
    pub(crate) fn watch(&self) -> Child {
        let mut command = self.ctl_command(&["status", "--watch"]);
        command.stdout(Stdio::piped());
        command.spawn().expect("supervisor ctl")
    }

    #[track_caller]
    pub(crate) fn await_votes(&self, more: usize) {
        let before = self.chain.votes().len();
        let came = self
            .chain
            .wait(SOON_MS, |votes| votes.len() >= before + more);
        assert!(came, "no {more} more votes\n{}", self.log());
    }

    #[track_caller]
    pub(crate) fn await_child(&self) -> i32 {
        let mut pid = None;
        let _ = until(SOON_MS, || {
            pid = self.child();
            pid.is_some()
        });
        pid.unwrap_or_else(|| panic!("no child\n{}", self.log()))
    }

    /// The validator's process number.
    pub(crate) fn child(&self) -> Option<i32> {
        Some(self.status()?["validator"]["pid"].as_i64()? as i32)
    }

    /// A validator that is another process than `before` votes.
    #[track_caller]
    pub(crate) fn await_next_child_voting(&self, before: i32) {
        let came = || {
            self.role().as_deref() == Some("active")
                && self.child().is_some_and(|pid| pid != before)
        };
        assert!(until(SOON_MS, came), "{:?}\n{}", self.status(), self.log());
        self.await_votes(3);
    }

    /// Slots go by, and no vote is sent.
    #[track_caller]
    pub(crate) fn expect_silence(&self, slots: u64) {
        // What was let out before is on its way.
        self.chain.let_slots_pass(4);
        self.chain.settle();
        let votes = self.chain.votes().len();
        self.chain.let_slots_pass(slots);
        self.chain.settle();
        assert_eq!(
            self.chain.votes().len(),
            votes,
            "votes were sent\n{}",
            self.log()
        );
    }

    pub(crate) fn signal(&self, with: nix::sys::signal::Signal) {
        signal(self.supervisor(), with);
    }

    /// The judge's last word: no vote of any node broke a rule.
    #[track_caller]
    pub(crate) fn end(mut self) {
        self.kill();
        self.chain.expect_clean();
    }
}
