//! Runs the fence command, once for every node that is out of reach.
//!
//! Exit code 0 within the time is proof, and nothing else is: not a command that was killed, not one that cannot be started, and not
//! one for a node that was heard again meanwhile.
//!
//! Whatever ends below the supervisor is reaped by its loop; the loop tells of a command's end here ([`Commands::ended`]).

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::unistd::Pid;

use crate::authority::Authority;
use crate::authority::peer::Absent;
use crate::config::FenceConfig;
use crate::engine::Exit;
use crate::validator::process::{Reaped, STRIPPED, kill_group};

/// The commands that run.
#[derive(Clone, Debug, Default)]
pub(super) struct Commands(Arc<Mutex<BTreeMap<i32, Sender<Exit>>>>);

impl Commands {
    fn running(&self) -> MutexGuard<'_, BTreeMap<i32, Sender<Exit>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of the processes that were reaped may be a command.
    pub(super) fn ended(&self, reaped: &Reaped) {
        let waits = self.running().remove(&reaped.pid.as_raw());
        if let Some(waits) = waits {
            // Nobody waits any more for one that was too late.
            let _ = waits.send(reaped.exit);
        }
    }

    /// Starts it in a group of its own, known before it can be reaped.
    fn start(&self, command: &mut Command) -> io::Result<(Pid, Receiver<Exit>)> {
        let (ends, ended) = channel();
        let mut running = self.running();
        let child = command.process_group(0).spawn()?;
        let pid = child.id() as i32;
        running.insert(pid, ends);
        Ok((Pid::from_raw(pid), ended))
    }

    /// Ends every node that is out of reach. Blocks, for the command's time once for each.
    ///
    /// # Errors
    /// One of them may live, and why.
    pub(super) fn end_absent(
        &self,
        authority: &Authority,
        config: &FenceConfig,
    ) -> Result<(), String> {
        for absent in authority.absent() {
            let node = &absent.node;
            // The command for the one before may have taken long.
            if !authority.is_still_absent(&absent) {
                return Err(format!(
                    "{node} is heard again, and the command was not run for it"
                ));
            }
            tracing::warn!(EVENT = "fence", NODE = %node, "running the fence command for {node}");
            self.run(config, &absent)
                .map_err(|why| format!("the fence command for {node}: {why}"))?;
            if !authority.bury(&absent) {
                return Err(format!(
                    "{node} was heard again while the fence command ran for it"
                ));
            }
            tracing::warn!(EVENT = "fence", NODE = %node, "{node} is off, says the fence command");
        }
        Ok(())
    }

    fn run(&self, config: &FenceConfig, absent: &Absent) -> Result<(), String> {
        let mut command = prepare(config, absent).ok_or("peer.fence names no program")?;
        let started = self.start(&mut command);
        let (pid, ended) = started.map_err(|error| format!("it cannot be started: {error}"))?;
        match ended.recv_timeout(config.within) {
            Ok(Exit::Code(0)) => Ok(()),
            Ok(exit) => Err(format!("it ended with {exit}")),
            Err(RecvTimeoutError::Timeout) => {
                // Its number is its own for as long as its end was not told.
                if self.running().contains_key(&pid.as_raw()) {
                    kill_group(pid);
                }
                let shown = crate::config::duration::show(config.within);
                Err(format!("it had not ended after {shown}, and was killed"))
            }
            Err(RecvTimeoutError::Disconnected) => Err("its end was not seen".into()),
        }
    }
}

/// The command for one node. What it prints goes where the supervisor's own words go.
fn prepare(config: &FenceConfig, absent: &Absent) -> Option<Command> {
    let host = absent.address.rsplit_once(':');
    let host = host.map_or(absent.address.as_str(), |(host, _)| host);
    let fill = |word: &String| {
        let word = word.replace(FenceConfig::NODE, &absent.node.0);
        word.replace(FenceConfig::ADDRESS, host)
    };
    let (program, arguments) = config.command.split_first()?;
    let mut command = Command::new(program);
    command
        .args(arguments.iter().map(fill))
        .stdin(Stdio::null());
    for name in STRIPPED {
        command.env_remove(name);
    }
    Some(command)
}
