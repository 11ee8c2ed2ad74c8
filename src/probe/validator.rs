//! Asks the validator's own JSON-RPC how it is.
//!
//! How far behind it is comes from the best witnesses there are: other people's RPC nodes and the newest shred that has
//! reached the validator itself, else the validator's own verdict on its health. It does not wait for the cluster's RPCs:
//! their last round counts while it is fresh.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use solana_client::client_error::ClientErrorKind;
use solana_client::rpc_config::{RpcGetVoteAccountsConfig, RpcLeaderScheduleConfig};
use solana_client::rpc_request::{RpcError, RpcResponseErrorData};
use solana_commitment_config::CommitmentConfig;

use super::{Client, Own, Shared, Silence, Subject, tip};

/// A round of the cluster's RPCs counts for this long: the longest one, and the pause behind it, twice.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// What one round of questions has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub healthy: bool,
    /// Newest slot replayed.
    pub slot: u64,
    /// Slots behind the best known tip.
    pub behind: Option<u64>,
    /// Newest slot that the vote account shows a vote for.
    pub chain_vote: Option<u64>,
}

/// What changes rarely.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    pub version: Option<String>,
    /// `None`: not known.
    pub schedule: Option<Schedule>,
}

/// What the identity leads, as far as the leader schedule is known: this epoch and, in its course, the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// From the slot of the question on, in order.
    pub slots: Vec<u64>,
    /// The first slot of which nothing is known.
    pub until: u64,
}

impl Profile {
    /// The first slot that the identity leads from `slot` on; `None`: none is known.
    #[must_use]
    pub fn next_leader_slot(&self, slot: u64) -> Option<u64> {
        let slots = &self.schedule.as_ref()?.slots;
        let at = slots.partition_point(|leads| *leads < slot);
        slots.get(at).copied()
    }

    /// Whether it is known what the identity leads in the `ahead` slots from `slot` on.
    #[must_use]
    pub fn knows_ahead(&self, slot: u64, ahead: u64) -> bool {
        let known = self.schedule.as_ref().map(|schedule| schedule.until);
        known.is_some_and(|until| slot.saturating_add(ahead) <= until)
    }
}

/// A client of the validator's RPC.
pub struct Prober {
    own: Client,
    shared: Rc<Shared>,
    vote_account: Option<String>,
    identity: String,
    /// The newest shred of the last round.
    shred: Cell<Option<u64>>,
}

impl std::fmt::Debug for Prober {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prober")
            .field("own", &self.own.url)
            .finish_non_exhaustive()
    }
}

impl Prober {
    pub(super) fn new(subject: &Subject, shared: Rc<Shared>) -> Self {
        Self {
            own: Client::new(&subject.own, subject.within),
            shared,
            vote_account: subject.vote_account.clone(),
            identity: subject.identity.clone(),
            shred: Cell::new(None),
        }
    }

    /// One round, all questions at once.
    ///
    /// # Errors
    /// The validator does not say where and how it is.
    pub async fn ask(&self) -> Result<Facts, Silence> {
        let (slot, health, shred, chain_vote, ()) = tokio::join!(
            self.own.ask(self.own.rpc.get_slot()),
            self.health(),
            self.own.ask(self.own.rpc.get_max_shred_insert_slot()),
            self.chain_vote(),
            self.learn_genesis(),
        );
        let (slot, health) = (slot?, health?);
        let healthy = health == Health::Good;
        self.shared.own.set(Some(Own {
            slot,
            healthy,
            at: Instant::now(),
        }));
        let tip = self.tip(healthy.then_some(slot), shred.ok());
        Ok(Facts {
            healthy,
            slot,
            behind: match tip {
                Some(tip) => Some(tip.saturating_sub(slot)),
                None => health.behind(),
            },
            chain_vote,
        })
    }

    /// What is worth asking once a minute.
    pub async fn profile(&self, slot: u64) -> Profile {
        let (version, schedule) = tokio::join!(
            self.own.ask(self.own.rpc.get_version()),
            self.schedule(slot),
        );
        Profile {
            version: version.ok().map(|version| version.solana_core),
            schedule,
        }
    }

