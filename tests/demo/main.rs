//! The main job, narrated in a terminal: two supervised validators that vote as one, through a handover and through what fails.
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
#[path = "../real/commits.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod commits;
#[path = "../real/genesis.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod genesis;
#[path = "../real/launch.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod launch;
#[path = "../real/node.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod node;
#[path = "../real/process.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod process;
#[path = "../real/rpc.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod rpc;
#[path = "../real/score.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod score;
#[path = "../real/supervisor.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod supervisor;
#[path = "../real/until.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod until;
#[path = "../real/verdict.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod verdict;
#[path = "../real/vote_log.rs"]
#[allow(dead_code, reason = "the tests use all of it, the demo a part")]
mod vote_log;

mod columns;
mod disks;
mod machine;
mod narrator;
mod peers;
mod real_stage;
mod stage;
mod stand_in_stage;
mod story;
mod troubles;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use narrator::Narrator;
use real_stage::RealStage;
use stage::Failure;
use stand_in_stage::StandInStage;

/// Ctrl-C was seen: all else that goes wrong comes of it.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

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
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        end_if_interrupted();
        report(panic);
    }));
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
    let supervisor = beside_this_program("supervisor")?;
    let out = &mut Narrator::new();
    if std::env::var_os("SUPERVISOR_AGAVE_BIN").is_some() {
        let cluster = real_stage::cluster(out);
        let mut stage = RealStage::set_up(&cluster, dir, &supervisor, out)?;
        story::play(&mut stage, out)
    } else {
        let mut stage = StandInStage::set_up(dir, &supervisor, out)?;
        story::play(&mut stage, out)
    }
}

/// target/<profile>/<name>, seen from target/<profile>/examples/demo.
fn beside_this_program(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let found = own
        .ancestors()
        .nth(2)
        .map(|profile| profile.join(name))
        .filter(|path| path.is_file());
    found.ok_or_else(|| Failure(format!("{name} is not built: run tests/demo/run")))
}

/// Ctrl-C may come while something is waited for: a thread of its own ends everything, whatever the story is at.
fn clean_up_on_signals(dir: PathBuf) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                INTERRUPTED.store(true, Ordering::SeqCst);
                eprintln!("\ninterrupted; cleaning up");
                process::kill_all_naming(&dir);
                // A directory that cannot be removed is left to the system's own cleaning.
                let _ = std::fs::remove_dir_all(&dir);
                std::process::exit(128 + signal);
            }
        })?;
    Ok(())
}

/// Leaves the end to the thread that cleans up, where there is one.
fn end_if_interrupted() {
    while INTERRUPTED.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

fn failed(why: &str) -> ExitCode {
    end_if_interrupted();
    eprintln!("demo failed: {why}");
    ExitCode::FAILURE
}
