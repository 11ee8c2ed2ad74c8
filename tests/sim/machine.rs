//! What happens to whole machines and to supervisors.

use crate::authority::Authority;
use crate::event::Event;
use crate::world::{WATCHDOG_MS, World};

impl World {
    pub(crate) fn crash(&mut self, node: usize, orphan: bool) {
        if let Some(life) = self.nodes[node].life() {
            self.after(0, Event::SupDies { node, life, orphan });
        }
    }

    /// Power lost: both processes are gone at once, and what was not synced may be, too.
    pub(crate) fn machine_crashes(&mut self, node: usize, record_lost: bool) {
        if self.authority == Authority::Peers {
            self.nodes[node].trouble.off = self.now + 300;
        }
        self.crash(node, false);
        self.nodes[node].child = None;
        if record_lost {
            let before = self.nodes[node].ledger_before.take();
            self.nodes[node].ledger = before;
        }
    }

    pub(crate) fn suspend(&mut self, node: usize, ms: u64) {
        let until = self.now + ms;
        let trouble = &mut self.nodes[node].trouble;
        trouble.suspended = trouble.suspended.max(until);
        trouble.resumed_at = trouble.suspended;
    }

    /// The event loop and the gate stop; the unit's watchdog ends both processes when that lasts.
    pub(crate) fn hang(&mut self, node: usize, ms: u64) {
        let now = self.now;
        let trouble = &mut self.nodes[node].trouble;
        if trouble.hung <= now {
            trouble.unguarded_since = Some(now);
        }
        trouble.hung = trouble.hung.max(now + ms);
        if ms > WATCHDOG_MS
            && let Some(life) = self.nodes[node].life()
        {
            self.after(
                WATCHDOG_MS,
                Event::SupDies {
                    node,
                    life,
                    orphan: false,
                },
            );
        }
    }
}
