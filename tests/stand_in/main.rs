//! A stand-in for agave-validator: stores, renames and then sends its votes like the real one, and can
//! be asked for trouble. It validates nothing and replays nothing. Tests only, never shipped.
//!
//! ```text
//! stand-in-validator --identity FILE --vote-account PUBKEY --ledger DIR
//!     [--authorized-voter FILE]… [--tower DIR] [--rpc-port N] [--rpc-bind-address IP] [--log FILE|-]
//!     --stand-in-chain ADDR              the chain of `testkit::chain`, or env STAND_IN_CHAIN
//!     [--stand-in-node NAME]             its name before the judge; its pid without one
//!     [--stand-in-protocol tower|alpenglow]
//!     [--stand-in-admin-version 2|4.2]   two or three parameters of setIdentity
//!     [--stand-in-faults FILE] [--stand-in-fault KEY=VALUE]…   see `testkit::faults::KEYS`
//! ```
//! Every `--stand-in-x-y` may come as the environment variable `STAND_IN_X_Y`. All other flags are
//! taken as flags of agave-validator and ignored. Tests start it through `testkit::stand_in`.
//!
//! Threads carry the names of the real ones, by which a gate tells them apart:
//!
//! ```text
//! main             locks the ledger, loads the record (mkdir), waits
//! solReplayStage   Tower BFT:  decides each slot's vote, switches identity (mkdir, then the first vote)
//! solVotorEvLoop   Alpenglow:  the same
//! solVoteService   Tower BFT:  writes `….bin.new`, renames it, sends the vote
//! solVotorVoteSvc  Alpenglow:  the same, twice a slot
//! solAdminRpcEl    one for each connection to `<ledger>/admin.rpc`
//! ```
//!
//! As with the real one, `setIdentity` returns before the voting thread has switched: unless the node
//! is muted, one more vote of the old identity follows. A store that fails ends the process with 1,
//! and the vote is not sent.

mod admin;
mod calls;
mod ending;
mod flags;
mod http_rpc;
mod link;
mod log;
mod node;
mod replay;
mod vote_service;

use flags::Flags;
use node::Node;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

fn main() -> ExitCode {
    let flags = match Flags::read(std::env::args().skip(1)) {
        Ok(flags) => flags,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(2);
        }
    };
    match run(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("Error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: Flags) -> Result<(), String> {
    if let Some(code) = flags.faults()?.code("exit_at_once") {
        std::process::exit(code);
    }
    let _lock = node::lock_ledger(&flags.ledger)?;
    let node = Arc::new(Node::new(flags)?);
    ending::watch(&node).map_err(|error| format!("signals: {error}"))?;
    admin::start(&node).map_err(|error| format!("admin rpc: {error}"))?;
    let _rpc = http_rpc::start(&node).map_err(|error| format!("rpc: {error}"))?;
    thread::sleep(node.start_up());
    start_voting(&node)?;
    node.set_running();
    node.log.line("INFO", "started, all services are running");
    loop {
        thread::park();
    }
}

fn start_voting(node: &Arc<Node>) -> Result<(), String> {
    let alpenglow = node.flags.alpenglow;
    let (jobs, waiting_jobs) = mpsc::channel();
    let (slots, waiting_slots) = mpsc::channel();
    let mut replay = replay::Replay::new(Arc::clone(node), jobs);
    spawn(
        if alpenglow {
            "solVotorVoteSvc"
        } else {
            "solVoteService"
        },
        {
            let node = Arc::clone(node);
            move || vote_service::run(&node, &waiting_jobs)
        },
    )?;
    spawn(
        if alpenglow {
            "solVotorEvLoop"
        } else {
            "solReplayStage"
        },
        move || {
            waiting_slots
                .iter()
                .for_each(|cluster| replay.take(&cluster));
        },
    )?;
    link::start(node, slots)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned
        .map(drop)
        .map_err(|error| format!("thread {name}: {error}"))
}
