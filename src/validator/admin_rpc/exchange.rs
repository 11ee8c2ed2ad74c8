//! One request and its answer on a fresh connection. It sets no deadline: its caller does.

use std::fmt;
use std::io;
use std::path::Path;

use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use super::request::Request;
use super::{ANSWER_BYTES_MAX, Fault, PATH_BYTES_MAX, peer};

const NOT_STARTED: &str = "Retry once validator start up is complete";
const SHOWN_CHARS_MAX: usize = 300;

/// Text from the other side, bounded, on one line, and without keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown(String);

pub(super) async fn ask(path: &Path, request: &Request) -> Result<Value, Fault> {
    let mut stream = connect(path).await?;
    peer::check(&stream)?;
    stream
        .write_all(&request.bytes)
        .await
        .map_err(closed_or_io)?;
    // The sending side stays open: the server takes its closing for the end of the session.
    let line = read_line(&mut stream).await?;
    result_of(&line, request)
}

async fn connect(path: &Path) -> Result<UnixStream, Fault> {
    let len = path.as_os_str().len();
    if len > PATH_BYTES_MAX {
        return Err(Fault::PathTooLong { len });
    }
    UnixStream::connect(path).await.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Fault::NoSocket,
        io::ErrorKind::ConnectionRefused => Fault::Refused,
        io::ErrorKind::PermissionDenied => Fault::Denied,
        _ => Fault::Io(e),
    })
}

async fn read_line(stream: &mut UnixStream) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut line = Zeroizing::new(Vec::with_capacity(1024));
    loop {
        let before = line.len();
        let read = stream.read_buf(&mut *line).await;
        match read {
            Err(e) if e.kind() != io::ErrorKind::ConnectionReset => return Err(Fault::Io(e)),
            Ok(0) | Err(_) => return Err(Fault::ClosedHalfWay { bytes: line.len() }),
            Ok(_) => {}
        }
        if let Some(at) = line[before..].iter().position(|&b| b == b'\n') {
            line.truncate(before + at);
            return Ok(line);
        }
        if line.len() > ANSWER_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
    }
}

fn closed_or_io(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            Fault::ClosedHalfWay { bytes: 0 }
        }
        _ => Fault::Io(error),
    }
}

fn result_of(line: &[u8], request: &Request) -> Result<Value, Fault> {
    let shown = |bytes: &[u8]| Shown::answer_to(request, bytes);
    let Ok(Value::Object(mut answer)) = serde_json::from_slice(line) else {
        return Err(Fault::Garbage(shown(line)));
    };
    if let Some(Value::Object(error)) = answer.get("error") {
        let fault = fault_of(error, request).ok_or_else(|| Fault::Garbage(shown(line)))?;
        // A request that the server could not read is answered with the id null.
        return Err(match answer.get("id") {
            None | Some(Value::Null) => fault,
            id => wrong_id(id, request).unwrap_or(fault),
        });
    }
    if let Some(fault) = wrong_id(answer.get("id"), request) {
        return Err(fault);
    }
    answer
        .remove("result")
        .ok_or_else(|| Fault::Garbage(shown(line)))
}

fn wrong_id(id: Option<&Value>, request: &Request) -> Option<Fault> {
    if id.and_then(Value::as_u64) == Some(request.id) {
        return None;
    }
    let text = id.map_or("missing".into(), Value::to_string);
    let got = Shown::answer_to(request, text.as_bytes());
    Some(Fault::WrongId {
        asked: request.id,
        got,
    })
}

fn fault_of(error: &Map<String, Value>, request: &Request) -> Option<Fault> {
    let code = error.get("code")?.as_i64()?;
    let message = error.get("message")?.as_str()?;
    if message.contains(NOT_STARTED) {
        return Some(Fault::NotStarted);
    }
    Some(Fault::Rpc {
        code,
        message: Shown::answer_to(request, message.as_bytes()),
    })
}

impl Shown {
    /// For text that cannot hold a secret.
    pub(super) fn plain(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut shown: String = text
            .chars()
            .take(SHOWN_CHARS_MAX)
            .flat_map(printable)
            .collect();
        if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
            shown.push_str(&format!("… ({} bytes)", bytes.len()));
        }
        Self(shown)
    }

    /// For what came back to `request`: nothing of it is shown if it lists numbers as a key does.
    fn answer_to(request: &Request, bytes: &[u8]) -> Self {
        if request.is_secret && lists_numbers(bytes) {
            return Self(format!(
                "{} bytes, withheld because they repeat the request",
                bytes.len()
            ));
        }
        Self::plain(bytes)
    }

    pub(super) fn contains(&self, text: &str) -> bool {
        self.0.contains(text)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

fn printable(c: char) -> impl Iterator<Item = char> {
    let (plain, escaped) = if c.is_control() {
        (None, Some(c.escape_default()))
    } else {
        (Some(c), None)
    };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

/// Whether three numbers follow each other with only blanks and commas between them.
fn lists_numbers(bytes: &[u8]) -> bool {
    let mut commas = 0;
    let mut after_digit = false;
    for &b in bytes {
        match b {
            b'0'..=b'9' => {
                if commas >= 2 {
                    return true;
                }
                after_digit = true;
            }
            b',' if after_digit => {
                commas += 1;
                after_digit = false;
            }
            b' ' | b'\t' | b'\n' | b'\r' => {}
            _ => (commas, after_digit) = (0, false),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validator::admin_rpc::request::Params;

    #[test]
    fn foreign_text_is_cut_and_escaped() {
        let shown = Shown::plain(b"\x1b[2Jhi\nyou\xff").to_string();
        assert_eq!(shown, "\\u{1b}[2Jhi\\nyou\u{fffd}");
        let long = Shown::plain(&[b'x'; 100_000]).to_string();
        assert!(
            long.len() < 400 && long.ends_with("… (100000 bytes)"),
            "{long}"
        );
    }

    #[test]
    fn an_answer_that_repeats_a_key_is_withheld_and_any_other_shown() {
        let keypair = [77; 64];
        let secret = Request::new(
            1,
            "m",
            Params::Keypair {
                keypair: &keypair,
                flags: &[],
            },
        );
        let plain = Request::new(1, "m", Params::None);
        for echo in ["[77,77,77,77]", "bad bytes 77 , 77,\n77", "x,77,77,77"] {
            assert!(
                !Shown::answer_to(&secret, echo.as_bytes()).contains("77"),
                "{echo}"
            );
            assert!(
                Shown::answer_to(&plain, echo.as_bytes()).contains("77"),
                "{echo}"
            );
        }
        for fine in [
            "invalid length 2, expected a tuple of size 3",
            "slots 1, 2 are gone",
            "at 1, byte 2, x 3",
        ] {
            assert_eq!(Shown::answer_to(&secret, fine.as_bytes()).to_string(), fine);
        }
    }
}
