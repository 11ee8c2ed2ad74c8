//! Writes the man pages and shell completions of the package, from the one definition of the flags.
//!
//! `cargo run --example assets -- DIR` fills `DIR/man` and `DIR/completions`. Never shipped.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;
use validator_supervisor::cli::Cli;
use validator_supervisor::config;

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: assets DIR");
        return ExitCode::from(2);
    };
    match write_all(&dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", dir.display());
            ExitCode::FAILURE
        }
    }
}

fn write_all(dir: &Path) -> io::Result<()> {
    let (man, completions) = (dir.join("man"), dir.join("completions"));
    for dir in [&man, &completions] {
        // Pages of subcommands that have gone must not be packaged.
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir)?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "supervisor", &completions)?;
    }
    clap_mangen::generate_to(Cli::command(), &man)?;
    let mut page = OpenOptions::new()
        .append(true)
        .open(man.join("supervisor.1"))?;
    page.write_all(more_sections().as_bytes())
}

/// What the flags do not say.
fn more_sections() -> String {
    let (config, state, socket) = (
        config::DEFAULT_PATH,
        config::DEFAULT_STATE_DIR,
        config::DEFAULT_SOCKET,
    );
    format!(
        ".SH FILES
.TP
.I {config}
The configuration. \\fBsupervisor check\\fR names what is wrong with it.
.TP
.I /etc/default/validator\\-supervisor
The validator's command line, for the packaged unit.
.TP
.I {state}
The vote record. It survives a purge of the package; do not delete it while the identity may still vote.
.TP
.I {socket}
Where \\fBsupervisor ctl\\fR connects.
.SH SIGNALS
.TP
.B SIGTERM, SIGINT
Stop: mute the validator, leave the staked identity, let the validator shut down, and end.
.TP
.B SIGHUP
Read the configuration again. Keys that cannot change are named in the log.
.TP
.B SIGUSR1
Passed on to the validator, which opens its log file anew.
.SH ENVIRONMENT
.TP
.B SUPERVISOR_LOG
The least level that is logged: error, warn, info (the default), debug or trace.
.TP
.B NOTIFY_SOCKET, WATCHDOG_USEC, JOURNAL_STREAM
Set by systemd; see \\fBsd_notify\\fR(3). The validator does not see the first two.
.SH SEE ALSO
\\fBsystemd.service\\fR(5), \\fBseccomp_unotify\\fR(2)
"
    )
}
