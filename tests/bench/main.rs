//! The budgets of the design, measured in one run on this machine and printed as ratios.
//!
//! What is compared is measured in turns (ABAB…), so that a machine that slows down slows both. It judges nothing: the
//! exit code is 0 whatever the figures, and a test never rests on them.
//!
//! The same binary is the child that is measured, when its first argument says so.

mod calls;
mod footprint;
mod helper;
mod machine;
mod samples;
mod start_up;
mod table;
mod votes;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use table::Table;

/// Why a measurement could not be made.
type AnyError = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let outcome = match args.next().as_deref().and_then(|word| word.to_str()) {
        Some(votes::CHILD) => votes::child(args),
        Some(calls::CHILD) => calls::child(args),
        Some(start_up::CHILD) => start_up::child(args),
        _ => measure_all(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure_all() -> Result<(), AnyError> {
    // On the disk that the tree is on: a temporary directory may be memory, where fsync costs nothing.
    let dir = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(built_into()?)?;
    println!("{}\n", machine::describe(dir.path()));
    let mut table = Table::begin();
    votes::measure(&sub(dir.path(), "votes")?, &mut table)?;
    calls::measure(&sub(dir.path(), "calls")?, &mut table)?;
    start_up::measure(&sub(dir.path(), "start-up")?, &mut table)?;
    footprint::measure(&sub(dir.path(), "footprint")?, &mut table)?;
    table.end();
    Ok(())
}

fn sub(dir: &Path, name: &str) -> std::io::Result<PathBuf> {
    let dir = dir.join(name);
    std::fs::create_dir(&dir)?;
    Ok(dir)
}

/// target/<profile>, seen from target/<profile>/examples/bench.
fn built_into() -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let dir = own.ancestors().nth(2);
    dir.map(Path::to_owned)
        .ok_or_else(|| std::io::Error::other("this program is in no directory"))
}
