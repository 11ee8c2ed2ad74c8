//! Parses the command line, runs what it asks for, and passes the exit code on.

use std::process::ExitCode;

use clap::Parser as _;
use validator_supervisor::cli::{Cli, CtlArgs, CtlCommand, TopCommand};
use validator_supervisor::ctl::client::{self, Ask, Options};
use validator_supervisor::ctl::wire::Request;
use validator_supervisor::daemon;

fn main() -> ExitCode {
    match Cli::parse().command {
        TopCommand::Run(args) => daemon::run(&args),
        TopCommand::Check(args) => daemon::check(&args),
        TopCommand::Ctl(args) => ExitCode::from(client::run(&options(args)) as u8),
    }
}

fn options(args: CtlArgs) -> Options {
    let wait = args.command.waits_for();
    let command = |request| Ask::Command { request, wait };
    let ask = match args.command {
        CtlCommand::Status { watch } => Ask::Status { watch },
        CtlCommand::Explain => Ask::Explain,
        CtlCommand::History => Ask::History,
        CtlCommand::Demote(_) => command(Request::Demote {}),
        CtlCommand::Promote {
            first_vote,
            accept_double_vote_risk,
            ..
        } => command(Request::Promote {
            first_vote,
            accept_double_vote_risk,
        }),
        CtlCommand::Resume(_) => command(Request::Resume {}),
        CtlCommand::Restart(_) => command(Request::Restart {}),
    };
    Options {
        socket: args.socket,
        json: args.json,
        ask,
    }
}
