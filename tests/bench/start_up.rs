//! How long the supervisor takes from its own exec to that of its child, which notes when it began.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::node::SOON_MS;
use testkit::stand_in::until;
use testkit::wire::now_us;

use crate::AnyError;
use crate::helper::word;
use crate::lab::Lab;
use crate::samples::Samples;
use crate::table::Table;

pub(crate) const CHILD: &str = "child-exec-time";

const STARTS: usize = 30;
const SLOT_MS: u64 = 400;
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
    let mut lab = Lab::new(dir, SLOT_MS, &["a"])?;
    let node = &mut lab.nodes[0];
    node.configure("");
    let note = dir.join("began");
    let own = std::env::current_exe()?;
    let mut words = vec![
        own.display().to_string(),
        CHILD.to_owned(),
        note.display().to_string(),
    ];
    let bare = words.clone();
    words.extend(node.args());
    let (mut supervised, mut alone) = (Samples::default(), Samples::default());
    for _ in 0..STARTS {
        supervised.add(once(&note, || {
            node.run(&words);
            Ok(())
        })?);
        node.kill();
        let mut started = None;
        alone.add(once(&note, || {
            let mut command = Command::new(&bare[0]);
            started = Some(command.args(&bare[1..]).stdin(Stdio::null()).spawn()?);
            Ok(())
        })?);
        if let Some(mut started) = started {
            started.kill()?;
            started.wait()?;
        }
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
fn once(note: &Path, start: impl FnOnce() -> Result<(), AnyError>) -> Result<Duration, AnyError> {
    let _ = std::fs::remove_file(note);
    let from = now_us();
    start()?;
    let noted = || {
        std::fs::read_to_string(note)
            .ok()?
            .strip_suffix('\n')?
            .parse::<u64>()
            .ok()
    };
    let _ = until(SOON_MS, || noted().is_some());
    let began = noted().ok_or("the child did not start")?;
    Ok(Duration::from_micros(began.saturating_sub(from)))
}
