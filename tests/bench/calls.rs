//! What the filter adds to every other system call of the child: the same calls in a child behind it and in a bare one.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::AnyError;
use crate::helper::{Helper, serve, word};
use crate::samples::Samples;
use crate::table::Table;

pub(crate) const CHILD: &str = "child-calls";

const ROUNDS: usize = 200;
const CALLS_A_ROUND: u32 = 10_000;
const BUDGET_NS: f64 = 60.0;
const NAMES: [&str; 3] = ["getppid", "read of /dev/null", "fstat"];

/// Makes each kind of call many times whenever it is asked; answers picoseconds a call.
pub(crate) fn child(mut args: impl Iterator<Item = OsString>) -> Result<(), AnyError> {
    let socket = PathBuf::from(word(&mut args)?);
    let mut null = File::open("/dev/null")?;
    let mut byte = [0];
    let a_call =
        |from: Instant| from.elapsed().as_nanos() as u64 * 1_000 / u64::from(CALLS_A_ROUND);
    serve(&socket, || {
        let from = Instant::now();
        for _ in 0..CALLS_A_ROUND {
            std::hint::black_box(nix::unistd::getppid());
        }
        let getppid = a_call(from);
        let from = Instant::now();
        for _ in 0..CALLS_A_ROUND {
            let _ = null.read(&mut byte)?;
        }
        let read = a_call(from);
        let from = Instant::now();
        for _ in 0..CALLS_A_ROUND {
            std::hint::black_box(nix::sys::stat::fstat(&null)?);
        }
        Ok([getppid, read, a_call(from)])
    })
}

pub(crate) fn measure(dir: &Path, table: &mut Table) -> Result<(), AnyError> {
    let words = |socket: &Path| [CHILD.into(), socket.into()];
    let (gated_socket, bare_socket) = (dir.join("gated"), dir.join("bare"));
    let (mut gated, _listener) = Helper::gated(&gated_socket, &words(&gated_socket))?;
    let mut bare = Helper::bare(&bare_socket, &words(&bare_socket))?;
    let mut times: [[Samples; 2]; NAMES.len()] = Default::default();
    for _ in 0..ROUNDS {
        let (behind, without) = (gated.ask::<3>()?, bare.ask::<3>()?);
        for (at, pair) in times.iter_mut().enumerate() {
            pair[0].add(Duration::from_nanos(behind[at]));
            pair[1].add(Duration::from_nanos(without[at]));
        }
    }
    for (name, [behind, without]) in NAMES.into_iter().zip(&times) {
        // The samples count picoseconds.
        let ns = |samples: &Samples| samples.median().as_nanos() as f64 / 1e3;
        let (behind, without) = (ns(behind), ns(without));
        table.value(
            &format!("other calls, more each: {name}"),
            behind,
            Some(without),
            behind - without,
            BUDGET_NS,
            "ns",
        );
    }
    Ok(())
}
