//! Parses the command line, runs what it asks for, and passes the exit code on.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;
use validator_supervisor::cli::{Cli, CtlArgs, CtlCommand, Exit, PkiCommand, TopCommand};
use validator_supervisor::ctl::client::{self, Ask, Options};
use validator_supervisor::ctl::wire::Request;
use validator_supervisor::{daemon, pki};

fn main() -> ExitCode {
    match Cli::parse().command {
        TopCommand::Run(args) => daemon::run(&args),
        TopCommand::Check(args) => daemon::check(&args),
        TopCommand::Pki(args) => pki(args.command),
        TopCommand::Ctl(args) => ExitCode::from(client::run(&options(args)) as u8),
    }
}

fn pki(command: PkiCommand) -> ExitCode {
    let written = |files: &[PathBuf]| {
        let files = files.iter();
        files
            .map(|file| format!("wrote {}", file.display()))
            .collect()
    };
    let lines: Result<Vec<String>, _> = match &command {
        PkiCommand::Init { dir } => pki::init(dir).map(|files| written(&files)),
        PkiCommand::Add {
            node,
            dir,
            hosts,
            renew,
        } => pki::add(dir, node, hosts, *renew).map(|files| written(&files)),
        PkiCommand::Revoke { node, dir } => pki::revoke(dir, node).map(|list| written(&[list])),
        PkiCommand::Show { dir } => shown(dir),
    };
    match lines {
        Ok(lines) => {
            lines.iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("supervisor: {error}");
            Exit::Refused.into()
        }
    }
}

fn shown(dir: &Path) -> Result<Vec<String>, pki::PkiError> {
    let mut lines: Vec<String> = pki::show(dir)?.iter().map(ToString::to_string).collect();
    lines.extend(pki::list(dir)?.map(|list| list.to_string()));
    Ok(lines)
}

fn options(args: CtlArgs) -> Options {
    let wait = args.command.waits_for();
    let command = |request| Ask::Command { request, wait };
    let ask = match args.command {
        CtlCommand::Status { watch } => Ask::Status { watch },
        CtlCommand::Explain => Ask::Explain,
        CtlCommand::History => Ask::History,
        CtlCommand::Demote { now, .. } => command(Request::Demote { now }),
        CtlCommand::Promote {
            first_vote,
            accept_double_vote_risk,
            now,
            ..
        } => command(Request::Promote {
            first_vote,
            accept_double_vote_risk,
            now,
        }),
        CtlCommand::Handover { to, now, .. } => command(Request::Handover { to, now }),
        CtlCommand::Drill(_) => command(Request::Drill {}),
        CtlCommand::Resume(_) => command(Request::Resume {}),
        CtlCommand::Pause { time, .. } => command(Request::Pause {
            for_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        }),
        CtlCommand::Restart {
            rolling: true, now, ..
        } => Ask::Rolling {
            wait: wait.unwrap_or_default(),
            now,
        },
        CtlCommand::Restart { now, .. } => command(Request::Restart { now }),
    };
    Options {
        socket: args.socket,
        json: args.json,
        ask,
    }
}
