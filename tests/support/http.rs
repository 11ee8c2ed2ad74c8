//! JSON-RPC 2.0 over HTTP/1.1, as much of it as a client on loopback needs.
//!
//! No TLS, no chunked requests, no limits against hostile clients: tests only.

use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A JSON-RPC error.
#[derive(Clone, Debug)]
pub struct Failure {
    pub code: i64,
    pub message: String,
    pub data: Option<Value>,
}

impl Failure {
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }
}

/// Answers a method call.
pub type Answer = dyn Fn(&str, &Value) -> Result<Value, Failure> + Send + Sync;

/// A listening server. Ends when dropped; requests being served are finished.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    ending: Arc<AtomicBool>,
}

impl Server {
    /// Listens on `address` and answers with `answer`, a thread for each connection.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn start(address: SocketAddr, answer: Arc<Answer>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let ending = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ending);
        thread::Builder::new().name("http".into()).spawn(move || {
            for stream in listener.incoming() {
                if seen.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let answer = Arc::clone(&answer);
                thread::spawn(move || converse(stream, answer.as_ref()));
            }
        })?;
        Ok(Self { address, ending })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        // Wakes the listener, so that it sees the flag; one that is gone already needs no waking.
        let _ = TcpStream::connect(self.address);
    }
}

/// Serves one connection until the client is done. A broken connection is the client's business.
fn converse(stream: TcpStream, answer: &Answer) {
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    let mut reader = BufReader::new(stream);
    while let Ok(Some(request)) = read_request(&mut reader) {
        let (kind, body) = respond(&request, answer);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if writer
            .write_all(head.as_bytes())
            .and_then(|()| writer.write_all(&body))
            .is_err()
        {
            break;
        }
    }
}

struct Request {
    get: bool,
    body: Vec<u8>,
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let get = line.starts_with("GET ");
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
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
    Ok(Some(Request { get, body }))
}

/// `GET` is the plain health question; everything else is JSON-RPC, alone or in a batch.
fn respond(request: &Request, answer: &Answer) -> (&'static str, Vec<u8>) {
    if request.get {
        let text = match answer("getHealth", &Value::Null) {
            Ok(_) => "ok".to_owned(),
            Err(failure) => match failure
                .data
                .as_ref()
                .and_then(|data| data["numSlotsBehind"].as_u64())
            {
                Some(_) => "behind".to_owned(),
                None => "unknown".to_owned(),
            },
        };
        return ("text/plain", text.into_bytes());
    }
    let response = match serde_json::from_slice::<Value>(&request.body) {
        Ok(Value::Array(calls)) => calls.iter().map(|call| reply(call, answer)).collect(),
        Ok(call) => reply(&call, answer),
        Err(error) => envelope(&Value::Null, Err(Failure::new(-32700, error.to_string()))),
    };
    ("application/json", response.to_string().into_bytes())
}

fn reply(call: &Value, answer: &Answer) -> Value {
    envelope(
        &call["id"],
        answer(call["method"].as_str().unwrap_or_default(), &call["params"]),
    )
}

/// The JSON-RPC 2.0 response to the call `id`.
#[must_use]
pub fn envelope(id: &Value, outcome: Result<Value, Failure>) -> Value {
    match outcome {
        Ok(result) => json!({"jsonrpc": "2.0", "result": result, "id": id}),
        Err(Failure {
            code,
            message,
            data: None,
        }) => {
            json!({"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": id})
        }
        Err(Failure {
            code,
            message,
            data: Some(data),
        }) => json!({
            "jsonrpc": "2.0",
            "error": {"code": code, "message": message, "data": data},
            "id": id,
        }),
    }
}
