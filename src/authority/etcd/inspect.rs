//! A look at the files and servers of the configuration, before anything depends on them. It changes nothing.

use std::path::Path;
use std::time::Duration;

use etcd_client::{AlarmAction, AlarmType, Compare, CompareOp, Txn, TxnOp};

use super::connection::{Connection, Settings};
use super::{cluster, version};
use crate::authority::Fault;
pub use crate::authority::files::{Finding, Grade};
use crate::authority::files::{certificate, exposed};
use crate::config::EtcdConfig;

/// Above this, what the history of the records leaves is not being compacted.
const SIZE_MAX: i64 = 1 << 30;

/// What the servers say. Blocks, for the time of a few calls to each.
#[must_use]
pub fn servers(config: &EtcdConfig, state_dir: &Path) -> Vec<Finding> {
    let settings = match Settings::read(config) {
        Ok(settings) => settings,
        Err(error) => return vec![(Grade::Bad, error.to_string())],
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(ask(config, &settings, state_dir)),
        Err(error) => vec![(Grade::Bad, format!("etcd cannot be asked: {error}"))],
    }
}

/// What can be told of the files alone.
#[must_use]
pub fn files(config: &EtcdConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, path) in [
        ("key", &config.key),
        ("password_file", &config.password_file),
    ] {
        if let Some(path) = path {
            findings.extend(exposed(&format!("authority.etcd.{key}"), path));
        }
    }
    for (key, path) in [("ca", &config.ca), ("cert", &config.cert)] {
        if let Some(path) = path {
            findings.extend(certificate(&format!("authority.etcd.{key}"), path));
        }
    }
    findings
}

async fn ask(config: &EtcdConfig, settings: &Settings, state_dir: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut clusters = Vec::new();
    for endpoint in &config.endpoints {
        match server(settings, endpoint, &config.prefix).await {
            Ok((cluster, found)) => {
                clusters.push((endpoint, cluster));
                findings.extend(found);
            }
            Err(why) => findings.push((Grade::Doubtful, why)),
        }
    }
    let Some((first, cluster)) = clusters.first().copied() else {
        return findings;
    };
    for (endpoint, other) in clusters.iter().filter(|(_, id)| *id != cluster) {
        findings.push((
            Grade::Bad,
            format!("{endpoint} is of cluster {other:016x}, and {first} is of cluster {cluster:016x}: authority.etcd.endpoints must be of one cluster"),
        ));
    }
    if let Err(error) = cluster::compare(state_dir, cluster) {
        findings.push((Grade::Bad, error.to_string()));
    }
    findings
}

async fn server(
    settings: &Settings,
    endpoint: &str,
    prefix: &str,
) -> Result<(u64, Vec<Finding>), String> {
    let mut connection = Connection::new(settings.to(endpoint));
    let asked = std::time::Instant::now();
    let status = connection
        .call(|client| async move { client.maintenance_client().status().await })
        .await
        .map_err(|fault| fault.to_string())?;
    let connected = asked.elapsed();
    let asked = std::time::Instant::now();
    let alarms = connection
        .call(|client| async move {
            let mut maintenance = client.maintenance_client();
            maintenance
                .alarm(AlarmAction::Get, AlarmType::None, None)
                .await
        })
        .await
        .map_err(|fault| fault.to_string())?;
    let took = asked.elapsed();
    let cluster = status
        .header()
        .map_or(0, etcd_client::ResponseHeader::cluster_id);
    let release = status.version();
    let mut findings = vec![(
        Grade::Good,
        format!(
            "etcd {release} at {endpoint} answers in {} ms, and within {} ms after a reconnect",
            took.as_millis(),
            connected.as_millis()
        ),
    )];
    findings.extend(slow(endpoint, connected.max(took), settings.within()));
    if let Err(error) = version::check(release) {
        findings.push((Grade::Bad, format!("{endpoint}: {error}")));
    }
    if let Err(refusal) = may_write(&mut connection, prefix).await {
        findings.push((Grade::Bad, refusal));
    }
    if status.leader() == 0 {
        findings.push((Grade::Doubtful, format!("etcd at {endpoint} has no leader")));
    }
    if !alarms.alarms().is_empty() {
        findings.push((
            Grade::Doubtful,
            format!("etcd at {endpoint} has raised an alarm, and takes no record: `etcdctl alarm list`; when its database is full, compact and defragment it, then `etcdctl alarm disarm`"),
        ));
    }
    if status.db_size() > SIZE_MAX {
        findings.push((
            Grade::Doubtful,
            format!(
                "the database of etcd at {endpoint} has {} MB: every vote is a revision, so run it with --auto-compaction-mode=periodic --auto-compaction-retention=10m",
                status.db_size() >> 20
            ),
        ));
    }
    Ok((cluster, findings))
}

/// A call that is given up changes to the next node; one that is always given up costs the lease.
fn slow(endpoint: &str, took: Duration, within: Duration) -> Option<Finding> {
    (took > within / 2).then(|| {
        (
            Grade::Doubtful,
            format!(
                "etcd at {endpoint} took {} ms, and with these timings a call is given up after {} ms, a sixth of ttl - margin: raise authority.etcd.ttl, or move etcd nearer",
                took.as_millis(),
                within.as_millis()
            ),
        )
    })
}

/// Asks for a write and a read under a condition that is never true: etcd checks the rights to both, and does neither. Whatever
/// else fails is found by other questions.
async fn may_write(connection: &mut Connection, prefix: &str) -> Result<(), String> {
    let key = format!("{prefix}/check");
    let never = Compare::create_revision(key.clone(), CompareOp::Less, 0);
    let both = [
        TxnOp::put(key.clone(), "", None),
        TxnOp::get(key.clone(), None),
    ];
    let asked = Txn::new().when([never]).and_then(both);
    match connection
        .call(|mut client| async move { client.txn(asked).await })
        .await
    {
        Err(Fault::Refused(why)) if why.contains("permission denied") => Err(why),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_takes_half_the_time_of_a_call_is_named_with_the_limit() {
        let within = Duration::from_millis(266);
        assert_eq!(slow("http://e", Duration::from_millis(133), within), None);
        let found = slow("http://e", Duration::from_millis(134), within);
        let right = |(grade, text): &Finding| {
            *grade == Grade::Doubtful && text.contains("134 ms") && text.contains("266 ms")
        };
        assert!(found.as_ref().is_some_and(right), "{found:?}");
    }
}
