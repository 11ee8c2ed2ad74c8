//! The command line: its types and help texts. It runs nothing.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, duration};

/// Run a Solana validator so that no vote leaves this host before its record is safe.
#[derive(Debug, Parser)]
#[command(name = "supervisor", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: TopCommand,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 refused or failed, 2 usage, 3 still running at the timeout, \
4 unsafe without an explicit flag. `run` ends with the validator's own code, or 128 + its signal, when it stops \
because of the validator.";

#[derive(Debug, Subcommand)]
pub enum TopCommand {
    /// Start the validator as a child and supervise it
    Run(RunArgs),
    /// Check the configuration and this machine, and change nothing
    Check(CheckArgs),
    /// Make certificates for the nodes and for etcd
    #[command(arg_required_else_help = true)]
    Pki(PkiArgs),
    /// Ask or tell the running supervisor
    #[command(arg_required_else_help = true)]
    Ctl(CtlArgs),
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// The validator, or a start script that execs it, and its arguments; put them after `--`
    #[arg(value_name = "COMMAND", required = true, num_args = 1.., trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
    /// The command line that `run` would get; lets the validator's own flags and binary be checked too
    #[arg(value_name = "COMMAND", num_args = 0.., trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct PkiArgs {
    #[command(subcommand)]
    pub command: PkiCommand,
}

