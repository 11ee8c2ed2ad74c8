//! The connection to the chain: says who we are, takes in its state, and ends us as a duplicate.

use crate::node::Node;
use crate::spawn;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;
use testkit::keys;
use testkit::wire::{ClusterState, FromChain, SentVote, ToChain, now_us};

/// Where votes and answers go; one writer, so that their order is kept.
static WRITER: OnceLock<Mutex<TcpStream>> = OnceLock::new();

/// Connects, and passes every state of the cluster on to the voting thread.
pub(crate) fn start(node: &Arc<Node>, slots: Sender<ClusterState>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("chain {}: {error}", node.flags.chain);
    let stream = TcpStream::connect(node.flags.chain).map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let reader = stream.try_clone().map_err(failed)?;
    WRITER.get_or_init(|| Mutex::new(stream));
    announce(node);
    let node = Arc::clone(node);
    spawn("solGossip", move || read(&node, reader, &slots))
}

/// Tells the chain under which identity we are to be found.
pub(crate) fn announce(node: &Node) {
    write(node, |_| ToChain::Hello(node.peer()));
}

/// Dates the vote and sends it.
pub(crate) fn send_vote(node: &Node, mut vote: SentVote) {
    write(node, |now_us| {
        vote.sent_us = now_us;
        ToChain::Vote(vote)
    });
}

/// The message is made, with the time, while nothing else can be written.
fn write(node: &Node, message: impl FnOnce(u64) -> ToChain) {
    let Some(writer) = WRITER.get() else { return };
    let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
    let written = serde_json::to_string(&message(now_us()))
        .map_err(Into::into)
        .and_then(|line| writer.write_all(format!("{line}\n").as_bytes()));
    if let Err(error) = written {
        node.log
            .line("WARN", &format!("the chain cannot be reached: {error}"));
    }
}

fn read(node: &Arc<Node>, stream: TcpStream, slots: &Sender<ClusterState>) {
    let mut is_duplicate = false;
    for line in BufReader::new(stream).lines() {
        let message = line
            .map_err(|error| error.to_string())
            .and_then(|line| serde_json::from_str(&line).map_err(|error| error.to_string()));
        match message {
            Ok(FromChain::Ping { nonce }) => write(node, |_| ToChain::Pong { nonce }),
            Ok(FromChain::State(cluster)) => {
                if !is_duplicate && has_newer_instance(node, &cluster) {
                    is_duplicate = true;
                    let node = Arc::clone(node);
                    thread::spawn(move || end_as_duplicate(&node));
                }
                node.shared().cluster = Some((*cluster).clone());
                // The voting thread lives as long as the process.
                let _ = slots.send(*cluster);
            }
            Err(problem) => {
                node.log
                    .line("WARN", &format!("the chain is gone: {problem}"));
                return;
            }
        }
    }
    node.log.line("WARN", "the chain has closed the connection");
}

/// Of two instances with one identity, the one with the older outset finds itself the duplicate.
fn has_newer_instance(node: &Node, cluster: &ClusterState) -> bool {
    let (identity, outset_us) = {
        let shared = node.shared();
        (keys::address(&shared.identity), shared.outset_us)
    };
    let others = cluster
        .peers
        .iter()
        .filter(|peer| peer.instance.pid != node.instance.pid);
    let mut same = others.filter(|peer| peer.identity == identity);
    same.any(|peer| peer.instance.outset_us > outset_us)
}

fn end_as_duplicate(node: &Node) {
    let delay_ms = node.faults().number("duplicate_ms").unwrap_or(1_000);
    thread::sleep(Duration::from_millis(delay_ms));
    let identity = keys::address(&node.shared().identity);
    let text = format!("duplicate running instances of the same validator node: {identity}");
    node.log.line("ERROR", &text);
    std::process::exit(1);
}
