//! The admin socket of a validator, as an operator's tool would use it: one connection a request.
//!
//! Written apart from the supervisor's own client, so that the tests of that client do not rest on it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::genesis::Protocol;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends one request and gives its `result`, or the error of the validator or the socket as text.
pub(crate) fn call(ledger: &Path, method: &str, params: Value) -> Result<Value, String> {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let answer = exchange(&ledger.join("admin.rpc"), &request)
        .map_err(|e| format!("{method}: {}: {e}", ledger.display()))?;
    let mut answer: Value =
        serde_json::from_str(&answer).map_err(|e| format!("{method}: {e}: {answer}"))?;
    match answer.get("error") {
        Some(error) => Err(format!("{method}: {error}")),
        None => Ok(answer["result"].take()),
    }
}

fn exchange(socket: &Path, request: &Value) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    writeln!(stream, "{request}")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer)
}

/// Whether all of its services are up.
pub(crate) fn has_started(ledger: &Path) -> bool {
    call(ledger, "startProgress", json!([])).is_ok_and(|progress| progress == "Running")
}

/// Takes all authorized voters away: from the answer on the validator builds no vote.
pub(crate) fn mute(ledger: &Path) -> Result<(), String> {
    call(ledger, "removeAllAuthorizedVoters", json!([])).map(drop)
}

/// Gives the validator an authorized voter.
pub(crate) fn unmute(ledger: &Path, voter: &Path) -> Result<(), String> {
    call(ledger, "addAuthorizedVoter", json!([voter])).map(drop)
}

/// Changes the identity. With `require_record` the record file of that identity must exist and be valid.
pub(crate) fn set_identity(
    ledger: &Path,
    keypair: &Path,
    protocol: Protocol,
    require_record: bool,
) -> Result<(), String> {
    // An Alpenglow validator that is asked for a tower looks for a tower file, and there is none.
    let require_tower = require_record && protocol == Protocol::TowerBft;
    let require_history = require_record && protocol == Protocol::Alpenglow;
    call(
        ledger,
        "setIdentity",
        json!([keypair, require_tower, require_history]),
    )
    .map(drop)
}