#[derive(Debug, Subcommand)]
pub enum PkiCommand {
    /// Make an authority: ca.pem and crl.pem, which go to every node, and ca-key.pem, which stays
    Init {
        /// The directory for the files
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Make the certificate of a node or of an etcd server: NODE.pem and NODE-key.pem
    Add {
        /// The node's name, as in its configuration
        node: String,
        /// The directory of the authority
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// An address or name at which others reach it; repeat it for several
        #[arg(long = "host", value_name = "ADDR")]
        hosts: Vec<String>,
        /// Replace the certificate that there is, for the same addresses where none are given
        #[arg(long)]
        renew: bool,
    },
    /// Revoke a node's certificate: put it on the list crl.pem, which goes to every node
    ///
    /// The list is that of `peer.crl`. It is for the certificate that is in the directory: revoke a stolen one before it is
    /// renewed.
    Revoke {
        /// The node's name, as in its configuration
        node: String,
        /// The directory of the authority
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Show the certificates of a directory, and when they end
    Show {
        /// The directory of the files
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct CtlArgs {
    /// The supervisor's control socket (control.socket of its configuration)
    #[arg(long, global = true, value_name = "SOCKET", default_value = config::DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: CtlCommand,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum CtlCommand {
    /// Show who votes, and the state of all nodes
    Status {
        /// Show it again whenever it changes, until interrupted
        #[arg(long)]
        watch: bool,
    },
    /// Stop voting here and park this node
    ///
    /// After it returns, no vote of the staked identity follows from this node. Parked means: this node is not
    /// promoted again until `resume` or `promote`. Where a standby is ready, that one votes instead. Next to a leader slot of the
    /// identity it waits until that has passed, for 30s at most.
    Demote {
        /// Stop at once, next to a leader slot too
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Make this node vote
    ///
    /// Where another node votes, that one is asked to hand over, which waits for a stretch without leader slots of the identity.
    Promote {
        /// This identity has never voted before: do not require a vote record
        #[arg(long)]
        first_vote: bool,
        /// Go on although another node may still be voting with this identity; that can cost the stake
        #[arg(long)]
        accept_double_vote_risk: bool,
        /// The node that votes does not wait for a stretch without leader slots, whose blocks may be lost
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Let another node vote in place of this one
    ///
    /// Refused where no other node could vote at once. Waits for a stretch without leader slots of the identity, and for the other
    /// node's first vote; where that does not come, this node votes again.
    Handover {
        /// The node that is to vote [default: the standby with the highest priority]
        #[arg(long, value_name = "NODE")]
        to: Option<String>,
        /// Do not wait for a stretch without leader slots, whose blocks may be lost
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Let this node be promoted again after a demote, and end a pause
    Resume(Wait),
    /// Suspend this node's own decisions for a while
    ///
    /// It takes over from nobody, and does not step down because of what it sees. What it must do to be safe it does all
    /// the same. The pause outlives a restart of the supervisor.
    Pause {
        /// How long, such as 30m; at most 24h
        #[arg(long = "for", value_name = "TIME", value_parser = pause)]
        time: Duration,
        #[command(flatten)]
        wait: Wait,
    },
    /// Restart the validator, and wait until it has caught up; one that votes hands over first
    Restart {
        /// Restart both validators in turn, and return the identity to where it was
        ///
        /// Stops at the first thing that looks wrong, with one node voting. Ctrl-C stops it too.
        #[arg(long, conflicts_with = "no_wait")]
        rolling: bool,
        /// Do not wait for a stretch without leader slots, whose blocks may be lost
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Rehearse a handover on both nodes, without what would stop a vote
    ///
    /// Shows what each step takes on either node, what would be refused now, and the gap to expect. Votes go on meanwhile.
    Drill(Wait),
    /// Explain this node's role, and what would change it
    Explain,
    /// List past changes of role, with their causes
    History,
}

/// How long an acting command waits for its outcome.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// Stop waiting after this long, such as 30s or 5m; the command itself goes on [default: 1m, promote and handover: 7m,
    /// restart: 1h]
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    pub timeout: Option<Duration>,
    /// Return as soon as the command is admitted
    #[arg(long, conflicts_with = "timeout")]
    pub no_wait: bool,
}

fn timeout(text: &str) -> Result<Duration, String> {
    duration::parse(text)
}

/// A pause that is forgotten is a node without failover.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 3600);

fn pause(text: &str) -> Result<Duration, String> {
    let time = duration::parse(text)?;
    if time.is_zero() || time > PAUSE_MAX {
        return Err("a pause lasts from 1ms to 24h".into());
    }
    Ok(time)
}

/// A validator loads its snapshot and catches up before a restart is over.
const RESTART_TIMEOUT: Duration = Duration::from_secs(3600);
/// The right time for a handover may be minutes away.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(420);
const TIMEOUT: Duration = Duration::from_secs(60);

impl CtlCommand {
    /// How long to wait for the outcome; `None`: not at all.
    #[must_use]
    pub fn waits_for(&self) -> Option<Duration> {
        let (wait, default) = match self {
            Self::Demote { wait, .. }
            | Self::Resume(wait)
            | Self::Drill(wait)
            | Self::Pause { wait, .. } => (wait, TIMEOUT),
            Self::Promote { wait, .. } | Self::Handover { wait, .. } => (wait, HANDOVER_TIMEOUT),
            Self::Restart { wait, .. } => (wait, RESTART_TIMEOUT),
            Self::Status { .. } | Self::Explain | Self::History => return Some(TIMEOUT),
        };
        (!wait.no_wait).then(|| wait.timeout.unwrap_or(default))
    }
}

/// How a command of ours ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    /// Refused or failed.
    Refused = 1,
    Usage = 2,
    /// Not finished when the timeout was over.
    StillRunning = 3,
    /// Refused because it needs an explicit flag.
    Unsafe = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<TopCommand, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    fn ctl(line: &str) -> CtlArgs {
        match parse(line).unwrap() {
            TopCommand::Ctl(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_takes_everything_after_the_dashes_as_the_command() {
        let TopCommand::Run(args) =
            parse("supervisor run --config /c -- agave-validator --config x -- --json").unwrap()
        else {
            panic!("not run");
        };
        assert_eq!(args.config, PathBuf::from("/c"));
        assert_eq!(
            args.command,
            ["agave-validator", "--config", "x", "--", "--json"]
        );
    }

    #[test]
    fn run_without_a_command_is_a_usage_error_with_code_2() {
        let error = parse("supervisor run").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn the_command_may_be_bytes_that_are_no_text() {
        use std::os::unix::ffi::OsStringExt;
        let odd = OsString::from_vec(vec![b'/', 0xff]);
        let cli = Cli::try_parse_from([
            OsString::from("supervisor"),
            "run".into(),
            "--".into(),
            odd.clone(),
        ])
        .unwrap();
        assert!(matches!(cli.command, TopCommand::Run(args) if args.command == [odd]));
    }

    #[test]
    fn ctl_flags_stand_before_or_after_the_subcommand() {
        for line in [
            "supervisor ctl --socket /s --json status",
            "supervisor ctl status --json --socket /s",
        ] {
            let args = ctl(line);
            assert_eq!(
                (args.socket, args.json),
                (PathBuf::from("/s"), true),
                "{line}"
            );
        }
        assert_eq!(
            ctl("supervisor ctl explain").socket,
            PathBuf::from(config::DEFAULT_SOCKET)
        );
    }

    #[test]
    fn waiting_commands_take_a_timeout_or_no_wait_and_not_both() {
        assert_eq!(
            ctl("supervisor ctl demote").command.waits_for(),
            Some(TIMEOUT)
        );
        assert_eq!(
            ctl("supervisor ctl restart").command.waits_for(),
            Some(RESTART_TIMEOUT)
        );
        assert_eq!(
            ctl("supervisor ctl resume --no-wait").command.waits_for(),
            None
        );
        let promote = ctl("supervisor ctl promote --first-vote --timeout 90s").command;
        assert_eq!(promote.waits_for(), Some(Duration::from_secs(90)));
        let both = parse("supervisor ctl demote --no-wait --timeout 5s").unwrap_err();
        assert_eq!(both.kind(), ErrorKind::ArgumentConflict);
        let unitless = parse("supervisor ctl demote --timeout 5").unwrap_err();
        assert!(unitless.to_string().contains("has no unit"), "{unitless}");
    }
}
