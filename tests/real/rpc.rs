//! The JSON-RPC of one node, as little of it as the tests read.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};
use solana_client::rpc_client::RpcClient;
use solana_client::rpc_request::RpcRequest;

const TIMEOUT: Duration = Duration::from_secs(5);

/// A blocking client for the RPC port of one node.
pub(crate) struct Rpc(RpcClient);

impl Rpc {
    pub(crate) fn new(address: Ipv4Addr, port: u16) -> Self {
        Self(RpcClient::new_with_timeout(
            format!("http://{address}:{port}"),
            TIMEOUT,
        ))
    }

    /// Calls any method; every failure, the node being away among them, is an error as text.
    pub(crate) fn call(&self, method: &'static str, params: Value) -> Result<Value, String> {
        self.0
            .send(RpcRequest::Custom { method }, params)
            .map_err(|e| format!("{method}: {e}"))
    }

    /// The newest slot that the node has replayed.
    pub(crate) fn processed_slot(&self) -> Result<u64, String> {
        let slot = self.call("getSlot", json!([{"commitment": "processed"}]))?;
        slot.as_u64()
            .ok_or_else(|| format!("getSlot: not a slot: {slot}"))
    }
}
