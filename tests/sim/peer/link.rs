//! Cables, and the connections over them: messages on one keep their order, and are lost with it.

use super::World;
use super::message::{Message, Place};
use crate::event::Event;
use validator_supervisor::engine::{Input, Observation};

/// A sign of life comes several times within it.
const LOST_AFTER_MS: u64 = 600;
/// Between two calls to a node that does not answer.
const CALL_EVERY_MS: u64 = 100;

/// What is between two nodes.
#[derive(Debug, Default)]
pub(crate) struct Cable {
    /// Nothing gets through until then. What was sent arrives afterwards, unless the connection was torn or given up.
    pub(super) cut: u64,
    /// Everything takes long until then.
    pub(super) slow: u64,
    /// Connections up to this one have lost what was under way on them.
    torn: u64,
    /// The newest connection.
    conn: u64,
    /// When the last message on it arrives in each direction.
    arrives: [u64; 2],
    /// What happens as soon as the next connection is made.
    pub(super) trap: bool,
}

fn key(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}

impl World {
    pub(super) fn cable(&mut self, one: usize, other: usize) -> &mut Cable {
        self.peers.cables.entry(key(one, other)).or_default()
    }

    /// The connections over which a node hears others.
    pub(super) fn linked(&self, node: usize) -> Vec<(usize, u64)> {
        let others = self.peer(node).map(|peer| peer.others.iter());
        others
            .into_iter()
            .flatten()
            .filter_map(|(other, known)| Some((*other, known.link?)))
            .collect()
    }

    pub(super) fn send_on(&mut self, from: usize, to: usize, conn: u64, message: Message) {
        let now = self.now;
        let cable = self.cable(from, to);
        let (slow, cut) = (cable.slow > now, cable.cut > now);
        // A call that nothing answers is none; the caller tries again.
        let lost = cable.torn >= conn || (cut && matches!(message, Message::Hello { .. }));
        if lost {
            return;
        }
        let disk_is_slow = self.nodes[to].trouble.disk_slow > now;
        let mut takes = match slow {
            true => self.rng.within(20, 900),
            false => self.rng.within(1, 12),
        };
        if disk_is_slow && message.is_written() {
            takes += self.rng.within(20, 400);
        }
        let cable = self.cable(from, to);
        let mut at = now.max(cable.cut) + takes;
        if conn == cable.conn {
            let last = &mut cable.arrives[usize::from(from > to)];
            at = at.max(*last);
            *last = at;
        }
        let after = at - now;
        self.after(
            after,
            Event::Message {
                to,
                from,
                conn,
                message,
            },
        );
    }

    /// Cuts a cable. `torn`: what is under way is lost.
    pub(crate) fn cut(&mut self, one: usize, other: usize, ms: u64, torn: bool) {
        let now = self.now;
        let cable = self.cable(one, other);
        cable.cut = cable.cut.max(now + ms);
        if torn {
            cable.torn = cable.conn;
        }
    }

    pub(crate) fn message_arrives(&mut self, to: usize, from: usize, conn: u64, message: Message) {
        let now = self.now;
        let cable = self.cable(to, from);
        if cable.torn >= conn {
            return;
        }
        if cable.cut > now {
            let after = cable.cut - now;
            return self.after(
                after,
                Event::Message {
                    to,
                    from,
                    conn,
                    message,
                },
            );
        }
        if self.nodes[to].trouble.off > now {
            return;
        }
        let Some(other) = self.other_mut(to, from) else {
            // The machine answers for a process that is not there.
            if !matches!(message, Message::Closed) {
                self.send_on(to, from, conn, Message::Closed);
            }
            return;
        };
        if other.link == Some(conn) {
            other.alive_at = now;
            if matches!(message, Message::Closed) {
                self.link_down(to, from, "it has closed the connection");
            } else if self.hear(to, from, conn, message).is_err() {
                self.close(to, from, "the disk fails");
            }
            self.tell_holder(to);
            return self.peer_changed(to);
        }
        let called = other.greeting.is_some_and(|(greeting, _)| greeting == conn);
        match message {
            Message::Closed if called => other.greeting = None,
            Message::Closed => {}
            Message::Hello { record } if called => self.link_up(to, from, conn, record),
            Message::Hello { record } if from < to && conn > other.newest => {
                let own = self.newest(to);
                self.send_on(to, from, conn, Message::Hello { record: own });
                self.link_up(to, from, conn, record);
            }
            _ => self.send_on(to, from, conn, Message::Closed),
        }
    }

