//! The running child with everything that belongs to its life: process, gate, admin client, and the tasks that watch it.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::event::Event;
use crate::probe::roots::Roots;
use crate::validator::admin_rpc::{AdminRpc, Fault, StartProgress};
use crate::validator::command_line::CommandLine;
use crate::validator::gate::Gate;
use crate::validator::process::Process;

const LOOK_EVERY: Duration = Duration::from_millis(100);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A start script that is still one after this is spoken of.
const SCRIPT_WITHIN: Duration = Duration::from_secs(10);

/// Dropping it ends its tasks and its gate; the process has ended before.
#[derive(Debug)]
pub(super) struct Child {
    pub process: Process,
    pub gate: Gate,
    /// Known once the ledger is.
    pub admin: Option<Arc<AdminRpc>>,
    /// Known once the validator's RPC is.
    pub roots: Option<Rc<Roots>>,
    pub tasks: Vec<JoinHandle<()>>,
}

impl Drop for Child {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.gate.end();
    }
}

/// Waits until a start script has become the validator, then tells its command line. One that takes long is named with the
/// likeliest reason: nothing else would tell for as long as a validator may take to start.
pub(super) async fn await_validator(pid: i32, events: UnboundedSender<Event>) {
    let began = Instant::now();
    let mut told = false;
    loop {
        if let Ok(line) = CommandLine::of_process(pid.unsigned_abs())
            && line.is_validator
        {
            let _ = events.send(Event::CommandLine(pid, Box::new(line)));
            return;
        }
        if !told && began.elapsed() >= SCRIPT_WITHIN {
            told = true;
            tracing::warn!(
                EVENT = "still-a-script",
                CHILD_PID = pid,
                "the start script (pid {pid}) has not become the validator in {} s: it has to start it with `exec`, as its last step; one that only takes its time needs nothing",
                SCRIPT_WITHIN.as_secs()
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until the admin RPC says that the validator runs. Somebody else on its socket is named, once.
pub(super) async fn await_ready(pid: i32, admin: Arc<AdminRpc>, events: UnboundedSender<Event>) {
    let mut told = false;
    loop {
        match admin.start_progress(ANSWER_WITHIN).await {
            Ok(StartProgress::Running) => {
                let _ = events.send(Event::ChildReady(pid));
                return;
            }
            Err(error) if !told && matches!(error.fault, Fault::Stranger { .. }) => {
                told = true;
                tracing::error!(EVENT = "page", "{error}");
            }
            _ => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The directories that a validator makes when it loads a record.
#[must_use]
pub(super) fn record_dirs(tower: &std::path::Path, ledger: &std::path::Path) -> Vec<PathBuf> {
    vec![tower.to_owned(), ledger.to_owned()]
}
