//! Starting stand-in validators from a test: where the binary is, its directories, its arguments.
//!
//! ```text
//! let spec = StandIn::new(&dir, "a", &chain, Protocol::Tower, &vote_account, &staked);
//! let args = spec.args();            // for `supervisor run -- <stand_in::binary()> args…`
//! let running = spec.start()?;       // or bare; killed and reaped when dropped
//! ```

use crate::{faults, keys};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Which votes it casts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tower,
    Alpenglow,
}

impl Protocol {
    #[must_use]
    pub fn is_alpenglow(self) -> bool {
        self == Self::Alpenglow
    }

    fn name(self) -> &'static str {
        if self.is_alpenglow() {
            "alpenglow"
        } else {
            "tower"
        }
    }
}

/// The binary, built when it is missing. One that is older than its sources is used as it is:
/// `cargo test` without a target, and `cargo build --examples`, bring it up to date.
///
/// # Errors
/// It is not there and cannot be built.
pub fn binary() -> io::Result<PathBuf> {
    example("stand-in-validator", "stand-in-validator")
}

/// The `file` that the project's example `name` is built as.
pub(crate) fn example(name: &str, file: &str) -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    // target/<profile>/deps/<test>, target/<profile>/examples/<example> or target/<profile>/<binary>.
    let profile = own
        .ancestors()
        .skip(1)
        .find(|dir| !dir.ends_with("deps") && !dir.ends_with("examples"));
    let profile = profile.ok_or_else(|| io::Error::other("this program is in no directory"))?;
    let built = profile.join("examples").join(file);
    if !built.exists() {
        build(profile, name)?;
    }
    Ok(built)
}

fn build(profile: &Path, name: &str) -> io::Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    cargo.args(["build", "--example", name]);
    cargo.current_dir(root.unwrap_or(Path::new(".")));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    if cargo.status()?.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "cargo build --example {name} failed"
    )))
}

/// One stand-in with directories of its own under `dir`: `ledger`, `tower`, `faults`, `log`, the
/// keypairs `staked.json` and `unstaked.json`, and `identity.json`, a link to one of the two.
#[derive(Clone, Debug)]
pub struct StandIn {
    pub dir: PathBuf,
    pub node: String,
    pub chain: SocketAddr,
    pub protocol: Protocol,
    pub vote_account: String,
    pub staked: SigningKey,
    pub unstaked: SigningKey,
    /// Further arguments, at the end.
    pub more: Vec<String>,
}

impl StandIn {
    /// Lays the directories and keys out under `dir`, with the link on the unstaked identity.
    ///
    /// # Errors
    /// Something cannot be written.
    pub fn new(
        dir: &Path,
        node: &str,
        chain: SocketAddr,
        protocol: Protocol,
        vote_account: &str,
        staked: &SigningKey,
    ) -> io::Result<Self> {
        let unstaked = keys::from_seed(&format!("unstaked {node}"));
        for name in ["ledger", "tower"] {
            std::fs::create_dir_all(dir.join(name))?;
        }
        keys::write(&dir.join("staked.json"), staked)?;
        keys::write(&dir.join("unstaked.json"), &unstaked)?;
        let standing = Self {
            dir: dir.to_owned(),
            node: node.to_owned(),
            chain,
            protocol,
            vote_account: vote_account.to_owned(),
            staked: staked.clone(),
            unstaked,
            more: Vec::new(),
        };
        standing.link("unstaked.json")?;
        Ok(standing)
    }

    /// Points `identity.json` at one of the two keypair files.
    ///
    /// # Errors
    /// The link cannot be replaced.
    pub fn link(&self, target: &str) -> io::Result<()> {
        let fresh = self.path("identity.fresh");
        std::os::unix::fs::symlink(target, &fresh)?;
        std::fs::rename(fresh, self.path("identity.json"))
    }

    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The staked identity's record file.
    #[must_use]
    pub fn record(&self) -> PathBuf {
        let identity = keys::address(&self.staked);
        let alpenglow = self.protocol.is_alpenglow();
        let directory = self.path(if alpenglow { "ledger" } else { "tower" });
        directory.join(crate::record::file_name(alpenglow, &identity))
    }

    /// The command line after the binary, in the form of agave-validator's.
    #[must_use]
    pub fn args(&self) -> Vec<String> {
        let path = |name: &str| self.path(name).display().to_string();
        let mut args: Vec<String> = [
            ["--identity", &path("identity.json")],
            ["--vote-account", &self.vote_account],
            ["--authorized-voter", &path("staked.json")],
            ["--ledger", &path("ledger")],
            ["--tower", &path("tower")],
            ["--log", "-"],
            ["--stand-in-chain", &self.chain.to_string()],
            ["--stand-in-node", &self.node],
            ["--stand-in-protocol", self.protocol.name()],
            ["--stand-in-faults", &path("faults")],
        ]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect();
        args.extend(self.more.iter().cloned());
        args
    }

    /// Replaces the faults in force.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn faults(&self, pairs: &[(&str, &str)]) -> io::Result<()> {
        faults::write(&self.path("faults"), pairs)
    }

    /// Starts it bare, its output in `log`.
    ///
    /// # Errors
    /// The binary is missing, or cannot be run.
    pub fn start(&self) -> io::Result<Running> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))?;
        let mut command = Command::new(binary()?);
        command
            .args(self.args())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(Running {
            child: command.spawn()?,
            dir: self.dir.clone(),
        })
    }
}

/// A bare stand-in; killed and reaped when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    dir: PathBuf,
}

impl Running {
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Calls an admin method; `None` for an error of the connection.
    #[must_use]
    pub fn admin(&self, method: &str, params: &Value) -> Option<Value> {
        admin(&self.dir.join("ledger/admin.rpc"), method, params).ok()
    }

    /// Waits until start-up is complete. Says whether it is.
    #[must_use]
    pub fn is_up(&self, within_ms: u64) -> bool {
        until(within_ms, || {
            self.admin("startProgress", &json!([]))
                .is_some_and(|answer| answer["result"] == "Running")
        })
    }

    /// How it ended, if it does within the time.
    pub fn ended(&mut self, within_ms: u64) -> Option<ExitStatus> {
        let mut status = None;
        let _ = until(within_ms, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        });
        status
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(&mut self) {
        // One that has ended needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One call on an admin socket, with 5 seconds for the answer; the whole response.
///
/// # Errors
/// The socket is not there, or answers nothing usable.
pub fn admin(socket: &Path, method: &str, params: &Value) -> io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    stream.write_all(call.to_string().as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// Looks at `condition` until it holds, for `within_ms` at most. Says whether it does.
#[must_use]
pub fn until(within_ms: u64, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_millis(within_ms);
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(LOOK_EVERY);
    }
}
