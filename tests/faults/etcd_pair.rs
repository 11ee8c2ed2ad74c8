//! Two nodes, an etcd, and the way from each to it, which can be held and cut.

use crate::hold::{Ground, Step, Way};
use crate::lab::{Lab, Shape, TTL_MS, configure};
use crate::scene::Scene;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use testkit::relay::{Direction, Message, Relay};
use testkit::stand_in::Protocol;

/// See the module. The nodes end before their ways do.
#[derive(Debug)]
pub(crate) struct EtcdPair {
    lab: Lab,
    /// Of `a` and `b`.
    ways: [Arc<Relay>; 2],
}

impl Deref for EtcdPair {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.lab
    }
}

impl DerefMut for EtcdPair {
    fn deref_mut(&mut self) -> &mut Scene {
        &mut self.lab
    }
}

impl EtcdPair {
    /// Nothing runs yet but etcd. `more` of every node's configuration.
    pub(crate) fn new(protocol: Protocol, more: &str) -> Self {
        let lab = Lab::new(Shape {
            protocol,
            ..Shape::default()
        });
        let etcd = lab.etcd.endpoint().replace("http://", "");
        let ways = [0, 1].map(|node| {
            let relay = Relay::to(etcd.parse().expect("an address")).expect("a relay");
            let endpoint = format!("http://{}", relay.address());
            configure(&lab.nodes()[node], &[endpoint], TTL_MS, more);
            Arc::new(relay)
        });
        Self { lab, ways }
    }

    /// `a` votes, `b` stands by.
    #[track_caller]
    pub(crate) fn begin(&mut self) {
        self.lab.start_voting();
        self.await_ready();
    }

    /// The last word.
    #[track_caller]
    pub(crate) fn end(self) {
        self.lab.end();
    }

    fn way_of(&self, node: &str) -> &Arc<Relay> {
        &self.ways[usize::from(node == "b")]
    }
}

impl Ground for EtcdPair {
    /// By the message that it is about to send or to hear.
    fn way(&self, step: Step, node: &str) -> Way {
        // In the holder's key, once the term is passed on by this node.
        let passed_by = |node: &str| format!("\"from\":\"{node}\"");
        let other = if node == "a" { "b" } else { "a" };
        let (direction, text, let_through) = match step {
            Step::LastVote => (Direction::ToServer, self.lab.key("record"), false),
            Step::Pass => (Direction::ToServer, passed_by(node), false),
            Step::Passed => (Direction::ToServer, passed_by(node), true),
            Step::Heard => (Direction::ToClient, passed_by(other), false),
            other => panic!("{other:?} is no step over etcd"),
        };
        let message = Message {
            direction,
            text,
            let_through,
        };
        Way::Message(Arc::clone(self.way_of(node)), message)
    }

    fn cut(&self, node: &str, is_cut: bool) {
        self.way_of(node).cut(is_cut);
    }
}
