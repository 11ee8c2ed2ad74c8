//! The bytes of one request. They are written once, into memory that is wiped when they are done with.

use std::fmt;
use std::io::Write;

use zeroize::Zeroizing;

/// Room for any request of ours, so that no copy is left behind by a buffer that grows: 64 numbers
/// of up to 4 characters, and the words around them.
const BYTES_MAX: usize = 512;

/// What goes into `params`.
#[derive(Clone, Copy)]
pub(super) enum Params<'a> {
    None,
    /// A secret as an array of 64 numbers, and booleans after it.
    Keypair {
        keypair: &'a [u8; 64],
        flags: &'a [bool],
    },
}

pub(super) struct Request {
    pub(super) id: u64,
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Whether an answer that repeats the request would repeat a key.
    pub(super) is_secret: bool,
}

impl Request {
    /// A bare object without a newline: the server takes objects by their braces.
    pub(super) fn new(id: u64, method: &str, params: Params<'_>) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES_MAX));
        let head = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":["#);
        bytes.extend_from_slice(head.as_bytes());
        let is_secret = matches!(params, Params::Keypair { .. });
        if let Params::Keypair { keypair, flags } = params {
            put_keypair(&mut bytes, keypair);
            for flag in flags {
                bytes.extend_from_slice(if *flag { b",true" } else { b",false" });
            }
        }
        bytes.extend_from_slice(b"]}");
        Self {
            id,
            bytes,
            is_secret,
        }
    }
}

fn put_keypair(bytes: &mut Zeroizing<Vec<u8>>, keypair: &[u8; 64]) {
    bytes.push(b'[');
    for (at, byte) in keypair.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        // Writing to a vector cannot fail.
        let _ = write!(&mut **bytes, "{comma}{byte}");
    }
    bytes.push(b']');
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_json_object_that_never_outgrows_its_buffer() {
        let keypair = [255_u8; 64];
        let params = Params::Keypair {
            keypair: &keypair,
            flags: &[true, false],
        };
        let request = Request::new(u64::MAX, "addAuthorizedVoterFromBytes", params);
        assert_eq!(request.bytes.capacity(), BYTES_MAX);
        let json: serde_json::Value = serde_json::from_slice(&request.bytes).unwrap();
        assert_eq!(json["id"], u64::MAX);
        assert_eq!(
            json["params"],
            serde_json::json!([vec![255_u8; 64], true, false])
        );
        let plain = Request::new(1, "exit", Params::None);
        assert_eq!(
            &plain.bytes[..],
            br#"{"jsonrpc":"2.0","id":1,"method":"exit","params":[]}"#
        );
    }

    #[test]
    fn a_request_prints_nothing_of_its_params() {
        let params = Params::Keypair {
            keypair: &[213; 64],
            flags: &[],
        };
        assert!(!format!("{:?}", Request::new(7, "x", params)).contains("213"));
    }
}
