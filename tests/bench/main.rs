//! The budgets of the design, measured in one run on this machine and printed as ratios.
//!
//! What is compared is measured in turns (ABAB…), so that a machine that slows down slows both. It judges nothing: the
//! exit code is 0 whatever the figures, and a test never rests on them.
//!
//! The same binary is the child that is measured, when its first argument says so.

mod calls;
mod etcd;
mod footprint;
mod gated;
mod handover;
mod helper;
mod lab;
mod machine;
mod peer;
mod samples;
mod start_up;
mod table;
mod takeover;
mod votes;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use table::Table;

/// Why a measurement could not be made.
type AnyError = Box<dyn std::error::Error>;

/// What there is to measure, in the order in which it is: a name for the command line, and how.
type Part = (&'static str, fn(&Path, &mut Table) -> Result<(), AnyError>);
const PARTS: [Part; 12] = [
    ("votes", votes::measure),
    ("peer", peer::measure),
    ("handover", handover::measure),
    ("etcd-1", |dir, table| etcd::measure_votes(dir, 1, table)),
    ("etcd-3", |dir, table| etcd::measure_votes(dir, 3, table)),
    ("identities", etcd::measure_identities),
    ("sizes", etcd::measure_sizes),
    ("takeover", takeover::measure),
    ("outage", takeover::measure_outage),
    ("calls", calls::measure),
    ("start-up", start_up::measure),
    ("footprint", footprint::measure),
];

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    let outcome = match args.peek().and_then(|word| word.to_str()) {
        Some(votes::CHILD) => votes::child(args.skip(1)),
        Some(calls::CHILD) => calls::child(args.skip(1)),
        Some(start_up::CHILD) => start_up::child(args.skip(1)),
        _ => measure(&args.collect::<Vec<_>>()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The parts that were asked for by name, or all.
fn measure(asked: &[OsString]) -> Result<(), AnyError> {
    if let Some(unknown) = asked
        .iter()
        .find(|word| !PARTS.iter().any(|(name, _)| word == name))
    {
        let names = PARTS.map(|(name, _)| name).join(", ");
        return Err(format!("there is no part {}; there are {names}", unknown.display()).into());
    }
    // On the disk that the tree is on: a temporary directory may be memory, where fsync costs nothing.
    let dir = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(built_into()?)?;
    println!("{}\n", machine::describe(dir.path()));
    let mut table = Table::begin();
    for (name, measure) in PARTS {
        if asked.is_empty() || asked.iter().any(|word| word == name) {
            measure(&sub(dir.path(), name)?, &mut table)?;
        }
    }
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
