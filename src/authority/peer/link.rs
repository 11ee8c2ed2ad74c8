//! One connection to another node, once both sides know each other.
//!
//! Any thread may send; one reads. Neither waits for long: who does not read what is sent to it, or says nothing, loses the
//! connection, and begins with a new one.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::Connection;
use rustls::pki_types::CertificateDer;

use super::message::{Incoming, Message, MessageError};
use super::tls::{in_words, is_late};

/// A sign of life comes several times within it.
pub(super) const LOST_AFTER: Duration = Duration::from_millis(1_500);
/// Much more than what one message takes. The others hear nothing meanwhile, and must not miss this node.
const SENT_WITHIN: Duration = Duration::from_millis(800);
/// After it, a connection that takes nothing is taken for dead. Its buffers are full by then.
const STUCK_AFTER: Duration = Duration::from_millis(300);
const PIECE: usize = 16 * 1024;

/// Why a connection has ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("the connection is lost: {0}")]
    Io(#[from] std::io::Error),
    #[error("nothing was heard for {} ms", LOST_AFTER.as_millis())]
    Silent,
    #[error("it has closed the connection")]
    Closed,
    #[error("{}", in_words(.0))]
    Tls(#[from] rustls::Error),
    /// What it sent cannot be kept here.
    #[error("{0}")]
    Disk(#[from] DiskError),
    #[error("it speaks nonsense: {0}")]
    Nonsense(#[from] MessageError),
    #[error("{0}")]
    Unfit(String),
}

/// A file of the state directory that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written: {source}: free or repair the disk that state_dir is on", path.display())]
pub(super) struct DiskError {
    pub(super) path: PathBuf,
    pub(super) source: std::io::Error,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    socket: TcpStream,
    /// Of the other side.
    certificate: Option<CertificateDer<'static>>,
    outgoing: Mutex<Outgoing>,
}

#[derive(Debug)]
struct Outgoing {
    tls: Connection,
    /// Keeps its room from message to message.
    bytes: Vec<u8>,
}

impl Link {
    pub(super) fn new(socket: TcpStream, tls: Connection) -> std::io::Result<Self> {
        socket.set_read_timeout(Some(LOST_AFTER))?;
        socket.set_write_timeout(Some(STUCK_AFTER))?;
        let shown = tls.peer_certificates().and_then(|chain| chain.first());
        Ok(Self {
            socket,
            certificate: shown.map(|certificate| certificate.clone().into_owned()),
            outgoing: Mutex::new(Outgoing {
                tls,
                bytes: Vec::new(),
            }),
        })
    }

    /// Sends a message, or ends the connection: part of one would spoil what follows.
    pub(super) fn send(&self, message: &Message) -> Result<(), LinkError> {
        self.send_written(|out| message.write(out))
    }

    /// The same, unless something else is being sent: that shows as well that this side lives.
    pub(super) fn send_if_idle(&self, message: &Message) -> Result<(), LinkError> {
        match self.outgoing.try_lock() {
            Ok(mut outgoing) => self.send_by(&mut outgoing, |out| message.write(out)),
            Err(_) => Ok(()),
        }
    }

    /// As [`Self::send`], for what `write` appends.
    pub(super) fn send_written(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), LinkError> {
        self.send_by(&mut self.outgoing(), write)
    }

    fn send_by(
        &self,
        outgoing: &mut Outgoing,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), LinkError> {
        let Outgoing { tls, bytes } = outgoing;
        bytes.clear();
        write(bytes);
        let until = Instant::now() + SENT_WITHIN;
        let sent = bytes.chunks(PIECE).try_for_each(|piece| {
            tls.writer().write_all(piece)?;
            flush(tls, &self.socket, until)
        });
        sent.inspect_err(|_| self.close()).map_err(LinkError::Io)
    }

    /// Waits for bytes and adds what they say to `incoming`.
    pub(super) fn receive(&self, incoming: &mut Incoming) -> Result<(), LinkError> {
        let mut raw = [0; PIECE];
        let count = match (&self.socket).read(&mut raw) {
            Ok(0) => return Err(LinkError::Closed),
            Ok(count) => count,
            Err(error) if is_late(&error) => return Err(LinkError::Silent),
            // Where a socket has a timeout, signal(7) lets nothing restart it.
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut outgoing = self.outgoing();
        let tls = &mut outgoing.tls;
        let mut left = &raw[..count];
        while !left.is_empty() {
            // After the other side's last word it takes no more.
            if tls.read_tls(&mut left)? == 0 {
                return Err(LinkError::Closed);
            }
            let plain = tls.process_new_packets()?.plaintext_bytes_to_read();
            let mut bytes = vec![0; plain];
            tls.reader().read_exact(&mut bytes)?;
            incoming.take(&bytes);
        }
        if tls.wants_write() {
            flush(tls, &self.socket, Instant::now() + SENT_WITHIN)?;
        }
        Ok(())
    }

    /// Whether nothing comes for so long; of an error [`Self::receive`] tells.
    pub(super) fn is_silent_for(&self, time: Duration) -> bool {
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        poll(&mut fds, timeout) == Ok(0)
    }

    /// Ends it for both sides, and for whoever reads from it here.
    pub(super) fn close(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// By which the other side was let in.
    pub(super) fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.certificate.as_ref()
    }

    fn outgoing(&self) -> std::sync::MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn flush(tls: &mut Connection, mut socket: &TcpStream, until: Instant) -> std::io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(&mut socket) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        if tls.wants_write() && Instant::now() > until {
            return Err(ErrorKind::TimedOut.into());
        }
    }
    Ok(())
}
