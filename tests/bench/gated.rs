//! A child that stores votes behind the gate, and the gate with the keeper under test.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use validator_supervisor::engine::GateFacts;
use validator_supervisor::engine::values::Term;
use validator_supervisor::validator::gate::{Gate, GateEvent, Keeper, Meter, Reports};
use validator_supervisor::validator::pubkey::Pubkey;

use crate::AnyError;
use crate::helper::Helper;
use crate::votes::CHILD;

const HOLD_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Gated {
    helper: Helper,
    gate: Gate,
    told: mpsc::UnboundedReceiver<GateEvent>,
    reports: Reports,
    _facts: watch::Receiver<GateFacts>,
}

impl Gated {
    /// Starts both in `dir`, which has to be empty; votes pass under `term`.
    pub(crate) fn start(
        dir: &Path,
        identity: [u8; 32],
        term: Term,
        keeper: Box<dyn Keeper>,
    ) -> Result<Self, AnyError> {
        let (socket, ledger) = (dir.join("socket"), dir.join("ledger"));
        std::fs::create_dir_all(&ledger)?;
        let words = [CHILD.into(), socket.clone().into(), ledger.into()];
        let (helper, listener) = Helper::gated(&socket, &words)?;
        let (facts, _facts) = watch::channel(GateFacts::default());
        let (events, told) = mpsc::unbounded_channel();
        let reports = Reports {
            facts,
            events,
            meter: Arc::new(Meter::default()),
        };
        let identity = Pubkey::new(identity);
        let gate = Gate::start(listener, identity, HOLD_MAX, keeper, reports.clone())?;
        gate.open(term, None);
        Ok(Self {
            helper,
            gate,
            told,
            reports,
            _facts,
        })
    }

    /// One vote: what its rename took.
    pub(crate) fn vote(&mut self) -> Result<Duration, AnyError> {
        let [ns] = self.helper.ask()?;
        Ok(Duration::from_nanos(ns))
    }

    /// Ends the gate. Answers the median time between a vote's arrival there and its answer.
    ///
    /// # Errors
    /// A vote was refused.
    pub(crate) fn end(mut self) -> Result<Duration, AnyError> {
        self.gate.end();
        while let Ok(event) = self.told.try_recv() {
            if let GateEvent::Refused { why, .. } = event {
                return Err(format!("a vote was refused: {why}").into());
            }
        }
        let p50_us = self.reports.meter.read().p50_us;
        Ok(Duration::from_micros(p50_us.unwrap_or(0)))
    }
}
