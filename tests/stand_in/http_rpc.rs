//! The node's own JSON-RPC, on `--rpc-port`.

use crate::node::Node;
use std::io;
use std::sync::Arc;
use testkit::http::{Failure, Server};
use testkit::keys;
use testkit::rpc::{self, FINALIZED_SLOTS, Health, View};

/// Starts to answer, from the first second on: before start-up is complete a node is not healthy.
/// None without `--rpc-port`. Answers as long as the value lives.
pub(crate) fn start(node: &Arc<Node>) -> io::Result<Option<Server>> {
    let Some(address) = node.flags.rpc else {
        return Ok(None);
    };
    let node = Arc::clone(node);
    Server::start(
        address,
        Arc::new(move |method, params| {
            let faults = node.faults();
            let shared = node.shared();
            let unknown = Failure::new(-32005, "Node is unhealthy");
            let cluster = shared.cluster.as_ref().ok_or(unknown)?;
            let view = View {
                cluster,
                identity: &keys::address(&shared.identity),
                version: node.version(),
                health: if shared.running {
                    faults.health()
                } else {
                    Health::Unknown
                },
                slots_behind: faults.number("slots_behind").unwrap_or(0),
                finalized_behind: match faults.number("root_behind") {
                    Some(slots) => slots,
                    None if node.flags.alpenglow => 2,
                    None => FINALIZED_SLOTS,
                },
            };
            rpc::answer(&view, method, params)
        }),
    )
    .map(Some)
}
