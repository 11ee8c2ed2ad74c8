//! One connection of the control socket, from its credentials to its last reply.
//!
//! It reads one line, passes it on, and writes what comes back. Each step has a time limit or ends
//! when the client goes away, so a connection never outlives its use.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::access::{self, Denied, Peer, Rule};
use super::server::{COMMANDS_MAX, Call, Event, Limits, Place, Replies};
use super::wire::{self, REQUEST_BYTES_MAX, Reply, Request};
use crate::engine::values::RequestId;

/// How often a client that has closed its sending side is looked at for having closed the other.
const HALF_CLOSED_CHECK: Duration = Duration::from_millis(250);

/// A request line that was not one.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("the request line is longer than {} bytes", REQUEST_BYTES_MAX)]
    TooLong,
    #[error("no whole request line came within {0:?}; end it with a newline")]
    Late(Duration),
    #[error(
        "the connection ended in the middle of the request line, after {0} bytes; end it with a newline"
    )]
    Half(usize),
    #[error("one request a connection: {0} more bytes follow the first line")]
    More(usize),
    #[error(transparent)]
    Wire(#[from] wire::WireError),
    /// Nobody is left to be told.
    #[error("the client went away")]
    Gone,
}

pub(super) async fn run(
    mut stream: UnixStream,
    id: RequestId,
    rule: &Rule,
    limits: Limits,
    events: &mpsc::Sender<Event>,
    place: Place,
) {
    let peer = match admitted_peer(&stream, rule) {
        Ok(peer) => peer,
        Err(denied) => {
            tracing::warn!(EVENT = "ctl-denied", "control request refused: {denied}");
            return refuse(&mut stream, limits, denied.to_string()).await;
        }
    };
    let request = match read_request(&mut stream, limits).await {
        Ok(request) => request,
        Err(ReadError::Gone) => return,
        Err(error) => return refuse(&mut stream, limits, error.to_string()).await,
    };
    let _place = match place.for_request(&request) {
        Ok(place) => place,
        Err(_place) => {
            let text = format!(
                "{COMMANDS_MAX} commands wait for their end already: end some of those `supervisor ctl` (`demote` is taken all the same)"
            );
            return refuse(&mut stream, limits, text).await;
        }
    };
    let (replies, mut incoming) = Replies::channel();
    if events
        .send(Event::Call(Call {
            id,
            request,
            peer,
            replies,
        }))
        .await
        .is_err()
    {
        return refuse(&mut stream, limits, "the supervisor is stopping".into()).await;
    }
    if !relay(&mut stream, limits, &mut incoming).await {
        drop(incoming);
        // A closed loop needs no news.
        let _ = events.send(Event::Abandoned(id)).await;
    }
}

fn admitted_peer(stream: &UnixStream, rule: &Rule) -> Result<Peer, Denied> {
    let peer = access::peer_of(stream).map_err(|e| Denied::Unknown(e.to_string()))?;
    rule.admit(&peer)?;
    Ok(peer)
}

async fn read_request(stream: &mut UnixStream, limits: Limits) -> Result<Request, ReadError> {
    let line = timeout(limits.request, read_line(stream)).await;
    Ok(wire::parse_request(
        &line.map_err(|_| ReadError::Late(limits.request))??,
    )?)
}

async fn read_line(stream: &mut UnixStream) -> Result<Vec<u8>, ReadError> {
    let mut line = Vec::with_capacity(512);
    loop {
        let before = line.len();
        match stream.read_buf(&mut line).await {
            Err(_) => return Err(ReadError::Gone),
            Ok(0) if line.is_empty() => return Err(ReadError::Gone),
            Ok(0) => return Err(ReadError::Half(line.len())),
            Ok(_) => {}
        }
        let end = line[before..]
            .iter()
            .position(|&b| b == b'\n')
            .map(|at| before + at);
        if end.unwrap_or(line.len()) >= REQUEST_BYTES_MAX {
            return Err(ReadError::TooLong);
        }
        if let Some(end) = end {
            let more = line.len() - end - 1;
            line.truncate(end);
            return if more == 0 {
                Ok(line)
            } else {
                Err(ReadError::More(more))
            };
        }
    }
}

/// Writes replies until the last one, which ends it whether the client takes it or not. False when
/// the client went away before.
async fn relay(
    stream: &mut UnixStream,
    limits: Limits,
    incoming: &mut mpsc::Receiver<Reply>,
) -> bool {
    let (mut from_client, mut to_client) = stream.split();
    loop {
        let reply = tokio::select! {
            biased;
            reply = incoming.recv() => reply,
            () = client_gone(&mut from_client) => return false,
        };
        let reply = reply.unwrap_or_else(|| Reply::Error {
            text: "the supervisor dropped the request without an answer".into(),
        });
        let line = wire::reply_line(&reply);
        let written = timeout(limits.write, to_client.write_all(line.as_bytes())).await;
        if reply.is_last() {
            return true;
        }
        if !matches!(written, Ok(Ok(()))) {
            return false;
        }
    }
}

/// Returns when the client has closed its receiving side too. Whatever else it sends is against
/// the rules and treated as leaving.
async fn client_gone(from_client: &mut tokio::net::unix::ReadHalf<'_>) {
    let mut byte = [0_u8; 1];
    if !matches!(from_client.read(&mut byte).await, Ok(0)) {
        return;
    }
    // `printf … | nc -U` closes its sending side at once and still reads. Nothing wakes a task on
    // the hang-up that may follow, so look for it.
    while !hung_up(from_client.as_ref()).unwrap_or(true) {
        sleep(HALF_CLOSED_CHECK).await;
    }
}

fn hung_up(stream: &UnixStream) -> io::Result<bool> {
    let mut fds = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO)?;
    let seen = fds[0].revents().unwrap_or(PollFlags::POLLHUP);
    Ok(seen.intersects(PollFlags::POLLHUP | PollFlags::POLLERR))
}

/// One error line, then the end. What the client still sends is read and dropped for a moment:
/// closing over unread bytes would reset the connection and could take the answer with it.
async fn refuse(stream: &mut UnixStream, limits: Limits, text: String) {
    let line = wire::reply_line(&Reply::Error { text });
    let told = async {
        stream.write_all(line.as_bytes()).await?;
        stream.shutdown().await?;
        let mut rest = [0_u8; 4096];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // Late or failed, there is nobody left to tell.
    let _ = timeout(limits.write, told).await;
}