    async fn health(&self) -> Result<Health, Silence> {
        let asked = tokio::time::timeout(self.own.within, self.own.rpc.get_health());
        let error = match asked.await {
            Ok(Ok(())) => return Ok(Health::Good),
            Ok(Err(error)) => error,
            Err(_) => return Err(self.own.silence(&self.own.too_late())),
        };
        match error.kind() {
            ClientErrorKind::RpcError(RpcError::RpcResponseError { data, .. }) => Ok(match data {
                RpcResponseErrorData::NodeUnhealthy {
                    num_slots_behind: Some(slots),
                } => Health::Behind(*slots),
                _ => Health::Bad,
            }),
            _ => Err(self.own.silence(&super::with_causes(&error))),
        }
    }

    /// Where most witnesses see the tip. Shreds that do not come in show no tip, unless there is nothing else.
    fn tip(&self, healthy_at: Option<u64>, shred: Option<u64>) -> Option<u64> {
        let before = self.shred.replace(shred.or(self.shred.get()));
        let told = self.shared.told.borrow();
        let fresh = told.as_ref().filter(|(_, at)| at.elapsed() <= TOLD_WITHIN);
        let mut witnesses =
            fresh.map_or_else(Vec::new, |(told, _)| tip::plausible(told, healthy_at));
        witnesses.extend(shred.filter(|_| shred > before));
        tip::agreed(&witnesses).or(shred)
    }

    /// By it the cluster's RPCs are known. It never changes, so it is asked for until it is told.
    async fn learn_genesis(&self) {
        if self.shared.genesis.borrow().is_some() {
            return;
        }
        if let Ok(hash) = self.own.ask(self.own.rpc.get_genesis_hash()).await {
            *self.shared.genesis.borrow_mut() = Some(hash.to_string());
        }
    }

    async fn chain_vote(&self) -> Option<u64> {
        let config = RpcGetVoteAccountsConfig {
            vote_pubkey: Some(self.vote_account.clone()?),
            commitment: Some(CommitmentConfig::processed()),
            keep_unstaked_delinquents: Some(true),
            delinquent_slot_distance: None,
        };
        let asked = self.own.rpc.get_vote_accounts_with_config(config);
        let accounts = self.own.ask(asked).await.ok()?;
        let mut accounts = accounts.current.into_iter().chain(accounts.delinquent);
        Some(accounts.next()?.last_vote)
    }

    async fn schedule(&self, slot: u64) -> Option<Schedule> {
        let epoch = self.own.ask(self.own.rpc.get_epoch_info()).await.ok()?;
        let first = epoch.absolute_slot.checked_sub(epoch.slot_index)?;
        let next = first.checked_add(epoch.slots_in_epoch)?;
        let (this_one, next_one) = tokio::join!(self.slots_of(first), self.slots_of(next));
        let mut slots = this_one?;
        let mut until = next;
        // Not known before the epoch has begun for good.
        if let Some(more) = next_one {
            slots.extend(more);
            until = until.saturating_add(epoch.slots_in_epoch);
        }
        slots.retain(|leads| *leads >= slot);
        slots.sort_unstable();
        Some(Schedule { slots, until })
    }

    /// What the identity leads in the epoch that begins with `first`.
    async fn slots_of(&self, first: u64) -> Option<Vec<u64>> {
        let config = RpcLeaderScheduleConfig {
            identity: Some(self.identity.clone()),
            commitment: None,
        };
        let asked = self
            .own
            .rpc
            .get_leader_schedule_with_config(Some(first), config);
        let schedule = self.own.ask(asked).await.ok()??;
        // One that leads nothing is not in it.
        let indices = schedule.get(&self.identity).into_iter().flatten();
        Some(
            indices
                .map(|index| first.saturating_add(*index as u64))
                .collect(),
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Good,
    Behind(u64),
    Bad,
}

impl Health {
    /// A validator that calls itself healthy is within its own limit of the tip; that is all it says.
    fn behind(self) -> Option<u64> {
        match self {
            Self::Good => Some(0),
            Self::Behind(slots) => Some(slots),
            Self::Bad => None,
        }
    }
}
