//! The chain's side of one connection: a reader thread, and a writer thread that nobody waits for.

use crate::chain_shared::Shared;
use crate::wire::{FromChain, ToChain};
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Messages waiting for a stand-in that does not read, such as a stopped one; more are dropped.
const WAITING_MAX: usize = 64;

/// What the chain keeps of a connection.
#[derive(Debug)]
pub(crate) struct Link {
    lines: SyncSender<Arc<str>>,
    /// The newest ping that was answered.
    pub(crate) answered: u64,
}

impl Link {
    pub(crate) fn send(&self, line: &Arc<str>) {
        // A full queue or an ended writer: the reader thread finds out and removes the link.
        let _ = self.lines.try_send(Arc::clone(line));
    }
}

pub(crate) fn line_of(message: &FromChain) -> Arc<str> {
    let mut line = serde_json::to_string(message).unwrap_or_default();
    line.push('\n');
    line.into()
}

/// Serves the connection `number` on threads of its own.
pub(crate) fn serve(shared: &Arc<Shared>, number: u64, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (lines, waiting) = sync_channel(WAITING_MAX);
    let writer = stream.try_clone()?;
    thread::spawn(move || write(writer, &waiting));
    shared.connect(number, Link { lines, answered: 0 });
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        read(&shared, number, stream);
        shared.disconnect(number);
    });
    Ok(())
}

fn write(mut stream: TcpStream, waiting: &Receiver<Arc<str>>) {
    for line in waiting {
        if stream.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    // Unblocks the reader of this connection.
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

/// Until the sender ends; everything it sent before its end is read.
fn read(shared: &Shared, number: u64, stream: TcpStream) {
    for line in BufReader::new(stream).lines() {
        let Ok(message) = line
            .map_err(drop)
            .and_then(|line| serde_json::from_str(&line).map_err(drop))
        else {
            break;
        };
        match message {
            ToChain::Hello(peer) => shared.greet(number, peer),
            ToChain::Vote(vote) => shared.take_vote(vote),
            ToChain::Pong { nonce } => shared.pong(number, nonce),
        }
    }
}
