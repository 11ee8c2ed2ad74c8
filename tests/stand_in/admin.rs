//! The admin socket, `<ledger>/admin.rpc`: JSON objects in, one line out for each.

use crate::calls;
use crate::node::Node;
use serde_json::{Deserializer, Value};
use std::io::{self, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;
use testkit::http::envelope;
use testkit::stand_in::until;

/// What every thread that serves a connection is called.
const THREAD: &str = "solAdminRpcEl";
const HOLD_MS: u64 = 60_000;

pub(crate) fn start(node: &Arc<Node>) -> io::Result<()> {
    let path = node.flags.ledger.join("admin.rpc");
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    let listener = UnixListener::bind(path)?;
    let node = Arc::clone(node);
    thread::Builder::new()
        .name("solAdminRpc".into())
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                let node = Arc::clone(&node);
                let serving = thread::Builder::new().name(THREAD.into());
                if let Err(error) = serving.spawn(move || serve(&node, stream)) {
                    eprintln!("admin rpc: {error}");
                }
            }
        })?;
    Ok(())
}

/// Until the client is done; a connection that breaks is the client's business.
fn serve(node: &Arc<Node>, stream: UnixStream) {
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    for call in Deserializer::from_reader(stream).into_iter::<Value>() {
        let Ok(call) = call else { return };
        if answer(node, &call, &mut writer).is_err() {
            return;
        }
    }
}

fn answer(node: &Arc<Node>, call: &Value, writer: &mut UnixStream) -> io::Result<()> {
    let faults = node.faults();
    let method = call["method"].as_str().unwrap_or_default();
    if faults.text("admin") == Some("hang") || faults.text("admin_hang") == Some(method) {
        loop {
            thread::park();
        }
    }
    await_release(node, method);
    if faults.text("admin") == Some("nonsense") {
        return writer.write_all(b"<html>502 Bad Gateway</html>\n");
    }
    let response = envelope(&call["id"], calls::answer(node, method, &call["params"])).to_string();
    if faults.text("admin") == Some("close") {
        writer.write_all(&response.as_bytes()[..response.len() / 2])?;
        return Err(io::Error::other("closed half-way, as asked"));
    }
    writer.write_all(format!("{response}\n").as_bytes())
}

/// Says that a call has come, where it is to be held, and holds it.
fn await_release(node: &Node, method: &str) {
    let is_held = || node.faults().text("admin_hold") == Some(method);
    if is_held() {
        node.log.line("INFO", &format!("holding {method}"));
        while !until(HOLD_MS, || !is_held()) {}
    }
}
