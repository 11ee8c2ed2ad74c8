//! An RPC node of the cluster that says what a test tells it to, whatever the chain does.
//!
//! ```text
//! let rpc = LoneRpc::start(&chain.cluster().genesis_hash, Says::Slot(7))?;
//! rpc.say(Says::Slot(8));
//! ```

use crate::http::{Failure, envelope};
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What it answers to every question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    Slot(u64),
    /// HTTP 429.
    NotNow {
        retry_after_s: u64,
    },
    /// It takes questions, and answers none.
    Silence,
}

#[derive(Debug)]
struct State {
    says: Mutex<Says>,
    genesis_hash: String,
    ending: AtomicBool,
}

/// A listening node. Ends when dropped.
#[derive(Debug)]
pub struct LoneRpc {
    url: String,
    address: std::net::SocketAddr,
    state: Arc<State>,
}

impl LoneRpc {
    /// On a free port of loopback, as a node of the cluster with this genesis hash.
    ///
    /// # Errors
    /// There is no port.
    pub fn start(genesis_hash: &str, says: Says) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            says: Mutex::new(says),
            genesis_hash: genesis_hash.to_owned(),
            ending: AtomicBool::new(false),
        });
        let serving = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.ending.load(Ordering::SeqCst) {
                    break;
                }
                let state = Arc::clone(&serving);
                thread::spawn(move || {
                    // A broken connection is the client's business.
                    let _ = converse(&stream, &state);
                });
            }
        });
        Ok(Self {
            url: format!("http://{address}"),
            address,
            state,
        })
    }

    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn say(&self, says: Says) {
        *self
            .state
            .says
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = says;
    }
}

impl Drop for LoneRpc {
    fn drop(&mut self) {
        self.state.ending.store(true, Ordering::SeqCst);
        // Wakes the listener, so that it sees the flag; one that is gone already needs no waking.
        let _ = TcpStream::connect(self.address);
    }
}

fn converse(stream: &TcpStream, state: &State) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream.try_clone()?;
    while let Some(call) = read_call(&mut reader)? {
        let says = state
            .says
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let slot = match says {
            Says::Slot(slot) => slot,
            Says::NotNow { retry_after_s } => {
                write!(
                    writer,
                    "HTTP/1.1 429 Too Many Requests\r\nRetry-After: {retry_after_s}\r\nContent-Length: 0\r\n\r\n"
                )?;
                continue;
            }
            Says::Silence => continue,
        };
        let answer = match call["method"].as_str() {
            Some("getSlot") => Ok(json!(slot)),
            Some("getHealth") => Ok(json!("ok")),
            Some("getGenesisHash") => Ok(json!(state.genesis_hash)),
            _ => Err(Failure::new(-32601, "Method not found")),
        };
        let body = envelope(&call["id"], answer).to_string();
        write!(
            writer,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
    Ok(())
}

fn read_call(reader: &mut impl BufRead) -> io::Result<Option<Value>> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    Ok(Some(serde_json::from_slice(&body)?))
}
