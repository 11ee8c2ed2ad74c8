//! A supervisor around one of our nodes: its files, its process, and ctl. Knows no scenario.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::node::Node;
use crate::process::Process;
use crate::until::until;

/// A validator follows the tip 20 to 60 s after its start on a machine that has time for it.
const ROLE_WITHIN: Duration = Duration::from_secs(180);

/// Where everything of one supervised node is.
pub(crate) struct Supervisor<'a> {
    cluster: &'a Cluster,
    pub(crate) node: Node,
    dir: PathBuf,
}

impl<'a> Supervisor<'a> {
    /// The material for the node "a" or "b"; nothing is started.
    pub(crate) fn new(cluster: &'a Cluster, name: &str) -> Self {
        let node = cluster.node(name);
        let dir = node
            .ledger()
            .parent()
            .expect("the ledger lies in the node's directory")
            .to_owned();
        Self { cluster, node, dir }
    }

    /// The directory of all files of this node.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The supervisor's own directory; it makes it.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    fn config(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("ctl.sock")
    }

    /// Writes the configuration: where the files of this node are, and `sections`.
    pub(crate) fn configure(&self, sections: &str) {
        let text = format!(
            "node = \"{}\"\nstate_dir = \"{}\"\n\
             [identity]\nlink = \"{}\"\nstaked = \"{}\"\nunstaked = \"{}\"\n\
             [control]\nsocket = \"{}\"\n{sections}",
            self.node.name,
            self.state_dir().display(),
            self.node.identity_link().display(),
            self.node.staked.path.display(),
            self.node.unstaked.path.display(),
            self.socket().display(),
        );
        fs::write(self.config(), text).expect("write the configuration");
    }

    /// Starts it around a command that runs the validator.
    pub(crate) fn start(&self, command: &[OsString]) -> Process {
        let mut argv: Vec<OsString> = vec![self.cluster.supervisor().into()];
        argv.extend(["run", "--config"].map(OsString::from));
        argv.extend([self.config().into_os_string(), "--".into()]);
        argv.extend_from_slice(command);
        self.cluster.spawn(&self.node.name, &argv, &self.node.env())
    }

    pub(crate) fn ctl(&self, words: &[&str]) -> Output {
        let mut command = Command::new(self.cluster.supervisor());
        command
            .arg("ctl")
            .arg("--socket")
            .arg(self.socket())
            .args(words);
        command.output().expect("run supervisor ctl")
    }

    /// Runs a command that has to succeed.
    #[track_caller]
    pub(crate) fn must(&self, words: &[&str]) {
        self.may(words).unwrap_or_else(|why| panic!("{why}"));
    }

    /// Runs a command; an error is all that it said.
    pub(crate) fn may(&self, words: &[&str]) -> Result<(), String> {
        let output = self.ctl(words);
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        let (name, said) = (&self.node.name, String::from_utf8_lossy(&said));
        Err(format!("{name}: ctl {words:?}: {}: {said}", output.status))
    }

    /// What `ctl status` says, while somebody answers.
    pub(crate) fn status(&self) -> Option<Value> {
        let mut line: Value =
            serde_json::from_slice(&self.ctl(&["--json", "status"]).stdout).ok()?;
        Some(line["status"].take())
            .filter(|status| !status.is_null())
            .or(Some(line))
    }

    #[track_caller]
    pub(crate) fn await_role(&self, role: &str) {
        until(
            &format!("{} is {role}", self.node.name),
            ROLE_WITHIN,
            || self.status().filter(|status| status["role"] == role),
        );
    }
}
