//! How far the validator has finalized what it replays.

use std::time::{Duration, Instant};

use solana_commitment_config::CommitmentConfig;

use super::Client;

const ASK_EVERY: Duration = Duration::from_millis(20);
/// Of one question.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// A client of the validator's RPC, made before it is needed.
pub struct Roots(Client);

/// Whether a root was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    Yes,
    /// It was not, and the root has moved meanwhile: to this one.
    OnItsWay(u64),
    /// It was not, and the root has stood still, or was not told.
    No,
}

impl std::fmt::Debug for Roots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roots").field("own", &self.0.url).finish()
    }
}

impl Roots {
    /// Of the validator whose RPC has this URL.
    #[must_use]
    pub fn of(url: &str) -> Self {
        Self(Client::new(url, ANSWER_WITHIN))
    }

    /// Waits until the validator's root is at `root` or above, for `within` at most.
    pub async fn reach(&self, root: u64, within: Duration) -> Reached {
        let until = Instant::now() + within;
        let (mut first, mut highest) = (None, None);
        loop {
            let answer = self.ask().await;
            first = first.or(answer);
            highest = highest.max(answer);
            if highest >= Some(root) {
                return Reached::Yes;
            }
            if Instant::now() >= until {
                return match highest.filter(|_| highest > first) {
                    Some(highest) => Reached::OnItsWay(highest),
                    None => Reached::No,
                };
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn ask(&self) -> Option<u64> {
        let finalized = CommitmentConfig::finalized();
        let asked = self.0.rpc.get_slot_with_commitment(finalized);
        self.0.ask(asked).await.ok()
    }
}
