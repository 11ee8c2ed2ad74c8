//! What can be done to a running etcd from inside: leases taken away, history compacted, the quota filled.

use crate::etcd::Etcd;
use crate::etcd_gateway::{encoded, number};
use serde_json::{Value, json};
use std::io;

/// Where the filling goes. Below no prefix that a test would watch.
const FILLING: &str = "testkit-filling/";
const FILLING_END: &str = "testkit-filling0";
/// Under etcd's limit of 1.5 MiB for a request, as base64.
const PIECE_BYTES: usize = 256 * 1024;

impl Etcd {
    /// The ids of all leases.
    ///
    /// # Errors
    /// No member answers.
    pub fn leases(&self) -> io::Result<Vec<i64>> {
        let answer = self.ask("/v3/lease/leases", &json!({}))?;
        listed(&answer["leases"])
            .iter()
            .map(|lease| number(&lease["ID"]))
            .collect()
    }

    /// Takes a lease away: its keys go with it.
    ///
    /// # Errors
    /// There is none with this id, or no member answers.
    pub fn revoke(&self, lease: i64) -> io::Result<()> {
        let lease = json!({"ID": lease.to_string()});
        self.ask("/v3/lease/revoke", &lease).map(drop)
    }

    /// Forgets all history: a watch from an older revision is cancelled, a read of one refused. Returns the revision kept.
    ///
    /// # Errors
    /// It is compacted already, or no member answers.
    pub fn compact(&self) -> io::Result<i64> {
        let revision = self.ask("/v3/kv/range", &json!({"key": encoded(&[0])}))?;
        let revision: i64 = number(&revision["header"]["revision"])?;
        let compaction = json!({"revision": revision.to_string(), "physical": true});
        self.ask("/v3/kv/compaction", &compaction)?;
        Ok(revision)
    }

    /// Gives freed pages back, on every member; each does nothing else meanwhile.
    ///
    /// # Errors
    /// A member does not answer.
    pub fn defragment(&self) -> io::Result<()> {
        (0..self.members().len()).try_for_each(|member| {
            self.ask_one(member, "/v3/maintenance/defragment", &json!({}))
                .map(drop)
        })
    }

    /// The raised alarms, `NOSPACE` or `CORRUPT`, once for each member that raised one.
    ///
    /// # Errors
    /// No member answers.
    pub fn alarms(&self) -> io::Result<Vec<String>> {
        let raised = self.raised()?;
        let names = raised.iter().map(|alarm| alarm["alarm"].as_str());
        Ok(names.flatten().map(str::to_owned).collect())
    }

    /// Writes until the quota is full, the alarm is raised, and every further write is refused. For servers with a small
    /// [`quota_bytes`](crate::etcd::Options).
    ///
    /// # Errors
    /// No member answers.
    pub fn fill(&self) -> io::Result<()> {
        let piece = vec![0; PIECE_BYTES];
        for number in 0.. {
            match self.put(&format!("{FILLING}{number}"), &piece) {
                Err(error) if error.to_string().contains("database space exceeded") => break,
                other => other?,
            };
        }
        Ok(())
    }

    /// Removes what [`Etcd::fill`] wrote, as an operator would, and lowers the alarm.
    ///
    /// # Errors
    /// A member does not answer.
    pub fn drain(&self) -> io::Result<()> {
        let range = json!({
            "key": encoded(FILLING.as_bytes()),
            "range_end": encoded(FILLING_END.as_bytes()),
        });
        self.ask("/v3/kv/deleterange", &range)?;
        self.compact()?;
        self.defragment()?;
        for mut alarm in self.raised()? {
            alarm["action"] = json!("DEACTIVATE");
            self.ask("/v3/maintenance/alarm", &alarm)?;
        }
        Ok(())
    }

    /// The alarms as etcd tells them: which, and of which member.
    fn raised(&self) -> io::Result<Vec<Value>> {
        let answer = self.ask("/v3/maintenance/alarm", &json!({"action": "GET"}))?;
        Ok(listed(&answer["alarms"]).to_vec())
    }
}

/// An empty list is left out of JSON made of protobuf.
fn listed(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
