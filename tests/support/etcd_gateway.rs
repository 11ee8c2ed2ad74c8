//! What a test asks etcd itself, over the server's gRPC-JSON gateway: plain HTTP/1.0, a connection for each question.
//!
//! It is for laying out, looking at and spoiling what the system under test does through gRPC. No TLS: a server with TLS gets
//! a plain listener besides, which only the test knows.

use crate::netns::Namespace;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A server without a quorum answers a write after 7 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A stored value, and what etcd knows about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub bytes: Vec<u8>,
    pub create_revision: i64,
    pub mod_revision: i64,
    /// The lease it hangs on; 0 is none.
    pub lease: i64,
}

/// What a member says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub member: u64,
    /// 0 when it knows of none.
    pub leader: u64,
    pub term: u64,
    pub revision: i64,
    pub size_bytes: u64,
}

/// The gateway of one member.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    /// Where the address means something; none is where the test runs.
    pub(crate) namespace: Option<Namespace>,
}

impl Gateway {
    /// One question. A status other than 200 is an error with etcd's own words.
    pub(crate) fn ask(&self, path: &str, token: Option<&str>, body: &Value) -> io::Result<Value> {
        self.ask_within(ANSWER_TIMEOUT, path, token, body)
    }

    fn ask_within(
        &self,
        within: Duration,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> io::Result<Value> {
        let stream = match &self.namespace {
            Some(namespace) => namespace.within(|| connect(self.address))??,
            None => connect(self.address)?,
        };
        stream.set_read_timeout(Some(within))?;
        let (status, answer) = exchange(stream, path, token, &body.to_string())?;
        if status == 200 {
            return serde_json::from_str(&answer).map_err(io::Error::other);
        }
        let address = self.address;
        Err(io::Error::other(format!(
            "etcd at {address} answers {path} with {status}: {answer}"
        )))
    }

    pub(crate) fn status(&self, within: Duration) -> io::Result<Status> {
        let answer = self.ask_within(within, "/v3/maintenance/status", None, &json!({}))?;
        Ok(Status {
            member: number(&answer["header"]["member_id"])?,
            leader: number(&answer["leader"])?,
            term: number(&answer["header"]["raft_term"])?,
            revision: number(&answer["header"]["revision"])?,
            size_bytes: number(&answer["dbSize"])?,
        })
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)
}

fn exchange(
    mut stream: TcpStream,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> io::Result<(u16, String)> {
    let token = token.map_or(String::new(), |token| format!("Authorization: {token}\r\n"));
    let length = body.len();
    // HTTP/1.0 rules out chunked answers: the body ends where the connection does.
    let request = format!(
        "POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{token}\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let garbled = || io::Error::other(format!("not an HTTP answer: {answer:?}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(garbled)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or_else(garbled)?, body.to_owned()))
}

/// A 64-bit number is a string in JSON made of protobuf, and left out when it is 0.
pub(crate) fn number<T: std::str::FromStr + Default>(value: &Value) -> io::Result<T> {
    match value {
        Value::Null => Ok(T::default()),
        Value::String(text) => text
            .parse()
            .map_err(|_| io::Error::other(format!("not a number: {text:?}"))),
        other => Err(io::Error::other(format!("not a number: {other}"))),
    }
}

pub(crate) fn encoded(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// The first of the stored values in the answer to a range question.
pub(crate) fn first_stored(answer: &Value) -> io::Result<Option<Stored>> {
    let found = &answer["kvs"][0];
    if found.is_null() {
        return Ok(None);
    }
    let bytes = BASE64_STANDARD.decode(found["value"].as_str().unwrap_or_default());
    Ok(Some(Stored {
        bytes: bytes.map_err(io::Error::other)?,
        create_revision: number(&found["create_revision"])?,
        mod_revision: number(&found["mod_revision"])?,
        lease: number(&found["lease"])?,
    }))
}
