//! How long the supervisor takes from its own exec to that of its child, which notes when it began.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testkit::stand_in::until;
use testkit::wire::now_us;

use crate::AnyError;
use crate::footprint::Lab;
use crate::helper::word;
use crate::samples::Samples;
use crate::table::Table;

pub(crate) const CHILD: &str = "child-exec-time";

const STARTS: usize = 30;
const BUDGET_MS: f64 = 50.0;

/// Notes the time and waits to be killed.
pub(crate) fn child(mut args: impl Iterator<Item = OsString>) -> Result<(), AnyError> {
    let now = now_us();
    std::fs::write(PathBuf::from(word(&mut args)?), format!("{now}\n"))?;
    loop {
        std::thread::park();
    }
}

pub(crate) fn measure(dir: &Path, table: &mut Table) -> Result<(), AnyError> {
    let mut lab = Lab::new(dir)?;
    let note = dir.join("began");
    let mut words: Vec<OsString> = vec![
        std::env::current_exe()?.into(),
        CHILD.into(),
        note.clone().into(),
    ];
    let bare = words.clone();
    words.extend(lab.node.args().into_iter().map(Into::into));
    let (mut supervised, mut alone) = (Samples::default(), Samples::default());
    for _ in 0..STARTS {
        supervised.add(once(&note, || Ok(lab.run(&words)?))?);
        alone.add(once(&note, || {
            let mut command = Command::new(&bare[0]);
            Ok(command.args(&bare[1..]).stdin(Stdio::null()).spawn()?)
        })?);
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let (with, without) = (ms(supervised.median()), ms(alone.median()));
    table.value(
        "start-up, exec to exec of the child",
        with,
        None,
        with,
        BUDGET_MS,
        "ms",
    );
    let slowest = ms(supervised.quantile(100));
    table.aside(&format!("median of {STARTS}, slowest {slowest:.1} ms; {without:.1} ms of it is the exec of the child alone"));
    Ok(())
}

/// From just before the start until the child's own note.
fn once(
    note: &Path,
    start: impl FnOnce() -> Result<Child, AnyError>,
) -> Result<Duration, AnyError> {
    let _ = std::fs::remove_file(note);
    let from = now_us();
    let mut process = start()?;
    let noted = || {
        std::fs::read_to_string(note)
            .ok()?
            .strip_suffix('\n')?
            .parse::<u64>()
            .ok()
    };
    let came = until(30_000, || noted().is_some());
    let _ = process.kill();
    let _ = process.wait();
    let began = noted().filter(|_| came).ok_or("the child did not start")?;
    Ok(Duration::from_micros(began.saturating_sub(from)))
}
