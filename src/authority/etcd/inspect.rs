//! A look at the files and servers of the configuration, before anything depends on them. It changes nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use etcd_client::{AlarmAction, AlarmType, Compare, CompareOp, Txn, TxnOp};
use x509_parser::pem::Pem;

use super::connection::{Connection, Settings};
use super::{cluster, version};
use crate::authority::Fault;
use crate::config::EtcdConfig;

/// A certificate that ends within this time is worth a word.
const RENEW_BEFORE: Duration = Duration::from_secs(14 * 86_400);
/// Above this, what the history of the records leaves is not being compacted.
const SIZE_MAX: i64 = 1 << 30;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    Good,
    Doubtful,
    Bad,
}

/// What was found, for a person.
pub type Finding = (Grade, String);

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
            findings.extend(exposed(key, path));
        }
    }
    for (key, path) in [("ca", &config.ca), ("cert", &config.cert)] {
        if let Some(path) = path {
            findings.extend(certificate(key, path));
        }
    }
    findings
}

fn exposed(key: &str, path: &Path) -> Option<Finding> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    let shown = path.display();
    (mode & 0o027 != 0).then(|| {
        (
            Grade::Bad,
            format!("authority.etcd.{key} {shown} has mode {mode:04o}, so others can read or replace it: `chmod 600 {shown}`"),
        )
    })
}

/// A file that cannot be read is named by whoever needs its content.
fn certificate(key: &str, path: &Path) -> Option<Finding> {
    let shown = path.display();
    let bytes = std::fs::read(path).ok()?;
    let ends = Pem::iter_from_buffer(&bytes)
        .filter_map(Result::ok)
        .filter_map(|pem| Some(pem.parse_x509().ok()?.validity().not_after.timestamp()))
        .min();
    let Some(ends) = ends else {
        return Some((
            Grade::Bad,
            format!("authority.etcd.{key} {shown} holds no certificate in PEM form"),
        ));
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let left_s = ends.saturating_sub(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    if left_s <= 0 {
        return Some((
            Grade::Bad,
            format!(
                "authority.etcd.{key} {shown} has expired {} days ago: renew it",
                -left_s / 86_400
            ),
        ));
    }
    let soon = left_s < i64::try_from(RENEW_BEFORE.as_secs()).unwrap_or(i64::MAX);
    soon.then(|| {
        (
            Grade::Doubtful,
            format!(
                "authority.etcd.{key} {shown} expires in {} days: renew it",
                left_s / 86_400
            ),
        )
    })
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
    use std::os::unix::fs::PermissionsExt as _;

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

    #[test]
    fn a_key_that_others_can_read_is_named() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("key.pem");
        std::fs::write(&path, "key")?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        assert_eq!(exposed("key", &path), None);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
        let (grade, text) = exposed("key", &path).ok_or("nothing found")?;
        assert!(
            grade == Grade::Bad && text.contains("0644") && text.contains("chmod 600"),
            "{text}"
        );
        Ok(())
    }
}
