//! The connections to the other nodes: made, answered, and made again when they end.
//!
//! Of two nodes the one whose name comes first calls. Each connection has a thread that reads from it; whoever has not said who
//! it is within a few seconds is let go of, and only so many may be about to.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::link::{LOST_AFTER, Link, LinkError};
use super::message::{Incoming, Message};
use super::node::Node;
use super::tls::{self, TlsError};
use crate::authority::news::Part;
use crate::engine::values::NodeName;

/// Between two signs of life.
const WORD_EVERY: Duration = Duration::from_millis(300);
/// After a record was kept: the vote it belongs to leaves in the meantime, and may need the same disk.
const REST: Duration = Duration::from_millis(10);
/// Between two calls to a node that does not answer.
const CALL_EVERY: Duration = Duration::from_millis(250);
const CALLED_WITHIN: Duration = Duration::from_secs(2);
/// Of all that have not said who they are.
const STRANGERS_MAX: usize = 16;
const STACK: usize = 512 * 1024;

/// Starts the threads. They end when the node is stopped.
///
/// # Errors
/// A thread cannot be started.
pub(super) fn start(node: &Arc<Node>, listener: TcpListener) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let own = Arc::clone(node);
    thread("peer-listen", move || listen(&own, &listener))?;
    let own = Arc::clone(node);
    thread("peer-word", move || keep_telling(&own))?;
    let others: Vec<NodeName> = node.state().others.keys().cloned().collect();
    for other in others.into_iter().filter(|other| *other > node.name) {
        let own = Arc::clone(node);
        thread("peer-call", move || keep_calling(&own, &other))?;
    }
    Ok(())
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let builder = std::thread::Builder::new()
        .name(name.into())
        .stack_size(STACK);
    builder.spawn(run).map(drop)
}

fn keep_telling(node: &Node) {
    let mut seen = tls::stamp_of_lists(&node.config);
    while !node.is_stopping() {
        let stamp = tls::stamp_of_lists(&node.config);
        if stamp != seen {
            seen = stamp;
            part_from_revoked(node);
        }
        let mut state = node.state();
        node.tell_others(&state);
        node.tell_holder(&mut state);
        drop(state);
        node.await_news(WORD_EVERY);
    }
}

/// Who is on a new list is let in by nobody, and keeps no link that it has.
fn part_from_revoked(node: &Node) {
    let links = node.state().links_of(|_| true);
    for (name, link) in links {
        let Some(certificate) = link.certificate() else {
            continue;
        };
        match tls::is_revoked(&node.config, certificate) {
            Ok(false) => {}
            Ok(true) => {
                tracing::warn!("the certificate of {name} has been revoked: its link is closed");
                link.close();
            }
            // Nobody new comes in. Those that are in were let in by a list that could be read.
            Err(error) => tracing::error!("{error}"),
        }
    }
}

fn keep_calling(node: &Arc<Node>, other: &NodeName) {
    while !node.is_stopping() {
        let why = match call(node, other) {
            Ok((socket, tls)) => match Link::new(socket, tls) {
                Ok(link) => serve(node, other, link).to_string(),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        let mut state = node.state();
        node.trouble(&mut state, Part::Link(other.clone()), why);
        drop(state);
        std::thread::sleep(CALL_EVERY);
    }
}

fn call(node: &Node, other: &NodeName) -> Result<(TcpStream, rustls::Connection), TlsError> {
    let address = node.address_of(other).unwrap_or_default();
    let mut failure = std::io::Error::other(format!(
        "{address:?} of peer.nodes has no address: check the name"
    ));
    for candidate in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, CALLED_WITHIN) {
            Ok(socket) => {
                let tls = tls::call(&node.config, &socket, other, address)?;
                return Ok((socket, tls));
            }
            Err(error) => failure = error,
        }
    }
    Err(failure.into())
}

fn listen(node: &Arc<Node>, listener: &TcpListener) {
    let strangers = Arc::new(AtomicUsize::new(0));
    while !node.is_stopping() {
        let mut ready = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut ready, PollTimeout::from(200u16));
        let socket = match listener.accept() {
            Ok((socket, _)) => socket,
            Err(error) => {
                // With no descriptor left, whoever calls waits on, and would be met again at once.
                if error.kind() != ErrorKind::WouldBlock {
                    std::thread::sleep(CALL_EVERY);
                }
                continue;
            }
        };
        if strangers.fetch_add(1, Ordering::AcqRel) >= STRANGERS_MAX {
            strangers.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (own, count) = (Arc::clone(node), Arc::clone(&strangers));
        let started = thread("peer-link", move || {
            let met = answer(&own, socket);
            count.fetch_sub(1, Ordering::AcqRel);
            match met {
                Ok((name, link)) => drop(serve(&own, &name, link)),
                Err(error) => tracing::debug!("a call that was not answered: {error}"),
            }
        });
        if started.is_err() {
            strangers.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn answer(node: &Node, socket: TcpStream) -> Result<(NodeName, Link), TlsError> {
    socket.set_nonblocking(false)?;
    let met = tls::accept(&node.config, &socket);
    let (tls, name) = met.inspect_err(|error| {
        // Anybody can call. What is wrong with our own files, though, keeps everybody out.
        if matches!(error, TlsError::File { .. }) {
            tracing::error!("a call cannot be answered: {error}");
        }
    })?;
    if !node.state().others.contains_key(&name) {
        tracing::warn!("a node that peer.nodes does not name has called: {name}");
        return Err(TlsError::Stranger(name));
    }
    Ok((name, Link::new(socket, tls)?))
}

/// Until the connection ends. Says why it has.
fn serve(node: &Node, from: &NodeName, link: Link) -> LinkError {
    let link = Arc::new(link);
    let why = match talk(node, from, &link) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    link.close();
    if let LinkError::Unfit(_) | LinkError::Nonsense(_) = why {
        let mut state = node.state();
        node.trouble(&mut state, Part::Link(from.clone()), why.to_string());
    }
    node.link_down(from, &link, &why);
    why
}

fn talk(
    node: &Node,
    from: &NodeName,
    link: &Arc<Link>,
) -> Result<std::convert::Infallible, LinkError> {
    let mut incoming = Incoming::from_stranger();
    link.send(&node.hello())?;
    let until = std::time::Instant::now() + LOST_AFTER;
    let hello = loop {
        match incoming.next()? {
            Some(Message::Hello(hello)) => break hello,
            Some(_) => return Err(LinkError::Unfit("it does not say who it is".into())),
            None if std::time::Instant::now() > until => return Err(LinkError::Silent),
            None => link.receive(&mut incoming)?,
        }
    };
    node.meet(&hello, from)?;
    incoming.is_known();
    node.link_up(from, link, &hello)?;
    let mut has_kept = false;
    loop {
        while let Some(message) = incoming.next()? {
            has_kept |= matches!(message, Message::Record(_) | Message::Commit(_));
            node.hear(from, link, message)?;
        }
        if has_kept && link.is_silent_for(REST) {
            node.rest()?;
            has_kept = false;
        }
        link.receive(&mut incoming)?;
    }
}
