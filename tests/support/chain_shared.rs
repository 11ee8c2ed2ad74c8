//! What the threads of a chain share, and what each of them does with it.

use crate::chain_link::{self, Link, line_of};
use crate::chain_state::ChainState;
use crate::http::Failure;
use crate::rpc::{self, Health};
use crate::wire::{FromChain, Peer, SentVote};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) chain: ChainState,
    pub(crate) links: BTreeMap<u64, Link>,
    pings: u64,
    pub(crate) rpc_health: Health,
    pub(crate) rpc_fails: bool,
    pub(crate) ending: bool,
}

/// What the threads of a chain share.
#[derive(Debug)]
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    pub(crate) news: Condvar,
}

impl Shared {
    pub(crate) fn new(chain: ChainState) -> Self {
        let inner = Inner {
            chain,
            links: BTreeMap::new(),
            pings: 0,
            rpc_health: Health::Ok,
            rpc_fails: false,
            ending: false,
        };
        Self {
            inner: Mutex::new(inner),
            news: Condvar::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait(&self, within_ms: u64, mut done: impl FnMut(&Inner) -> bool) -> bool {
        let within = Duration::from_millis(within_ms);
        let waited = self
            .news
            .wait_timeout_while(self.lock(), within, |inner| !done(inner));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Changes the state and tells everyone.
    pub(crate) fn change(&self, change: impl FnOnce(&mut ChainState)) {
        let mut inner = self.lock();
        change(&mut inner.chain);
        inner.broadcast();
        self.news.notify_all();
    }

    /// Slots at even distances, however long the work in between takes.
    pub(crate) fn tick(&self, slot: Duration) {
        let mut due = Instant::now() + slot;
        loop {
            let inner = self.lock();
            let left = due.saturating_duration_since(Instant::now());
            let waited = self
                .news
                .wait_timeout_while(inner, left, |inner| !inner.ending);
            let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
            if inner.ending {
                inner.links.clear();
                return;
            }
            due += slot;
            if !inner.chain.halted {
                inner.chain.next_slot();
                inner.broadcast();
                self.news.notify_all();
            }
        }
    }

    pub(crate) fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for (stream, number) in listener.incoming().zip(1..) {
            if self.lock().ending {
                return;
            }
            // A connection that fails at once is one that never was.
            if let Ok(stream) = stream {
                let _ = chain_link::serve(self, number, stream);
            }
        }
    }

    pub(crate) fn answer(&self, method: &str, params: &Value) -> Result<Value, Failure> {
        let inner = self.lock();
        if inner.rpc_fails {
            return Err(Failure::new(-32603, "Internal error"));
        }
        let cluster = &inner.chain.cluster;
        let view = rpc::View {
            cluster,
            identity: &cluster.other_leader,
            version: "4.2.2",
            health: inner.rpc_health,
            slots_behind: 0,
            finalized_behind: rpc::FINALIZED_SLOTS,
        };
        rpc::answer(&view, method, params)
    }

    pub(crate) fn ping(&self) -> u64 {
        let mut inner = self.lock();
        inner.pings += 1;
        let nonce = inner.pings;
        let line = line_of(&FromChain::Ping { nonce });
        inner.links.values().for_each(|link| link.send(&line));
        nonce
    }

    pub(crate) fn connect(&self, number: u64, link: Link) {
        let mut inner = self.lock();
        let state = FromChain::State(Box::new(inner.chain.cluster.clone()));
        link.send(&line_of(&state));
        inner.links.insert(number, link);
    }

    pub(crate) fn disconnect(&self, number: u64) {
        self.lock().links.remove(&number);
        self.change(|chain| chain.hide(number));
    }

    pub(crate) fn greet(&self, number: u64, peer: Peer) {
        self.change(|chain| chain.show(number, peer));
    }

    pub(crate) fn pong(&self, number: u64, nonce: u64) {
        if let Some(link) = self.lock().links.get_mut(&number) {
            link.answered = nonce;
        }
        self.news.notify_all();
    }

    pub(crate) fn take_vote(&self, vote: SentVote) {
        self.lock().chain.take_vote(vote);
        self.news.notify_all();
    }
}

impl Inner {
    fn broadcast(&self) {
        let state = FromChain::State(Box::new(self.chain.cluster.clone()));
        let line = line_of(&state);
        for (number, link) in &self.links {
            if !self.chain.is_cut_off(*number) {
                link.send(&line);
            }
        }
    }
}