    /// From here on that node is there. It gets the newest record, then the word of this node, then every vote.
    fn link_up(&mut self, node: usize, from: usize, conn: u64, record: Option<Place>) {
        let (now, due, name) = (self.now, self.newest(node), self.name(from));
        self.bring_up_to_date(node, from, conn, record);
        if let Some(mut word) = self.word(node) {
            word.asks = true;
            self.send_on(node, from, conn, Message::State(word));
        }
        let Some(peer) = self.peer_mut(node) else {
            return;
        };
        let Some(other) = peer.others.get_mut(&from) else {
            return;
        };
        let before = other.link.replace(conn);
        other.greeting = None;
        other.newest = conn;
        other.alive_at = now;
        other.record = record;
        other.due = due;
        other.in_step = due <= record;
        other.claim = None;
        other.is_dead = false;
        peer.pact.met(&name);
        if let Some(before) = before {
            self.send_on(node, from, before, Message::Closed);
        }
        self.note(|| format!("    n{node} hears n{from}"));
        self.spring_trap(node, from);
        self.peer_changed(node);
    }

    pub(super) fn link_down(&mut self, node: usize, from: usize, why: &str) {
        let (name, life) = (self.name(from), self.nodes[node].life());
        self.believe_lost(node, from);
        let Some(peer) = self.peer_mut(node) else {
            return;
        };
        let Some(other) = peer.others.get_mut(&from) else {
            return;
        };
        other.link = None;
        other.in_step = false;
        other.claim = None;
        other.member = None;
        peer.pact.lost(&name, why);
        self.note(|| format!("    n{node} does not hear n{from}: {why}"));
        if let Some(life) = life {
            let input = Input::Observed(Observation::PeerGone(name));
            self.after(0, Event::Tell { node, life, input });
        }
        self.tell_holder(node);
    }

    /// Ends a connection for both sides.
    pub(super) fn close(&mut self, node: usize, other: usize, why: &str) {
        let link = self.other_mut(node, other).and_then(|other| other.link);
        if let Some(conn) = link {
            self.send_on(node, other, conn, Message::Closed);
            self.link_down(node, other, why);
        }
    }

    /// Lets go of nodes that say nothing, and calls those that are away. Of two nodes the one that comes first calls.
    pub(super) fn keep_links(&mut self, node: usize) {
        let now = self.now;
        for other in 0..self.nodes.len() {
            let Some(known) = self.other_mut(node, other) else {
                continue;
            };
            if known.link.is_some() && known.alive_at + LOST_AFTER_MS < now {
                self.close(node, other, "nothing was heard");
                continue;
            }
            if known
                .greeting
                .is_some_and(|(_, since)| since + LOST_AFTER_MS < now)
            {
                known.greeting = None;
            }
            let calls = other > node && known.call_at <= now;
            if calls && known.link.is_none() && known.greeting.is_none() {
                known.call_at = now + CALL_EVERY_MS;
                self.call(node, other);
            }
        }
    }

    fn call(&mut self, node: usize, other: usize) {
        self.next_id += 1;
        let (conn, now, record) = (self.next_id, self.now, self.newest(node));
        let cable = self.cable(node, other);
        (cable.conn, cable.arrives) = (conn, [0, 0]);
        if let Some(known) = self.other_mut(node, other) {
            known.greeting = Some((conn, now));
        }
        self.send_on(node, other, conn, Message::Hello { record });
    }

    /// A process has ended: its machine closes its connections, if it runs.
    pub(crate) fn leave_peers(&mut self, node: usize) {
        if self.nodes[node].trouble.off > self.now {
            return;
        }
        for (other, conn) in self.linked(node) {
            self.send_on(node, other, conn, Message::Closed);
        }
    }

    fn spring_trap(&mut self, one: usize, other: usize) {
        let holds = |world: &Self, node: usize| {
            let peer = world.peer(node);
            peer.is_some_and(|peer| peer.pact.holds())
        };
        let Some(holder) = [one, other].into_iter().find(|node| holds(self, *node)) else {
            return;
        };
        if !std::mem::take(&mut self.cable(one, other).trap) {
            return;
        }
        if let Some(pid) = self.nodes[holder].child.as_ref().map(|child| child.pid) {
            let after = self.rng.within(0, 40);
            self.after(
                after,
                Event::Die {
                    node: holder,
                    pid,
                    by_signal: false,
                },
            );
        }
        let after = self.rng.within(10, 250);
        self.after(after, Event::Fault(super::fault::cut_again(one, other)));
    }
}

impl Message {
    /// The receiver writes before it answers.
    fn is_written(&self) -> bool {
        matches!(
            self,
            Self::Record(_) | Self::Commit(_) | Self::Ask { .. } | Self::State(_)
        )
    }
}
