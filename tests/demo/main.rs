//! The main job, narrated in a terminal: one validator under the supervisor, from its start to the end of its voting.
//!
//! Run by `tests/demo/run`, which builds what it needs and names a real validator in `SUPERVISOR_AGAVE_BIN` where there
//! is one. Ends by itself; exit code 0 only if no vote was sent that should not have been. Whatever ends it (the last
//! act, an error, a panic, Ctrl-C), every process and file of it is gone afterwards.
//!
//! The cluster of real validators is that of the tests in `tests/real`, file by file.

#[path = "../real/admin.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod admin;
#[path = "../real/chain.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod chain;
#[path = "../real/cluster.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod cluster;
#[path = "../real/genesis.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod genesis;
#[path = "../real/launch.rs"]
mod launch;
#[path = "../real/node.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod node;
#[path = "../real/process.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod process;
#[path = "../real/rpc.rs"]
mod rpc;
#[path = "../real/until.rs"]
mod until;

mod narrator;
mod real_stage;
mod stage;
mod stand_in_stage;
mod story;
mod supervised;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use narrator::Narrator;
use stage::{Failure, Stage};

fn main() -> ExitCode {
    let dir = match tempfile::Builder::new()
        .prefix("supervisor-demo-")
        .tempdir()
    {
        Ok(dir) => dir,
        Err(error) => return failed(&format!("a temporary directory cannot be made: {error}")),
    };
    // What the cluster makes lies below it too, so that one name finds everything.
    if tempfile::env::override_temp_dir(dir.path()).is_err() {
        return failed("the temporary directory is in use already");
    }
    if let Err(error) = clean_up_on_signals(dir.path().to_owned()) {
        return failed(&format!("signals cannot be caught: {error}"));
    }
    let played = catch_unwind(AssertUnwindSafe(|| play(dir.path())));
    process::kill_all_naming(dir.path());
    match played {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => failed(&failure.to_string()),
        // The panic has said why.
        Err(_) => failed("the demo broke off"),
    }
}

fn play(dir: &Path) -> Result<(), Failure> {
    let mut narrator = Narrator::new();
    let mut stage = set_up(dir, &mut narrator)?;
    story::play(stage.as_mut(), &mut narrator)
}

fn set_up(dir: &Path, narrator: &mut Narrator) -> Result<Box<dyn Stage>, Failure> {
    if std::env::var_os("SUPERVISOR_AGAVE_BIN").is_some() {
        Ok(Box::new(real_stage::RealStage::set_up(dir, narrator)?))
    } else {
        Ok(Box::new(stand_in_stage::StandInStage::set_up(
            dir, narrator,
        )?))
    }
}

/// Ctrl-C may come while something is waited for: a thread of its own ends everything, whatever the story is at.
fn clean_up_on_signals(dir: PathBuf) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                eprintln!("\ninterrupted; cleaning up");
                process::kill_all_naming(&dir);
                // A directory that cannot be removed is left to the system's own cleaning.
                let _ = std::fs::remove_dir_all(&dir);
                std::process::exit(128 + signal);
            }
        })?;
    Ok(())
}

fn failed(why: &str) -> ExitCode {
    eprintln!("demo failed: {why}");
    ExitCode::FAILURE
}
