//! Takes requests from the control socket and passes them to the daemon's loop as [`Event`]s.
//!
//! It answers nothing itself except refusals: bad credentials, lines that are no request, and more commands at once than it lets
//! wait for their end. At most [`CONNECTIONS_MAX`] connections are served at once; further ones wait in the listen queue. What may
//! wait for minutes has places of its own, so that it keeps nobody out who only asks, or stops the voting.
//! All of it runs as tasks that end with the [`serve`] future, on the caller's runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use super::access::{Peer, Rule};
use super::connection;
use super::status::Status;
use super::wire::{Reply, Request};
use crate::engine::values::RequestId;

/// Connections served at once, besides the commands that wait for their end.
pub const CONNECTIONS_MAX: usize = 32;
/// Commands that wait for their end at once.
pub const COMMANDS_MAX: usize = 32;
/// Progress lines kept for a client that reads slowly; later ones are dropped, the last reply never.
const PROGRESS_WAITING_MAX: usize = 64;
/// Pause after an `accept` that failed for want of descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What the socket tells the daemon's loop.
#[derive(Debug)]
pub enum Event {
    /// An admitted peer asks for something.
    Call(Call),
    /// A scraper wants the status.
    Scrape(oneshot::Sender<Status>),
    /// The client of this call went away before its last reply. The loop owes it nothing more;
    /// whether a command that has begun goes on is the loop's to say.
    Abandoned(RequestId),
}

/// One request of an admitted peer.
#[derive(Debug)]
pub struct Call {
    /// Unique in the life of this process.
    pub id: RequestId,
    pub request: Request,
    pub peer: Peer,
    pub replies: Replies,
}

/// The way back to one client. No method waits; dropping it unfinished tells the client that its
/// request went unanswered.
#[derive(Debug)]
pub struct Replies {
    progress: mpsc::Sender<Reply>,
    /// A place in the queue kept free for the last reply.
    last: Option<mpsc::OwnedPermit<Reply>>,
}

impl Replies {
    /// A way back and its other end.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Reply>) {
        let (progress, replies) = mpsc::channel(PROGRESS_WAITING_MAX + 1);
        let last = progress.clone().try_reserve_owned().ok();
        (Self { progress, last }, replies)
    }

    /// One step done. The first one, sent when a command is admitted, is what tells the client
    /// that the supervisor is alive, so it should not wait for anything.
    pub fn progress(&self, text: impl Into<String>) {
        // Full: the client reads too slowly to care about every step. Closed: it is gone.
        let _ = self.progress.try_send(Reply::progress(text));
    }

    /// The last reply; the connection closes after it.
    pub fn finish(mut self, reply: Reply) {
        if let Some(place) = self.last.take() {
            place.send(reply);
        }
    }

    /// Whether the client has gone away.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.progress.is_closed()
    }
}

/// Time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the connection to the end of its request line.
    pub request: Duration,
    /// For one reply line to be taken by the client.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let five = Duration::from_secs(5);
        Self {
            request: five,
            write: five,
        }
    }
}

/// What a connection takes up while it is served.
pub(super) struct Place {
    own: OwnedSemaphorePermit,
    commands: Arc<Semaphore>,
}

impl Place {
    /// For as long as the request takes. One that may wait for long leaves its place to the next connection.
    ///
    /// # Errors
    /// As many wait already, and it is not one that stops the voting: the place until that is said.
    pub(super) fn for_request(
        self,
        request: &Request,
    ) -> Result<OwnedSemaphorePermit, OwnedSemaphorePermit> {
        if !request.may_take_long() {
            return Ok(self.own);
        }
        match self.commands.try_acquire_owned() {
            Ok(place) => Ok(place),
            Err(_) if matches!(request, Request::Demote { .. }) => Ok(self.own),
            Err(_) => Err(self.own),
        }
    }
}

/// Serves `listener` until dropped, or until nobody takes `events`.
pub async fn serve(
    listener: UnixListener,
    rule: Rule,
    limits: Limits,
    events: mpsc::Sender<Event>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let commands = Arc::new(Semaphore::new(COMMANDS_MAX));
    let ids = Arc::new(AtomicU64::new(1));
    let rule = Arc::new(rule);
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = tokio::select! {
            () = events.closed() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the control socket cannot accept a connection; trying again");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
        };
        while connections.try_join_next().is_some() {}
        let id = RequestId(ids.fetch_add(1, Ordering::Relaxed));
        let (rule, commands, events) = (Arc::clone(&rule), Arc::clone(&commands), events.clone());
        connections.spawn(async move {
            let place = Place {
                own: place,
                commands,
            };
            connection::run(stream, id, &rule, limits, &events, place).await;
        });
    }
}

#[cfg(test)]
mod tests;
