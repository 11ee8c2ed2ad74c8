//! A way to a server, on which a test holds what passes, or cuts it. What is held or cut arrives late, as over a network that
//! sends again what was lost.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

const PIECE: usize = 16 * 1024;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// Where a relay is held.
#[derive(Clone, Debug)]
pub struct Message {
    pub direction: Direction,
    /// What is in it, within one piece of the stream.
    pub text: String,
    /// It is let through, and whatever answers it is held.
    pub let_through: bool,
}

/// See the module. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    awaited: Option<Message>,
    held: Option<Direction>,
    is_cut: bool,
    is_closed: bool,
    ended: bool,
    sockets: Vec<TcpStream>,
}

impl Relay {
    /// Listens on loopback.
    ///
    /// # Errors
    /// There is no free port.
    pub fn to(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if own.state().ended {
                    return;
                }
                // A server that is down is one that says nothing.
                let _ = own.join(client, server);
            }
        });
        Ok(Self { address, shared })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nothing more passes in that direction once such a message is there.
    pub fn hold(&self, message: Message) {
        self.shared.state().awaited = Some(message);
    }

    /// Whether something is held.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.shared.state().held.is_some()
    }

    /// What is held passes, unless the relay is cut.
    pub fn let_go(&self) {
        self.change(|state| (state.awaited, state.held) = (None, None));
    }

    /// Nothing passes in either direction while it is cut.
    pub fn cut(&self, is_cut: bool) {
        self.change(|state| state.is_cut = is_cut);
    }

    /// Ends all connections, and there are no others while it is closed: unlike one that is cut, which only says nothing.
    pub fn close(&self, is_closed: bool) {
        self.change(|state| {
            state.is_closed = is_closed;
            state.end_connections();
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.state());
        self.shared.changed.notify_all();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.change(|state| {
            state.ended = true;
            state.end_connections();
        });
        // Wakes the listener, which sees that it has ended.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(self: &Arc<Self>, client: TcpStream, server: SocketAddr) -> io::Result<()> {
        let server = TcpStream::connect(server)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let ways = [
            (
                client.try_clone()?,
                server.try_clone()?,
                Direction::ToServer,
            ),
            (
                server.try_clone()?,
                client.try_clone()?,
                Direction::ToClient,
            ),
        ];
        let mut state = self.state();
        if state.is_closed || state.ended {
            return Ok(());
        }
        state.sockets.extend([client, server]);
        drop(state);
        for (from, to, direction) in ways {
            let own = Arc::clone(self);
            thread::spawn(move || {
                // Either side may end it.
                let _ = own.pass_on(&from, &to, direction);
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
        Ok(())
    }

    fn pass_on(
        &self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        direction: Direction,
    ) -> io::Result<()> {
        let mut bytes = [0; PIECE];
        loop {
            let count = from.read(&mut bytes)?;
            if count == 0 {
                return Ok(());
            }
            let mut state = self.state();
            state.look_at(&bytes[..count], direction);
            let waits =
                |state: &mut State| !state.ended && (state.is_cut || state.held == Some(direction));
            let state = self.changed.wait_while(state, waits);
            if state.unwrap_or_else(PoisonError::into_inner).ended {
                return Ok(());
            }
            to.write_all(&bytes[..count])?;
        }
    }
}

impl State {
    fn end_connections(&mut self) {
        for socket in self.sockets.drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn look_at(&mut self, bytes: &[u8], direction: Direction) {
        let Some(message) = &self.awaited else {
            return;
        };
        let text = message.text.as_bytes();
        if message.direction != direction || !bytes.windows(text.len()).any(|part| part == text) {
            return;
        }
        self.held = Some(match (direction, message.let_through) {
            (Direction::ToServer, true) => Direction::ToClient,
            (Direction::ToClient, true) => Direction::ToServer,
            (direction, false) => direction,
        });
        self.awaited = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stand_in::until;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    const SOON_MS: u64 = 10_000;
    const SOON: Duration = Duration::from_secs(10);

    /// A server that sends back what it gets, and what a client of the relay hears of it.
    fn echo() -> (Relay, TcpStream, Receiver<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let relay = Relay::to(listener.local_addr().expect("an address")).expect("a relay");
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a client");
            let mut byte = [0];
            while let Ok(1) = socket.read(&mut byte) {
                let _ = socket.write_all(&byte);
            }
        });
        let client = TcpStream::connect(relay.address()).expect("the relay");
        let (tell, heard) = channel();
        let mut reading = client.try_clone().expect("a socket");
        thread::spawn(move || {
            let mut byte = [0];
            while let Ok(1) = reading.read(&mut byte) {
                let _ = tell.send(byte[0]);
            }
        });
        (relay, client, heard)
    }

    #[test]
    fn a_message_is_held_or_its_answer_until_it_is_let_go() {
        for let_through in [false, true] {
            let (relay, mut client, heard) = echo();
            client.write_all(b"a").expect("the relay");
            assert_eq!(heard.recv_timeout(SOON), Ok(b'a'));
            relay.hold(Message {
                direction: Direction::ToServer,
                text: "b".into(),
                let_through,
            });
            client.write_all(b"b").expect("the relay");
            assert!(until(SOON_MS, || relay.is_reached()));
            assert!(heard.try_recv().is_err());
            relay.let_go();
            assert_eq!(heard.recv_timeout(SOON), Ok(b'b'));
        }
    }

    #[test]
    fn one_that_is_closed_has_no_connections() {
        let (relay, client, heard) = echo();
        relay.close(true);
        assert!(heard.recv_timeout(SOON).is_err(), "the connection goes on");
        drop(client);
        let mut next = TcpStream::connect(relay.address()).expect("the relay");
        assert_eq!(next.read(&mut [0]).ok(), Some(0));
    }

    #[test]
    fn what_was_cut_arrives_late() {
        let (relay, mut client, heard) = echo();
        relay.cut(true);
        client.write_all(b"a").expect("the relay");
        relay.let_go();
        assert!(heard.recv_timeout(Duration::from_millis(100)).is_err());
        relay.cut(false);
        assert_eq!(heard.recv_timeout(SOON), Ok(b'a'));
    }
}
