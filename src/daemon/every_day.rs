//! What was looked at before the start, and comes to an end while the supervisor runs on: once a day it is looked at again.
//!
//! A link or a connection to etcd lives on with a certificate that has ended, and the next one cannot be made: that is to be known
//! before.

use super::preflight::{Findings, Level, Occasion, authority};
use super::{Daemon, Timestamp};

const DAY_MS: u64 = 86_400_000;

/// Days since 1970, by the wall clock: what ends is dated by it.
pub(super) fn today() -> u64 {
    Timestamp::now().unix_ms() / DAY_MS
}

impl Daemon {
    /// Never waits: files may be on a disk that hangs.
    pub(super) fn look_every_day(&mut self) {
        let today = today();
        if std::mem::replace(&mut self.looked_at_day, today) == today {
            return;
        }
        let config = self.config.clone();
        self.disk.run(move || {
            let mut findings = Findings::default();
            authority::look(&mut findings, &config, Occasion::Run);
            for finding in findings
                .0
                .iter()
                .filter(|finding| finding.level > Level::Good)
            {
                tracing::error!(EVENT = "page", "{}", finding.text);
            }
        });
    }
}
